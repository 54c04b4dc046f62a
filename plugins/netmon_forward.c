/* SPDX-License-Identifier: MIT */
/* netmon_forward: what is routed and dropped, by protocol and interface, and what switches it. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "netmon.h"
#include "uapi.h"

/* ---- what the kernel's bytes mean ----------------------------------------------- */

static const struct nm_field netconf_rows[] = {
	NM_A(NETCONFA_IFINDEX, IFINDEX, .names = &nm_NETCONFA_IFINDEX), /* -1 all, -2 default */
	NM_A(NETCONFA_FORWARDING, SINT),
	NM_A(NETCONFA_RP_FILTER, SINT),
	NM_A(NETCONFA_MC_FORWARDING, SINT),
	NM_A(NETCONFA_PROXY_NEIGH, SINT),
	NM_A(NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, SINT),
	NM_A(NETCONFA_INPUT, SINT),
	NM_A(NETCONFA_BC_FORWARDING, SINT),
};
static const struct nm_table netconfa = NM_ATTRS("NETCONFA_", netconf_rows, &nm_NETCONFA);

static const struct nm_field netconfmsg_rows[] = {
	NM_M(netconfmsg, ncm_family, ENUM, .names = &nm_AF),
};
static const struct nm_table netconf = NM_STRUCT_OF(netconfmsg, "ncm_", netconfmsg_rows, &netconfa);

static const struct nm_field ipv6_rows[] = {
	NM_A(IFLA_ADDRESS, LLADDR),
	NM_A(IFLA_IFNAME, STR),
	NM_A(IFLA_MTU, UINT),
	NM_A(IFLA_LINK, UINT), /* perhaps of another namespace, which is not told here */
	NM_A(IFLA_PROTINFO, NEST, .table = &nm_inet6_table),
	NM_A(IFLA_OPERSTATE, ENUM, .names = &nm_IF_OPER),
};
static const struct nm_table ipv6_attrs = NM_ATTRS("IFLA_", ipv6_rows, &nm_IFLA);

static const struct nm_field ifinfo_rows[] = {
	NM_M(ifinfomsg, ifi_type, ENUM, .names = &nm_ARPHRD),
	NM_M(ifinfomsg, ifi_index, UINT),
	NM_M(ifinfomsg, ifi_flags, BITS, .names = &nm_IFF),
};
static const struct nm_table ipv6_link = NM_STRUCT_OF(ifinfomsg, "ifi_", ifinfo_rows, &ipv6_attrs);

static const struct nm_field stats_rows[] = {
	NM_A(IFLA_STATS_LINK_64, STRUCT, .table = &nm_stats64_table),
};
static const struct nm_table stats_attrs = NM_ATTRS("IFLA_STATS_", stats_rows, &nm_IFLA_STATS);

static const struct nm_field if_stats_rows[] = {
	NM_M(if_stats_msg, ifindex, IFINDEX),
};
static const struct nm_table if_stats = NM_STRUCT_OF(if_stats_msg, "", if_stats_rows, &stats_attrs);

/* The one file in which the place is the name (net/core/net-procfs.c); 3 to 8 are 0 for ever. */
enum { PROCESSED, DROPPED, SQUEEZED, RPS = 9, FLOW_LIMIT, BACKLOG, CPU, SOFTNET_COLUMNS };
static const struct nm_field softnet_rows[SOFTNET_COLUMNS] = {
	[PROCESSED] = {.name = "processed"},
	[DROPPED] = {.name = "dropped"},
	[SQUEEZED] = {.name = "time_squeeze"},
	[RPS] = {.name = "received_rps"},
	[FLOW_LIMIT] = {.name = "flow_limit"},
	[BACKLOG] = {.name = "backlog"},
	[CPU] = {.name = "cpu"},
};
static const struct nm_table softnet = {.row = softnet_rows, .n = SOFTNET_COLUMNS};

/*
 * IFLA_INET6_STATS is an array by enumerators that Linux has moved twice: 6.7
 * put OutTransmits behind the others, 6.15 sorted them anew, and the array is as
 * long before that as after it.  These are the orders so far; which one is true
 * is found out by comparing with /proc/net/snmp6, see rule_out().
 */
enum { LINUX_3, LINUX_6_7, LINUX_6_15, ORDERS };
enum { IN_PACKETS, IN_OCTETS, OUT_REQUESTS, OUT_FORWARDED, OUT_PACKETS, OUT_OCTETS };
static const struct mib {
	const char *name;      /* in snmp6 */
	uint8_t place[ORDERS]; /* 0: not there */
} mibs[] = {
	[IN_PACKETS] = {"Ip6InReceives", {1, 1, 1}},
	[IN_OCTETS] = {"Ip6InOctets", {2, 2, 2}},
	[OUT_REQUESTS] = {"Ip6OutRequests", {5, 5, 8}},
	[OUT_FORWARDED] = {"Ip6OutForwDatagrams", {4, 4, 11}},
	[OUT_PACKETS] = {"Ip6OutTransmits", {0, 37, 9}},
	[OUT_OCTETS] = {"Ip6OutOctets", {6, 6, 10}},
	{"Ip6InDelivers", {3, 3, 3}},
	{"Ip6InHdrErrors", {7, 7, 12}},
	{"Ip6InTooBigErrors", {8, 8, 13}},
	{"Ip6InNoRoutes", {9, 9, 14}},
	{"Ip6InAddrErrors", {10, 10, 15}},
	{"Ip6InUnknownProtos", {11, 11, 16}},
	{"Ip6InTruncatedPkts", {12, 12, 17}},
	{"Ip6InDiscards", {13, 13, 18}},
	{"Ip6OutDiscards", {14, 14, 19}},
	{"Ip6OutNoRoutes", {15, 15, 20}},
	{"Ip6ReasmTimeout", {16, 16, 21}},
	{"Ip6ReasmReqds", {17, 17, 22}},
	{"Ip6ReasmOKs", {18, 18, 23}},
	{"Ip6ReasmFails", {19, 19, 24}},
	{"Ip6FragOKs", {20, 20, 25}},
	{"Ip6FragFails", {21, 21, 26}},
	{"Ip6FragCreates", {22, 22, 27}},
	{"Ip6InMcastPkts", {23, 23, 28}},
	{"Ip6OutMcastPkts", {24, 24, 29}},
	{"Ip6InMcastOctets", {27, 27, 32}},
	{"Ip6OutMcastOctets", {28, 28, 33}},
	{"Ip6InBcastOctets", {29, 29, 34}},
	{"Ip6OutBcastOctets", {30, 30, 35}},
	{"Ip6InNoECTPkts", {32, 32, 4}},
	{"Ip6InECT1Pkts", {33, 33, 5}},
	{"Ip6InECT0Pkts", {34, 34, 6}},
	{"Ip6InCEPkts", {35, 35, 7}},
};

