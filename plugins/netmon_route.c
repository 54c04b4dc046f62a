/* SPDX-License-Identifier: MIT */
/* netmon_route: routes by table, default routes, next hops, and what became of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "names.h"
#include "netmon.h"
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

struct neighbour_key {
	uint32_t ifindex;
	uint8_t length, pad[3]; /* of the address */
	uint8_t address[16];
};

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

enum { LINKS, ADDRESSES, NEIGHBOUR4, NEIGHBOUR6, NEXTHOPS, BUCKETS, ROUTES };
enum { IPV4, IPV6, MPLS, IPMR, IP6MR, FAMILIES }; /* of routes, from ROUTES on */

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

enum {
	DEFAULT = 1 << 0,
	CHANGED = 1 << 1,
	PREFIX = 1 << 2,
};
static const struct nm_name notice_names[] = {
	{DEFAULT, "default"},
	{CHANGED, "changed"},
	{PREFIX, "prefix"},
};
static const struct nm_names notices = {NM_ARRAY(notice_names)};

struct config {
	struct nm_config common;
	struct nm_select tables;
	unsigned collect, notify;
	struct nm_setting *prefixes;
};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.collect = NM_SUMMARY,
	.notify = DEFAULT | CHANGED | PREFIX,
};

struct prefix {
	unsigned family; /* IPV4, IPV6 */
	uint8_t length;
	uint8_t address[16];
};

