/* SPDX-License-Identifier: MIT */
/* netmon_route: routes by table, default routes, next hops, and what became of them. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "names.h"
#include "route.h"
#include "uapi.h"

/* ---- what the kernel's bytes mean --------------------------------------------------- */

static const struct nm_field metrics_rows[] = {
	NM_A(RTAX_LOCK, UINT),
	NM_A(RTAX_MTU, UINT),
	NM_A(RTAX_WINDOW, UINT),
	NM_A(RTAX_RTT, UINT),
	NM_A(RTAX_RTTVAR, UINT),
	NM_A(RTAX_SSTHRESH, UINT),
	NM_A(RTAX_CWND, UINT),
	NM_A(RTAX_ADVMSS, UINT),
	NM_A(RTAX_REORDERING, UINT),
	NM_A(RTAX_HOPLIMIT, UINT),
	NM_A(RTAX_INITCWND, UINT),
	NM_A(RTAX_FEATURES, UINT),
	NM_A(RTAX_RTO_MIN, UINT),
	NM_A(RTAX_INITRWND, UINT),
	NM_A(RTAX_QUICKACK, UINT),
	NM_A(RTAX_CC_ALGO, STR),
	NM_A(RTAX_FASTOPEN_NO_COOKIE, UINT),
};
static const struct nm_table metrics = NM_ATTRS("RTAX_", metrics_rows, &nm_RTAX);

static const struct nm_field cache_rows[] = {
	NM_M(rta_cacheinfo, rta_clntref, UINT), NM_M(rta_cacheinfo, rta_lastuse, UINT),
	NM_M(rta_cacheinfo, rta_expires, SINT), NM_M(rta_cacheinfo, rta_error, SINT),
	NM_M(rta_cacheinfo, rta_used, UINT),    NM_M(rta_cacheinfo, rta_id, UINT),
	NM_M(rta_cacheinfo, rta_ts, UINT),      NM_M(rta_cacheinfo, rta_tsage, UINT),
};
static const struct nm_table cache = NM_STRUCT_OF(rta_cacheinfo, "rta_", cache_rows, NULL);

static const struct nm_field mfc_rows[] = {
	NM_M(rta_mfc_stats, mfcs_packets, UINT),
	NM_M(rta_mfc_stats, mfcs_bytes, UINT),
	NM_M(rta_mfc_stats, mfcs_wrong_if, UINT),
};
static const struct nm_table mfc = NM_STRUCT_OF(rta_mfc_stats, "mfcs_", mfc_rows, NULL);

static const struct nm_table rta; /* a next hop has attributes of a route */
static const struct nm_field hop_rows[] = {
	NM_M(rtnexthop, rtnh_flags, BITS, .names = &nm_RTNH_F),
	NM_M(rtnexthop, rtnh_hops, UINT), /* weight - 1 */
	NM_M(rtnexthop, rtnh_ifindex, IFINDEX),
};
static const struct nm_table hop = NM_STRUCT_OF(rtnexthop, "rtnh_", hop_rows, &rta);

/* Where MPLS has labels, the others have an address. */
#define ROWS(dst)                                                                                  \
	NM_A(RTA_DST, dst), NM_A(RTA_SRC, ADDR), NM_A(RTA_IIF, IFINDEX), NM_A(RTA_OIF, IFINDEX),   \
		NM_A(RTA_GATEWAY, ADDR), NM_A(RTA_PRIORITY, UINT), NM_A(RTA_PREFSRC, ADDR),        \
		NM_A(RTA_METRICS, NEST, .table = &metrics),                                        \
		NM_A(RTA_MULTIPATH, STRUCTS, .table = &hop, .by = 1), NM_A(RTA_FLOW, UINT),        \
		NM_A(RTA_CACHEINFO, STRUCT, .table = &cache), NM_A(RTA_TABLE, TABLE),              \
		NM_A(RTA_MARK, UINT), NM_A(RTA_MFC_STATS, STRUCT, .table = &mfc),                  \
		NM_A(RTA_VIA, VIA), NM_A(RTA_NEWDST, LABELS), NM_A(RTA_PREF, UINT),                \
		NM_A(RTA_ENCAP_TYPE, UINT), NM_A(RTA_ENCAP, HEX), NM_A(RTA_EXPIRES, UINT),         \
		NM_A(RTA_UID, UINT), NM_A(RTA_TTL_PROPAGATE, UINT), NM_A(RTA_IP_PROTO, UINT),      \
		NM_A(RTA_SPORT, BE), NM_A(RTA_DPORT, BE), NM_A(RTA_NH_ID, UINT),                   \
		NM_A(RTA_FLOWLABEL, BE)
