/* SPDX-License-Identifier: MIT */
/* netmon_rule: routing policy rules: counts, a hash of the set, what is expected and what is broken. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "rule.h"
#include "uapi.h"

/* ---- what the kernel's bytes mean ----------------------------------------------- */

/* The last two rule multicast routing. */
enum { IPV4, IPV6, IPMR, IP6MR, FAMILIES };
static const struct nm_name family_names[FAMILIES] = {
	[IPV4] = {AF_INET, "inet"},
	[IPV6] = {AF_INET6, "inet6"},
	[IPMR] = {RTNL_FAMILY_IPMR, "ipmr"},
	[IP6MR] = {RTNL_FAMILY_IP6MR, "ip6mr"},
};
static const struct nm_names families = {NM_ARRAY(family_names)};

/* The protocols that have ports, and those that one filters by most. */
static const struct nm_name ipproto_names[] = {
	{IPPROTO_ICMP, "icmp"}, {IPPROTO_TCP, "tcp"},          {IPPROTO_UDP, "udp"},
	{IPPROTO_DCCP, "dccp"}, {IPPROTO_GRE, "gre"},          {IPPROTO_ESP, "esp"},
	{IPPROTO_AH, "ah"},     {IPPROTO_ICMPV6, "ipv6-icmp"}, {IPPROTO_SCTP, "sctp"},
};
const struct nm_names nm_rule_ipprotos = {NM_ARRAY(ipproto_names)};

static const struct nm_field uid_rows[] = {
	NM_M(fib_rule_uid_range, start, UINT),
	NM_M(fib_rule_uid_range, end, UINT),
};
static const struct nm_table uid_range = NM_STRUCT_OF(fib_rule_uid_range, "", uid_rows, NULL);

static const struct nm_field port_rows[] = {
	NM_M(fib_rule_port_range, start, UINT),
	NM_M(fib_rule_port_range, end, UINT),
};
static const struct nm_table port_range = NM_STRUCT_OF(fib_rule_port_range, "", port_rows, NULL);

static const struct nm_field fra_rows[] = {
	NM_A(FRA_DST, ADDR),
	NM_A(FRA_SRC, ADDR),
	NM_A(FRA_IIFNAME, STR),
	NM_A(FRA_GOTO, UINT),
	NM_A(FRA_PRIORITY, UINT),
	NM_A(FRA_FWMARK, UINT),
	NM_A(FRA_FLOW, UINT),
	NM_A(FRA_TUN_ID, BE),
	NM_A(FRA_SUPPRESS_IFGROUP, SINT),
	NM_A(FRA_SUPPRESS_PREFIXLEN, SINT),
	NM_A(FRA_TABLE, TABLE),
	NM_A(FRA_FWMASK, UINT),
	NM_A(FRA_OIFNAME, STR),
	NM_A(FRA_L3MDEV, UINT),
	NM_A(FRA_UID_RANGE, STRUCT, .table = &uid_range),
	NM_A(FRA_PROTOCOL, ENUM, .names = &nm_RTPROT),
	NM_A(FRA_IP_PROTO, ENUM, .names = &nm_rule_ipprotos),
	NM_A(FRA_SPORT_RANGE, STRUCT, .table = &port_range),
	NM_A(FRA_DPORT_RANGE, STRUCT, .table = &port_range),
	NM_A(FRA_DSCP, UINT),
	NM_A(FRA_FLOWLABEL, BE),
	NM_A(FRA_FLOWLABEL_MASK, BE),
	NM_A(FRA_SPORT_MASK, UINT),
	NM_A(FRA_DPORT_MASK, UINT),
	NM_A(FRA_DSCP_MASK, UINT),
};
static const struct nm_table fra = NM_ATTRS("FRA_", fra_rows, &nm_FRA);

static const struct nm_field rule_rows[] = {
	NM_M(fib_rule_hdr, family, ENUM, .names = &families),
	NM_M(fib_rule_hdr, dst_len, UINT),
	NM_M(fib_rule_hdr, src_len, UINT),
	NM_M(fib_rule_hdr, tos, UINT),
	NM_M(fib_rule_hdr, action, ENUM, .names = &nm_FR_ACT),
	NM_M(fib_rule_hdr, flags, BITS, .names = &nm_FIB_RULE),
};
static const struct nm_table rule_table = NM_STRUCT_OF(fib_rule_hdr, "", rule_rows, &fra);

static const struct nm_field rta_rows[] = {
	NM_A(RTA_TABLE, TABLE),
};
static const struct nm_table rta = NM_ATTRS("RTA_", rta_rows, NULL);
static const struct nm_field route_rows[] = {
	NM_M(rtmsg, rtm_family, ENUM, .names = &families),
	NM_M(rtmsg, rtm_table, ENUM, .names = &nm_RT_TABLE),
};
static const struct nm_table route_table = NM_STRUCT_OF(rtmsg, "rtm_", route_rows, &rta);

/* ---- what is asked ---------------------------------------------------------------- */

struct route_key {
	uint8_t family;
	uint32_t table;
};

/* All routes of one table: nm_ask() would ask for one route, so it is made a dump here. */
static void ask_routes(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	const struct route_key *k = key;
	struct rtmsg *h = mnl_nlmsg_get_payload(nlh);

	(void)v;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->rtm_family = k ? k->family : AF_UNSPEC;
	mnl_attr_put_u32(nlh, RTA_TABLE, k ? k->table : RT_TABLE_UNSPEC);
}