static bool read_prefix(const char *text, struct prefix *p)
{
	char copy[INET6_ADDRSTRLEN + 8], *slash, *end;
	unsigned long length;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return false;
	slash = strchr(copy, '/');
	if (!slash || slash[1] < '0' || slash[1] > '9')
		return false;
	*slash = 0;
	length = strtoul(slash + 1, &end, 10);
	*p = (struct prefix){.family = strchr(copy, ':') ? IPV6 : IPV4, .length = (uint8_t)length};
	if (*end || length > (p->family == IPV4 ? 32 : 128) ||
	    inet_pton(p->family == IPV4 ? AF_INET : AF_INET6, copy, p->address) != 1)
		return false;
	for (size_t bit = length; bit < 128; bit++) /* as the kernel, whose routes have none set */
		if (p->address[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

static bool is_prefix(const char *text)
{
	struct prefix p;

	return read_prefix(text, &p);
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
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &notices,
		  .help = "Which changes are told by a notification."),
};

/* ---- what is kept ------------------------------------------------------------------- */

#define LABEL_SIZE     72
#define TEXT_SIZE      64 /* of a meta data value */
#define GATEWAYS       8  /* of one route that are asked for */
#define MANY_COUNTS    4096
#define JUST_NOW       1000000000ull /* ns */
#define NOT_ALIVE      (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_UNRESOLVED)
#define NEXTHOPS_LABEL "nexthops"

struct link {
	bool up, carrier;
	uint32_t master;
	uint64_t seen;
};

struct hop {
	uint32_t oif, flags;
	uint8_t length; /* of the gateway's address; 0: none */
	uint8_t gateway[16];
};

struct multipath { /* routes with several next hops */
	uint64_t routes, hops, alive;
};

/* A route to a prefix that is watched, as last told. */
struct entry {
	struct rtable *table;
	size_t watch;
	uint32_t metric;
	uint8_t type, tos;
	uint64_t dump;
	size_t n;
	struct hop hop[];
};

struct shown { /* the route of a prefix that is used now */
	const struct entry *entry;
	bool any, up; /* there is one; it can carry traffic */
	uint32_t metric, total, alive;
	uint64_t hash; /* of what a change of is told */
	char text[TEXT_SIZE];
};

struct rtable { /* a routing table */
	uint32_t id;
	char label[LABEL_SIZE];
	bool selected;
	struct multipath now[2], next[2], sent[2]; /* IPV4, IPV6; counted by the dump that runs */
	struct watched {
		bool ever;
		struct shown is, told;
	} watched[]; /* one for each watch */
};

struct watch { /* a prefix whose routes are looked at one by one */
	struct prefix prefix;
	char name[64]; /* of a default route: default_ipv4 */
	char nexthops[80], alive[80], reachable[96];
};

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

struct nexthop {
	uint32_t id;
	bool group, resilient;
	struct hop hop;
	uint64_t seen;
	size_t n;
	struct {
		uint32_t id, buckets;
		uint64_t packets;
		bool counted;
	} member[];
};

struct bucket_key {
	uint32_t group, index;
};

struct bucket {
	uint32_t nexthop;
	uint64_t seen;
};

struct family {
	bool known;      /* the last dump was whole */
	bool running;    /* a dump runs */
	uint64_t dumped; /* the reading during which it ended */
	uint64_t dump;   /* its number */
};

struct state {
	struct nm_map tables;     /* id -> struct rtable * */
	struct nm_map counts;     /* struct count_key -> struct count */
	struct nm_map churn;      /* struct count_key without type -> struct churn */
	struct nm_map links;      /* ifindex -> struct link */
	struct nm_map nexthops;   /* id -> struct nexthop * */
	struct nm_map buckets;    /* struct bucket_key -> struct bucket */
	struct nm_map neighbours; /* struct neighbour_key -> uint16_t, of this reading */
	struct nm_map table_names, protocol_names;
	struct nm_rtwatch written;           /* their files */
	const char *protocol[UINT8_MAX + 1]; /* its name, unlike all others */
	char number[UINT8_MAX + 1][4];
	struct watch *watch;
	size_t watches;
	struct entry **entry;
	size_t entries, entry_room;
	struct hop *hop; /* of the route that is read */
	size_t hop_room;
	struct family family[FAMILIES];
	uint64_t multipath6; /* IPv6 routes with several next hops */
	uint64_t dump;       /* number of the dump that runs or ran last */
	struct objects {
		size_t single, groups, resilient, buckets;
	} sent;
	uint64_t untold; /* ns: when something was told that routes vanish after, untold */
	bool moved;      /* a watched route, or what it depends on, is another than shown */
	bool shown;      /* what is shown was once what is */
	bool objects_sent;
	bool no_stats; /* this kernel counts no packets of nexthop groups */
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

static void add_watch(struct state *s, const struct prefix *p, const char *name)
{
	struct watch *w = &s->watch[s->watches++];

	w->prefix = *p;
	snprintf(w->name, sizeof(w->name), "%s", name);
	for (char *c = w->name; *c; c++)
		if (*c == '/')
			*c = '_';
	snprintf(w->nexthops, sizeof(w->nexthops), "%s_nexthops", w->name);
	snprintf(w->alive, sizeof(w->alive), "%s_nexthops_alive", w->name);
	snprintf(w->reachable, sizeof(w->reachable), "%s_gateway_reachable", w->name);
}

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
	const struct config *c = v->config;
	struct state *s = v->state;
	size_t n = 2;
	int err;

	s->tables = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(void *)};
	s->counts = (struct nm_map){.key = sizeof(struct count_key), .val = sizeof(struct count)};
	s->churn = (struct nm_map){.key = sizeof(struct count_key), .val = sizeof(struct churn)};
	s->links = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct link)};
	s->nexthops = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(void *)};
	s->buckets =
		(struct nm_map){.key = sizeof(struct bucket_key), .val = sizeof(struct bucket)};
	s->neighbours =
		(struct nm_map){.key = sizeof(struct neighbour_key), .val = sizeof(uint16_t)};
	for (const struct nm_setting *p = c->prefixes; p; p = p->next)
		n++;
	s->watch = calloc(n, sizeof(*s->watch));
	if (!s->watch)
		return -ENOMEM;
	add_watch(s, &(struct prefix){.family = IPV4}, "default_ipv4");
	add_watch(s, &(struct prefix){.family = IPV6}, "default_ipv6");
	for (const struct nm_setting *p = c->prefixes; p && c->collect == NM_DETAIL; p = p->next) {
		struct prefix prefix;

		if (read_prefix(p->name, &prefix) && prefix.length)
			add_watch(s, &prefix, p->name);
	}
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
	for (size_t i = 0; (p = nm_map_next(&s->nexthops, &key, &i));)
		free(*p);
	for (size_t i = 0; i < s->entries; i++)
		free(s->entry[i]);
	nm_map_free(&s->tables);
	nm_map_free(&s->counts);
	nm_map_free(&s->churn);
	nm_map_free(&s->links);
	nm_map_free(&s->nexthops);
	nm_map_free(&s->buckets);
	nm_map_free(&s->neighbours);
	nm_map_free(&s->table_names);
	nm_map_free(&s->protocol_names);
	free(s->watch);
	free(s->entry);
	free(s->hop);
}

/* ---- next hops ---------------------------------------------------------------------- */

/* The next hop behind another, or the first; NULL: no more, or what follows is damaged. */
static const struct rtnexthop *next_hop(const struct nlattr *multipath,
					const struct rtnexthop *last)
{
	const char *from = mnl_attr_get_payload(multipath), *at = from;
	const char *end = from + mnl_attr_get_payload_len(multipath);
	const struct rtnexthop *h;

	if (last)
		at = (const char *)last + RTNH_ALIGN((size_t)last->rtnh_len);
	if (at > end || (size_t)(end - at) < sizeof(*h))
		return NULL;
	h = (const void *)at;
	return h->rtnh_len >= sizeof(*h) && h->rtnh_len <= end - at ? h : NULL;
}