static const struct nm_field rta_rows[] = {ROWS(ADDR)};
static const struct nm_table rta = NM_ATTRS("RTA_", rta_rows, &nm_RTA);
static const struct nm_field mpls_rta_rows[] = {ROWS(LABELS)};
static const struct nm_table mpls_rta = NM_ATTRS("RTA_", mpls_rta_rows, &nm_RTA);

/* Of a route with one next hop these are the next hop's too. */
static const struct nm_name route_flag_names[] = {
	{RTNH_F_DEAD, "dead"},         {RTNH_F_PERVASIVE, "pervasive"},
	{RTNH_F_ONLINK, "onlink"},     {RTNH_F_OFFLOAD, "offload"},
	{RTNH_F_LINKDOWN, "linkdown"}, {RTNH_F_UNRESOLVED, "unresolved"},
	{RTNH_F_TRAP, "trap"},         {RTM_F_NOTIFY, "notify"},
	{RTM_F_CLONED, "cloned"},      {RTM_F_EQUALIZE, "equalize"},
	{RTM_F_PREFIX, "prefix"},      {RTM_F_OFFLOAD, "rt_offload"},
	{RTM_F_TRAP, "rt_trap"},       {RTM_F_OFFLOAD_FAILED, "rt_offload_failed"},
};
static const struct nm_names route_flags = {NM_ARRAY(route_flag_names)};

static const struct nm_field rtm_rows[] = {
	NM_M(rtmsg, rtm_family, ENUM, .names = &nm_AF),
	NM_M(rtmsg, rtm_dst_len, UINT),
	NM_M(rtmsg, rtm_src_len, UINT),
	NM_M(rtmsg, rtm_tos, UINT),
	NM_M(rtmsg, rtm_protocol, ENUM, .names = &nm_RTPROT),
	NM_M(rtmsg, rtm_scope, ENUM, .names = &nm_RT_SCOPE),
	NM_M(rtmsg, rtm_type, ENUM, .names = &nm_RTN),
	NM_M(rtmsg, rtm_flags, BITS, .names = &route_flags),
};
static const struct nm_table route = NM_STRUCT_OF(rtmsg, "rtm_", rtm_rows, &rta);
static const struct nm_table mpls_route = NM_STRUCT_OF(rtmsg, "rtm_", rtm_rows, &mpls_rta);

static const struct nm_field member_rows[] = {
	NM_M(nexthop_grp, id, UINT), NM_M(nexthop_grp, weight, UINT), /* - 1 */
};
static const struct nm_table grp = NM_STRUCT_OF(nexthop_grp, "", member_rows, NULL);

static const struct nm_field resilient_rows[] = {
	NM_A(NHA_RES_GROUP_BUCKETS, UINT),
	NM_A(NHA_RES_GROUP_IDLE_TIMER, UINT),
	NM_A(NHA_RES_GROUP_UNBALANCED_TIMER, UINT),
	NM_A(NHA_RES_GROUP_UNBALANCED_TIME, UINT),
};
static const struct nm_table resilient =
	NM_ATTRS("NHA_RES_GROUP_", resilient_rows, &nm_NHA_RES_GROUP);

static const struct nm_field stats_rows[] = {
	NM_A(NHA_GROUP_STATS_ENTRY_ID, UINT),
	NM_A(NHA_GROUP_STATS_ENTRY_PACKETS, UINT),
	NM_A(NHA_GROUP_STATS_ENTRY_PACKETS_HW, UINT),
};
static const struct nm_table stats =
	NM_ATTRS("NHA_GROUP_STATS_ENTRY_", stats_rows, &nm_NHA_STATS_ENTRY);
static const struct nm_field all_stats_rows[] = {
	{.name = "entry", .kind = NM_NEST, .table = &stats},
};
static const struct nm_table all_stats = NM_ATTRS("", all_stats_rows, NULL);

static const struct nm_field bucket_rows[] = {
	NM_A(NHA_RES_BUCKET_INDEX, UINT),
	NM_A(NHA_RES_BUCKET_IDLE_TIME, UINT),
	NM_A(NHA_RES_BUCKET_NH_ID, UINT),
};
static const struct nm_table bucket = NM_ATTRS("NHA_RES_BUCKET_", bucket_rows, &nm_NHA_RES_BUCKET);