enum { LINKS, RULES, ROUTES = RULES + FAMILIES };

#define RULES_OF(name, af_, group_)                                                                \
	{                                                                                          \
		name, .get = RTM_GETRULE, .add = RTM_NEWRULE, .del = RTM_DELRULE, .af = (af_),     \
		      .kept = true, .torn = true, .group = {group_}, .table = &rule_table,         \
		      .without = "its rules"                                                       \
	}

static const struct nm_source sources[] = {
	[LINKS] = NM_LINK_NAMES, /* the kernel tells no rule that its interface has come or gone */
	[RULES + IPV4] = RULES_OF("ipv4", AF_INET, RTNLGRP_IPV4_RULE),
	[RULES + IPV6] = RULES_OF("ipv6", AF_INET6, RTNLGRP_IPV6_RULE),
	[RULES + IPMR] = RULES_OF("ipmr", RTNL_FAMILY_IPMR, RTNLGRP_IPV4_RULE),
	[RULES + IP6MR] = RULES_OF("ip6mr", RTNL_FAMILY_IP6MR, RTNLGRP_IPV6_RULE),
	[ROUTES] = {"routes", .get = RTM_GETROUTE, .add = RTM_NEWROUTE, .any_af = true,
		    .passive = true, .table = &route_table, .ask = ask_routes},
};

static const char *const titles[FAMILIES] = {
	[IPV4] = "IPv4",
	[IPV6] = "IPv6",
	[IPMR] = "IPv4 multicast",
	[IP6MR] = "IPv6 multicast",
};

/* ---- a rule -------------------------------------------------------------------------- */

#define LANES 4
_Static_assert(sizeof(struct id) == 160, "no padding: it is hashed");
_Static_assert(sizeof(struct id) % (LANES * sizeof(uint64_t)) == 0, "read in whole rounds");

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

/* The rounds of xxHash64: four independent lanes, then an avalanche. */
static uint64_t hash_id(const struct id *id)
{
	static const uint64_t p1 = 0x9e3779b185ebca87u, p2 = 0xc2b2ae3d27d4eb4fu,
			      p3 = 0x165667b19e3779f9u;
	uint64_t lane[LANES] = {p1 + p2, p2, 0, 0 - p1}, w[LANES], h = 0;
	const char *from = (const char *)id;

	for (size_t i = 0; i < sizeof(*id); i += sizeof(w)) {
		memcpy(w, from + i, sizeof(w));
		for (size_t l = 0; l < LANES; l++)
			lane[l] = rotate(lane[l] + w[l] * p2, 31) * p1;
	}
	for (size_t l = 0; l < LANES; l++)
		h = (h ^ rotate(lane[l] * p2, 31) * p1) * p1 + p3;
	h = (h ^ h >> 33) * p2;
	h = (h ^ h >> 29) * p3;
	return h ^ h >> 32;
}

/* By hand: a library's walk over what is nearly always known would be a tenth of a dump. */
static uint64_t hash_unknown(const struct nlmsghdr *nlh)
{
	const uint8_t *p = (const uint8_t *)nlh + NLMSG_LENGTH(sizeof(struct fib_rule_hdr));
	size_t left = nlh->nlmsg_len - NLMSG_LENGTH(sizeof(struct fib_rule_hdr));
	uint64_t h = 0;

	while (left >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)p;
		size_t len = a->nla_len, step = NLA_ALIGN(len);

		if (len < NLA_HDRLEN || len > left)
			break;
		for (size_t i = 0;
		     (a->nla_type & NLA_TYPE_MASK) >= (int)NM_COUNT(fra_rows) && i < len; i++)
			h = (h ^ p[i] ^ 0x100) * 0x100000001b3u;
		p += step;
		left -= step < left ? step : left;
	}
	return h;
}

static void read_range(const struct nlattr *a, uint16_t to[static 2])
{
	nm_bytes(a, to, 2 * sizeof(*to));
}

static int32_t read_limit(const struct nlattr *a)
{
	return a ? (int32_t)nm_uint(a) : -1;
}

static struct id read_id(const struct nm_msg *m)
{
	const struct fib_rule_hdr *h = m->hdr;
	const struct nlattr *const *a = m->attr;
	struct id id = {
		.family = h->family,
		.action = h->action,
		.dst_len = h->dst_len,
		.src_len = h->src_len,
		.tos = h->tos,
		.l3mdev = (uint8_t)nm_uint(a[FRA_L3MDEV]),
		.ipproto = (uint8_t)nm_uint(a[FRA_IP_PROTO]),
		.protocol = (uint8_t)nm_uint(a[FRA_PROTOCOL]),
		.table = a[FRA_TABLE] ? (uint32_t)nm_uint(a[FRA_TABLE]) : h->table,
		.priority = (uint32_t)nm_uint(a[FRA_PRIORITY]),
		.flags = h->flags & ~(uint32_t)VOLATILE,
		.target = (uint32_t)nm_uint(a[FRA_GOTO]),
		.fwmark = (uint32_t)nm_uint(a[FRA_FWMARK]),
		.fwmask = (uint32_t)nm_uint(a[FRA_FWMASK]),
		.flow = (uint32_t)nm_uint(a[FRA_FLOW]),
		.suppress_ifgroup = read_limit(a[FRA_SUPPRESS_IFGROUP]),
		.suppress_prefixlen = read_limit(a[FRA_SUPPRESS_PREFIXLEN]),
		.flowlabel = ntohl((uint32_t)nm_uint(a[FRA_FLOWLABEL])),
		.flowlabel_mask = ntohl((uint32_t)nm_uint(a[FRA_FLOWLABEL_MASK])),
		.dscp = (uint8_t)nm_uint(a[FRA_DSCP]),
		.dscp_mask = (uint8_t)nm_uint(a[FRA_DSCP_MASK]),
		.has_dscp = a[FRA_DSCP] != NULL,
		.has_uid = a[FRA_UID_RANGE] != NULL,
		.sport_mask = (uint16_t)nm_uint(a[FRA_SPORT_MASK]),
		.dport_mask = (uint16_t)nm_uint(a[FRA_DPORT_MASK]),
		.tun_id = be64toh(nm_uint(a[FRA_TUN_ID])),
		.unknown = hash_unknown(m->nlh),
	};