static void set_gateway(struct hop *h, const void *address, size_t length)
{
	if (length != 4 && length != 16)
		return;
	h->length = (uint8_t)length;
	memcpy(h->gateway, address, length);
}

static void read_gateway(struct hop *h, const struct nlattr *a)
{
	uint16_t type = nm_type(a), length = mnl_attr_get_payload_len(a);
	const char *p = mnl_attr_get_payload(a);

	if (type == RTA_GATEWAY)
		set_gateway(h, p, length);
	else if (type == RTA_VIA && length > 2) /* of another family than the route */
		set_gateway(h, p + 2, length - 2u);
}

static bool alive(const struct hop *h)
{
	return !(h->flags & NOT_ALIVE);
}

/* The kernel's flags are old news once the link has told something else. */
static bool alive_now(const struct state *s, const struct hop *h)
{
	const struct link *l = nm_map_get(&s->links, &h->oif);

	if (h->flags & (RTNH_F_DEAD | RTNH_F_UNRESOLVED))
		return false;
	return l ? l->up && l->carrier : alive(h);
}

static struct hop *room_for_hop(struct state *s, size_t n)
{
	size_t room = s->hop_room ? 2 * s->hop_room : 8;
	struct hop *h;

	if (n >= s->hop_room) {
		h = reallocarray(s->hop, room, sizeof(*h));
		if (!h)
			return NULL;
		s->hop = h;
		s->hop_room = room;
	}
	s->hop[n] = (struct hop){0};
	return &s->hop[n];
}

static const struct nexthop *find_nexthop(const struct state *s, uint32_t id)
{
	struct nexthop **n = nm_map_get(&s->nexthops, &id);

	return n ? *n : NULL;
}

/* With net.ipv4.nexthop_compat_mode 0 the kernel tells the object's number alone. */
static ssize_t read_object(struct state *s, uint32_t id)
{
	const struct nexthop *o = find_nexthop(s, id), *m;
	size_t n = 0;

	for (size_t i = 0; o && i < (o->group ? o->n : 1); i++) {
		struct hop *h;

		m = o->group ? find_nexthop(s, o->member[i].id) : o;
		if (!m || m->group)
			continue;
		h = room_for_hop(s, n++);
		if (!h)
			return -ENOMEM;
		*h = m->hop;
	}
	return (ssize_t)n;
}

static ssize_t read_multipath(struct state *s, const struct nlattr *multipath)
{
	size_t n = 0;

	for (const struct rtnexthop *r = NULL; (r = next_hop(multipath, r));) {
		struct hop *h = room_for_hop(s, n++);

		if (!h)
			return -ENOMEM;
		h->oif = (uint32_t)r->rtnh_ifindex;
		h->flags = r->rtnh_flags;
		for (const struct nlattr *a = (const void *)(r + 1);
		     mnl_attr_ok(a, (int)((const char *)r + r->rtnh_len - (const char *)a));
		     a = mnl_attr_next(a))
			read_gateway(h, a);
	}
	return (ssize_t)n;
}

/* Into s->hop; returns how many, or -ENOMEM. */
static ssize_t read_hops(struct state *s, const struct nm_msg *m)
{
	const struct rtmsg *r = m->hdr;
	struct hop *h;

	if (m->attr[RTA_MULTIPATH])
		return read_multipath(s, m->attr[RTA_MULTIPATH]);
	if (m->attr[RTA_NH_ID] && !m->attr[RTA_OIF] && !m->attr[RTA_GATEWAY])
		return read_object(s, (uint32_t)nm_uint(m->attr[RTA_NH_ID]));
	if (!m->attr[RTA_OIF])
		return 0;
	h = room_for_hop(s, 0);
	if (!h)
		return -ENOMEM;
	h->oif = (uint32_t)nm_uint(m->attr[RTA_OIF]);
	h->flags = r->rtm_flags;
	if (m->attr[RTA_GATEWAY])
		read_gateway(h, m->attr[RTA_GATEWAY]);
	else if (m->attr[RTA_VIA])
		read_gateway(h, m->attr[RTA_VIA]);
	return 1;
}

/* ---- watched routes: the default ones, and those to chosen prefixes ----------------- */

static bool is_watched(const struct watch *w, unsigned family, const struct nm_msg *m)
{
	const struct rtmsg *r = m->hdr;
	uint8_t address[16] = {0};

	if (r->rtm_dst_len != w->prefix.length || family != w->prefix.family || r->rtm_src_len)
		return false;
	nm_bytes(m->attr[RTA_DST], address, sizeof(address));
	return !memcmp(address, w->prefix.address, sizeof(address));
}

static void remove_entry(struct state *s, size_t i)
{
	free(s->entry[i]); /* the others keep the kernel's order */
	memmove(&s->entry[i], &s->entry[i + 1], (--s->entries - i) * sizeof(struct entry *));
	s->moved = true;
}