static const struct nm_field nha_rows[] = {
	NM_A(NHA_ID, UINT),
	NM_A(NHA_GROUP, STRUCTS, .table = &grp),
	NM_A(NHA_GROUP_TYPE, UINT),
	NM_A(NHA_BLACKHOLE, FLAG),
	NM_A(NHA_OIF, IFINDEX),
	NM_A(NHA_GATEWAY, ADDR),
	NM_A(NHA_ENCAP_TYPE, UINT),
	NM_A(NHA_ENCAP, HEX),
	NM_A(NHA_MASTER, IFINDEX),
	NM_A(NHA_FDB, FLAG),
	NM_A(NHA_RES_GROUP, NEST, .table = &resilient),
	NM_A(NHA_RES_BUCKET, NEST, .table = &bucket),
	NM_A(NHA_OP_FLAGS, UINT),
	NM_A(NHA_GROUP_STATS, LIST, .table = &all_stats),
	NM_A(NHA_HW_STATS_ENABLE, UINT),
	NM_A(NHA_HW_STATS_USED, UINT),
};
static const struct nm_table nha = NM_ATTRS("NHA_", nha_rows, &nm_NHA);

static const struct nm_field nh_rows[] = {
	NM_M(nhmsg, nh_family, ENUM, .names = &nm_AF),
	NM_M(nhmsg, nh_scope, ENUM, .names = &nm_RT_SCOPE),
	NM_M(nhmsg, nh_protocol, ENUM, .names = &nm_RTPROT),
	NM_M(nhmsg, nh_flags, BITS, .names = &nm_RTNH_F),
};
static const struct nm_table nexthop_table = NM_STRUCT_OF(nhmsg, "nh_", nh_rows, &nha);

/* Only asked and listened to for the routes: never printed. */
static const struct nm_field nda_rows[] = {
	NM_A(NDA_DST, ADDR),
};
static const struct nm_table nda = NM_ATTRS("NDA_", nda_rows, NULL);
static const struct nm_field nd_rows[] = {
	NM_M(ndmsg, ndm_state, UINT),
};
static const struct nm_table neighbour = NM_STRUCT_OF(ndmsg, "ndm_", nd_rows, &nda);
static const struct nm_field ifa_rows[] = {
	NM_M(ifaddrmsg, ifa_index, IFINDEX),
};
static const struct nm_table ifaddr = NM_STRUCT_OF(ifaddrmsg, "ifa_", ifa_rows, NULL);

/* ---- what is asked ------------------------------------------------------------------ */

static void ask_neighbour(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	const struct neighbour_key *k = key;
	struct ndmsg *h = mnl_nlmsg_get_payload(nlh);

	(void)v;
	if (!k)
		return;
	h->ndm_ifindex = (int)k->ifindex;
	mnl_attr_put(nlh, NDA_DST, k->length, k->address);
}

static void ask_nexthop(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	if (!key)
		return;
	mnl_attr_put_u32(nlh, NHA_ID, *(const uint32_t *)key);
	mnl_attr_put_u32(nlh, NHA_OP_FLAGS, NHA_OP_FLAG_DUMP_STATS);
}

/*
 * A kernel without a family answers with the routes of all others.  Of those,
 * asked for a table that nobody has, there are none.
 */
static void ask_if(struct nlmsghdr *nlh, const char *sign)
{
	if (access(sign, F_OK))
		mnl_attr_put_u32(nlh, RTA_TABLE, UINT32_MAX - 1);
}

static void ask_mpls(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	(void)key;
	ask_if(nlh, "/proc/sys/net/mpls");
}

static void ask_ipmr(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	(void)key;
	ask_if(nlh, "/proc/net/ip_mr_cache");
}

static void ask_ip6mr(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	(void)key;
	ask_if(nlh, "/proc/net/ip6_mr_cache");
}

static void ask_ipv6(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	(void)key;
	ask_if(nlh, "/proc/net/if_inet6");
}

#define ROUTES_OF(what_, af_, table_, ...)                                                         \
	{                                                                                          \
		what_, .get = RTM_GETROUTE, .add = RTM_NEWROUTE, .del = RTM_DELROUTE, .af = (af_), \
		       .kept = true, .table = &(table_), ##__VA_ARGS__                             \
	}