	/* A mask of all bits is what kernels without masks mean. */
	id.sport_mask = id.sport_mask == UINT16_MAX ? 0 : id.sport_mask;
	id.dport_mask = id.dport_mask == UINT16_MAX ? 0 : id.dport_mask;
	id.dscp_mask = id.dscp_mask == UINT8_MAX >> 2 ? 0 : id.dscp_mask;
	nm_bytes(a[FRA_UID_RANGE], id.uid, sizeof(id.uid));
	read_range(a[FRA_SPORT_RANGE], id.sport);
	read_range(a[FRA_DPORT_RANGE], id.dport);
	nm_bytes(a[FRA_SRC], id.src, sizeof(id.src));
	nm_bytes(a[FRA_DST], id.dst, sizeof(id.dst));
	nm_bytes(a[FRA_IIFNAME], id.iif, sizeof(id.iif) - 1);
	nm_bytes(a[FRA_OIFNAME], id.oif, sizeof(id.oif) - 1);
	return id;
}

/* ---- what is configured -------------------------------------------------------------- */

enum {
	ADD = 1 << 0,
	DELETE = 1 << 1,
	EXPECTED = 1 << 2,
	DETACH = 1 << 3,
	UNRESOLVED = 1 << 4,
	EMPTY = 1 << 5,
};
static const struct nm_name notice_names[] = {
	{ADD, "add"},         {DELETE, "delete"},         {EXPECTED, "expected"},
	{DETACH, "detached"}, {UNRESOLVED, "unresolved"}, {EMPTY, "empty"},
};
static const struct nm_names notices = {NM_ARRAY(notice_names)};

struct config {
	struct nm_config common;
	struct nm_select tables;
	struct nm_pair *expect;
	bool check_tables;
	unsigned notify;
};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.notify = ADD | DELETE | EXPECTED | DETACH | UNRESOLVED | EMPTY,
};

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Expect", NM_OPT_PAIR, expect, .check = nm_rule_check, .def = "nothing",
		.help = "A rule that must exist, in the words of `ip rule`: told as bool-expected-NAME and "
			"by a notification. Its family is that of its addresses or of a leading -6. A "
			"priority or protocol that is not said may be any; everything else that is not "
			"said must have its default. Without a name the rule's words are the name. May "
			"stand several times; rules of one name and family are expected together."),
	NM_OPTION(
		config, "Table", NM_OPT_SELECT, tables, .def = "all",
		.help = "Routing tables whose rules are counted one by one: names, numbers where there "
			"is no name, or POSIX extended regular expressions between slashes, not anchored. "
			"May stand several times. An empty list is all."),
	NM_OPTION(config, "IgnoreSelected", NM_OPT_BOOL, tables.invert,
		  .help = "Count the rules of all tables one by one but those of Table."),
	NM_OPTION(
		config, "CheckTables", NM_OPT_BOOL, check_tables,
		.help = "Look every SlowInterval whether the tables that rules point to have routes. Each "
			"such table is read as a whole for it: a million routes take a fifth of a second."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &notices,
		  .help = "Which changes are told by a notification."),
};

/* ---- what is kept ----------------------------------------------------------------------- */

struct rule_key { /* two rules that share it are as good as one: 2^-64 for each pair */
	uint64_t hash;
	uint32_t priority, table;
};

struct rule {
	struct id *id; /* apart: a dump looks at the rest of 10,000 rules */
	uint32_t n;    /* the kernel takes the same rule twice, if asked without NLM_F_EXCL */
	uint32_t n_seen;
	uint64_t seen;     /* number of the dump that had it last */
	uint32_t detached; /* of DETACHED */
	bool unresolved;   /* as was told */
};

struct table {
	uint32_t rules, routed; /* pointing here; of these those that were not the kernel's idea */
	bool selected, changed;
	bool checked, empty; /* whether it has routes is known; it has none */
};

struct target { /* a priority */
	uint32_t rules, gotos;
};

struct family {
	bool changed;  /* slow values are due in the next reading */
	bool turned;   /* a target has come or gone */
	uint64_t dump; /* number of the dump that runs or ran last */
	uint64_t hash; /* sum over the rules: the order does not matter */
	uint32_t rules, detached, unresolved, action[FR_ACT_MAX + 1];
	struct nm_map by_key;  /* struct rule_key -> struct rule */
	struct nm_map tables;  /* number -> struct table */
	struct nm_map targets; /* priority -> struct target */
};

struct expectation {
	struct pattern p;
	bool valid;    /* false: a name in it is known no more */
	bool looked;   /* for the first time */
	bool missing;  /* as was told */
	uint32_t have; /* rules that match */
	size_t family;
	const char *text;
	char type_instance[112];
};