static int add_entry(struct state *s, const struct entry *like, size_t hops)
{
	size_t room = s->entry_room ? 2 * s->entry_room : 8;
	struct entry **list, *e;

	if (s->entries == s->entry_room) {
		list = reallocarray(s->entry, room, sizeof(*list));
		if (!list)
			return -ENOMEM;
		s->entry = list;
		s->entry_room = room;
	}
	e = malloc(sizeof(*e) + hops * sizeof(struct hop));
	if (!e)
		return -ENOMEM;
	*e = *like;
	e->n = hops;
	if (hops)
		memcpy(e->hop, s->hop, hops * sizeof(struct hop));
	s->entry[s->entries++] = e;
	s->moved = true;
	return 0;
}

static bool same_slot(const struct entry *a, const struct entry *b)
{
	return a->table == b->table && a->watch == b->watch && a->metric == b->metric &&
	       a->tos == b->tos;
}

static bool same_hop(const struct hop *a, const struct hop *b)
{
	return a->oif == b->oif && a->length == b->length &&
	       !memcmp(a->gateway, b->gateway, sizeof(a->gateway));
}

/* One of several next hops is gone, or the whole route. */
static void take_away(struct state *s, const struct entry *gone, size_t hops)
{
	for (size_t i = 0; i < s->entries; i++) {
		struct entry *e = s->entry[i];
		size_t kept = 0;

		if (!same_slot(e, gone))
			continue;
		for (size_t k = 0; k < e->n; k++) {
			bool goes = false;

			for (size_t g = 0; g < hops; g++)
				goes |= same_hop(&e->hop[k], &s->hop[g]);
			if (!goes)
				e->hop[kept++] = e->hop[k];
		}
		if (kept == e->n && e->n)
			continue; /* another route of the same metric */
		e->n = kept;
		s->moved = true;
		if (kept)
			return;
		remove_entry(s, i);
		return;
	}
}

/*
 * An event is told at once by what it says; the dump of the next reading then
 * tells what is.  In IPv6 it has all next hops of what was added to, in IPv4
 * routes of one metric stand beside each other.
 */
static int on_watched(struct nm_view *v, const struct nm_msg *m, struct rtable *t, size_t watch)
{
	const struct rtmsg *r = m->hdr;
	struct state *s = v->state;
	struct entry e = {.table = t, .watch = watch, .type = r->rtm_type, .tos = r->rtm_tos};
	unsigned family = s->watch[watch].prefix.family;
	ssize_t hops = read_hops(s, m);
	bool replaces = m->event && (m->nlh->nlmsg_flags & NLM_F_REPLACE || family == IPV6);

	if (hops < 0)
		return (int)hops;
	e.metric = (uint32_t)nm_uint(m->attr[RTA_PRIORITY]);
	e.dump = m->event ? s->family[family].dump : s->dump;
	if (m->event)
		nm_distrust(v, m->src);
	if (m->gone) {
		take_away(s, &e, (size_t)hops);
		return 0;
	}
	for (size_t i = 0; replaces && i < s->entries; i++)
		if (same_slot(s->entry[i], &e))
			remove_entry(s, i--);
	return add_entry(s, &e, (size_t)hops);
}

static void sweep_entries(struct state *s, unsigned family, bool complete)
{
	for (size_t i = 0; i < s->entries; i++) {
		const struct entry *e = s->entry[i];

		if (s->watch[e->watch].prefix.family == family && (e->dump == s->dump) != complete)
			remove_entry(s, i--);
	}
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
	n = read_hops(s, m);
	if (n < 0)
		return (int)n;
	if (n < 2)
		return 0;
	p->routes = 1;
	p->hops = (uint64_t)n;
	for (ssize_t i = 0; i < n; i++)
		p->alive += alive(&s->hop[i]);
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
	for (size_t i = 0; !err && i < s->watches; i++)
		if (is_watched(&s->watch[i], family, m))
			err = on_watched(v, m, c->table, i);
	return err;
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
	sweep_entries(s, family, complete);
	if (v->now - s->untold < JUST_NOW) /* the kernel tells first and acts then */
		nm_distrust(v, &sources[ROUTES + family]);
}

/* ---- what routes depend on ---------------------------------------------------------- */

static void distrust_routes(struct nm_view *v, unsigned first, unsigned last)
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
	distrust_routes(v, IPV4, IP6MR);
	for (size_t i = 0; set_down && i < s->entries; i++)
		for (size_t h = 0; h < s->entry[i]->n; h++)
			if (s->entry[i]->hop[h].oif == ifindex)
				s->entry[i]->hop[h].flags |= RTNH_F_DEAD;
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