static const struct nm_source sources[] = {
	[LINKS] = NM_LINK_NAMES,
	[ADDRESSES] = {"addresses", .get = RTM_GETADDR, .add = RTM_NEWADDR, .del = RTM_DELADDR,
		       .af = AF_INET, .passive = true, .group = {RTNLGRP_IPV4_IFADDR},
		       .table = &ifaddr},
	[NEIGHBOUR4] = {"gateways", .get = RTM_GETNEIGH, .add = RTM_NEWNEIGH, .af = AF_INET,
			.passive = true, .table = &neighbour, .ask = ask_neighbour},
	[NEIGHBOUR6] = {"gateways6", .get = RTM_GETNEIGH, .add = RTM_NEWNEIGH, .af = AF_INET6,
			.passive = true, .table = &neighbour, .ask = ask_neighbour},
	[NEXTHOPS] = {"nexthops", .get = RTM_GETNEXTHOP, .add = RTM_NEWNEXTHOP,
		      .del = RTM_DELNEXTHOP, .any_af = true, .kept = true,
		      .group = {RTNLGRP_NEXTHOP}, .table = &nexthop_table, .ask = ask_nexthop,
		      .without = "nexthop objects"},
	[BUCKETS] = {"buckets", .get = RTM_GETNEXTHOPBUCKET, .add = RTM_NEWNEXTHOPBUCKET,
		     .del = RTM_DELNEXTHOPBUCKET, .any_af = true, .kept = true,
		     .group = {RTNLGRP_NEXTHOP}, .table = &nexthop_table,
		     .without = "buckets of resilient nexthop groups"},
	[ROUTES + IPV4] = ROUTES_OF("ipv4", AF_INET, route, .group = {RTNLGRP_IPV4_ROUTE}),
	[ROUTES + IPV6] = ROUTES_OF("ipv6", AF_INET6, route, .group = {RTNLGRP_IPV6_ROUTE},
				    .ask = ask_ipv6, .without = "IPv6 routes"),
	[ROUTES + MPLS] = ROUTES_OF("mpls", AF_MPLS, mpls_route, .group = {RTNLGRP_MPLS_ROUTE},
				    .ask = ask_mpls, .without = "MPLS routes"),
	[ROUTES + IPMR] = ROUTES_OF("ipmr", RTNL_FAMILY_IPMR, route, .group = {RTNLGRP_IPV4_MROUTE},
				    .ask = ask_ipmr, .without = "IPv4 multicast routes"),
	[ROUTES + IP6MR] = ROUTES_OF("ip6mr", RTNL_FAMILY_IP6MR, route,
				     .group = {RTNLGRP_IPV6_MROUTE}, .ask = ask_ip6mr,
				     .without = "IPv6 multicast routes"),
};

/* ---- what is configured ------------------------------------------------------------- */

static const struct nm_name notice_names[] = {
	{DEFAULT, "default"},
	{CHANGED, "changed"},
	{PREFIX, "prefix"},
};
const struct nm_names nm_route_notices = {NM_ARRAY(notice_names)};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.collect = NM_SUMMARY,
	.notify = DEFAULT | CHANGED | PREFIX,
};

static bool is_prefix(const char *text)
{
	struct prefix p;

	return nm_prefix_read(text, &p);
}

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Table", NM_OPT_SELECT, tables, .def = "all",
		.help = "Routing tables to report: names of /etc/iproute2/rt_tables, numbers, or POSIX "
			"extended regular expressions between slashes. May stand several times. An "
			"empty list is all."),
	NM_OPTION(
		config, "Collect", NM_OPT_WORD, collect, .words = &nm_details,
		.help = "How much: No is default routes alone; Summary also counts routes, next hops "
			"and changes; Detail also reports each Prefix and each nexthop group."),
	NM_OPTION(
		config, "Prefix", NM_OPT_LIST, prefixes, .def = "none", .form = "ADDRESS/LENGTH",
		.accept = is_prefix,
		.help = "With Collect Detail: prefixes whose routes are reported as default routes "
			"are. May stand several times."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &nm_route_notices,
		  .help = "Which changes are told by a notification."),
};

/* ---- what is kept ------------------------------------------------------------------- */

#define MANY_COUNTS 4096
#define JUST_NOW    1000000000ull /* ns */

struct count_key {
	uint32_t table;
	uint8_t family, type, protocol, pad;
};

struct count {
	struct rtable *table;
	uint64_t n, next, sent;
	bool fresh; /* never sent */
};

struct churn {
	const struct rtable *table;
	uint64_t added, deleted;
};

static const char *const family_names[FAMILIES] = {
	[IPV4] = "ipv4", [IPV6] = "ipv6", [MPLS] = "mpls", [IPMR] = "ipmr", [IP6MR] = "ip6mr"};

/* ---- routing tables ----------------------------------------------------------------- */

static struct rtable *find_table(const struct state *s, uint32_t id)
{
	struct rtable **t = nm_map_get(&s->tables, &id);

	return t ? *t : NULL;
}

/* Two tables may have been given one name, or one of ours. */
static bool taken(const struct state *s, const struct rtable *by)
{
	struct rtable **t;
	const void *key;

	if (!strcmp(by->label, "self") || !strcmp(by->label, NEXTHOPS_LABEL))
		return true;
	for (size_t i = 0; (t = nm_map_next(&s->tables, &key, &i));)
		if (*t != by && !strcmp((*t)->label, by->label))
			return true;
	return false;
}

static void name_table(const struct nm_view *v, struct rtable *t)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	uint32_t id = t->id;
	const char *name = nm_map_get(&s->table_names, &id);
	char number[16];

	snprintf(number, sizeof(number), "%u", id);
	snprintf(t->label, sizeof(t->label), "%s",
		 name                      ? name :
		 nm_name(&nm_RT_TABLE, id) ? nm_name(&nm_RT_TABLE, id) :
					     number);
	if (taken(s, t))
		snprintf(t->label, sizeof(t->label), "%u", id);
	t->selected = nm_selected(&c->tables, t->label) ||
		      (c->tables.n && strcmp(t->label, number) && nm_selected(&c->tables, number));
}