enum { PLACES = 38, ICMP6_PLACES = ICMP6_MIB_CSUMERRORS + 1 };

/* Of an interface, in /proc/net/dev_snmp6; these have only ever been added to. */
static const char *const icmp6_names[ICMP6_PLACES] = {
	[ICMP6_MIB_INMSGS] = "Icmp6InMsgs",           [ICMP6_MIB_INERRORS] = "Icmp6InErrors",
	[ICMP6_MIB_OUTMSGS] = "Icmp6OutMsgs",         [ICMP6_MIB_OUTERRORS] = "Icmp6OutErrors",
	[ICMP6_MIB_CSUMERRORS] = "Icmp6InCsumErrors",
};

/* ---- what is configured -------------------------------------------------------------- */

enum {
	FORWARDING = 1 << 0,
	RP_FILTER = 1 << 1,
	MC_FORWARDING = 1 << 2,
	PROXY_NEIGH = 1 << 3,
	IGNORE_LINKDOWN = 1 << 4,
};
static const struct nm_name notice_names[] = {
	{FORWARDING, "forwarding"},           {RP_FILTER, "rp_filter"},
	{MC_FORWARDING, "mc_forwarding"},     {PROXY_NEIGH, "proxy_neigh"},
	{IGNORE_LINKDOWN, "ignore_linkdown"},
};
static const struct nm_names notices = {NM_ARRAY(notice_names)};

struct config {
	struct nm_config common;
	struct nm_select values, interfaces;
	bool verbose, estimate;
	unsigned notify;
};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.notify = FORWARDING | RP_FILTER | MC_FORWARDING,
};

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Value", NM_OPT_SELECT, values,
		.def = "what is received, delivered, forwarded and dropped",
		.help = "Counters of whole protocols to report: \"Ip:InReceives\" or POSIX extended "
			"regular expressions between slashes that match such names, not anchored; \"/./\" is "
			"all. May stand several times."),
	NM_OPTION(config, "IgnoreSelected", NM_OPT_BOOL, values.invert,
		  .help = "Report all counters but those of Value."),
	NM_OPTION(
		config, "Interface", NM_OPT_SELECT, interfaces, .def = "all",
		.help = "Interfaces to report: names or POSIX extended regular expressions between "
			"slashes, not anchored. May stand several times. An empty list is all."),
	NM_OPTION(config, "InterfaceIgnoreSelected", NM_OPT_BOOL, interfaces.invert,
		  .help = "Report all interfaces but those of Interface."),
	NM_OPTION(
		config, "Verbose", NM_OPT_BOOL, verbose,
		.help = "Report every IPv6 and ICMPv6 counter of each interface, and softnet by CPU."),
	NM_OPTION(
		config, "EstimateIPv4", NM_OPT_BOOL, estimate,
		.help = "Report for each interface its octets less those of IPv6. The kernel counts no "
			"IPv4 by interface: this is an upper bound, with link-layer headers, ARP and all "
			"other protocols in it."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &notices,
		  .help = "Which changes are told by a notification."),
};

/* Without Value: what a router's operator needs. */
static const char *const by_default[] = {
	"Ip:Forwarding",         "Ip:InReceives",
	"Ip:InDelivers",         "Ip:ForwDatagrams",
	"Ip:OutRequests",        "Ip:OutTransmits",
	"IpExt:InOctets",        "IpExt:OutOctets",
	"Ip:InHdrErrors",        "Ip:InAddrErrors",
	"Ip:InUnknownProtos",    "Ip:InDiscards",
	"Ip:OutDiscards",        "Ip:OutNoRoutes",
	"Ip:ReasmTimeout",       "Ip:ReasmFails",
	"Ip:FragFails",          "IpExt:InNoRoutes",
	"IpExt:InTruncatedPkts", "IpExt:InCsumErrors",
	"IpExt:ReasmOverlaps",   "TcpExt:IPReversePathFilter",
	"Icmp:OutTimeExcds",     "Icmp:OutDestUnreachs",

	"Ip6:InReceives",        "Ip6:InDelivers",
	"Ip6:OutForwDatagrams",  "Ip6:OutRequests",
	"Ip6:OutTransmits",      "Ip6:InOctets",
	"Ip6:OutOctets",         "Ip6:InHdrErrors",
	"Ip6:InTooBigErrors",    "Ip6:InNoRoutes",
	"Ip6:InAddrErrors",      "Ip6:InUnknownProtos",
	"Ip6:InTruncatedPkts",   "Ip6:InDiscards",
	"Ip6:OutDiscards",       "Ip6:OutNoRoutes",
	"Ip6:ReasmTimeout",      "Ip6:ReasmFails",
	"Ip6:FragFails",         "Icmp6:OutTimeExcds",
	"Icmp6:OutDestUnreachs", "Icmp6:OutPktTooBigs",
};