static int on_neighbour(struct nm_view *v, const struct nm_msg *m)
{
	const struct ndmsg *h = m->hdr;
	struct state *s = v->state;
	struct neighbour_key k = {.ifindex = (uint32_t)h->ndm_ifindex};
	uint16_t *state;

	if (m->event || !m->attr[NDA_DST])
		return 0;
	k.length = (uint8_t)nm_bytes(m->attr[NDA_DST], k.address, sizeof(k.address));
	state = nm_map_put(&s->neighbours, &k, NULL);
	if (!state)
		return -ENOMEM;
	*state = h->ndm_state;
	return 0;
}

/* ---- nexthop objects ---------------------------------------------------------------- */

static void remove_nexthop(struct state *s, uint32_t id)
{
	struct nexthop **n = nm_map_get(&s->nexthops, &id);

	if (n)
		free(*n);
	nm_map_del(&s->nexthops, &id);
}

/* The object with room for so many members; what it had is kept as far as it fits. */
static struct nexthop *put_nexthop(struct state *s, uint32_t id, size_t members, bool *fresh)
{
	struct nexthop **slot = nm_map_put(&s->nexthops, &id, fresh), *n;

	if (!slot)
		return NULL;
	if (!*slot || (*slot)->n != members) {
		n = calloc(1, sizeof(*n) + members * sizeof(*n->member));
		if (!n) {
			remove_nexthop(s, id);
			return NULL;
		}
		free(*slot);
		*slot = n;
	}
	(*slot)->id = id;
	(*slot)->n = members;
	return *slot;
}

/* Members can be more than one with the same number; each has its own statistics. */
static void read_stats(struct nexthop *n, const struct nlattr *all)
{
	size_t i = 0;

	for (const struct nlattr *a = nm_child(all, NULL); a && i < n->n; a = nm_child(all, a)) {
		const struct nlattr *packets = nm_in(a, NHA_GROUP_STATS_ENTRY_PACKETS);

		if (!packets || nm_uint(nm_in(a, NHA_GROUP_STATS_ENTRY_ID)) != n->member[i].id)
			continue;
		n->member[i].packets = nm_uint(packets);
		n->member[i++].counted = true;
	}
}

static void read_members(struct nexthop *n, const struct nlattr *group)
{
	const char *p = mnl_attr_get_payload(group);
	struct nexthop_grp g;

	for (size_t i = 0; i < n->n; i++) {
		memcpy(&g, p + i * sizeof(g), sizeof(g));
		if (n->member[i].id != g.id)
			memset(&n->member[i], 0, sizeof(n->member[i]));
		n->member[i].id = g.id;
	}
}

static int on_nexthop(struct nm_view *v, const struct nm_msg *m)
{
	uint32_t id = (uint32_t)nm_uint(m->attr[NHA_ID]);
	const struct nlattr *group = m->attr[NHA_GROUP];
	size_t members = group ? mnl_attr_get_payload_len(group) / sizeof(struct nexthop_grp) : 0;
	const struct nhmsg *h = m->hdr;
	struct state *s = v->state;
	struct nexthop *n;
	bool fresh = false;

	if (!id)
		return 0;
	if (m->gone) {
		remove_nexthop(s, id);
	} else {
		n = put_nexthop(s, id, members, &fresh);
		if (!n)
			return -ENOMEM;
		n->group = group;
		n->resilient = m->attr[NHA_RES_GROUP];
		n->seen = s->dump;
		n->hop = (struct hop){.oif = (uint32_t)nm_uint(m->attr[NHA_OIF]),
				      .flags = h->nh_flags};
		if (m->attr[NHA_GATEWAY])
			set_gateway(&n->hop, mnl_attr_get_payload(m->attr[NHA_GATEWAY]),
				    mnl_attr_get_payload_len(m->attr[NHA_GATEWAY]));
		if (group)
			read_members(n, group);
		read_stats(n, m->attr[NHA_GROUP_STATS]);
	}
	if (m->event) {
		nm_distrust(v, &sources[BUCKETS]);
		if (!fresh) { /* no route uses a new one yet; those of one that is gone are gone */
			s->untold = v->now;
			distrust_routes(v, IPV4, IPV6);
		}
		if (m->gone) /* groups lose a member untold */
			nm_distrust(v, m->src);
	}
	return 0;
}

static int on_bucket(struct nm_view *v, const struct nm_msg *m)
{
	const struct nlattr *nest = m->attr[NHA_RES_BUCKET];
	struct state *s = v->state;
	struct bucket_key k = {.group = (uint32_t)nm_uint(m->attr[NHA_ID]),
			       .index = (uint32_t)nm_uint(nm_in(nest, NHA_RES_BUCKET_INDEX))};
	struct bucket *b;

	if (m->gone) {
		nm_map_del(&s->buckets, &k);
		return 0;
	}
	b = nm_map_put(&s->buckets, &k, NULL);
	if (!b)
		return -ENOMEM;
	*b = (struct bucket){.nexthop = (uint32_t)nm_uint(nm_in(nest, NHA_RES_BUCKET_NH_ID)),
			     .seen = s->dump};
	return 0;
}