static struct rtable *add_table(const struct nm_view *v, uint32_t id)
{
	struct state *s = v->state;
	struct rtable *t, **slot;

	t = calloc(1, sizeof(*t) + s->watches * sizeof(*t->watched));
	if (!t)
		return NULL;
	t->id = id;
	name_table(v, t);
	slot = nm_map_put(&s->tables, &id, NULL);
	if (slot)
		*slot = t;
	else
		free(t);
	return slot ? t : NULL;
}

/* ---- the beginning and the end ------------------------------------------------------ */

/* Two numbers may have been given one name. */
static void name_protocols(struct state *s)
{
	for (unsigned i = 0; i < NM_COUNT(s->protocol); i++) {
		const char *name = nm_map_get(&s->protocol_names, &i);

		name = name ? name : nm_name(&nm_RTPROT, i);

		snprintf(s->number[i], sizeof(s->number[i]), "%u", i);
		for (unsigned k = 0; name && k < i; k++)
			if (!strcmp(s->protocol[k], name))
				name = NULL;
		s->protocol[i] = name ? name : s->number[i];
	}
}

static const char *const name_files[] = {"rt_tables", "rt_protos"};

static int load_names(struct state *s)
{
	struct nm_map tables, protocols;
	int err = nm_rtnames_load(&tables, name_files[0]);

	if (err)
		return err;
	err = nm_rtnames_load(&protocols, name_files[1]);
	if (err) {
		nm_map_free(&tables);
		return err;
	}
	nm_map_free(&s->table_names);
	nm_map_free(&s->protocol_names);
	s->table_names = tables;
	s->protocol_names = protocols;
	name_protocols(s);
	return 0;
}

static int open_route(struct nm_view *v)
{
	struct state *s = v->state;
	int err;

	s->tables = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(void *)};
	s->counts = (struct nm_map){.key = sizeof(struct count_key), .val = sizeof(struct count)};
	s->churn = (struct nm_map){.key = sizeof(struct count_key), .val = sizeof(struct churn)};
	s->links = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct link)};
	nm_nexthops_open(s);
	err = nm_watches_open(v);
	if (err)
		return err;
	nm_rtnames_written(&s->written, NM_ARRAY(name_files));
	err = load_names(s);
	if (err)
		return err;
	return add_table(v, RT_TABLE_MAIN) ? 0 : -ENOMEM; /* that it has no default route counts */
}

static void close_route(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	void **p;

	for (size_t i = 0; (p = nm_map_next(&s->tables, &key, &i));)
		free(*p);
	nm_map_free(&s->tables);
	nm_map_free(&s->counts);
	nm_map_free(&s->churn);
	nm_map_free(&s->links);
	nm_map_free(&s->table_names);
	nm_map_free(&s->protocol_names);
	nm_watches_close(s);
	nm_nexthops_close(s);
}

/* ---- counts ------------------------------------------------------------------------- */

static struct count *count_of(const struct nm_view *v, unsigned family, const struct nm_msg *m)
{
	const struct rtmsg *r = m->hdr;
	struct state *s = v->state;
	struct count_key k = {.table = m->attr[RTA_TABLE] ? (uint32_t)nm_uint(m->attr[RTA_TABLE]) :
							    r->rtm_table,
			      .family = (uint8_t)family,
			      .type = r->rtm_type,
			      .protocol = r->rtm_protocol};
	struct count *c = nm_map_get(&s->counts, &k);
	struct rtable *t;

	if (c)
		return c;
	t = find_table(s, k.table);
	if (!t)
		t = add_table(v, k.table);
	c = t ? nm_map_put(&s->counts, &k, NULL) : NULL;
	if (c)
		*c = (struct count){.table = t, .fresh = true};
	return c;
}

/* How many next hops a route has, if more than one. */
static int read_counts(struct state *s, const struct nm_msg *m, struct multipath *p)
{
	ssize_t n;

	*p = (struct multipath){0};
	if (!m->attr[RTA_MULTIPATH] && !m->attr[RTA_NH_ID])
		return 0;
	n = nm_hops_read(s, m);
	if (n < 0)
		return (int)n;
	if (n < 2)
		return 0;
	p->routes = 1;
	p->hops = (uint64_t)n;
	for (ssize_t i = 0; i < n; i++)
		p->alive += hop_alive(&s->hop[i]);
	return 0;
}

