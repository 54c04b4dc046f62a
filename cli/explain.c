/* SPDX-License-Identifier: MIT */
/*
 * netmon explain: which rule, route, next hop, neighbour and port a packet would
 * take, and what would stop it.  The kernel is asked for its own lookup; nothing
 * but the choice of the rule is worked out here, which the kernel does not tell.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct address {
	uint8_t family, len;
	uint8_t bytes[16];
};

struct entry { /* an answer, as JSON and as what can be looked up in it */
	struct flat flat;
	char *json;
};

struct explain {
	struct address to, from;
	uint32_t mark;
	struct nm_view *v; /* that is asked now */
	const struct noun *noun;
	const struct nm_source *source;
	void (*fill)(struct explain *e,
		     struct nlmsghdr *nlh); /* makes a dump's request one for it */
	struct entry *answer;
	size_t answers;
	struct nm_json *j;
	uint32_t oif;
	struct address hop;
	char lladdr[24];
	int status;          /* of opening a view */
	const char *stopped; /* by what */
	char why[160];
};

/* ---- asking ---------------------------------------------------------------------------- */

static int keep_flat(void *user, const char *what, struct flat *f)
{
	(void)what;
	*(struct flat *)user = *f;
	*f = (struct flat){0};
	return 1;
}

static int on_answer(const struct nm_msg *m, void *user)
{
	struct explain *e = user;
	struct entry *more = reallocarray(e->answer, e->answers + 1, sizeof(*more)), *x;
	size_t size = 0;
	char *line = NULL;
	FILE *to;
	struct nm_json *j;

	if (!more || m->src != e->source)
		return more ? 0 : -ENOMEM;
	e->answer = more;
	x = &more[e->answers++];
	*x = (struct entry){0};
	for (int with_what = 0; with_what < 2; with_what++) {
		to = open_memstream(with_what ? &line : &x->json, &size);
		j = to ? nm_json_new(to, NM_ONE_LINE) : NULL;
		if (j) {
			nm_json_begin(j, NULL, '{');
			if (with_what)
				nm_json_string(j, "what", m->src->what);
			nm_print(j, e->v, m);
			nm_json_end(j, '}');
			nm_json_flush(j);
		}
		nm_json_free(j);
		if (to)
			fclose(to);
	}
	if (line)
		flat_one(line, strlen(line), keep_flat, &x->flat);
	free(line);
	return 0;
}

static void adds(const struct nm_source *s, struct nlmsghdr *nlh, void *user)
{
	struct explain *e = user;

	if (s != e->source || !e->fill)
		return;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	e->fill(e, nlh);
}

static void forget(struct explain *e)
{
	for (size_t i = 0; i < e->answers; i++) {
		flat_free(&e->answer[i].flat);
		free(e->answer[i].json);
	}
	free(e->answer);
	e->answer = NULL;
	e->answers = 0;
}

/* The kernel's answer to one question of a source: 0, or why there is none. */
static int ask(struct explain *e, const char *noun, const char *source,
	       void (*fill)(struct explain *e, struct nlmsghdr *nlh))
{
	const struct nm_plugin *p = plugin_named(noun);

	forget(e);
	if (e->v && e->v->plugin != p) {
		nm_close(e->v);
		e->v = NULL;
	}
	if (!e->v) {
		e->status = open_view(&e->v, p, NULL, 0);
		if (e->status)
			return -ECANCELED; /* was said */
		nm_set_tap(e->v, on_answer, e);
		nm_set_adds(e->v, adds, e);
	}
	e->fill = fill;
	for (size_t i = 0; i < p->nsource; i++)
		if (!strcmp(p->source[i].what, source)) {
			e->source = &p->source[i];
			return nm_dump(e->v, i);
		}
	return -ENOENT;
}

/* ---- what is asked ------------------------------------------------------------------------ */