static void sweep_nexthops(struct state *s)
{
	struct nexthop **n;
	const void *key;

	for (size_t i = 0; (n = nm_map_next(&s->nexthops, &key, &i));)
		if ((*n)->seen != s->dump) {
			remove_nexthop(s, (*n)->id);
			i--;
		}
}

static void sweep_buckets(struct state *s)
{
	const struct bucket *b;
	const void *key;

	for (size_t i = 0; (b = nm_map_next(&s->buckets, &key, &i));)
		if (b->seen != s->dump) {
			struct bucket_key k = *(const struct bucket_key *)key;

			nm_map_del(&s->buckets, &k);
			i--;
		}
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
		sweep_nexthops(s);
	else if (complete && src == &sources[BUCKETS])
		sweep_buckets(s);
}

static int message_route(struct nm_view *v, const struct nm_msg *m)
{
	static int (*const on[ROUTES])(struct nm_view * v, const struct nm_msg *m) = {
		[LINKS] = on_link,           [ADDRESSES] = on_address, [NEIGHBOUR4] = on_neighbour,
		[NEIGHBOUR6] = on_neighbour, [NEXTHOPS] = on_nexthop,  [BUCKETS] = on_bucket,
	};

	return m->src >= &sources[ROUTES] ? on_route(v, m) : on[m->src - sources](v, m);
}

/* ---- which route is used, and who is told ------------------------------------------- */

static bool is_default(size_t watch)
{
	return watch <= IPV6;
}

/* A default route must lead somewhere; a chosen prefix may be unreachable on purpose. */
static bool usable(const struct entry *e, uint32_t hops_alive)
{
	return hops_alive || (!is_default(e->watch) && e->type != RTN_UNICAST);
}

/* Routes for a type of service only come last. */
static uint64_t rank(const struct entry *e)
{
	return (uint64_t) !!e->tos << 32 | e->metric;
}

static void consider(const struct state *s, const struct entry *e)
{
	struct shown *x = &e->table->watched[e->watch].is;
	uint32_t n = 0;
	bool up;

	for (size_t i = 0; i < e->n && e->type == RTN_UNICAST; i++)
		n += alive_now(s, &e->hop[i]);
	up = usable(e, n);
	if (x->any && (x->up != up ? x->up : rank(x->entry) <= rank(e)))
		return;
	*x = (struct shown){.entry = e,
			    .any = true,
			    .up = up,
			    .metric = e->metric,
			    .total = (uint32_t)e->n,
			    .alive = n};
}

static uint64_t hash_bytes(uint64_t h, const void *from, size_t n)
{
	for (const uint8_t *p = from; n--; p++)
		h = (h ^ *p) * 0x100000001b3u;
	return h;
}

/* "via 192.0.2.1 dev eth0 metric 100" */
static void describe(const struct nm_view *v, struct shown *x)
{
	const struct hop *first = NULL;
	char gateway[INET6_ADDRSTRLEN] = "";
	const char *type = nm_name(&nm_RTN, x->entry->type), *dev;
	size_t used = 0;

	x->hash = x->metric * 31ull + x->entry->type;
	for (size_t i = 0; i < x->entry->n; i++) {
		const struct hop *h = &x->entry->hop[i];

		if (!alive_now(v->state, h))
			continue;
		first = first ? first : h;
		x->hash += hash_bytes(hash_bytes(0xcbf29ce484222325u, &h->oif, sizeof(h->oif)),
				      h->gateway, sizeof(h->gateway));
	}
	if (!first) {
		snprintf(x->text, sizeof(x->text), "%s metric %u", type ? type : "unknown",
			 x->metric);
		return;
	}
	if (first->length)
		inet_ntop(first->length == 4 ? AF_INET : AF_INET6, first->gateway, gateway,
			  sizeof(gateway));
	dev = nm_ifname(v, first->oif);
	if (x->alive > 1)
		used = (size_t)snprintf(x->text, sizeof(x->text), "%u hops, ", x->alive);
	snprintf(x->text + used, sizeof(x->text) - used, "%s%s%sdev %s metric %u",
		 first->length ? "via " : "", gateway, first->length ? " " : "", dev ? dev : "?",
		 x->metric);
}