static void sum(struct multipath *to, const struct multipath *p, bool less)
{
	to->routes += less ? -p->routes : p->routes;
	to->hops += less ? -p->hops : p->hops;
	to->alive += less ? -p->alive : p->alive;
}

/*
 * Whether an event tells what became of the number of routes:
 *
 * - One that replaced another does not say which type and protocol that had.
 * - In IPv6 a next hop that comes or goes looks like a route, unless it is the
 *   first of its metric (NLM_F_EXCL), or no route has more than one.
 * - One that arrives right after a dump may be in the dump or not.
 *
 * Older kernels tell less (no NLM_F_CREATE): then nothing is known.
 */
static bool conclusive(const struct nm_view *v, unsigned family, const struct nm_msg *m)
{
	const struct state *s = v->state;
	uint16_t flags = m->nlh->nlmsg_flags;

	if (family > IPV6 || s->family[family].dumped == v->readings)
		return false;
	if (m->gone)
		return family == IPV4 || !s->multipath6;
	if (flags & NLM_F_REPLACE || !(flags & NLM_F_CREATE))
		return false;
	return family == IPV4 || flags & NLM_F_EXCL;
}

static int count_change(struct state *s, const struct rtable *t, unsigned family,
			const struct nm_msg *m)
{
	const struct rtmsg *r = m->hdr;
	struct count_key k = {
		.table = t->id, .family = (uint8_t)family, .protocol = r->rtm_protocol};
	struct churn *c = nm_map_put(&s->churn, &k, NULL);

	if (!c)
		return -ENOMEM;
	c->table = t;
	c->added += !m->gone;
	c->deleted += m->gone;
	return 0;
}

static int count_event(struct nm_view *v, unsigned family, const struct nm_msg *m, struct count *c)
{
	struct state *s = v->state;
	struct multipath p;
	int err;

	err = count_change(s, c->table, family, m);
	if (err)
		return err;
	if (!conclusive(v, family, m) || (m->gone && !c->n)) {
		nm_distrust(v, m->src);
		return 0;
	}
	c->n += m->gone ? -1ull : 1;
	err = read_counts(s, m, &p);
	if (!err)
		sum(&c->table->now[family], &p, m->gone);
	if (!err && family == IPV6 && !m->gone)
		s->multipath6 += p.routes;
	return err;
}

static int count_dumped(struct state *s, unsigned family, const struct nm_msg *m, struct count *c)
{
	struct multipath p;
	int err;

	c->next++;
	if (family > IPV6)
		return 0;
	err = read_counts(s, m, &p);
	if (!err && p.routes)
		sum(&c->table->next[family], &p, false);
	return err;
}

static int on_route(struct nm_view *v, const struct nm_msg *m)
{
	unsigned family = (unsigned)(m->src - &sources[ROUTES]);
	const struct rtmsg *r = m->hdr;
	struct state *s = v->state;
	struct count *c;
	int err;

	if (r->rtm_flags & RTM_F_CLONED || (!m->event && !s->family[family].running))
		return 0;
	c = count_of(v, family, m);
	if (!c)
		return -ENOMEM;
	if (!c->table->selected)
		return 0;
	err = m->event ? count_event(v, family, m, c) : count_dumped(s, family, m, c);
	return err ? err : nm_watch_route(v, m, c->table, family);
}

static void start_counting(struct state *s, unsigned family)
{
	struct rtable **t;
	struct count *c;
	const void *key;

	s->family[family].running = true;
	for (size_t i = 0; (c = nm_map_next(&s->counts, &key, &i));)
		if (((const struct count_key *)key)->family == family)
			c->next = 0;
	for (size_t i = 0; family <= IPV6 && (t = nm_map_next(&s->tables, &key, &i));)
		(*t)->next[family] = (struct multipath){0};
}

/* What has no route any more stays as 0, unless that is very much. */
static void take_counts(struct state *s, unsigned family)
{
	struct rtable **t;
	struct count *c;
	const void *key;

	for (size_t i = 0; (c = nm_map_next(&s->counts, &key, &i));)
		if (((const struct count_key *)key)->family == family) {
			c->n = c->next;
			if (!c->n && !c->sent && s->counts.used > MANY_COUNTS) {
				struct count_key k = *(const struct count_key *)key;

				nm_map_del(&s->counts, &k);
				i--;
			}
		}
	if (family == IPV6)
		s->multipath6 = 0;
	for (size_t i = 0; family <= IPV6 && (t = nm_map_next(&s->tables, &key, &i));) {
		(*t)->now[family] = (*t)->next[family];
		if (family == IPV6)
			s->multipath6 += (*t)->now[family].routes;
	}
}