struct link {
	char name[IFNAMSIZ];
	uint64_t seen;
};

struct state {
	struct family family[FAMILIES];
	struct nm_map names[DICTIONARIES];
	struct nm_rtwatch written; /* their files */
	struct nm_map links;       /* ifindex -> struct link */
	struct nm_map devices;     /* name in a rule -> uint32_t rules */
	uint64_t links_dump;
	struct expectation *expect;
	size_t nexpect;
	struct route_key asked;
	uint64_t routes; /* that the table asked for has */
};

/* Names that two tables share, or that are another's number, would be two series of one name. */
static void drop_ambiguous(struct nm_map *names)
{
	const void *key, *other_key;
	const char *name, *other;

	for (size_t i = 0; (name = nm_map_next(names, &key, &i));) {
		bool bad = name[strspn(name, "0123456789")] == 0;

		for (size_t k = 0; !bad && (other = nm_map_next(names, &other_key, &k));)
			bad = other != name && !strcmp(other, name);
		if (bad) {
			uint32_t id = *(const uint32_t *)key;

			nm_map_del(names, &id);
			i--;
		}
	}
}

/* collectd's identifiers hold no "/"; blanks are a nuisance in them; the instance has the family. */
static void name_expectation(struct expectation *e, const char *name)
{
	if (!strncmp(name, "-4 ", 3) || !strncmp(name, "-6 ", 3))
		name += 3;
	snprintf(e->type_instance, sizeof(e->type_instance), "expected-%s", name);
	for (char *c = e->type_instance; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == '/' || *c == 0x7f)
			*c = '_';
}

static int read_expectation(struct expectation *e)
{
	char why[128];
	int err = nm_rule_parse(e->text, &e->p, why, sizeof(why));

	e->valid = !err;
	e->family = e->p.id.family == AF_INET6 ? IPV6 : IPV4;
	return err == -ENOMEM ? err : 0;
}

static int open_expectations(struct state *s, const struct nm_pair *list)
{
	size_t n = 0;
	int err = 0;

	for (const struct nm_pair *p = list; p; p = p->next)
		n++;
	s->expect = calloc(n + 1, sizeof(*s->expect));
	if (!s->expect)
		return -ENOMEM;
	for (; !err && list; list = list->next) {
		struct expectation *e = &s->expect[s->nexpect++];

		e->text = list->text;
		name_expectation(e, list->name);
		err = read_expectation(e);
	}
	return err;
}

static int open_rule(struct nm_view *v)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	int err;

	nm_rtnames_written(&s->written, NM_ARRAY(nm_rule_name_files));
	err = nm_rule_names_load(s->names);
	if (err)
		return err;
	drop_ambiguous(&s->names[TABLES]);
	s->links = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct link)};
	s->devices = (struct nm_map){.key = IFNAMSIZ, .val = sizeof(uint32_t)};
	for (size_t i = 0; i < FAMILIES; i++) {
		struct family *f = &s->family[i];

		f->by_key =
			(struct nm_map){.key = sizeof(struct rule_key), .val = sizeof(struct rule)};
		f->tables = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct table)};
		f->targets = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct target)};
	}
	return open_expectations(s, c->expect);
}

static void close_rule(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct rule *r;

	for (size_t i = 0; i < FAMILIES; i++) {
		for (size_t k = 0; (r = nm_map_next(&s->family[i].by_key, &key, &k));)
			free(r->id);
		nm_map_free(&s->family[i].by_key);
		nm_map_free(&s->family[i].tables);
		nm_map_free(&s->family[i].targets);
	}
	nm_rule_names_free(s->names);
	nm_map_free(&s->links);
	nm_map_free(&s->devices);
	free(s->expect);
}

/* ---- who is told ------------------------------------------------------------------------ */

static size_t index_of(const struct state *s, const struct family *f)
{
	return (size_t)(f - s->family);
}

/* NULL when nobody wants it. */
static struct nm_notice *tell(struct nm_view *v, const struct family *f, unsigned what,
			      enum nm_severity severity, const char *old, const char *new)
{
	const struct config *c = v->config;
	struct nm_notice *n;

	if (!v->news || !(c->notify & what))
		return NULL;
	n = nm_notify(v, severity, nm_name(&notices, what),
		      sources[RULES + index_of(v->state, f)].what);
	nm_change(n, old, new);
	return n;
}

static const char *title(const struct nm_view *v, const struct family *f)
{
	return titles[index_of(v->state, f)];
}

/* A goto's target is any rule of that priority. */
static bool lacks_target(const struct family *f, const struct id *id)
{
	const struct target *t = id->action == FR_ACT_GOTO ? nm_map_get(&f->targets, &id->target) :
							     NULL;

	return id->action == FR_ACT_GOTO && (!t || !t->rules);
}

static void tell_set(struct nm_view *v, const struct family *f, const struct rule *r, bool added)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	struct nm_notice *n;
	struct text t;

	if (!v->news || !(c->notify & (added ? ADD : DELETE)))
		return; /* before its words are made */
	nm_rule_write(&t, s->names, r->id, r->detached, lacks_target(f, r->id));
	n = tell(v, f, added ? ADD : DELETE, added ? NM_OKAY : NM_WARNING, added ? NULL : t.s,
		 added ? t.s : NULL);
	nm_meta(n, "priority", "%u", r->id->priority);
	if (r->id->action == FR_ACT_TO_TBL && !r->id->l3mdev)
		nm_meta(n, "table", "%u", r->id->table);
	nm_say(n, "%s rule %s: %.200s", title(v, f), added ? "added" : "deleted", t.s);
}