static void tell(struct nm_view *v, const struct rtable *t, size_t watch, enum nm_severity severity,
		 const char *reason)
{
	const struct watched *w = &t->watched[watch];
	const struct config *c = v->config;
	const struct state *s = v->state;
	unsigned what = !is_default(watch) ? PREFIX : severity == NM_WARNING ? CHANGED : DEFAULT;
	struct nm_notice *n;

	if (!v->news || !(c->notify & what))
		return;
	n = nm_notify(v, severity, nm_name(&notices, what), t->label);
	if (!n)
		return;
	nm_meta(n, "route", "%s", s->watch[watch].name);
	nm_meta(n, "table", "%u", t->id);
	nm_meta(n, "reason", "%s", reason);
	nm_change(n, w->told.up ? w->told.text : NULL, w->is.up ? w->is.text : NULL);
	if (severity == NM_FAILURE)
		nm_say(n, "table %s: the route %s is lost, it was %s: %s", t->label,
		       s->watch[watch].name, w->told.text,
		       w->is.any ? "it has no next hop that is alive" : "it is gone");
	else
		nm_say(n, "table %s: the route %s is %s%s%s", t->label, s->watch[watch].name,
		       w->is.text, w->told.up ? ", it was " : " now",
		       w->told.up ? w->told.text : "");
}

static void tell_changes(struct nm_view *v, const struct rtable *t, size_t watch)
{
	const struct shown *was = &t->watched[watch].told, *is = &t->watched[watch].is;

	if (was->up && !is->up)
		tell(v, t, watch, NM_FAILURE, is->any ? "dead" : "deleted");
	else if (!was->up && is->up)
		tell(v, t, watch, NM_OKAY, was->any ? "alive" : "added");
	else if (is->up && was->hash != is->hash)
		tell(v, t, watch, NM_WARNING, was->metric != is->metric ? "metric" : "nexthop");
}

/* Finds the used route of each watched prefix, and tells what differs from what was told. */
static void show(struct nm_view *v)
{
	struct state *s = v->state;
	struct rtable **t;
	const void *key;

	if (!s->moved)
		return;
	for (size_t i = 0; (t = nm_map_next(&s->tables, &key, &i));)
		for (size_t w = 0; w < s->watches; w++)
			(*t)->watched[w].is = (struct shown){0};
	for (size_t i = 0; i < s->entries; i++)
		consider(s, s->entry[i]);
	for (size_t i = 0; (t = nm_map_next(&s->tables, &key, &i));)
		for (size_t w = 0; w < s->watches; w++) {
			struct watched *x = &(*t)->watched[w];

			if (x->is.any)
				describe(v, &x->is);
			if (s->shown)
				tell_changes(v, *t, w);
			x->ever |= x->is.any;
			x->told = x->is;
		}
	s->shown = v->news;
	s->moved = false;
}

static int settle_route(struct nm_view *v)
{
	show(v);
	return 0;
}

/* ---- what is submitted -------------------------------------------------------------- */

/*
 * -1: not known, 0: the kernel waits in vain for an answer, 1: it has its address.
 * A gateway that nothing is sent to goes stale, which is no fault of its.
 */
static int reachable(struct nm_view *v, const struct hop *h)
{
	struct state *s = v->state;
	struct neighbour_key k = {.ifindex = h->oif, .length = h->length};
	const uint16_t *state;

	memcpy(k.address, h->gateway, sizeof(k.address));
	state = nm_map_get(&s->neighbours, &k);
	if (!state) {
		nm_ask(v, &sources[h->length == 4 ? NEIGHBOUR4 : NEIGHBOUR6], &k);
		state = nm_map_get(&s->neighbours, &k);
	}
	if (!state || *state == NUD_NONE)
		return -1;
	return !(*state & (NUD_INCOMPLETE | NUD_FAILED));
}

static void submit_reachable(struct nm_view *v, struct nm_reading *r, const struct watch *w,
			     const struct entry *e)
{
	const struct state *s = v->state;
	int best = -1;

	for (size_t i = 0, n = 0; i < e->n && n < GATEWAYS && best < 1; i++)
		if (e->hop[i].length && alive_now(s, &e->hop[i])) {
			int one = reachable(v, &e->hop[i]);

			best = one > best ? one : best;
			n++;
		}
	if (best >= 0)
		nm_gauge(r, "bool", w->reachable, best);
}

static void submit_watched(struct nm_view *v, struct nm_reading *r, struct rtable *t)
{
	const struct state *s = v->state;

	for (size_t i = 0; i < s->watches; i++) {
		const struct shown *x = &t->watched[i].is;
		const struct watch *w = &s->watch[i];

		if (!s->family[w->prefix.family].known ||
		    (!t->watched[i].ever && t->id != RT_TABLE_MAIN))
			continue;
		nm_gauge(r, "bool", w->name, x->up);
		nm_gauge(r, "gauge", w->nexthops, x->total);
		nm_gauge(r, "gauge", w->alive, x->alive);
		if (!x->up)
			continue;
		nm_gauge(r, "route_metric", w->name, x->metric);
		submit_reachable(v, r, w, x->entry);
	}
}

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