static void fill_lookup(struct explain *e, struct nlmsghdr *nlh, unsigned flags)
{
	struct rtmsg *r = mnl_nlmsg_get_payload(nlh);

	r->rtm_family = e->to.family;
	r->rtm_dst_len = (uint8_t)(8 * e->to.len);
	/* IPv6 tells the table anyway, and refuses the flag (inet6_rtm_valid_getroute_req()) */
	r->rtm_flags = e->to.family == AF_INET6 ? flags & ~(unsigned)RTM_F_LOOKUP_TABLE : flags;
	mnl_attr_put(nlh, RTA_DST, e->to.len, e->to.bytes);
	if (e->from.len) {
		r->rtm_src_len = (uint8_t)(8 * e->from.len);
		mnl_attr_put(nlh, RTA_SRC, e->from.len, e->from.bytes);
	}
	if (arg.iif)
		mnl_attr_put_u32(nlh, RTA_IIF, nm_ifindex(e->v, arg.iif));
	if (e->mark)
		mnl_attr_put_u32(nlh, RTA_MARK, e->mark);
}

static void fill_match(struct explain *e, struct nlmsghdr *nlh)
{
	fill_lookup(e, nlh, RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH);
}

static void fill_path(struct explain *e, struct nlmsghdr *nlh)
{
	fill_lookup(e, nlh, RTM_F_LOOKUP_TABLE);
}

static void fill_neighbour(struct explain *e, struct nlmsghdr *nlh)
{
	struct ndmsg *n = mnl_nlmsg_get_payload(nlh);

	n->ndm_family = e->hop.family;
	n->ndm_ifindex = (int)e->oif;
	mnl_attr_put(nlh, NDA_DST, e->hop.len, e->hop.bytes);
}

static void fill_fdb(struct explain *e, struct nlmsghdr *nlh)
{
	struct ndmsg *n = mnl_nlmsg_get_payload(nlh);
	uint8_t mac[6];

	n->ndm_family = AF_BRIDGE;
	for (size_t i = 0; i < sizeof(mac); i++)
		mac[i] = (uint8_t)strtoul(e->lladdr + 3 * i, NULL, 16); /* 17 characters */
	mnl_attr_put(nlh, NDA_LLADDR, sizeof(mac), mac);
	mnl_attr_put_u32(nlh, NDA_MASTER, e->oif);
}

static void fill_link(struct explain *e, struct nlmsghdr *nlh)
{
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = (int)e->oif;
}

/* ---- telling ------------------------------------------------------------------------------- */

/* A text without its quotes; "" when it is not there. */
static const char *text_of(const struct flat *f, const char *path, char buf[static 64])
{
	const char *v = flat_get(f, path);
	size_t n = v ? strlen(v) : 0;

	if (n >= 2 && *v == '"')
		snprintf(buf, 64, "%.*s", (int)n - 2, v + 1);
	else
		snprintf(buf, 64, "%s", v ? v : "");
	return buf;
}

static uint32_t number_of(const struct flat *f, const char *path)
{
	const char *v = flat_get(f, path);

	return v ? (uint32_t)strtoul(v, NULL, 10) : 0;
}

static void say_step(struct explain *e, const char *step, const char *source, const char *text,
		     const struct entry *x, const char *stops)
{
	if (stops && !e->stopped) {
		e->stopped = step;
		snprintf(e->why, sizeof(e->why), "%s", stops);
	}
	if (e->j) {
		nm_json_begin(e->j, NULL, '{');
		nm_json_string(e->j, "step", step);
		nm_json_string(e->j, "source", source);
		nm_json_string(e->j, "text", text);
		if (x && x->json)
			nm_json_raw(e->j, "entry", x->json, strlen(x->json));
		nm_json_string(e->j, "stops", stops);
		nm_json_end(e->j, '}');
		return;
	}
	fputs("  ", stdout);
	paint(BOLD);
	put_cell(step, 10, false);
	paint(PLAIN);
	printf("%s", text);
	paint(DIM);
	printf("  [%s]", source);
	paint(PLAIN);
	if (stops) {
		paint(RED);
		printf("  stops: %s", stops);
		paint(PLAIN);
	}
	putchar('\n');
}

