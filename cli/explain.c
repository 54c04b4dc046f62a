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

static bool is_in(const struct address *a, const struct address *net, uint32_t bits)
{
	if (!a->len || net->family != a->family || bits > 8u * a->len)
		return false;
	for (uint32_t i = 0; i < bits; i++)
		if ((a->bytes[i / 8] ^ net->bytes[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

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
	/* Which answers of a dump matter.  NULL: all. */
	bool (*keeps)(const struct explain *e, const struct nm_msg *m);
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
	struct entry *more, *x;
	size_t size = 0;
	char *line = NULL;
	FILE *to;
	struct nm_json *j;

	if (m->src != e->source || (e->keeps && !e->keeps(e, m)))
		return 0;
	more = reallocarray(e->answer, e->answers + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
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

static void free_entries(struct entry *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		flat_free(&x[i].flat);
		free(x[i].json);
	}
	free(x);
}

static void forget(struct explain *e)
{
	free_entries(e->answer, e->answers);
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

/* Those answers of a dump that matter. */
static int ask_for(struct explain *e, const char *noun, const char *source,
		   bool (*keeps)(const struct explain *e, const struct nm_msg *m))
{
	int err;

	e->keeps = keeps;
	err = ask(e, noun, source, NULL);
	e->keeps = NULL;
	return err;
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

/* A route to the packet's destination. */
static bool keeps_route(const struct explain *e, const struct nm_msg *m)
{
	const struct rtmsg *r = m->hdr;
	struct address dst = {.family = e->to.family, .len = e->to.len};

	nm_bytes(m->attr[RTA_DST], dst.bytes, dst.len);
	return r->rtm_family == e->to.family && is_in(&e->to, &dst, r->rtm_dst_len);
}

static bool keeps_oif(const struct explain *e, const struct nm_msg *m)
{
	return ((const struct ifinfomsg *)m->hdr)->ifi_index == (int)e->oif;
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
	put_cell(step, 11, false);
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

	return parse(prefix, &p) && is_in(a, &p, bits);
}

/* Whether the packet is one that a rule is for (fib_rule_match()). */
static bool rule_matches(const struct explain *e, const struct flat *f, uint32_t vrf)
{
	static const char *const unknown[] = {"oifname", "ip_proto",          "sport_range.start",
					      "dscp",    "dport_range.start", "uid_range.start",
					      "tun_id",  "flowlabel"};
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
	if (flat_get(f, "l3mdev"))
		is &= vrf != 0;
	is &= !number_of(f, "tos");
	for (size_t i = 0; i < NM_COUNT(unknown); i++)
		is &= !flat_get(f, unknown[i]);
	return is != (flags && strstr(flags, "\"invert\""));
}

/* The routing table of the VRF that the packet came in by; 0: of none. */
static uint32_t vrf_table(struct explain *e)
{
	uint32_t oif = e->oif, table = 0;
	char kind[64];

	if (!arg.iif || ask(e, "link", "links", NULL))
		return 0;
	e->oif = nm_ifindex(e->v, arg.iif);
	for (int i = 0; i < 2 && e->oif && !table; i++) { /* itself, or what it belongs to */
		if (ask(e, "link", "links", fill_link) || !e->answers)
			break;
		if (!strcmp(text_of(&e->answer[0].flat, "linkinfo.kind", kind), "vrf"))
			table = number_of(&e->answer[0].flat, "linkinfo.data.table");
		e->oif = number_of(&e->answer[0].flat, "master");
	}
	e->oif = oif;
	return table;
}

/* The rules that are for the packet, in their order; *n of them.  The caller frees. */
static struct entry *matching_rules(struct explain *e, size_t *n)
{
	struct entry *rules;
	uint32_t from = 0, vrf = vrf_table(e); /* from: a goto's target */
	char action[64], number[16];

	*n = 0;
	if (ask(e, "rule", e->to.family == AF_INET ? "ipv4" : "ipv6", NULL))
		return NULL;
	rules = calloc(e->answers + 1, sizeof(*rules));
	for (size_t i = 0; rules && i < e->answers; i++) {
		struct flat *f = &e->answer[i].flat;

		if (number_of(f, "priority") < from || !rule_matches(e, f, vrf))
			continue;
		if (!strcmp(text_of(f, "action", action), "goto")) {
			from = number_of(f, "goto");
			continue;
		}
		if (flat_get(f, "l3mdev")) {
			snprintf(number, sizeof(number), "%u", vrf);
			flat_add(f, "vrf_table", number);
		}
		rules[(*n)++] = e->answer[i];
		e->answer[i] = (struct entry){0};
	}
	return rules;
}

static uint32_t table_of(const struct entry *rule)
{
	char action[64];

	if (strcmp(text_of(&rule->flat, "action", action), "to_tbl") != 0)
		return 0;
	return number_of(&rule->flat, flat_get(&rule->flat, "vrf_table") ? "vrf_table" : "table");
}

static void say_rule(struct explain *e, const struct entry *rule, bool stops)
{
	char text[160], action[64], name[64];

	text_of(&rule->flat, "action", action);
	text_of(&rule->flat, "table_name", name);
	if (!*name || flat_get(&rule->flat, "vrf_table"))
		snprintf(name, sizeof(name), "%u", table_of(rule));
	snprintf(text, sizeof(text), "%u: %s %s", number_of(&rule->flat, "priority"),
		 table_of(rule) ? "lookup" : action, table_of(rule) ? name : "");
	say_step(e, "rule", "RTM_GETRULE", text, rule, stops ? action : NULL);
}

/* The kernel has found a route in this table. */
static void explain_rule(struct explain *e, uint32_t table)
{
	size_t n, i = 0;
	struct entry *rules = matching_rules(e, &n);

	while (i < n && table_of(&rules[i]) != table)
		i++;
	if (i < n)
		say_rule(e, &rules[i], false);
	else if (rules)
		say_step(e, "rule", "RTM_GETRULE", "none that is known here leads to the table",
			 NULL, NULL);
	free_entries(rules, n);
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

static size_t ways(const struct flat *f)
{
	size_t n = 0, len = 0;
	const char *last = "";

	for (size_t i = 0; i < f->n; i++) {
		const char *p = f->v[i].path, *end = strchr(p, ']');

		if (strncmp(p, "multipath[", strlen("multipath[")) != 0 || !end)
			continue;
		if ((size_t)(end - p) == len && !strncmp(p, last, len))
			continue;
		last = p;
		len = (size_t)(end - p);
		n++;
	}
	return n;
}

static void say_route(struct explain *e, const char *source, const struct entry *x, uint32_t table)
{
	const struct flat *f = &x->flat;
	char text[256], dst[64], name[64], type[64], protocol[64], length[8] = "", more[64] = "";

	text_of(f, "type", type);
	text_of(f, "dst", dst);
	if (*dst)
		snprintf(length, sizeof(length), "/%u", number_of(f, "dst_len"));
	text_of(f, "table_name", name);
	if (!*name)
		text_of(f, "table", name);
	if (ways(f))
		snprintf(more, sizeof(more), ", %zu next hops", ways(f));
	else if (flat_get(f, "nh_id"))
		snprintf(more, sizeof(more), ", nexthop object %u", number_of(f, "nh_id"));
	snprintf(text, sizeof(text), "%s %s%s in table %s, by %s%s", type, *dst ? dst : "default",
		 length, table == RT_TABLE_LOCAL ? "local" : name, text_of(f, "protocol", protocol),
		 more);
	say_step(e, "route", source, text, x,
		 strstr("blackhole unreachable prohibit throw", type) ? type : NULL);
}

/* The most specific route of a table, of those the one that is preferred. */
static const struct entry *best_route(const struct explain *e, uint32_t table)
{
	const struct entry *best = NULL;

	for (const struct entry *x = e->answer; x < e->answer + e->answers; x++) {
		uint32_t len = number_of(&x->flat, "dst_len"),
			 best_len = best ? number_of(&best->flat, "dst_len") : 0;

		if (number_of(&x->flat, "table") == table &&
		    (!best || len > best_len ||
		     (len == best_len &&
		      number_of(&x->flat, "priority") < number_of(&best->flat, "priority"))))
			best = x;
	}
	return best;
}

/*
 * Where the kernel says no more than an error: the way that the rules and tables
 * tell.  true: what was found refuses the packet, or nothing was.
 */
static bool work_out(struct explain *e, int err)
{
	size_t n, i = 0;
	struct entry *rules = matching_rules(e, &n);
	const struct entry *route = NULL;
	char text[160], type[64];

	if (ask_for(e, "route", e->to.family == AF_INET ? "ipv4" : "ipv6", keeps_route))
		n = 0;
	for (; i < n; i++) {
		const char *suppress = flat_get(&rules[i].flat, "suppress_prefixlen");

		text_of(&rules[i].flat, "action", type);
		if (!strcmp(type, "nop"))
			continue;
		if (!table_of(&rules[i])) /* the rule itself refuses */
			break;
		route = best_route(e, table_of(&rules[i]));
		if (route && (!strcmp(text_of(&route->flat, "type", type), "throw") ||
			      (suppress && strtol(suppress, NULL, 10) >=
						   (long)number_of(&route->flat, "dst_len"))))
			route = NULL;
		if (route)
			break;
	}
	if (i < n)
		say_rule(e, &rules[i], !route);
	if (route)
		say_route(e, "RTM_GETROUTE", route, table_of(&rules[i]));
	if (i == n) {
		say_step(e, "rule", "RTM_GETRULE", "no rule leads to a route", NULL, NULL);
		snprintf(text, sizeof(text), "none: %s", strerror(err ? -err : ENETUNREACH));
		say_step(e, "route", "RTM_GETROUTE", text, NULL, text + strlen("none: "));
	}
	free_entries(rules, n);
	return e->stopped;
}

/* ---- what comes in ----------------------------------------------------------------------- */

/* What the switch of an interface is, -1: not known.  ifindex -1: that of all. */
static int switch_of(struct explain *e, int ifindex, const char *name)
{
	char family[64];

	if (ask(e, "forward", "netconf", NULL))
		return -1;
	for (const struct entry *x = e->answer; x < e->answer + e->answers; x++) {
		const char *is = flat_get(&x->flat, name);

		if ((int)number_of(&x->flat, "ifindex") == ifindex && is &&
		    !strcmp(text_of(&x->flat, "family", family),
			    e->to.family == AF_INET ? "inet" : "inet6"))
			return (int)strtol(is, NULL, 10);
	}
	return -1;
}

/* IPv4 asks the interface (ip_route_input_slow()), IPv6 the host (ip6_forward()). */
static void explain_forwarding(struct explain *e)
{
	bool ipv4 = e->to.family == AF_INET;
	int is = switch_of(e, ipv4 ? (int)nm_ifindex(e->v, arg.iif) : -1, "forwarding");
	char text[160];

	snprintf(text, sizeof(text), "net.%s.conf.%s.forwarding is %s", ipv4 ? "ipv4" : "ipv6",
		 ipv4 ? arg.iif : "all",
		 is < 0 ? "not known" :
		 is     ? "on" :
			  "off");
	say_step(e, "forwarding", "RTM_GETNETCONF", text, NULL,
		 is   ? NULL :
		 ipv4 ? "it does not forward IPv4" :
			"this host does not forward IPv6");
}

/* The interface that leads back to where the packet came from; "" if none does. */
static void way_back(struct explain *e, char name[static 64])
{
	struct address to = e->to;
	const char *iif = arg.iif;

	e->to = e->from;
	e->from.len = 0;
	arg.iif = NULL;
	*name = 0;
	if (!ask(e, "route", "ipv4", fill_path) && e->answers)
		text_of(&e->answer[0].flat, "oif_name", name);
	e->from = e->to;
	e->to = to;
	arg.iif = iif;
}

/*
 * The kernel has refused a packet that has a route.  It does not tell whether by
 * rp_filter: the error is EXDEV or, since Linux 6.14, EINVAL (fib_validate_source()).
 */
static void explain_refusal(struct explain *e, int err)
{
	char text[160], back[64] = "";
	int filter = 0, all;

	if (err == -EHOSTUNREACH && arg.iif)
		explain_forwarding(e);
	if (e->stopped)
		return;
	if (arg.iif && e->to.family == AF_INET) {
		filter = switch_of(e, (int)nm_ifindex(e->v, arg.iif), "rp_filter");
		all = switch_of(e, -1, "rp_filter");
		filter = all > filter ? all : filter;
		way_back(e, back);
	}
	if (filter > 0 && strcmp(back, arg.iif) != 0 && (filter == 1 || !*back)) {
		snprintf(text, sizeof(text), "rp_filter of %s is %d, and the way back to %s is %s",
			 arg.iif, filter, arg.from, *back ? back : "unknown");
		say_step(e, "source", "RTM_GETNETCONF, RTM_GETROUTE", text, NULL, "rp_filter");
		return;
	}
	snprintf(text, sizeof(text), "the kernel refuses a packet from %s: %s",
		 arg.from ? arg.from : "here", strerror(-err));
	say_step(e, "source", "RTM_GETROUTE", text, NULL, strerror(-err));
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
	text_of(f, "prefsrc", source);
	snprintf(text, sizeof(text), "%s%s dev %s%s%s", *gateway ? "via " : "direct", gateway,
		 text_of(f, "oif_name", dev), *source ? ", source " : "", source);
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
	if (ask_for(e, "mdb", "ports", keeps_oif) || !e->answers)
		return;
	text_of(&e->answer[0].flat, "protinfo.state", port);
	snprintf(text, sizeof(text), "the port is %s", port);
	say_step(e, "port state", "RTM_GETLINK, bridge", text, &e->answer[0],
		 !*port || !strcmp(port, "forwarding") ? NULL : "the port does not forward");
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
	if (!table) {
		if (!work_out(e, err))
			explain_refusal(e, err);
		return OK;
	}
	explain_rule(e, table);
	err = match(e, &table, type);
	if (err || !e->answers)
		return OK; /* it has vanished meanwhile */
	say_route(e, "RTM_GETROUTE, FIB match", &e->answer[0], table);
	if (e->stopped)
		return OK;
	if (arg.iif && !strcmp(type, "unicast"))
		explain_forwarding(e);
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