static void stop_counting(struct nm_view *v, unsigned family, bool complete)
{
	struct state *s = v->state;
	struct family *f = &s->family[family];

	f->running = false;
	f->known = complete;
	f->dumped = v->readings;
	f->dump = s->dump;
	if (complete)
		take_counts(s, family);
	nm_watch_sweep(s, family, complete);
	if (v->now - s->untold < JUST_NOW) /* the kernel tells first and acts then */
		nm_distrust(v, &sources[ROUTES + family]);
}

/* ---- what routes depend on ---------------------------------------------------------- */

void nm_routes_distrust(struct nm_view *v, unsigned first, unsigned last)
{
	for (unsigned f = first; f <= last; f++)
		nm_distrust(v, &sources[ROUTES + f]);
}

/*
 * What the kernel takes away with a link, it does not tell: IPv4 routes, next
 * hops, nexthop objects, nor that a next hop is linkdown.  A route over a link
 * that was set down does not come back with the link.
 */
static void on_change_of_link(struct nm_view *v, uint32_t ifindex, bool set_down)
{
	struct state *s = v->state;

	s->moved = true;
	s->untold = v->now;
	nm_distrust(v, &sources[NEXTHOPS]);
	if (s->buckets.used)
		nm_distrust(v, &sources[BUCKETS]);
	nm_routes_distrust(v, IPV4, IP6MR);
	if (set_down)
		nm_watch_link_down(s, ifindex);
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	struct state *s = v->state;
	uint32_t ifindex = (uint32_t)h->ifi_index;
	struct link is = {.up = h->ifi_flags & IFF_UP,
			  .carrier = h->ifi_flags & IFF_LOWER_UP,
			  .master = (uint32_t)nm_uint(m->attr[IFLA_MASTER]),
			  .seen = s->dump},
		    was, *l;
	bool fresh;

	if (m->gone) {
		nm_map_del(&s->links, &ifindex);
		on_change_of_link(v, ifindex, true);
		return 0;
	}
	l = nm_map_put(&s->links, &ifindex, &fresh);
	if (!l)
		return -ENOMEM;
	was = *l;
	*l = is;
	if (fresh)
		s->moved = true;
	else if (was.up != is.up || was.carrier != is.carrier || was.master != is.master)
		on_change_of_link(v, ifindex, was.up && !is.up);
	return 0;
}

static void sweep_links(struct nm_view *v)
{
	struct state *s = v->state;
	const struct link *l;
	const void *key;

	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		if (l->seen != s->dump) {
			uint32_t ifindex = *(const uint32_t *)key;

			nm_map_del(&s->links, &ifindex);
			on_change_of_link(v, ifindex, true);
			i--;
		}
}

/*
 * Before Linux 6.6, IPv4 routes from an address that is deleted vanish untold;
 * with the last address of a link all of its IPv4 routes do.
 */
static int on_address(struct nm_view *v, const struct nm_msg *m)
{
	struct state *s = v->state;

	if (m->gone) {
		s->untold = v->now;
		nm_distrust(v, &sources[ROUTES + IPV4]);
	}
	return 0;
}

/* ---- dumps -------------------------------------------------------------------------- */

static void begin_route(struct nm_view *v, const struct nm_source *src)
{
	struct state *s = v->state;

	s->dump++;
	if (src >= &sources[ROUTES])
		start_counting(s, (unsigned)(src - &sources[ROUTES]));
}

static void end_route(struct nm_view *v, const struct nm_source *src, bool complete)
{
	struct state *s = v->state;

	if (src >= &sources[ROUTES])
		stop_counting(v, (unsigned)(src - &sources[ROUTES]), complete);
	else if (complete && src == &sources[LINKS])
		sweep_links(v);
	else if (complete && src == &sources[NEXTHOPS])
		nm_nexthops_sweep(s);
	else if (complete && src == &sources[BUCKETS])
		nm_buckets_sweep(s);
}

static int message_route(struct nm_view *v, const struct nm_msg *m)
{
	static int (*const on[ROUTES])(struct nm_view * v, const struct nm_msg *m) = {
		[LINKS] = on_link,
		[ADDRESSES] = on_address,
		[NEIGHBOUR4] = nm_watch_neighbour,
		[NEIGHBOUR6] = nm_watch_neighbour,
		[NEXTHOPS] = nm_nexthop_message,
		[BUCKETS] = nm_bucket_message,
	};

	return m->src >= &sources[ROUTES] ? on_route(v, m) : on[m->src - sources](v, m);
}

static int settle_route(struct nm_view *v)
{
	nm_watch_show(v);
	return 0;
}

/* ---- what is submitted -------------------------------------------------------------- */