/* ---- nexthop objects and groups ----------------------------------------------------- */

static void submit_objects(const struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	struct objects o = {.buckets = s->buckets.used};
	struct nexthop **n;
	const void *key;

	if (nm_source_error(v, NEXTHOPS))
		return;
	for (size_t i = 0; (n = nm_map_next(&s->nexthops, &key, &i));) {
		o.single += !(*n)->group;
		o.groups += (*n)->group;
		o.resilient += (*n)->resilient;
	}
	if (s->objects_sent && !memcmp(&o, &s->sent, sizeof(o)) && !nm_slow_due(v, 0))
		return;
	nm_instance(r, NEXTHOPS_LABEL);
	nm_slow(r, true);
	nm_gauge(r, "gauge", "objects", (double)o.single);
	nm_gauge(r, "gauge", "groups", (double)o.groups);
	nm_gauge(r, "gauge", "resilient_groups", (double)o.resilient);
	if (!nm_source_error(v, BUCKETS))
		nm_gauge(r, "gauge", "buckets", (double)o.buckets);
	nm_slow(r, false);
	s->sent = o;
	s->objects_sent = true;
}

static void count_buckets(struct state *s)
{
	const struct bucket *b;
	struct nexthop **n;
	const void *key;

	for (size_t i = 0; (n = nm_map_next(&s->nexthops, &key, &i));)
		for (size_t m = 0; m < (*n)->n; m++)
			(*n)->member[m].buckets = 0;
	for (size_t i = 0; (b = nm_map_next(&s->buckets, &key, &i));) {
		n = nm_map_get(&s->nexthops, &((const struct bucket_key *)key)->group);
		for (size_t m = 0; n && m < (*n)->n; m++)
			if ((*n)->member[m].id == b->nexthop) {
				(*n)->member[m].buckets++;
				break;
			}
	}
}

static const char *member_text(struct nm_reading *r, const struct nexthop *n, size_t member,
			       const char *what)
{
	char text[80];

	snprintf(text, sizeof(text), "group_%u_nexthop_%u_%s", n->id, n->member[member].id, what);
	return nm_text(r, text);
}

static bool twice(const struct nexthop *n, size_t member)
{
	for (size_t i = 0; i < member; i++)
		if (n->member[i].id == n->member[member].id)
			return true;
	return false;
}

static void submit_group(const struct nm_view *v, struct nm_reading *r, const struct nexthop *n)
{
	const struct state *s = v->state;
	char text[80];
	size_t up = 0;

	for (size_t i = 0; i < n->n; i++) {
		const struct nexthop *m = find_nexthop(s, n->member[i].id);

		up += m && alive_now(s, &m->hop);
		if (twice(n, i))
			continue;
		if (n->resilient && !nm_source_error(v, BUCKETS))
			nm_gauge(r, "gauge", member_text(r, n, i, "buckets"), n->member[i].buckets);
		if (n->member[i].counted)
			nm_derive(r, "derive", member_text(r, n, i, "packets"),
				  n->member[i].packets);
	}
	snprintf(text, sizeof(text), "group_%u_nexthops", n->id);
	nm_gauge(r, "gauge", nm_text(r, text), (double)n->n);
	snprintf(text, sizeof(text), "group_%u_nexthops_alive", n->id);
	nm_gauge(r, "gauge", nm_text(r, text), (double)up);
}

/* The packets of a group's members are told to whoever asks for the group, by no event. */
static void submit_groups(struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	struct nexthop **n;
	const void *key;

	count_buckets(s);
	nm_instance(r, NEXTHOPS_LABEL);
	for (size_t i = 0; (n = nm_map_next(&s->nexthops, &key, &i));) {
		uint32_t id = (*n)->id;

		if (!(*n)->group)
			continue;
		if (!s->no_stats && nm_ask(v, &sources[NEXTHOPS], &id) == -EINVAL)
			s->no_stats = true;
		n = nm_map_get(&s->nexthops, &id); /* the answer may have moved it */
		if (n)
			submit_group(v, r, *n);
	}
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
			distrust_routes(v, IPV4, IP6MR);
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
	show(v);
	for (size_t i = 0; (t = nm_map_next(&s->tables, &key, &i));) {
		if (!(*t)->selected)
			continue;
		nm_instance(r, (*t)->label);
		submit_watched(v, r, *t);
		if (c->collect != NM_NO)
			submit_multipath(v, r, *t);
	}
	if (c->collect != NM_NO) {
		submit_counts(v, r);
		submit_objects(v, r);
	}
	if (c->collect == NM_DETAIL)
		submit_groups(v, r);
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