/* ---- what is asked ---------------------------------------------------------------- */

struct place { /* where a switch is: an interface of a family */
	int32_t ifindex;
	uint32_t family;
};

/* One of a family: asked for when its interfaces change one after the other. */
static void ask_netconf(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	const struct place *of = key;

	(void)v;
	if (!of)
		return;
	((struct netconfmsg *)mnl_nlmsg_get_payload(nlh))->ncm_family = (uint8_t)of->family;
	mnl_attr_put_u32(nlh, NETCONFA_IFINDEX, (uint32_t)of->ifindex);
}

static void ask_counters(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	struct if_stats_msg *h = mnl_nlmsg_get_payload(nlh);

	(void)v;
	(void)key;
	h->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
}

static bool want_counters(const void *config)
{
	return ((const struct config *)config)->estimate;
}

/*
 * The order matters.  IPv6 is read before the counters that contain it: their
 * difference is not too small.  And each interface before the sums of snmp6.
 */
enum { LINKS, NETCONF, IPV6, COUNTERS, SNMP, NETSTAT, SNMP6, SOFTNET };

static const struct nm_source sources[] = {
	[LINKS] = NM_LINK_NAMES,
	[NETCONF] = {"netconf", .get = RTM_GETNETCONF, .add = RTM_NEWNETCONF, .del = RTM_DELNETCONF,
		     .any_af = true, .kept = true,
		     .group = {RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF}, .table = &netconf,
		     .ask = ask_netconf, .without = "forwarding switches"},
	[IPV6] = {"ipv6", .get = RTM_GETLINK, .add = RTM_NEWLINK, .af = AF_INET6,
		  .table = &ipv6_link, .without = "IPv6 by interface"},
	[COUNTERS] = {"counters", .get = RTM_GETSTATS, .add = RTM_NEWSTATS, .table = &if_stats,
		      .ask = ask_counters, .wanted = want_counters,
		      .without = "the estimate of IPv4 octets"},
	[SNMP] = {"snmp", .file = "net/snmp", .without = "IPv4, ICMP, TCP and UDP"},
	[NETSTAT] = {"netstat", .file = "net/netstat", .without = "TcpExt and IpExt"},
	[SNMP6] = {"snmp6", .file = "net/snmp6", .without = "IPv6"},
	[SOFTNET] = {"softnet", .file = "net/softnet_stat", .table = &softnet,
		     .without = "softnet"},
};

/* ---- what is kept ----------------------------------------------------------------------- */

#define NAME_SIZE    64
#define MAX_COUNTERS 4096 /* Linux has some 400 */

struct counter {
	char name[NAME_SIZE]; /* "Ip:InReceives" */
	uint8_t colon;        /* where the instance ends */
	bool selected, level, known;
	int8_t mib; /* in mibs, -1: none */
	uint64_t value;
};

struct text { /* a file's counters in the order in which they were seen first */
	struct counter *v;
	size_t n, room;
	size_t at;   /* where the next one is expected */
	bool failed; /* no memory: what was read is not whole */
};

/* Not NETCONFA_BC_FORWARDING: no event tells when it changes. */
enum { SWITCHES = NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN + 1 };

struct conf { /* the switches of a place, indexed by NETCONFA_... */
	struct value {
		bool known, pending, alarm; /* changed and not told yet; told as a failure */
		int32_t is, was;            /* was: as told last */
		uint64_t at, before;        /* ns: when it changed, and the time before that */
		uint64_t reading;           /* in which it changed */
	} v[SWITCHES];
	bool changed; /* slow values are due in the next reading */
	uint64_t seen;
};

struct iface {
	char name[IFNAMSIZ], label[IFNAMSIZ + 16];
	bool selected;
	uint64_t seen;
	uint64_t stats[PLACES], icmp6[ICMP6_PLACES];
	size_t nstats, nicmp6; /* 0: not known in this reading */
	bool has_total;
	uint64_t total[2], last_total[2], last_ipv6[2], estimate[2]; /* octets, rx and tx */
};

struct cpu {
	uint32_t last[SOFTNET_COLUMNS];
	uint64_t sum[SOFTNET_COLUMNS]; /* the kernel's own are 32 bits wide */
	bool known;
};

struct state {
	struct nm_map ifaces;           /* ifindex -> struct iface */
	struct nm_map confs;            /* struct place -> struct conf */
	struct nm_map cpus;             /* number -> struct cpu */
	struct text text[3];            /* SNMP, NETSTAT, SNMP6 */
	uint64_t dump;                  /* number of the dump that runs or ran last */
	bool pending;                   /* something changed that was not told yet */
	uint64_t total[NM_COUNT(mibs)]; /* of snmp6 in this reading */
	bool has_total[NM_COUNT(mibs)];
	unsigned orders; /* of the arrays, those that can be true: a bit each */
	size_t places;   /* in each of the arrays */
};

static int open_forward(struct nm_view *v)
{
	struct state *s = v->state;

	s->ifaces = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct iface)};
	s->confs = (struct nm_map){.key = sizeof(struct place), .val = sizeof(struct conf)};
	s->cpus = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct cpu)};
	return 0;
}

static void close_forward(struct nm_view *v)
{
	struct state *s = v->state;

	nm_map_free(&s->ifaces);
	nm_map_free(&s->confs);
	nm_map_free(&s->cpus);
	for (size_t i = 0; i < NM_COUNT(s->text); i++)
		free(s->text[i].v);
}

/* ---- interfaces --------------------------------------------------------------------------- */