static void tell_detached(struct nm_view *v, const struct family *f, const struct rule *r,
			  uint32_t was, const char *why)
{
	struct state *s = v->state;
	bool iif = (was ^ r->detached) & FIB_RULE_IIF_DETACHED;
	uint32_t flag = iif ? FIB_RULE_IIF_DETACHED : FIB_RULE_OIF_DETACHED;
	bool bad = r->detached & flag;
	const char *name = iif ? r->id->iif : r->id->oif;
	struct nm_notice *n =
		tell(v, f, DETACH, bad ? NM_WARNING : NM_OKAY, NULL, bad ? "detached" : "attached");
	struct text t;

	if (!n)
		return;
	nm_meta(n, "rule", "%s",
		nm_rule_write(&t, s->names, r->id, r->detached, lacks_target(f, r->id)));
	nm_meta(n, "interface", "%s", name);
	if (why)
		nm_say(n, "%s rule of interface %s %s: %.190s", title(v, f), name, why, t.s);
	else
		nm_say(n,
		       bad ? "%s rule names interface %s, which does not exist: %.180s" :
			     "%s rule has its interface %s again: %.180s",
		       title(v, f), name, t.s);
}

static void tell_unresolved(struct nm_view *v, const struct family *f, const struct rule *r,
			    const char *why)
{
	struct state *s = v->state;
	bool bad = r->unresolved;
	struct nm_notice *n = tell(v, f, UNRESOLVED, bad ? NM_WARNING : NM_OKAY, NULL,
				   bad ? "unresolved" : "resolved");
	struct text t;

	if (!n)
		return;
	nm_meta(n, "rule", "%s", nm_rule_write(&t, s->names, r->id, r->detached, bad));
	nm_meta(n, "target", "%u", r->id->target);
	if (why)
		nm_say(n, "%s rule that goes to priority %u %s: %.180s", title(v, f), r->id->target,
		       why, t.s);
	else
		nm_say(n,
		       bad ? "%s rule goes to priority %u, which no rule has: %.180s" :
			     "%s rule has its target of priority %u again: %.180s",
		       title(v, f), r->id->target, t.s);
}

static void tell_expected(struct nm_view *v, const struct family *f, const struct expectation *e)
{
	const char *old = e->missing ? "present" : "missing";
	struct nm_notice *n = tell(v, f, EXPECTED, e->missing ? NM_FAILURE : NM_OKAY,
				   e->looked ? old : NULL, e->missing ? "missing" : "present");

	nm_meta(n, "name", "%s", e->type_instance + strlen("expected-"));
	nm_meta(n, "rule", "%s", e->text);
	nm_say(n, "expected %s rule %s: %.180s", title(v, f),
	       e->missing ? "is missing" : "is there", e->text);
}

/* ---- rules come and go ------------------------------------------------------------------ */

static int count_device(struct state *s, const char name[static IFNAMSIZ], int by)
{
	char key[IFNAMSIZ] = "";
	uint32_t *n;

	if (!*name)
		return 0;
	memcpy(key, name, strnlen(name, sizeof(key) - 1));
	n = nm_map_put(&s->devices, key, NULL);
	if (!n)
		return -ENOMEM;
	*n += (uint32_t)by;
	if (!*n)
		nm_map_del(&s->devices, key);
	return 0;
}

static int count_table(const struct nm_view *v, struct family *f, const struct id *id, int by)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	struct table *t;
	char buf[16];
	bool fresh;

	if (id->action != FR_ACT_TO_TBL || id->l3mdev)
		return 0;
	t = nm_map_put(&f->tables, &id->table, &fresh);
	if (!t)
		return -ENOMEM;
	if (fresh)
		t->selected = nm_selected(&c->tables, nm_rtname(&s->names[TABLES], id->table, buf));
	t->rules += (uint32_t)by;
	if (id->protocol != RTPROT_KERNEL)
		t->routed += (uint32_t)by;
	t->changed = true;
	return 0;
}

/* A goto finds its target, or loses it, whenever rules of that priority come and go: no event. */
static int count_target(struct family *f, uint32_t priority, int rules, int gotos)
{
	struct target *t = nm_map_put(&f->targets, &priority, NULL);
	uint32_t was;

	if (!t)
		return -ENOMEM;
	was = t->rules ? 0 : t->gotos;
	t->rules += (uint32_t)rules;
	t->gotos += (uint32_t)gotos;
	f->unresolved += (t->rules ? 0 : t->gotos) - was;
	f->turned |= (t->rules ? 0 : t->gotos) != was;
	if (!t->rules && !t->gotos)
		nm_map_del(&f->targets, &priority);
	return 0;
}

/* Everything that is counted of a rule, when there are so many more or fewer of it. */
static int count(const struct nm_view *v, struct family *f, const struct rule *r, uint64_t hash,
		 int by)
{
	const struct id *id = r->id;
	struct state *s = v->state;
	int err = 0;

	f->changed = true;
	f->rules += (uint32_t)by;
	f->hash += hash * (uint64_t)by;
	f->detached += r->detached ? (uint32_t)by : 0;
	if (id->action <= FR_ACT_MAX)
		f->action[id->action] += (uint32_t)by;
	for (struct expectation *e = s->expect; e < s->expect + s->nexpect; e++)
		if (e->valid && e->family == index_of(s, f) && nm_rule_matches(&e->p, id))
			e->have += (uint32_t)by;
	err |= count_table(v, f, id, by);
	err |= count_target(f, id->priority, by, 0);
	if (id->action == FR_ACT_GOTO)
		err |= count_target(f, id->target, 0, by);
	err |= count_device(s, id->iif, by);
	err |= count_device(s, id->oif, by);
	return err ? -ENOMEM : 0;
}