static void submit_multipath(const struct nm_view *v, struct nm_reading *r, struct rtable *t)
{
	static const char *const what[2][3] = {
		{"ipv4_multipath_routes", "ipv4_multipath_nexthops",
		 "ipv4_multipath_nexthops_alive"},
		{"ipv6_multipath_routes", "ipv6_multipath_nexthops",
		 "ipv6_multipath_nexthops_alive"},
	};
	const struct state *s = v->state;

	for (size_t f = IPV4; f <= IPV6; f++) {
		const struct multipath *p = &t->now[f];
		bool same = !memcmp(p, &t->sent[f], sizeof(*p));

		if (!s->family[f].known || (same && !nm_slow_due(v, t->id)) ||
		    (same && !p->routes && t->id != RT_TABLE_MAIN))
			continue;
		nm_slow(r, true);
		nm_gauge(r, "gauge", what[f][0], (double)p->routes);
		nm_gauge(r, "gauge", what[f][1], (double)p->hops);
		nm_gauge(r, "gauge", what[f][2], (double)p->alive);
		nm_slow(r, false);
		t->sent[f] = *p;
	}
}

static void submit_count(const struct nm_view *v, struct nm_reading *r, const struct count_key *k,
			 struct count *c)
{
	const char *type = nm_name(&nm_RTN, k->type);
	const struct state *s = v->state;
	char text[128], number[8];

	if (!s->family[k->family].known ||
	    (!c->fresh && c->n == c->sent && !nm_slow_due(v, k->table)))
		return;
	if (c->fresh && !c->n) /* told of by an event that was not about a count */
		return;
	snprintf(number, sizeof(number), "%u", k->type);
	snprintf(text, sizeof(text), "%s_%s_%s", family_names[k->family], type ? type : number,
		 s->protocol[k->protocol]);
	nm_slow(r, true);
	nm_gauge(r, "routes", nm_text(r, text), (double)c->n);
	nm_slow(r, false);
	c->sent = c->n;
	c->fresh = false;
}

static void submit_churn(const struct nm_view *v, struct nm_reading *r)
{
	const struct state *s = v->state;
	const struct churn *c;
	const void *key;
	char text[128];

	for (size_t i = 0; (c = nm_map_next(&s->churn, &key, &i));) {
		const struct count_key *k = key;

		nm_instance(r, c->table->label);
		snprintf(text, sizeof(text), "%s_added_%s", family_names[k->family],
			 s->protocol[k->protocol]);
		nm_derive(r, "derive", nm_text(r, text), c->added);
		snprintf(text, sizeof(text), "%s_deleted_%s", family_names[k->family],
			 s->protocol[k->protocol]);
		nm_derive(r, "derive", nm_text(r, text), c->deleted);
	}
}

static void submit_counts(const struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	struct count *c;
	const void *key;

	for (size_t i = 0; (c = nm_map_next(&s->counts, &key, &i));)
		if (c->table->selected) {
			nm_instance(r, c->table->label);
			submit_count(v, r, key, c);
		}
	submit_churn(v, r);
}

/* The administrator may have named a table: it goes on under the new name. */
static int rename_all(struct nm_view *v)
{
	struct state *s = v->state;
	struct rtable **t;
	struct count *c;
	const void *key;
	int err;

	if (!nm_rtnames_written(&s->written, NM_ARRAY(name_files)))
		return 0;
	err = load_names(s);
	if (err)
		return err;
	for (size_t i = 0; (t = nm_map_next(&s->tables, &key, &i));)
		*(*t)->label = 0;
	for (size_t i = 0; (t = nm_map_next(&s->tables, &key, &i));) {
		bool was = (*t)->selected;

		name_table(v, *t);
		memset((*t)->sent, 0xff, sizeof((*t)->sent));
		if ((*t)->selected != was) /* its routes were not counted */
			nm_routes_distrust(v, IPV4, IP6MR);
	}
	for (size_t i = 0; (c = nm_map_next(&s->counts, &key, &i));)
		c->fresh = true;
	return 0;
}

static int submit_route(struct nm_view *v, struct nm_reading *r)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	struct rtable **t;
	const void *key;
	int err = rename_all(v);

	if (err)
		return err;
	nm_watch_show(v);
	for (size_t i = 0; (t = nm_map_next(&s->tables, &key, &i));) {
		if (!(*t)->selected)
			continue;
		nm_instance(r, (*t)->label);
		nm_watch_submit(v, r, *t);
		if (c->collect != NM_NO)
			submit_multipath(v, r, *t);
	}
	if (c->collect != NM_NO) {
		submit_counts(v, r);
		nm_nexthops_submit(v, r);
	}
	if (c->collect == NM_DETAIL)
		nm_groups_submit(v, r);
	nm_map_free(&s->neighbours);
	return 0;
}

const struct nm_plugin netmon_route = {
	.name = "netmon_route",
	.graph = "route",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_route,
	.begin = begin_route,
	.message = message_route,
	.end = end_route,
	.settle = settle_route,
	.submit = submit_route,
	.close = close_route,
};