/* Instances that are no interface. */
static bool reserved(const char *name)
{
	static const char *const names[] = {
		"all", "default", "self", "Ip",      "Ip6",      "Icmp",   "Icmp6", "IcmpMsg",
		"Tcp", "Udp",     "Udp6", "UdpLite", "UdpLite6", "TcpExt", "IpExt", "MPTcpExt",
	};

	for (size_t i = 0; i < NM_COUNT(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return !strncmp(name, "softnet", strlen("softnet"));
}

static void name_iface(const struct nm_view *v, struct iface *i, uint32_t ifindex, const char *name)
{
	const struct config *c = v->config;

	if (!strcmp(i->name, name))
		return;
	snprintf(i->name, sizeof(i->name), "%s", name);
	if (reserved(i->name))
		snprintf(i->label, sizeof(i->label), "%s_if%u", i->name, ifindex);
	else
		snprintf(i->label, sizeof(i->label), "%s", i->name);
	i->selected = nm_selected(&c->interfaces, i->name);
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	uint32_t ifindex = (uint32_t)h->ifi_index;
	struct state *s = v->state;
	struct iface *i;

	if (m->gone) {
		nm_map_del(&s->ifaces, &ifindex);
		return 0;
	}
	if (h->ifi_index <= 0 || !nm_str(m->attr[IFLA_IFNAME]))
		return 0;
	i = nm_map_put(&s->ifaces, &ifindex, NULL);
	if (!i)
		return -ENOMEM;
	i->seen = s->dump;
	name_iface(v, i, ifindex, nm_str(m->attr[IFLA_IFNAME]));
	return 0;
}

static int on_ipv6(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	const struct nlattr *info = m->attr[IFLA_PROTINFO];
	struct state *s = v->state;
	uint32_t ifindex = (uint32_t)h->ifi_index;
	struct iface *i = nm_map_get(&s->ifaces, &ifindex);
	const struct nlattr *stats = nm_in(info, IFLA_INET6_STATS);

	if (!i || !stats)
		return 0;
	nm_bytes(stats, i->stats, sizeof(i->stats));
	/* The first number is how many there are: an order that is not known has another length. */
	i->nstats = i->stats[0] <= PLACES && i->stats[0] * 8 == mnl_attr_get_payload_len(stats) ?
			    i->stats[0] :
			    0;
	i->nicmp6 = nm_bytes(nm_in(info, IFLA_INET6_ICMP6STATS), i->icmp6, sizeof(i->icmp6)) / 8;
	return 0;
}

static int on_counters(struct nm_view *v, const struct nm_msg *m)
{
	const struct if_stats_msg *h = m->hdr;
	struct state *s = v->state;
	uint32_t ifindex = h->ifindex;
	struct iface *i = nm_map_get(&s->ifaces, &ifindex);
	struct rtnl_link_stats64 stats = {0};

	if (!i || !m->attr[IFLA_STATS_LINK_64])
		return 0;
	nm_bytes(m->attr[IFLA_STATS_LINK_64], &stats, sizeof(stats));
	i->total[0] = stats.rx_bytes;
	i->total[1] = stats.tx_bytes;
	i->has_total = true;
	return 0;
}

/* ---- switches --------------------------------------------------------------------------------- */

enum { OVER_IPV4, OVER_IPV6, FAMILIES };

static const struct toggle {
	unsigned what;
	bool numeric;                 /* more than on and off: a gauge */
	const char *values[FAMILIES]; /* type instances */
	const char *words;            /* in a message */
	enum nm_severity off, on;
	int32_t leader; /* what the kernel changes all interfaces with */
} toggles[SWITCHES] = {
	[NETCONFA_FORWARDING] = {FORWARDING,
				 false,
				 {"ipv4_forwarding", "ipv6_forwarding"},
				 "forwarding",
				 NM_FAILURE,
				 NM_OKAY,
				 NETCONFA_IFINDEX_ALL},
	[NETCONFA_RP_FILTER] = {RP_FILTER,
				true,
				{"rp_filter", NULL},
				"reverse path filter",
				NM_WARNING,
				NM_OKAY,
				NETCONFA_IFINDEX_DEFAULT},
	[NETCONFA_MC_FORWARDING] = {MC_FORWARDING,
				    false,
				    {"ipv4_mc_forwarding", "ipv6_mc_forwarding"},
				    "multicast forwarding",
				    NM_WARNING,
				    NM_OKAY,
				    NETCONFA_IFINDEX_ALL},
	[NETCONFA_PROXY_NEIGH] = {PROXY_NEIGH,
				  false,
				  {"ipv4_proxy_neigh", "ipv6_proxy_neigh"},
				  "proxy for neighbours",
				  NM_OKAY,
				  NM_WARNING,
				  NETCONFA_IFINDEX_DEFAULT},
	[NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN] = {IGNORE_LINKDOWN,
						  false,
						  {"ipv4_ignore_linkdown", "ipv6_ignore_linkdown"},
						  "ignoring routes without a carrier",
						  NM_WARNING,
						  NM_OKAY,
						  NETCONFA_IFINDEX_ALL},
};

static const char *value_word(unsigned t, int32_t value)
{
	static const char *const rp_filter[] = {"off", "strict", "loose"};

	if (!toggles[t].numeric)
		return value ? "on" : "off";
	return value >= 0 && value < (int32_t)NM_COUNT(rp_filter) ? rp_filter[value] : "unknown";
}

/* A loose reverse path filter (2) is less than a strict one (1). */
static int strength(unsigned t, int32_t value)
{
	return !toggles[t].numeric ? value != 0 : value == 1 ? 2 : value == 2;
}

/*
 * One word of an operator's switches every interface, and the kernel tells of
 * each: what only follows is not told again.  What was told as a failure is.
 */
static bool follows(const struct nm_view *v, const struct place *k, unsigned t,
		    const struct value *w)
{
	const struct state *s = v->state;
	const struct place leader = {toggles[t].leader, k->family};
	const struct conf *c = nm_map_get(&s->confs, &leader);
	const struct value *l = c ? &c->v[t] : NULL;

	return l && l != w && k->ifindex != NETCONFA_IFINDEX_ALL && l->is == w->is &&
	       l->at > w->before && v->readings - l->reading <= 1 && !w->alarm;
}

/* Where a switch is, NULL: nobody wants to be told about it. */
static const char *place_name(const struct nm_view *v, const struct place *k)
{
	const struct state *s = v->state;
	uint32_t ifindex = (uint32_t)k->ifindex;
	const struct iface *i = nm_map_get(&s->ifaces, &ifindex);

	if (k->ifindex == NETCONFA_IFINDEX_ALL)
		return "all";
	if (k->ifindex == NETCONFA_IFINDEX_DEFAULT)
		return "default";
	return i && i->selected ? i->label : NULL;
}

static void tell(struct nm_view *v, const struct place *k, unsigned t, struct value *w)
{
	const struct config *c = v->config;
	const char *name = place_name(v, k), *ip = k->family == AF_INET ? "IPv4" : "IPv6",
		   *old = value_word(t, w->was), *new = value_word(t, w->is);
	bool more = strength(t, w->is) > strength(t, w->was), follower = follows(v, k, t, w);
	enum nm_severity severity = more ? toggles[t].on : toggles[t].off;
	struct nm_notice *n;

	w->pending = false;
	w->was = w->is;
	if (follower || !name || !(c->notify & toggles[t].what))
		return;
	w->alarm = severity != NM_OKAY;
	n = nm_notify(v, severity, nm_name(&notices, toggles[t].what), name);
	if (!n)
		return;
	nm_meta(n, "family", "%s", k->family == AF_INET ? "ipv4" : "ipv6");
	nm_change(n, old, new);
	if (k->ifindex > 0)
		nm_meta(n, "ifindex", "%d", k->ifindex);
	nm_say(n, "%s%s: %s %s was %s and is %s", k->ifindex > 0 ? "interface " : "",
	       k->ifindex > 0                     ? name :
	       k->ifindex == NETCONFA_IFINDEX_ALL ? "all interfaces" :
						    "new interfaces",
	       ip, toggles[t].words, old, new);
}

/* What all interfaces follow first. */
static void tell_all(struct nm_view *v)
{
	enum { OTHERS = NETCONFA_IFINDEX_DEFAULT - 1 };
	struct state *s = v->state;
	const void *key;
	struct conf *c;

	for (int32_t turn = NETCONFA_IFINDEX_ALL; s->pending && turn >= OTHERS; turn--)
		for (size_t i = 0; (c = nm_map_next(&s->confs, &key, &i));) {
			const struct place *k = key;

			for (unsigned t = 0; t < SWITCHES; t++)
				if (c->v[t].pending && (k->ifindex == turn || turn == OTHERS))
					tell(v, k, t, &c->v[t]);
		}
	s->pending = false;
}

static void set_switch(struct nm_view *v, struct conf *c, unsigned t, int32_t value)
{
	struct state *s = v->state;
	struct value *w = &c->v[t];

	if (w->known && w->is == value)
		return;
	c->changed = true;
	if (w->pending) /* it changed twice before anybody could be told */
		tell_all(v);
	if (!w->known || !v->news) {
		*w = (struct value){.known = true, .is = value, .was = value};
		return;
	}
	w->is = value;
	w->before = w->at;
	w->at = v->now;
	w->reading = v->readings;
	w->pending = s->pending = true;
}

static int on_netconf(struct nm_view *v, const struct nm_msg *m)
{
	const struct netconfmsg *h = m->hdr;
	struct place k = {(int32_t)nm_uint(m->attr[NETCONFA_IFINDEX]), h->ncm_family};
	struct state *s = v->state;
	struct conf *c;

	if ((k.family != AF_INET && k.family != AF_INET6) || !m->attr[NETCONFA_IFINDEX])
		return 0;
	if (m->gone) {
		nm_map_del(&s->confs, &k);
		return 0;
	}
	c = nm_map_put(&s->confs, &k, NULL);
	if (!c)
		return -ENOMEM;
	c->seen = s->dump;
	for (unsigned t = 0; t < SWITCHES; t++) /* an event has the one that changed */
		if (toggles[t].words && m->attr[t])
			set_switch(v, c, t, (int32_t)nm_uint(m->attr[t]));
	/* Interfaces that were never set take over the default, and no event tells which. */
	if (m->event && k.family == AF_INET && k.ifindex == NETCONFA_IFINDEX_DEFAULT)
		nm_distrust(v, m->src);
	return 0;
}

/*
 * With IPv6 the kernel tells of "all" after its interfaces, and has it changed
 * before: it is asked, so that the first notice is the one that says it all.
 */
static int ask_leaders(struct nm_view *v)
{
	struct state *s = v->state;
	bool wanted[2] = {false, false};
	const struct conf *c;
	const void *key;
	int err = 0;

	for (size_t i = 0; (c = nm_map_next(&s->confs, &key, &i));) {
		const struct place *k = key;

		for (unsigned t = 0; t < SWITCHES; t++)
			wanted[k->family == AF_INET6] |= c->v[t].pending && k->ifindex > 0 &&
							 toggles[t].leader == NETCONFA_IFINDEX_ALL;
	}
	for (size_t i = 0; err != -ENOMEM && i < NM_COUNT(wanted); i++) {
		struct place all = {NETCONFA_IFINDEX_ALL, i ? AF_INET6 : AF_INET};

		if (wanted[i])
			err = nm_ask(v, &sources[NETCONF], &all);
	}
	return err == -ENOMEM ? err : 0;
}

static int tell_pending(struct nm_view *v)
{
	struct state *s = v->state;
	int err = s->pending ? ask_leaders(v) : 0;

	tell_all(v);
	return err;
}

/* ---- counters of whole protocols ------------------------------------------------------------------ */

static bool listed(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

/* A counter that was not seen before.  NULL: no memory, or its name is none of the kernel's. */
static struct counter *learn(const struct nm_view *v, struct text *t, const char *group,
			     size_t group_len, const char *name, size_t name_len)
{
	static const char *const levels[] = {
		"Ip:Forwarding", "Ip:DefaultTTL", "Tcp:RtoAlgorithm", "Tcp:RtoMin",
		"Tcp:RtoMax",    "Tcp:MaxConn",   "Tcp:CurrEstab",    "MPTcpExt:MPCurrEstab",
	};
	const struct config *cfg = v->config;
	struct counter *c;

	if (t->n == t->room && t->n < MAX_COUNTERS) {
		c = reallocarray(t->v, t->room + 256, sizeof(*c));
		t->failed |= !c;
		if (!c)
			return NULL;
		t->v = c;
		t->room += 256;
	}
	if (t->n == t->room || !group_len || !name_len || group_len + 1 + name_len >= NAME_SIZE)
		return NULL;
	c = &t->v[t->n++];
	*c = (struct counter){.colon = (uint8_t)group_len, .mib = -1};
	memcpy(c->name, group, group_len);
	c->name[group_len] = ':';
	memcpy(c->name + group_len + 1, name, name_len);
	c->level = listed(NM_ARRAY(levels), c->name);
	c->selected = cfg->values.n || cfg->values.invert ? nm_selected(&cfg->values, c->name) :
							    listed(NM_ARRAY(by_default), c->name);
	for (size_t i = 0; i < NM_COUNT(mibs); i++) /* "Ip6:InReceives" is "Ip6InReceives" there */
		if (!strncmp(mibs[i].name, c->name, group_len) &&
		    !strcmp(mibs[i].name + group_len, c->name + group_len + 1))
			c->mib = (int8_t)i;
	return c;
}

static bool is(const struct counter *c, const char *group, size_t group_len, const char *name,
	       size_t name_len)
{
	return c->colon == group_len && !memcmp(c->name, group, group_len) &&
	       !strncmp(c->name + group_len + 1, name, name_len) &&
	       !c->name[group_len + 1 + name_len];
}

/* Found by its name; that it mostly stands where it stood only makes this quick. */
static struct counter *counter_of(const struct nm_view *v, struct text *t, const char *group,
				  size_t group_len, const char *name, size_t name_len)
{
	if (group_len + 1 + name_len >= NAME_SIZE)
		return NULL;
	for (size_t i = 0; i < t->n; i++, t->at++) {
		if (t->at >= t->n)
			t->at = 0;
		if (is(&t->v[t->at], group, group_len, name, name_len))
			return &t->v[t->at++];
	}
	return learn(v, t, group, group_len, name, name_len);
}

static void set_counter(const struct nm_view *v, struct text *t, const char *group,
			size_t group_len, const char *name, size_t name_len, const char *number)
{
	struct counter *c = counter_of(v, t, group, group_len, name, name_len);
	struct state *s = v->state;
	char *end;

	if (!c)
		return;
	c->value = strtoull(number, &end, 10); /* "-1" of MaxConn becomes what it is as int64_t */
	c->known = end != number && (c->level || *number != '-');
	if (c->mib >= 0 && t == &s->text[SNMP6 - SNMP]) {
		s->total[c->mib] = c->value;
		s->has_total[c->mib] = c->known;
	}
}

/* "Ip: Forwarding DefaultTTL" and below it "Ip: 1 64". */
static int on_snmp(struct nm_view *v, const struct nm_msg *m)
{
	struct state *s = v->state;
	struct text *t = &s->text[m->src - &sources[SNMP]];
	const char *line = m->text, *names, *values, *group, *again, *name, *number;
	size_t group_len, again_len, name_len, number_len;

	while (*line) {
		names = line;
		line += strcspn(line, "\n");
		line += *line == '\n';
		values = line;
		group = nm_word(&names, &group_len);
		again = nm_word(&values, &again_len);
		if (!group || !again || group[group_len - 1] != ':' || group_len != again_len ||
		    memcmp(group, again, group_len) != 0)
			continue;
		line += strcspn(line, "\n");
		line += *line == '\n';
		while ((name = nm_word(&names, &name_len)) &&
		       (number = nm_word(&values, &number_len)))
			set_counter(v, t, group, group_len - 1, name, name_len, number);
	}
	return t->failed ? -ENOMEM : 0;
}

/* "Ip6InReceives 6": the protocol ends with the 6. */
static int on_snmp6(struct nm_view *v, const struct nm_msg *m)
{
	struct state *s = v->state;
	struct text *t = &s->text[SNMP6 - SNMP];
	const char *line = m->text, *name, *number, *six;
	size_t name_len, number_len, group_len;

	while (*line) {
		name = nm_word(&line, &name_len);
		number = name ? nm_word(&line, &number_len) : NULL;
		six = number ? memchr(name, '6', name_len) : NULL;
		group_len = six ? (size_t)(six + 1 - name) : 0;
		if (group_len && group_len < name_len)
			set_counter(v, t, name, group_len, name + group_len, name_len - group_len,
				    number);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return t->failed ? -ENOMEM : 0;
}

/* ---- softnet -------------------------------------------------------------------------------------- */

/* The kernel's counters are 32 bits wide and wrap within the hour: what they grow by is summed. */
static int on_softnet(struct nm_view *v, const struct nm_msg *m)
{
	struct state *s = v->state;
	const char *line = m->text, *w;
	uint32_t now[SOFTNET_COLUMNS], lines = 0, number;
	struct cpu *c;
	size_t n, len;

	for (; *line; line += *line == '\n') {
		for (n = 0; n < NM_COUNT(now) && (w = nm_word(&line, &len)); n++)
			now[n] = (uint32_t)strtoul(w, NULL, 16);
		line += strcspn(line, "\n");
		number = n > CPU ? now[CPU] : lines; /* before Linux 5.10 lines only count */
		lines++;
		if (n <= SQUEEZED)
			continue;
		c = nm_map_put(&s->cpus, &number, NULL);
		if (!c)
			return -ENOMEM;
		for (size_t i = 0; i < n; i++) {
			c->sum[i] += now[i] - c->last[i];
			c->last[i] = now[i];
		}
		c->known = true;
	}
	return 0;
}

/* ---- dumps ------------------------------------------------------------------------------------------ */

static void begin_forward(struct nm_view *v, const struct nm_source *src)
{
	struct state *s = v->state;
	size_t which = (size_t)(src - sources);
	const void *key;
	struct iface *i;
	struct cpu *c;

	s->dump += which == LINKS || which == NETCONF;
	for (size_t at = 0; which == IPV6 && (i = nm_map_next(&s->ifaces, &key, &at));)
		i->nstats = i->nicmp6 = 0;
	for (size_t at = 0; which == COUNTERS && (i = nm_map_next(&s->ifaces, &key, &at));)
		i->has_total = false;
	for (size_t at = 0; which == SOFTNET && (c = nm_map_next(&s->cpus, &key, &at));)
		c->known = false;
	if (which >= SNMP && which <= SNMP6) {
		struct text *t = &s->text[which - SNMP];

		t->at = 0;
		t->failed = false;
		for (size_t at = 0; at < t->n; at++)
			t->v[at].known = false;
	}
	if (which == SNMP6)
		memset(s->has_total, 0, sizeof(s->has_total));
}

static void end_forward(struct nm_view *v, const struct nm_source *src, bool complete)
{
	struct state *s = v->state;
	const struct iface *i;
	const struct conf *c;
	const void *key;

	if (!complete)
		return;
	for (size_t at = 0; src == &sources[LINKS] && (i = nm_map_next(&s->ifaces, &key, &at));)
		if (i->seen != s->dump) {
			uint32_t ifindex = *(const uint32_t *)key;

			nm_map_del(&s->ifaces, &ifindex);
			at--;
		}
	for (size_t at = 0; src == &sources[NETCONF] && (c = nm_map_next(&s->confs, &key, &at));)
		if (c->seen != s->dump) {
			struct place k = *(const struct place *)key;

			nm_map_del(&s->confs, &k);
			at--;
		}
}

static int message_forward(struct nm_view *v, const struct nm_msg *m)
{
	static int (*const on[])(struct nm_view * v, const struct nm_msg *m) = {
		[LINKS] = on_link,        [NETCONF] = on_netconf, [IPV6] = on_ipv6,
		[COUNTERS] = on_counters, [SNMP] = on_snmp,       [NETSTAT] = on_snmp,
		[SNMP6] = on_snmp6,       [SOFTNET] = on_softnet,
	};

	return on[m->src - sources](v, m);
}

/* ---- what is submitted ---------------------------------------------------------------------- */

static void submit_counters(struct nm_reading *r, const struct text *t)
{
	const struct counter *last = NULL;
	char group[NAME_SIZE];

	for (size_t i = 0; i < t->n; i++) {
		const struct counter *c = &t->v[i];

		if (!c->selected || !c->known)
			continue;
		if (!last || strncmp(c->name, last->name, c->colon + 1u) != 0) {
			memcpy(group, c->name, c->colon);
			group[c->colon] = 0;
			nm_instance(r, group);
		}
		last = c;
		const char *name = nm_text(r, c->name + c->colon + 1);

		if (c->level)
			nm_gauge(r, "gauge", name, (double)(int64_t)c->value);
		else
			nm_derive(r, "protocol_counter", name, c->value);
	}
}

/* softnet_stat is of the whole machine: it belongs to no other namespace than collectd's own. */
static void submit_softnet(const struct nm_view *v, struct nm_reading *r)
{
	static const struct {
		const char *name;
		bool verbose;
		uint8_t column;
	} values[] = {
		{"packets", false, PROCESSED},      {"dropped", false, DROPPED},
		{"time_squeezed", false, SQUEEZED}, {"received_rps", true, RPS},
		{"flow_limited", true, FLOW_LIMIT},
	};
	const struct config *cfg = v->config;
	const struct state *s = v->state;
	uint64_t total[SOFTNET_COLUMNS] = {0};
	char instance[32];
	const struct cpu *c;
	const void *key;

	if (v->netns || !s->cpus.used)
		return;
	for (size_t i = 0; (c = nm_map_next(&s->cpus, &key, &i));) {
		snprintf(instance, sizeof(instance), "softnet_cpu%u", *(const uint32_t *)key);
		for (size_t k = 0; k < SOFTNET_COLUMNS; k++)
			total[k] += c->sum[k];
		if (!cfg->verbose || !c->known)
			continue;
		nm_instance(r, instance);
		for (size_t k = 0; k < NM_COUNT(values); k++)
			nm_derive(r, "derive", values[k].name, c->sum[values[k].column]);
	}
	nm_instance(r, "softnet");
	for (size_t k = 0; k < NM_COUNT(values); k++)
		if (!values[k].verbose || cfg->verbose)
			nm_derive(r, "derive", values[k].name, total[values[k].column]);
}

static void submit_switches(const struct nm_view *v, struct nm_reading *r, const char *label,
			    int32_t ifindex)
{
	const struct state *s = v->state;
	bool due = nm_slow_due(v, ifindex > 0 ? (uint32_t)ifindex : 0);

	nm_slow(r, true);
	for (unsigned f = 0; f < FAMILIES; f++) {
		struct place k = {ifindex, f == OVER_IPV4 ? AF_INET : AF_INET6};
		struct conf *c = nm_map_get(&s->confs, &k);

		if (!c || (!due && !c->changed))
			continue;
		nm_instance(r, label);
		for (unsigned t = 0; t < SWITCHES; t++) {
			const char *name = c->v[t].known ? toggles[t].values[f] : NULL;

			if (name && toggles[t].numeric)
				nm_gauge(r, "gauge", name, c->v[t].is);
			else if (name)
				nm_gauge(r, "bool", name, c->v[t].is != 0);
		}
		c->changed = false;
	}
	nm_slow(r, false);
}

/*
 * Which orders of the array can be true.  Whatever an interface counts, snmp6
 * counts too, and was read later: an order in which the interfaces together
 * have more than snmp6 has under that name is not this kernel's.
 */
static void rule_out(struct state *s)
{
	uint64_t sum[PLACES] = {0};
	const struct iface *i;
	const void *key;

	s->places = 0;
	for (size_t at = 0; (i = nm_map_next(&s->ifaces, &key, &at));) {
		s->places = s->places ? s->places : i->nstats;
		for (size_t k = 0; i->nstats == s->places && k < i->nstats; k++)
			sum[k] += i->stats[k];
	}
	s->orders = s->places == PLACES ? 1 << LINUX_6_7 | 1 << LINUX_6_15 :
		    s->places == PLACES - 1 || s->places == PLACES - 2 ? 1 << LINUX_3 :
									 0;
	for (size_t m = 0; m < NM_COUNT(mibs); m++)
		for (unsigned o = 0; s->has_total[m] && o < ORDERS; o++)
			if (sum[mibs[m].place[o]] > s->total[m] && mibs[m].place[o])
				s->orders &= ~(1u << o);
}

/* A counter of an interface: known when every order that can be true gives the same. */
static bool ipv6_counter(const struct state *s, const struct iface *i, size_t m, uint64_t *to)
{
	bool any = false;

	for (unsigned o = 0; o < ORDERS && i->nstats == s->places; o++) {
		uint8_t place = mibs[m].place[o];

		if (!(s->orders & 1u << o))
			continue;
		if (!place || (any && i->stats[place] != *to))
			return false;
		*to = i->stats[place];
		any = true;
	}
	return any;
}

/* Before OutTransmits, OutRequests had what was made here, and forwarded packets stood beside. */
static bool ipv6_sent(const struct state *s, const struct iface *i, uint64_t *to)
{
	uint64_t forwarded;

	if (s->orders != 1 << LINUX_3)
		return ipv6_counter(s, i, OUT_PACKETS, to);
	if (!ipv6_counter(s, i, OUT_REQUESTS, to) || !ipv6_counter(s, i, OUT_FORWARDED, &forwarded))
		return false;
	*to += forwarded;
	return true;
}

/* A counter that is less than it was has started anew. */
static uint64_t growth(uint64_t now, uint64_t last)
{
	return now >= last ? now - last : now;
}

/* What the total grew by and IPv6 did not, reading by reading: an upper bound at any time. */
static void submit_estimate(struct nm_reading *r, struct iface *i, const uint64_t ipv6[2])
{
	if (!i->has_total)
		return;
	for (size_t k = 0; k < 2; k++) {
		uint64_t total = growth(i->total[k], i->last_total[k]),
			 less = growth(ipv6[k], i->last_ipv6[k]);

		i->estimate[k] += total > less ? total - less : 0;
		i->last_total[k] = i->total[k];
		i->last_ipv6[k] = ipv6[k];
	}
	nm_derive2(r, "if_octets", "ipv4_estimated", i->estimate[0], i->estimate[1]);
}

static void submit_iface(const struct nm_view *v, struct nm_reading *r, uint32_t ifindex,
			 struct iface *i)
{
	const struct config *cfg = v->config;
	const struct state *s = v->state;
	uint64_t octets[2], packets[2], value;

	if (!i->nstats)
		return;
	nm_instance(r, i->label);
	nm_owner(r, ifindex);
	if (ipv6_counter(s, i, IN_OCTETS, &octets[0]) &&
	    ipv6_counter(s, i, OUT_OCTETS, &octets[1])) {
		nm_derive2(r, "if_octets", "ipv6", octets[0], octets[1]);
		if (cfg->estimate)
			submit_estimate(r, i, octets);
	}
	if (ipv6_counter(s, i, IN_PACKETS, &packets[0]) && ipv6_sent(s, i, &packets[1]))
		nm_derive2(r, "if_packets", "ipv6", packets[0], packets[1]);
	for (size_t m = 0; cfg->verbose && m < NM_COUNT(mibs); m++)
		if (ipv6_counter(s, i, m, &value))
			nm_derive(r, "protocol_counter", mibs[m].name, value);
	for (size_t m = 1; cfg->verbose && m < i->nicmp6; m++)
		nm_derive(r, "protocol_counter", icmp6_names[m], i->icmp6[m]);
}

static int submit_forward(struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	struct iface *i;
	const void *key;
	int err = tell_pending(v);

	if (err)
		return err;
	for (size_t t = 0; t < NM_COUNT(s->text); t++)
		submit_counters(r, &s->text[t]);
	submit_softnet(v, r);
	submit_switches(v, r, "all", NETCONFA_IFINDEX_ALL);
	submit_switches(v, r, "default", NETCONFA_IFINDEX_DEFAULT);
	rule_out(s);
	for (size_t at = 0; (i = nm_map_next(&s->ifaces, &key, &at));)
		if (i->selected) {
			uint32_t ifindex = *(const uint32_t *)key;

			submit_iface(v, r, ifindex, i);
			submit_switches(v, r, i->label, (int32_t)ifindex);
		}
	return 0;
}

const struct nm_plugin netmon_forward = {
	.name = "netmon_forward",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_forward,
	.begin = begin_forward,
	.message = message_forward,
	.end = end_forward,
	.settle = tell_pending,
	.submit = submit_forward,
	.close = close_forward,
};