static void set_detached(struct nm_view *v, struct family *f, struct rule *r, uint32_t is)
{
	uint32_t was = r->detached;

	f->detached += (is ? r->n : 0) - (was ? r->n : 0);
	for (uint32_t flag = FIB_RULE_IIF_DETACHED; flag <= FIB_RULE_OIF_DETACHED; flag <<= 1)
		if ((was ^ is) & flag) {
			r->detached ^= flag;
			tell_detached(v, f, r, r->detached ^ flag, NULL);
		}
}

/* The alarms that it has raised go with it. */
static void remove_rule(struct nm_view *v, struct family *f, const struct rule_key *key,
			struct rule *r)
{
	struct rule_key k = *key;
	struct rule was = *r;

	count(v, f, r, k.hash, -(int)r->n);
	nm_map_del(&f->by_key, &k);
	tell_set(v, f, &was, false);
	if (was.detached) {
		uint32_t flags = was.detached;

		was.detached = 0;
		tell_detached(v, f, &was, flags, "was deleted");
	}
	if (was.unresolved) {
		was.unresolved = false;
		tell_unresolved(v, f, &was, "was deleted");
	}
	free(was.id);
}

static void set_number(struct nm_view *v, struct family *f, const struct rule_key *key,
		       struct rule *r, uint32_t n)
{
	int by = (int)(n - r->n);

	if (!n) {
		remove_rule(v, f, key, r);
	} else if (by) {
		count(v, f, r, key->hash, by);
		r->n = n;
		tell_set(v, f, r, by > 0);
	}
}

static int add_rule(struct nm_view *v, struct family *f, const struct rule_key *key,
		    const struct rule *is)
{
	struct id *id = malloc(sizeof(*id));
	struct rule *r = id ? nm_map_put(&f->by_key, key, NULL) : NULL;
	int err;

	if (!r) {
		free(id);
		return -ENOMEM;
	}
	*r = *is;
	*id = *is->id;
	r->id = id;
	r->detached = 0;
	err = count(v, f, r, key->hash, 1);
	tell_set(v, f, is, true);
	set_detached(v, f, r, is->detached);
	return err;
}

static int on_rule(struct nm_view *v, const struct nm_msg *m)
{
	const struct fib_rule_hdr *h = m->hdr;
	struct state *s = v->state;
	struct family *f = &s->family[m->src - &sources[RULES]];
	struct id id = read_id(m);
	struct rule is = {&id, .n = 1, .n_seen = 1, .seen = f->dump,
			  .detached = h->flags & DETACHED},
		    *r;
	struct rule_key key = {hash_id(&id), id.priority, id.table};

	r = nm_map_get(&f->by_key, &key);
	if (m->gone) {
		if (r)
			set_number(v, f, &key, r, r->n - 1);
		return 0;
	}
	if (!r)
		return add_rule(v, f, &key, &is);
	if (m->event) /* a second one like it, or the dump has had it already: only a dump tells */
		nm_distrust(v, m->src);
	else if (r->seen == f->dump)
		r->n_seen++;
	else
		r->n_seen = 1;
	r->seen = m->event ? r->seen : f->dump;
	set_detached(v, f, r, is.detached);
	return 0;
}

/* Also those that no event told. */
static void look_at_gotos(struct nm_view *v, struct family *f)
{
	const void *key;
	struct rule *r;

	for (size_t i = 0; f->turned && (r = nm_map_next(&f->by_key, &key, &i));) {
		bool is = lacks_target(f, r->id);

		if (r->unresolved != is) {
			r->unresolved = is;
			tell_unresolved(v, f, r, NULL);
		}
	}
	f->turned = false;
}

/* ---- interfaces -------------------------------------------------------------------------- */

/*
 * A rule is tied to its interface, and loses it, by the interface's name alone
 * and without an event.  What follows from the link's event is told at once;
 * the next reading asks whether it is so.
 */
static void on_device(struct nm_view *v, const char *name, bool there)
{
	struct state *s = v->state;
	char dev[IFNAMSIZ] = "";
	const void *key;
	struct rule *r;

	snprintf(dev, sizeof(dev), "%s", name);
	if (!nm_map_get(&s->devices, dev))
		return;
	for (struct family *f = s->family; f < s->family + FAMILIES; f++) {
		nm_distrust(v, &sources[RULES + index_of(s, f)]);
		for (size_t i = 0; (r = nm_map_next(&f->by_key, &key, &i));) {
			uint32_t ours = (strcmp(r->id->iif, dev) ? 0 : FIB_RULE_IIF_DETACHED) |
					(strcmp(r->id->oif, dev) ? 0 : FIB_RULE_OIF_DETACHED);

			set_detached(v, f, r, there ? r->detached & ~ours : r->detached | ours);
		}
	}
}