/* ---- the rule -------------------------------------------------------------------------------- */

static bool parse(const char *text, struct address *a)
{
	a->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	a->len = a->family == AF_INET ? 4 : 16;
	return inet_pton(a->family, text, a->bytes) == 1;
}

static bool in_prefix(const struct address *a, const char *prefix, uint32_t bits)
{
	struct address p;

	if (!a->len || !parse(prefix, &p) || p.family != a->family || bits > 8u * a->len)
		return false;
	for (uint32_t i = 0; i < bits; i++)
		if ((a->bytes[i / 8] ^ p.bytes[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

/* Whether the packet is one that a rule is for (fib_rule_match()). */
static bool rule_matches(const struct explain *e, const struct flat *f)
{
	static const char *const unknown[] = {"oifname",
					      "ip_proto",
					      "sport_range.start",
					      "dscp",
					      "dport_range.start",
					      "uid_range.start",
					      "tun_id",
					      "l3mdev",
					      "flowlabel"};
	const char *flags = flat_get(f, "flags");
	uint32_t mask = flat_get(f, "fwmask") ? number_of(f, "fwmask") : UINT32_MAX;
	char buf[64];
	bool is = true;

	if (flat_get(f, "dst"))
		is &= in_prefix(&e->to, text_of(f, "dst", buf), number_of(f, "dst_len"));
	if (flat_get(f, "src"))
		is &= in_prefix(&e->from, text_of(f, "src", buf), number_of(f, "src_len"));
	if (flat_get(f, "iifname"))
		is &= !strcmp(text_of(f, "iifname", buf), arg.iif ? arg.iif : "lo");
	if (flat_get(f, "fwmark"))
		is &= ((e->mark ^ number_of(f, "fwmark")) & mask) == 0;
	is &= !number_of(f, "tos");
	for (size_t i = 0; i < NM_COUNT(unknown); i++)
		is &= !flat_get(f, unknown[i]);
	return is != (flags && strstr(flags, "\"invert\""));
}

/* table: of the route, 0: no route was found. */
static void explain_rule(struct explain *e, uint32_t table)
{
	const struct entry *found = NULL;
	uint32_t from = 0; /* a goto's target */
	char text[160], action[64], name[64];

	if (ask(e, "rule", e->to.family == AF_INET ? "ipv4" : "ipv6", NULL))
		return;
	for (size_t i = 0; i < e->answers && !found; i++) {
		const struct flat *f = &e->answer[i].flat;
		bool to_table = !strcmp(text_of(f, "action", action), "to_tbl");

		if (number_of(f, "priority") < from || !rule_matches(e, f))
			continue;
		if (!strcmp(action, "goto"))
			from = number_of(f, "goto");
		else if (to_table ? table && number_of(f, "table") == table :
				    !table && strcmp(action, "nop") != 0)
			found = &e->answer[i];
	}
	if (!found) {
		say_step(e, "rule", "RTM_GETRULE",
			 table ? "none that is known here leads to the table" :
				 "no rule leads to a route",
			 NULL, NULL);
		return;
	}
	text_of(&found->flat, "action", action);
	text_of(&found->flat, "table_name", name);
	if (!*name)
		text_of(&found->flat, "table", name);
	snprintf(text, sizeof(text), "%u: %s %s", number_of(&found->flat, "priority"),
		 !strcmp(action, "to_tbl") ? "lookup" : action, table ? name : "");
	say_step(e, "rule", "RTM_GETRULE", text, found, table ? NULL : action);
}

/* ---- the way ----------------------------------------------------------------------------------- */

/*
 * Until the first rule is added IPv4 keeps the tables local and main in one,
 * whose name is main (fib_trie_unmerge()).
 */
static int match(struct explain *e, uint32_t *table, char type[static 64])
{
	int err = ask(e, "route", e->to.family == AF_INET ? "ipv4" : "ipv6", fill_match);
	const struct flat *f = err || !e->answers ? NULL : &e->answer[0].flat;

	*table = 0;
	*type = 0;
	if (!f)
		return err;
	*table = number_of(f, "table");
	text_of(f, "type", type);
	if (*table == RT_TABLE_MAIN && (!strcmp(type, "local") || !strcmp(type, "broadcast")))
		*table = RT_TABLE_LOCAL;
	return 0;
}

static void explain_route(struct explain *e, uint32_t *table, char *type)
{
	int err = match(e, table, type);
	char text[256], dst[64], name[64], protocol[64], length[8] = "";
	const struct flat *f;

	if (err || !e->answers) {
		snprintf(text, sizeof(text), "none: %s", strerror(err ? -err : ENETUNREACH));
		say_step(e, "route", "RTM_GETROUTE", text, NULL, text + strlen("none: "));
		return;
	}
	f = &e->answer[0].flat;
	text_of(f, "dst", dst);
	if (*dst)
		snprintf(length, sizeof(length), "/%u", number_of(f, "dst_len"));
	text_of(f, "table_name", name);
	if (!*name)
		text_of(f, "table", name);
	snprintf(text, sizeof(text), "%s %s%s in table %s, by %s", type, *dst ? dst : "default",
		 length, *table == RT_TABLE_LOCAL ? "local" : name,
		 text_of(f, "protocol", protocol));
	say_step(e, "route", "RTM_GETROUTE, FIB match", text, &e->answer[0],
		 strstr("blackhole unreachable prohibit throw", type) ? type : NULL);
}

static void explain_hop(struct explain *e)
{
	char text[256], gateway[64], dev[64], source[64];
	const struct flat *f;
	int err = ask(e, "route", e->to.family == AF_INET ? "ipv4" : "ipv6", fill_path);

	if (err || !e->answers)
		return;
	f = &e->answer[0].flat;
	e->oif = number_of(f, "oif");
	text_of(f, "gateway", gateway);
	if (!*gateway)
		text_of(f, "via", gateway);
	if (!*gateway || !parse(gateway, &e->hop))
		e->hop = e->to;
	snprintf(text, sizeof(text), "%s%s dev %s, source %s", *gateway ? "via " : "direct",
		 gateway, text_of(f, "oif_name", dev), text_of(f, "prefsrc", source));
	say_step(e, "next hop", "RTM_GETROUTE", text, &e->answer[0], NULL);
}

static void explain_link(struct explain *e, const char *step, bool *bridge, bool *has_neighbours)
{
	char text[256], name[64], state[64];
	const struct flat *f;
	const char *flags;
	bool up;

	*bridge = *has_neighbours = false;
	if (!e->oif || ask(e, "link", "links", fill_link) || !e->answers)
		return;
	f = &e->answer[0].flat;
	flags = flat_get(f, "flags");
	up = flags && strstr(flags, "\"lower_up\"");
	*bridge = !strcmp(text_of(f, "linkinfo.kind", text), "bridge");
	*has_neighbours = flags && !strstr(flags, "\"noarp\"") && !strstr(flags, "\"loopback\"");
	snprintf(text, sizeof(text), "%s is %s%s", text_of(f, "ifname", name),
		 up ? "up" : text_of(f, "operstate", state), up ? "" : ", no carrier");
	say_step(e, step, "RTM_GETLINK", text, &e->answer[0], up ? NULL : "the link is down");
}

static void explain_neighbour(struct explain *e)
{
	char text[256], address[INET6_ADDRSTRLEN], state[64], *to = state;
	const struct flat *f;
	bool failed;
	int err = ask(e, "neighbor", "neighbors", fill_neighbour);

	inet_ntop(e->hop.family, e->hop.bytes, address, sizeof(address));
	if (err || !e->answers) {
		snprintf(text, sizeof(text), "%s is not known yet: the first packet asks for it",
			 address);
		say_step(e, "neighbor", "RTM_GETNEIGH", text, NULL, NULL);
		return;
	}
	f = &e->answer[0].flat;
	for (const char *s = flat_get(f, "state"); s && *s && to < state + sizeof(state) - 1; s++)
		if (!strchr("[]\"", *s))
			*to++ = *s;
	*to = 0;
	failed = strstr(state, "failed");
	text_of(f, "lladdr", text);
	snprintf(e->lladdr, sizeof(e->lladdr), "%.23s", text);
	snprintf(text, sizeof(text), "%s is %s, %s", address, *e->lladdr ? e->lladdr : "nowhere",
		 state);
	say_step(e, "neighbor", "RTM_GETNEIGH", text, &e->answer[0],
		 failed ? "nobody answers for that address" : NULL);
}

static void explain_port(struct explain *e)
{
	char text[256], port[64];
	bool bridge, has_neighbours;

	if (strlen(e->lladdr) != 17)
		return;
	if (ask(e, "neighbor", "fdb", fill_fdb) || !e->answers) {
		say_step(e, "port", "RTM_GETNEIGH, bridge",
			 "not learned: the bridge floods to all of its ports", NULL, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%s is behind %s", e->lladdr,
		 text_of(&e->answer[0].flat, "ifindex_name", port));
	e->oif = number_of(&e->answer[0].flat, "ifindex");
	say_step(e, "port", "RTM_GETNEIGH, bridge", text, &e->answer[0], NULL);
	explain_link(e, "port link", &bridge, &has_neighbours);
}

static int run(struct explain *e)
{
	char type[64];
	uint32_t table;
	bool bridge = false, has_neighbours = false;
	int err;

	if (arg.iif) {
		ask(e, "link", "links", NULL);
		if (e->status)
			return e->status;
		if (!nm_ifindex(e->v, arg.iif))
			return fail(FAILED, "--iif %s: there is no such interface", arg.iif);
	}
	err = match(e, &table, type);
	if (err == -ECANCELED)
		return e->status;
	explain_rule(e, table);
	explain_route(e, &table, type);
	if (e->stopped)
		return OK;
	explain_hop(e);
	explain_link(e, "link", &bridge, &has_neighbours);
	if (has_neighbours && !strcmp(type, "unicast"))
		explain_neighbour(e);
	if (bridge)
		explain_port(e);
	return OK;
}

int show_explain(void)
{
	struct explain e = {0};
	int status;

	if (!arg.words)
		return fail(USAGE, "explain: an IPv4 or IPv6 address is needed");
	if (!parse(arg.word[0], &e.to))
		return fail(USAGE, "explain %s: no IPv4 or IPv6 address", arg.word[0]);
	if (arg.from && (!parse(arg.from, &e.from) || e.from.family != e.to.family))
		return fail(USAGE, "--from %s: an address of the same family is needed", arg.from);
	if (arg.iif && !arg.from)
		return fail(USAGE,
			    "--iif: a packet that came in has a source; --from is needed too");
	e.mark = (uint32_t)arg.mark;
	if (arg.format != FORMAT_AUTO && !(e.j = nm_json_new(stdout, arg.print)))
		return no_memory();
	if (e.j) {
		nm_json_begin(e.j, NULL, '{');
		nm_json_string(e.j, "address", arg.word[0]);
		nm_json_string(e.j, "from", arg.from);
		nm_json_begin(e.j, "steps", '[');
	} else {
		printf("%s%s%s\n", arg.word[0], arg.from ? " from " : "", arg.from ? arg.from : "");
	}
	status = run(&e);
	if (e.j && !status) {
		nm_json_end(e.j, ']');
		nm_json_string(e.j, "stopped_by", e.stopped);
		nm_json_string(e.j, "reason", e.stopped ? e.why : NULL);
		nm_json_end(e.j, '}');
		nm_json_line(e.j);
		nm_json_flush(e.j);
	}
	forget(&e);
	nm_close(e.v);
	nm_json_free(e.j);
	return status;
}