/* A rule can have been tied to an altname as well. */
static void on_lost_names(struct nm_view *v, const char *name, const struct nm_msg *m)
{
	const struct nlattr *list = m ? m->attr[IFLA_PROP_LIST] : NULL;

	on_device(v, name, false);
	for (const struct nlattr *a = nm_child(list, NULL); a; a = nm_child(list, a))
		if (nm_type(a) == IFLA_ALT_IFNAME && nm_str(a) && strlen(nm_str(a)) < IFNAMSIZ)
			on_device(v, nm_str(a), false);
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	struct state *s = v->state;
	uint32_t ifindex = (uint32_t)h->ifi_index;
	struct link *l = nm_map_get(&s->links, &ifindex), was = {0};
	const char *name = nm_str(m->attr[IFLA_IFNAME]);

	if (l)
		was = *l;
	if (m->gone) {
		nm_map_del(&s->links, &ifindex);
		if (*was.name)
			on_lost_names(v, was.name, m);
		return 0;
	}
	if (!name)
		return 0;
	l = nm_map_put(&s->links, &ifindex, NULL);
	if (!l)
		return -ENOMEM;
	l->seen = s->links_dump;
	if (!strncmp(was.name, name, sizeof(was.name) - 1))
		return 0;
	snprintf(l->name, sizeof(l->name), "%s", name);
	if (*was.name)
		on_lost_names(v, was.name, m);
	on_device(v, name, true);
	return 0;
}

static void sweep_links(struct nm_view *v)
{
	struct state *s = v->state;
	const struct link *l;
	const void *key;

	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		if (l->seen != s->links_dump) {
			uint32_t ifindex = *(const uint32_t *)key;
			struct link was = *l;

			nm_map_del(&s->links, &ifindex);
			i--;
			on_lost_names(v, was.name, NULL);
		}
}

/* ---- dumps -------------------------------------------------------------------------------- */

static void begin_rule(struct nm_view *v, const struct nm_source *src)
{
	struct state *s = v->state;

	if (src == &sources[LINKS])
		s->links_dump++;
	else if (src != &sources[ROUTES])
		s->family[src - &sources[RULES]].dump++;
}

static void end_rule(struct nm_view *v, const struct nm_source *src, bool whole)
{
	struct state *s = v->state;
	struct family *f;
	const void *key;
	struct rule *r;

	if (src == &sources[ROUTES])
		return;
	if (src == &sources[LINKS]) {
		if (whole)
			sweep_links(v);
		return;
	}
	f = &s->family[src - &sources[RULES]];
	for (size_t i = 0; whole && (r = nm_map_next(&f->by_key, &key, &i));) {
		bool gone = r->seen != f->dump;

		set_number(v, f, key, r, gone ? 0 : r->n_seen);
		i -= gone;
	}
	if (!v->news) /* nor is what it found */
		look_at_gotos(v, f);
}

static int on_route(const struct nm_view *v, const struct nm_msg *m)
{
	const struct rtmsg *h = m->hdr;
	struct state *s = v->state;
	uint32_t table = m->attr[RTA_TABLE] ? (uint32_t)nm_uint(m->attr[RTA_TABLE]) : h->rtm_table;

	/* kernels without strict check send all tables */
	s->routes += h->rtm_family == s->asked.family && table == s->asked.table;
	return 0;
}

static int message_rule(struct nm_view *v, const struct nm_msg *m)
{
	if (m->src == &sources[LINKS])
		return on_link(v, m);
	return m->src == &sources[ROUTES] ? on_route(v, m) : on_rule(v, m);
}

static bool known(const struct nm_view *v, const struct family *f)
{
	return v->news && !nm_source_error(v, RULES + index_of(v->state, f));
}

/* What depends on several rules is told once all that has come is counted. */
static int settle_rule(struct nm_view *v)
{
	struct state *s = v->state;

	for (struct family *f = s->family; f < s->family + FAMILIES; f++)
		look_at_gotos(v, f);
	for (struct expectation *e = s->expect; e < s->expect + s->nexpect; e++) {
		const struct family *f = &s->family[e->family];

		if (!known(v, f) || !e->valid)
			continue;
		if (e->missing != !e->have) {
			e->missing = !e->have;
			tell_expected(v, f, e);
		}
		e->looked = true;
	}
	return 0;
}

/* ---- tables without routes ------------------------------------------------------------------ */

static void tell_empty(struct nm_view *v, const struct family *f, uint32_t table, bool empty)
{
	const struct state *s = v->state;
	char buf[16];
	const char *name = nm_rtname(&s->names[TABLES], table, buf);
	struct nm_notice *n = tell(v, f, EMPTY, empty ? NM_WARNING : NM_OKAY,
				   empty ? "routes" : "empty", empty ? "empty" : "routes");

	nm_meta(n, "table", "%s", name);
	nm_say(n, "%s routing table %s, which rules point to, %s", title(v, f), name,
	       empty ? "has no routes" : "has routes again");
}

static void check_table(struct nm_view *v, const struct family *f, uint32_t table, struct table *t)
{
	struct state *s = v->state;
	bool was = t->empty;
	int err;

	s->asked = (struct route_key){(uint8_t)family_names[index_of(s, f)].value, table};
	s->routes = 0;
	err = nm_ask(v, &sources[ROUTES], &s->asked);
	if (err == -ENOENT) /* nothing was ever put into it */
		err = 0;
	if (err && !s->routes) /* not known: as it was */
		return;
	t->empty = !s->routes;
	if (t->checked && was != t->empty)
		tell_empty(v, f, table, t->empty);
	t->checked = true;
}

/* Rules whose table has no routes, -1: not known. */
static double check_tables(struct nm_view *v, struct family *f)
{
	double rules = 0;
	struct table *t;
	const void *key;

	for (size_t i = 0; (t = nm_map_next(&f->tables, &key, &i));) {
		uint32_t table = *(const uint32_t *)key;

		if (!t->routed)
			continue;
		if (!t->checked || nm_slow_due(v, table))
			check_table(v, f, table, t);
		if (!t->checked)
			return -1;
		rules += t->empty ? t->routed : 0;
	}
	return rules;
}

/* ---- what is submitted ---------------------------------------------------------------------- */

/* Exact in a double, and in the 15 digits that collectd's writers print of one. */
#define HASH_BITS 48

/* Tables whose rules are gone stay as 0, until they are more than those in use. */
static void forget_tables(struct family *f, size_t unused)
{
	const struct table *t;
	const void *key;

	if (unused <= f->tables.used / 2 + 64)
		return;
	for (size_t i = 0; (t = nm_map_next(&f->tables, &key, &i));)
		if (!t->rules) {
			uint32_t table = *(const uint32_t *)key;

			nm_map_del(&f->tables, &table);
			i--;
		}
}

static void submit_tables(const struct nm_view *v, struct nm_reading *r, struct family *f)
{
	const struct state *s = v->state;
	size_t unused = 0;
	struct table *t;
	const void *key;

	for (size_t i = 0; (t = nm_map_next(&f->tables, &key, &i));) {
		uint32_t table = *(const uint32_t *)key;
		char name[128], buf[16];

		unused += !t->rules;
		if (t->selected && (t->changed || nm_slow_due(v, table))) {
			snprintf(name, sizeof(name), "rules_table_%s",
				 nm_rtname(&s->names[TABLES], table, buf));
			nm_gauge(r, "gauge", nm_text(r, name), t->rules);
		}
		t->changed = false;
	}
	forget_tables(f, unused);
}

/* Rules of one name are expected together; the first of them speaks for all. */
static void submit_expected(const struct state *s, struct nm_reading *r, const struct family *f)
{
	for (size_t i = 0; i < s->nexpect; i++) {
		const struct expectation *e = &s->expect[i];
		bool first = true, all = true, valid = true;

		for (size_t k = 0; k < s->nexpect; k++) {
			const struct expectation *o = &s->expect[k];

			if (o->family != e->family || strcmp(o->type_instance, e->type_instance))
				continue;
			first &= k >= i;
			all &= o->have > 0;
			valid &= o->valid;
		}
		if (first && valid && e->family == index_of(s, f))
			nm_gauge(r, "bool", e->type_instance, all);
	}
}

static void submit_family(struct nm_view *v, struct nm_reading *r, struct family *f)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	size_t index = index_of(s, f);
	bool routed = c->check_tables && (index == IPV4 || index == IPV6);
	double without = routed ? check_tables(v, f) : -1;

	nm_instance(r, sources[RULES + index].what);
	nm_gauge(r, "gauge", "rules", f->rules);
	nm_gauge(r, "gauge", "hash", (double)(f->hash >> (64 - HASH_BITS)));
	nm_gauge(r, "gauge", "rules_detached", f->detached);
	nm_gauge(r, "gauge", "rules_unresolved", f->unresolved);
	if (without >= 0)
		nm_gauge(r, "gauge", "rules_without_routes", without);
	submit_expected(s, r, f);
	nm_slow(r, true);
	for (size_t i = 0; (f->changed || nm_slow_due(v, (uint32_t)index)) && i < NM_RULE_ACTIONS;
	     i++)
		nm_gauge(r, "gauge", nm_rule_actions[i].type_instance,
			 f->action[nm_rule_actions[i].value]);
	submit_tables(v, r, f);
	nm_slow(r, false);
	f->changed = false;
}

static void count_expected(struct state *s, struct expectation *e)
{
	const struct rule *r;
	const void *key;

	e->have = 0;
	for (size_t i = 0; (r = nm_map_next(&s->family[e->family].by_key, &key, &i));)
		e->have += nm_rule_matches(&e->p, r->id) ? r->n : 0;
}

/* The administrator may have named what rules point to. */
static int rename_all(struct nm_view *v)
{
	const struct config *c = v->config;
	struct nm_map names[DICTIONARIES];
	struct state *s = v->state;
	struct table *t;
	const void *key;
	char buf[16];
	int err;

	if (!nm_rtnames_written(&s->written, NM_ARRAY(nm_rule_name_files)))
		return 0;
	err = nm_rule_names_load(names);
	if (err)
		return err;
	nm_rule_names_free(s->names);
	memcpy(s->names, names, sizeof(names));
	drop_ambiguous(&s->names[TABLES]);
	for (struct family *f = s->family; f < s->family + FAMILIES; f++)
		for (size_t i = 0; (t = nm_map_next(&f->tables, &key, &i));) {
			t->selected =
				nm_selected(&c->tables, nm_rtname(&s->names[TABLES],
								  *(const uint32_t *)key, buf));
			t->changed = true;
		}
	for (struct expectation *e = s->expect; !err && e < s->expect + s->nexpect; e++) {
		err = read_expectation(e);
		count_expected(s, e);
	}
	return err;
}

static int submit_rule(struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	int err = rename_all(v);

	if (err)
		return err;
	for (struct family *f = s->family; f < s->family + FAMILIES; f++)
		if (known(v, f))
			submit_family(v, r, f);
	return 0;
}

const struct nm_plugin netmon_rule = {
	.name = "netmon_rule",
	.graph = "rule",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_rule,
	.begin = begin_rule,
	.message = message_rule,
	.end = end_rule,
	.settle = settle_rule,
	.submit = submit_rule,
	.close = close_rule,
};
