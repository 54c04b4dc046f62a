/* SPDX-License-Identifier: MIT */
/* netmon_mdb: the bridges' multicast database: groups, router ports, queriers, IGMP and MLD. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "netmon.h"
#include "uapi.h"

/* ---- what the kernel's bytes mean ----------------------------------------------- */

static const struct nm_field src_rows[] = {
	NM_A(MDBA_MDB_SRCATTR_ADDRESS, ADDR),
	NM_A(MDBA_MDB_SRCATTR_TIMER, UINT),
};
static const struct nm_table src = NM_ATTRS("MDBA_MDB_SRCATTR_", src_rows, &nm_MDBA_SRCATTR);

static const struct nm_field src_list_rows[] = {
	NM_A(MDBA_MDB_SRCLIST_ENTRY, NEST, .table = &src),
};
static const struct nm_table src_list = NM_ATTRS("MDBA_MDB_SRCLIST_", src_list_rows, NULL);

static const struct nm_name mode_names[] = {
	{MCAST_EXCLUDE, "exclude"},
	{MCAST_INCLUDE, "include"},
};
static const struct nm_names modes = {NM_ARRAY(mode_names)};

static const struct nm_field eattr_rows[] = {
	NM_A(MDBA_MDB_EATTR_TIMER, UINT),
	NM_A(MDBA_MDB_EATTR_SRC_LIST, LIST, .table = &src_list),
	NM_A(MDBA_MDB_EATTR_GROUP_MODE, ENUM, .names = &modes),
	NM_A(MDBA_MDB_EATTR_SOURCE, ADDR),
	NM_A(MDBA_MDB_EATTR_RTPROT, ENUM, .names = &nm_RTPROT),
	NM_A(MDBA_MDB_EATTR_DST, ADDR), /* of VXLAN */
	NM_A(MDBA_MDB_EATTR_DST_PORT, UINT),
	NM_A(MDBA_MDB_EATTR_VNI, UINT),
	NM_A(MDBA_MDB_EATTR_IFINDEX, IFINDEX),
	NM_A(MDBA_MDB_EATTR_SRC_VNI, UINT),
};
static const struct nm_table eattr = NM_ATTRS("MDBA_MDB_EATTR_", eattr_rows, &nm_MDBA_EATTR);

static const struct nm_field entry_rows[] = {
	NM_M(br_mdb_entry, ifindex, IFINDEX),
	NM_M(br_mdb_entry, state, ENUM, .names = &nm_MDB_STATE),
	NM_M(br_mdb_entry, flags, BITS, .names = &nm_MDB_FLAGS),
	NM_M(br_mdb_entry, vid, UINT),
	NM_M(br_mdb_entry, addr, GROUP),
};
static const struct nm_table entry = NM_STRUCT_OF(br_mdb_entry, "", entry_rows, &eattr);

/* One group of a bridge has an MDBA_MDB_ENTRY with one of these for each of its ports. */
static const struct nm_field ports_of_group_rows[] = {
	NM_A(MDBA_MDB_ENTRY_INFO, STRUCT, .table = &entry),
};
static const struct nm_table ports_of_group =
	NM_ATTRS("MDBA_MDB_ENTRY_", ports_of_group_rows, NULL);

static const struct nm_field groups_rows[] = {
	NM_A(MDBA_MDB_ENTRY, LIST, .table = &ports_of_group),
};
static const struct nm_table groups = NM_ATTRS("MDBA_MDB_", groups_rows, NULL);

static const struct nm_field pattr_rows[] = {
	NM_A(MDBA_ROUTER_PATTR_TIMER, UINT),
	NM_A(MDBA_ROUTER_PATTR_TYPE, ENUM, .names = &nm_MDB_RTR_TYPE),
	NM_A(MDBA_ROUTER_PATTR_INET_TIMER, UINT),
	NM_A(MDBA_ROUTER_PATTR_INET6_TIMER, UINT),
	NM_A(MDBA_ROUTER_PATTR_VID, UINT),
};
static const struct nm_table pattr = NM_ATTRS("MDBA_ROUTER_PATTR_", pattr_rows, &nm_MDBA_ROUTER);

struct router_port { /* the kernel has no name for it */
	uint32_t ifindex;
};
static const struct nm_field router_port_rows[] = {
	NM_M(router_port, ifindex, IFINDEX),
};
static const struct nm_table router_port = NM_STRUCT_OF(router_port, "", router_port_rows, &pattr);

static const struct nm_field routers_rows[] = {
	NM_A(MDBA_ROUTER_PORT, STRUCT, .table = &router_port),
};
static const struct nm_table routers = NM_ATTRS("MDBA_ROUTER_", routers_rows, NULL);

static const struct nm_field mdba_rows[] = {
	NM_A(MDBA_MDB, LIST, .table = &groups),
	NM_A(MDBA_ROUTER, LIST, .table = &routers),
};
static const struct nm_table mdba = NM_ATTRS("MDBA_", mdba_rows, &nm_MDBA);

static const struct nm_field br_port_rows[] = {
	NM_M(br_port_msg, ifindex, IFINDEX),
};
static const struct nm_table br_port = NM_STRUCT_OF(br_port_msg, "", br_port_rows, &mdba);

/* The options of a VLAN, or of some that follow one another. */
static const struct nm_field gopts_rows[] = {
	NM_A(BRIDGE_VLANDB_GOPTS_ID, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_RANGE, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_SNOOPING, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_IGMP_VERSION, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_MLD_VERSION, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_LAST_MEMBER_CNT, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_STARTUP_QUERY_CNT, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_LAST_MEMBER_INTVL, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_MEMBERSHIP_INTVL, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_QUERIER_INTVL, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_QUERY_INTVL, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_QUERY_RESPONSE_INTVL, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_STARTUP_QUERY_INTVL, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_QUERIER, UINT),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_ROUTER_PORTS, NEST, .table = &mdba),
	NM_A(BRIDGE_VLANDB_GOPTS_MCAST_QUERIER_STATE, NEST, .table = &nm_querier_table),
	NM_A(BRIDGE_VLANDB_GOPTS_MSTI, UINT),
};
static const struct nm_table gopts =
	NM_ATTRS("BRIDGE_VLANDB_GOPTS_", gopts_rows, &nm_BRIDGE_VLANDB_GOPTS);

static const struct nm_field vlandb_rows[] = {
	NM_A(BRIDGE_VLANDB_GLOBAL_OPTIONS, NEST, .many = true, .table = &gopts),
};
static const struct nm_table vlandb = NM_ATTRS("BRIDGE_VLANDB_", vlandb_rows, &nm_BRIDGE_VLANDB);

static const struct nm_field br_vlan_rows[] = {
	NM_M(br_vlan_msg, ifindex, IFINDEX),
};
static const struct nm_table br_vlan = NM_STRUCT_OF(br_vlan_msg, "", br_vlan_rows, &vlandb);

/* ---- what is asked ---------------------------------------------------------------- */

/* Bridges only: their ports have a source of their own.  Older kernels answer with all links. */
static void ask_bridges(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	struct ifinfomsg *h = mnl_nlmsg_get_payload(nlh);
	struct nlattr *nest;

	(void)v;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (key) {
		h->ifi_index = *(const int *)key;
		return;
	}
	nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(nlh, nest);
}

static void ask_statistics(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	struct if_stats_msg *h = mnl_nlmsg_get_payload(nlh);

	(void)v;
	(void)key;
	h->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_XSTATS) |
			 IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_XSTATS_SLAVE);
}

static void ask_vlans(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	(void)key;
	mnl_attr_put_u32(nlh, BRIDGE_VLANDB_DUMP_FLAGS, BRIDGE_VLANDB_DUMPF_GLOBAL);
}

/* Not with the other sources: poll_vlans() asks, where a bridge has such VLANs. */
static bool want_vlans(const void *config)
{
	(void)config;
	return false;
}

enum { BRIDGES, PORTS, MDB, STATISTICS, VLANS };

static const struct nm_source sources[] = {
	[BRIDGES] = {"bridges", .get = RTM_GETLINK, .add = RTM_NEWLINK, .del = RTM_DELLINK,
		     .kept = true, .group = {RTNLGRP_LINK}, .table = &nm_link_table,
		     .ask = ask_bridges},
	[PORTS] = {"ports", .get = RTM_GETLINK, .add = RTM_NEWLINK, .del = RTM_DELLINK,
		   .af = AF_BRIDGE, .kept = true, .group = {RTNLGRP_LINK},
		   .table = &nm_port_link_table},
	/* an event is an RTM_NEWMDB, an answer has the question's own number and no family */
	[MDB] = {"mdb", .get = RTM_GETMDB, .add = RTM_GETMDB, .del = RTM_DELMDB,
		 .ntf = {RTM_NEWMDB}, .af = AF_BRIDGE, .any_af = true, .kept = true, .torn = true,
		 .group = {RTNLGRP_MDB}, .table = &br_port, .without = "the multicast database"},
	/* kept: dumped by poll_statistics() and not at every reading */
	[STATISTICS] = {"statistics", .get = RTM_GETSTATS, .add = RTM_NEWSTATS, .kept = true,
			.table = &nm_if_stats_table, .ask = ask_statistics,
			.without = "IGMP and MLD statistics"},
	[VLANS] = {"vlans", .get = RTM_GETVLAN, .add = RTM_NEWVLAN, .af = AF_BRIDGE, .kept = true,
		   .table = &br_vlan, .ask = ask_vlans, .wanted = want_vlans,
		   .without = "queriers of VLANs"},
};

/* ---- what is configured -------------------------------------------------------------- */

enum {
	QUERIER = 1 << 0,
	SNOOPING = 1 << 1,
	LIMIT = 1 << 2,
	JOINED = 1 << 3,
	LEFT = 1 << 4,
};
static const struct nm_name notice_names[] = {
	{QUERIER, "querier"}, {SNOOPING, "snooping"}, {LIMIT, "limit"},
	{JOINED, "joined"},   {LEFT, "left"},
};
static const struct nm_names notices = {NM_ARRAY(notice_names)};

struct config {
	struct nm_config common;
	struct nm_select bridges, ports;
	bool verbose;
	unsigned vlans, notify;
};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.vlans = NM_SUMMARY,
	.notify = QUERIER | SNOOPING | LIMIT,
};

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Bridge", NM_OPT_SELECT, bridges, .def = "all",
		.help = "Bridges to report, with their ports: names or POSIX extended regular expressions "
			"between slashes, not anchored. May stand several times. An empty list is all."),
	NM_OPTION(config, "IgnoreSelected", NM_OPT_BOOL, bridges.invert,
		  .help = "Report all bridges but those of Bridge."),
	NM_OPTION(
		config, "Port", NM_OPT_SELECT, ports, .def = "all",
		.help = "Ports of these bridges to report, in the same way. A bridge's own values count "
			"all of its ports whatever stands here."),
	NM_OPTION(config, "PortIgnoreSelected", NM_OPT_BOOL, ports.invert,
		  .help = "Report all ports but those of Port."),
	NM_OPTION(
		config, "CollectVlans", NM_OPT_WORD, vlans, .words = &nm_details,
		.help = "Groups, entries and queriers of each VLAN: not, of a bridge, or groups and entries "
			"of each port too."),
	NM_OPTION(config, "Verbose", NM_OPT_BOOL, verbose,
		  .help = "Report IGMP and MLD packets by version of the protocol too."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &notices,
		  .help = "Which changes are told by a notification."),
};

/* ---- what is kept ----------------------------------------------------------------------- */

#define VIDS 4096 /* 802.1Q */

enum { IPV4, IPV6, FAMILIES };
enum { NOBODY, OWN, OTHER };

struct querier {
	uint8_t who;
	uint8_t address[16];
	uint32_t port;
	uint32_t left; /* 1/100 s until it counts as lost */
};

/* Who queries on a bridge, or in one of its VLANs. */
struct queriers {
	bool own;          /* is a querier itself, unless there is another */
	bool known;        /* .is */
	bool was_known;    /* .told: the last that was known */
	uint32_t interval; /* 1/100 s until another counts as lost */
	struct querier is[FAMILIES], told[FAMILIES];
};

struct device {
	char name[IFNAMSIZ];
	bool selected;
};

struct bridge {
	struct device dev;
	bool snooping, statistics;
	bool per_vlan; /* each VLAN has queriers of its own, which no link tells */
	uint32_t limit;
	uint32_t versions; /* of IGMP and MLD: what the dump tells depends on them */
	struct queriers queriers;
	bool changed, full;
	uint32_t seen; /* number of the dump that had it last */
};

struct port {
	struct device dev;
	uint32_t bridge;
	uint32_t limit; /* 0: none */
	bool changed, full;
	bool gone; /* not forgotten before the next reading: its entries go after it */
	uint32_t seen;
};

struct entry_key {
	uint32_t bridge, port; /* the same: the bridge itself is a member */
	uint16_t vid;
	uint16_t proto; /* big-endian; 0: a MAC address */
	uint8_t group[16], source[16];
};

struct entry {
	uint8_t state, flags, mode;
	uint8_t missed; /* dumps one after another that did not have it */
	uint32_t seen;
};
#define NO_MODE   0xff
#define CONFIRMED 3

struct router_key {
	uint32_t bridge, port;
};

/* What is counted of a bridge, a port, and each VLAN of them. */
enum { GROUPS, ENTRIES, TEMPORARY, PERMANENT, BLOCKED, SOURCES, INCLUDE, EXCLUDE, HOST, COUNTS };

struct place {
	uint32_t ifindex;
	uint32_t vid; /* 0: all of them */
};

struct vlan {
	bool snooping;
	struct queriers queriers;
	uint32_t routers; /* ports */
	bool changed;
	uint32_t seen;
};

struct counts {
	uint32_t n[COUNTS];
	bool changed;
};

/* How many entries have a group: what is counted are the groups, whoever joined them. */
struct member_key {
	uint32_t ifindex;
	uint16_t vid, proto;
	uint8_t group[16], source[16];
	uint32_t count; /* GROUPS or ENTRIES */
};

struct statistics {
	struct br_mcast_stats c;
	size_t len;
	uint32_t seen;
};

struct state {
	struct nm_map bridges;    /* ifindex -> struct bridge */
	struct nm_map ports;      /* ifindex -> struct port */
	struct nm_map entries;    /* struct entry_key -> struct entry */
	struct nm_map routers;    /* struct router_key -> uint32_t: the dump that had it last */
	struct nm_map places;     /* struct place -> struct counts */
	struct nm_map members;    /* struct member_key -> uint32_t */
	struct nm_map statistics; /* ifindex -> struct statistics */
	struct nm_map vlans;      /* struct place, of a bridge -> struct vlan */
	uint32_t dump;            /* number of the dump that runs or ran last */
	uint32_t statistics_dump, vlans_dump;
	bool recount;        /* memory ran out while something was counted */
	bool again;          /* the database must be dumped again before it is believed */
	bool surprise;       /* this dump had an entry of which no event told */
	bool tells_queriers; /* Linux 5.15 */
	bool left;           /* a bridge or port has gone */
	uint32_t *asked;     /* bridges */
	size_t asked_room;
};

static int open_mdb(struct nm_view *v)
{
	struct state *s = v->state;

#define MAP(k, v_) {.key = sizeof(k), .val = sizeof(v_)}
	s->bridges = (struct nm_map)MAP(uint32_t, struct bridge);
	s->ports = (struct nm_map)MAP(uint32_t, struct port);
	s->entries = (struct nm_map)MAP(struct entry_key, struct entry);
	s->routers = (struct nm_map)MAP(struct router_key, uint32_t);
	s->places = (struct nm_map)MAP(struct place, struct counts);
	s->members = (struct nm_map)MAP(struct member_key, uint32_t);
	s->statistics = (struct nm_map)MAP(uint32_t, struct statistics);
	s->vlans = (struct nm_map)MAP(struct place, struct vlan);
	return 0;
}

static void close_mdb(struct nm_view *v)
{
	struct state *s = v->state;

	nm_map_free(&s->bridges);
	nm_map_free(&s->ports);
	nm_map_free(&s->entries);
	nm_map_free(&s->routers);
	nm_map_free(&s->places);
	nm_map_free(&s->members);
	nm_map_free(&s->statistics);
	nm_map_free(&s->vlans);
	free(s->asked);
}

static void take_name(struct device *d, const struct nm_select *select, const char *name)
{
	if (!strcmp(d->name, name))
		return;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->selected = nm_selected(select, d->name);
}

/* "self" is what reading costs. */
static const char *label(const struct device *d, uint32_t ifindex, char buf[static 32])
{
	snprintf(buf, 32, strcmp(d->name, "self") ? "%s" : "%s_if%u", d->name, ifindex);
	return buf;
}

static const struct counts *counts_of(const struct state *s, uint32_t ifindex)
{
	static const struct counts none;
	const struct counts *c =
		nm_map_get(&s->places, &(struct place){.ifindex = ifindex, .vid = 0});

	return c ? c : &none;
}

/* The same, NULL where the kernel does not tell: then it is not known that there are none. */
static const struct counts *known_counts(const struct nm_view *v, uint32_t ifindex)
{
	return nm_source_error(v, MDB) ? NULL : counts_of(v->state, ifindex);
}

/* ---- who is told ------------------------------------------------------------------------ */

/* A notice, NULL when nobody wants it.  old and new may be NULL. */
static struct nm_notice *tell(struct nm_view *v, const struct device *d, uint32_t ifindex,
			      unsigned what, enum nm_severity severity, const char *old,
			      const char *new)
{
	const struct config *c = v->config;
	struct nm_notice *n;
	char buf[32];

	if (!v->news || !d->selected || !(c->notify & what))
		return NULL;
	n = nm_notify(v, severity, nm_name(&notices, what), label(d, ifindex, buf));
	if (!n)
		return NULL;
	nm_meta(n, "ifindex", "%u", ifindex);
	nm_change(n, old, new);
	return n;
}

#define TEXT INET6_ADDRSTRLEN

static const char *querier_text(const struct querier *q, int family, const char *own,
				char buf[static TEXT])
{
	if (q->who == OTHER &&
	    inet_ntop(family == IPV4 ? AF_INET : AF_INET6, q->address, buf, TEXT))
		return buf;
	return q->who == OWN ? own : "none";
}

static const char *group_text(uint16_t proto, const uint8_t *a, char buf[static TEXT])
{
	if (proto == htons(ETH_P_IP) || proto == htons(ETH_P_IPV6))
		inet_ntop(proto == htons(ETH_P_IP) ? AF_INET : AF_INET6, a, buf, TEXT);
	else
		snprintf(buf, TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4],
			 a[5]);
	return buf;
}

/* Whether the bridge takes the place of another querier makes a change, its own address none. */
static bool same_querier(const struct querier *a, const struct querier *b)
{
	return a->who == b->who &&
	       (a->who != OTHER || (a->port == b->port && !memcmp(a->address, b->address, 16)));
}

static void tell_querier(struct nm_view *v, const struct bridge *b, const struct place *at,
			 int family, const struct querier *was, const struct querier *is)
{
	static const char *const names[] = {[IPV4] = "ipv4", [IPV6] = "ipv6"};
	static const char *const versions[] = {[IPV4] = "IPv4", [IPV6] = "IPv6"};
	char old[TEXT], new[TEXT], vlan[16] = "";
	struct nm_notice *n;

	if (same_querier(was, is))
		return;
	n = tell(v, &b->dev, at->ifindex, QUERIER,
		 is->who == NOBODY  ? NM_FAILURE :
		 was->who == NOBODY ? NM_OKAY :
				      NM_WARNING,
		 querier_text(was, family, "own", old), querier_text(is, family, "own", new));
	if (!n)
		return;
	nm_meta(n, "family", "%s", names[family]);
	if (at->vid) {
		nm_meta(n, "vlan", "%u", at->vid);
		snprintf(vlan, sizeof(vlan), " VLAN %u", at->vid);
	}
	if (is->who == NOBODY)
		nm_meta(n, "reason", "%s", was->who == OWN ? "disabled" : "timeout");
	else if (is->who == OTHER && nm_ifname(v, is->port))
		nm_meta(n, "port", "%s", nm_ifname(v, is->port));
	nm_say(n, "bridge %s%s: the %s querier was %s and is %s%s", b->dev.name, vlan,
	       versions[family], querier_text(was, family, b->dev.name, old),
	       querier_text(is, family, b->dev.name, new),
	       is->who == NOBODY ? ": multicast groups will age out" : "");
}

static void tell_queriers(struct nm_view *v, const struct bridge *b, const struct place *at,
			  struct queriers *q)
{
	if (!q->known)
		return;
	for (int f = 0; f < FAMILIES; f++) {
		if (q->was_known)
			tell_querier(v, b, at, f, &q->told[f], &q->is[f]);
		q->told[f] = q->is[f];
	}
	q->was_known = true;
}

static void tell_snooping(struct nm_view *v, const struct bridge *b, uint32_t ifindex)
{
	bool limit = !b->snooping && b->limit &&
		     counts_of(v->state, ifindex)->n[ENTRIES] >= b->limit;
	struct nm_notice *n;

	n = tell(v, &b->dev, ifindex, SNOOPING, b->snooping ? NM_OKAY : NM_WARNING,
		 b->snooping ? "off" : "on", b->snooping ? "on" : "off");
	if (n && limit) {
		n->severity = NM_FAILURE;
		nm_meta(n, "reason", "limit");
	}
	nm_say(n, "bridge %s: multicast snooping is %s%s", b->dev.name, b->snooping ? "on" : "off",
	       limit ? "; the kernel does that when there are more groups than mcast_hash_max" :
		       "");
}

/* Full and not full any more. */
static void tell_limit(struct nm_view *v, const struct device *d, uint32_t ifindex, uint32_t n,
		       uint32_t limit, bool *full)
{
	bool was = *full;
	char old[16], new[16];

	*full = limit && n >= limit;
	if (was == *full || !v->readings) /* what was so at the start is no news */
		return;
	snprintf(old, sizeof(old), "%u", limit);
	snprintf(new, sizeof(new), "%u", n);
	nm_say(tell(v, d, ifindex, LIMIT, *full ? NM_FAILURE : NM_OKAY, old, new),
	       *full ? "%s has %s multicast groups, and may have no more than %s" :
		       "%s has %s multicast groups, less than its limit of %s",
	       d->name, new, old);
}

static void tell_group(struct nm_view *v, const struct entry_key *k, unsigned what)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	const struct bridge *b = nm_map_get(&s->bridges, &k->bridge);
	const struct port *p = nm_map_get(&s->ports, &k->port);
	char group[TEXT], source[TEXT];
	const struct device *d;
	struct nm_notice *n;
	bool sourced = false;

	if (!v->news || !(c->notify & what) || !b || !b->dev.selected ||
	    (k->port != k->bridge && !p))
		return;
	d = k->port == k->bridge ? &b->dev : &p->dev;
	group_text(k->proto, k->group, group);
	for (size_t i = 0; i < sizeof(k->source); i++)
		sourced |= k->source[i];
	n = tell(v, d, k->port, what, what == JOINED ? NM_OKAY : NM_WARNING,
		 what == LEFT ? group : NULL, what == JOINED ? group : NULL);
	if (!n)
		return;
	nm_meta(n, "bridge", "%s", b->dev.name);
	if (k->vid)
		nm_meta(n, "vlan", "%u", k->vid);
	if (sourced)
		nm_meta(n, "source", "%s", group_text(k->proto, k->source, source));
	nm_say(n, "bridge %s: %s %s group %s%s%s", b->dev.name, d->name,
	       what == JOINED ? "joined" : "left", group, sourced ? " from " : "",
	       sourced ? source : "");
}

/* ---- counting --------------------------------------------------------------------------- */

static bool has_source(const struct entry_key *k)
{
	static const uint8_t none[16];

	return memcmp(k->source, none, sizeof(none)) != 0;
}

/* 1: the first entry of this group or of this line of the bridge's table; -1: the last. */
static int first_or_last(struct state *s, const struct entry_key *k, uint32_t ifindex,
			 uint32_t count, int sign, int *n)
{
	struct member_key m = {
		.ifindex = ifindex, .vid = k->vid, .proto = k->proto, .count = count};
	uint32_t *have;

	*n = 0;
	memcpy(m.group, k->group, sizeof(m.group));
	if (count == ENTRIES)
		memcpy(m.source, k->source, sizeof(m.source));
	have = sign > 0 ? nm_map_put(&s->members, &m, NULL) : nm_map_get(&s->members, &m);
	if (!have)
		return -ENOMEM;
	if (sign > 0) {
		*n = !(*have)++;
	} else if (!--*have) {
		nm_map_del(&s->members, &m);
		*n = -1;
	}
	return 0;
}

static int add_to(struct state *s, uint32_t ifindex, uint32_t vid, const int d[static COUNTS])
{
	for (uint32_t i = 0; i < 1 + !!vid; i++) {
		struct counts *c = nm_map_put(
			&s->places, &(struct place){.ifindex = ifindex, .vid = i ? vid : 0}, NULL);

		if (!c)
			return -ENOMEM;
		for (size_t j = 0; j < COUNTS; j++)
			c->n[j] += (uint32_t)d[j];
		c->changed = true;
	}
	return 0;
}

static int count_entry(struct state *s, const struct entry_key *k, const struct entry *e, int sign)
{
	bool permanent = e->state == MDB_PERMANENT, star = !has_source(k);
	int d[COUNTS] = {
		[TEMPORARY] = sign * !permanent,
		[PERMANENT] = sign * permanent,
		[BLOCKED] = sign * !!(e->flags & MDB_FLAGS_BLOCKED),
		[SOURCES] = sign * !star,
		[INCLUDE] = sign * (star && e->mode == MCAST_INCLUDE),
		[EXCLUDE] = sign * (star && e->mode == MCAST_EXCLUDE),
		[HOST] = sign * (star && k->port == k->bridge),
	};
	int err = first_or_last(s, k, k->bridge, GROUPS, sign, &d[GROUPS]);

	if (!err)
		err = first_or_last(s, k, k->bridge, ENTRIES, sign, &d[ENTRIES]);
	if (!err)
		err = add_to(s, k->bridge, k->vid, d);
	if (err || k->port == k->bridge)
		return err;
	d[ENTRIES] = sign;
	err = first_or_last(s, k, k->port, GROUPS, sign, &d[GROUPS]);
	return err ? err : add_to(s, k->port, k->vid, d);
}

/* Counts are kept as entries come and go: with nothing changed, a reading costs nothing. */
static int count(struct state *s, const struct entry_key *k, const struct entry *e, int sign)
{
	int err = s->recount ? 0 : count_entry(s, k, e, sign);

	s->recount |= err != 0;
	return err;
}

static int recount(struct state *s)
{
	const struct entry *e;
	const void *key;

	nm_map_free(&s->places);
	nm_map_free(&s->members);
	for (size_t i = 0; (e = nm_map_next(&s->entries, &key, &i));)
		if (count_entry(s, key, e, 1))
			return -ENOMEM;
	s->recount = false;
	return 0;
}

/* ---- entries ------------------------------------------------------------------------------ */

static int remove_entry(struct nm_view *v, const struct entry_key *k)
{
	struct state *s = v->state;
	const struct entry *e = nm_map_get(&s->entries, k);
	int err;

	if (!e)
		return 0;
	tell_group(v, k, LEFT);
	err = count(s, k, e, -1);
	nm_map_del(&s->entries, k);
	return err;
}

static int put_entry(struct nm_view *v, const struct entry_key *k, struct entry is)
{
	struct state *s = v->state;
	struct entry *e, was;
	int err = 0;
	bool fresh;

	is.seen = s->dump;
	e = nm_map_put(&s->entries, k, &fresh);
	if (!e)
		return -ENOMEM;
	was = *e;
	*e = is;
	if (!fresh && was.state == is.state && was.flags == is.flags && was.mode == is.mode)
		return 0;
	if (fresh)
		tell_group(v, k, JOINED);
	else
		err = count(s, k, &was, -1);
	s->surprise |= fresh;
	return err ? err : count(s, k, &is, 1);
}

/* The attributes behind the struct in an MDBA_MDB_ENTRY_INFO, of which nm_child() knows the end. */
static const struct nlattr *first_behind(const struct nlattr *info, size_t size)
{
	const char *p = mnl_attr_get_payload(info);
	size_t len = mnl_attr_get_payload_len(info);
	const struct nlattr *a = (const void *)(p + size);

	return len >= size + sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= len - size ?
		       a :
		       NULL;
}

static int on_entry(struct nm_view *v, const struct nm_msg *m, const struct nlattr *info)
{
	const struct br_port_msg *h = m->hdr;
	struct entry_key k = {.bridge = h->ifindex};
	struct entry e = {.mode = NO_MODE};
	struct br_mdb_entry b;

	if (nm_bytes(info, &b, sizeof(b)) < sizeof(b))
		return 0;
	k.port = b.ifindex;
	k.vid = b.vid;
	k.proto = b.addr.proto;
	/* the union's other bytes are not the group's */
	memcpy(k.group, &b.addr.u,
	       k.proto == htons(ETH_P_IP)   ? sizeof(b.addr.u.ip4) :
	       k.proto == htons(ETH_P_IPV6) ? sizeof(b.addr.u.ip6) :
					      sizeof(b.addr.u.mac_addr));
	e.state = b.state;
	e.flags = b.flags;
	for (const struct nlattr *a = first_behind(info, sizeof(b)); a; a = nm_child(info, a))
		switch (nm_type(a)) {
		case MDBA_MDB_EATTR_SOURCE:
			nm_bytes(a, k.source, sizeof(k.source));
			break;
		case MDBA_MDB_EATTR_GROUP_MODE:
			e.mode = (uint8_t)nm_uint(a);
			break;
		case MDBA_MDB_EATTR_DST: /* a VXLAN's own, which may be a port of a bridge */
			return 0;
		}
	return m->gone ? remove_entry(v, &k) : put_entry(v, &k, e);
}

static int on_router(struct nm_view *v, const struct nm_msg *m, const struct nlattr *a)
{
	const struct br_port_msg *h = m->hdr;
	struct router_key k = {.bridge = h->ifindex};
	struct state *s = v->state;
	struct bridge *b = nm_map_get(&s->bridges, &k.bridge);
	struct port *p;
	uint32_t *seen;
	bool fresh = true;

	if (nm_bytes(a, &k.port, sizeof(k.port)) < sizeof(k.port))
		return 0;
	p = nm_map_get(&s->ports, &k.port);
	if (m->gone) {
		nm_map_del(&s->routers, &k);
	} else {
		seen = nm_map_put(&s->routers, &k, &fresh);
		if (!seen)
			return -ENOMEM;
		*seen = s->dump;
	}
	if (b)
		b->changed |= fresh;
	if (p)
		p->changed |= fresh;
	return 0;
}

/* In a dump a message has many entries, all of one bridge; an event has one. */
static int on_mdb(struct nm_view *v, const struct nm_msg *m)
{
	const struct nlattr *nest = m->attr[MDBA_MDB], *e, *info, *a;
	int err = 0;

	for (e = nm_child(nest, NULL); e; e = nm_child(nest, e))
		for (info = nm_child(e, NULL); info; info = nm_child(e, info))
			if (nm_type(info) == MDBA_MDB_ENTRY_INFO && !err)
				err = on_entry(v, m, info);
	nest = m->attr[MDBA_ROUTER];
	for (a = nm_child(nest, NULL); a; a = nm_child(nest, a))
		if (nm_type(a) == MDBA_ROUTER_PORT && !err)
			err = on_router(v, m, a);
	return err;
}

/* ---- bridges ------------------------------------------------------------------------------- */

static struct querier read_querier(const struct nlattr *state, int family, bool own)
{
	static const uint16_t type[FAMILIES][3] = {
		{BRIDGE_QUERIER_IP_ADDRESS, BRIDGE_QUERIER_IP_PORT, BRIDGE_QUERIER_IP_OTHER_TIMER},
		{BRIDGE_QUERIER_IPV6_ADDRESS, BRIDGE_QUERIER_IPV6_PORT,
		 BRIDGE_QUERIER_IPV6_OTHER_TIMER},
	};
	static const uint8_t none[16];
	const struct nlattr *address = nm_in(state, type[family][0]),
			    *timer = nm_in(state, type[family][2]);
	struct querier q = {
		.who = timer ? OTHER :
		       own   ? OWN :
			       NOBODY,
		.port = (uint32_t)nm_uint(nm_in(state, type[family][1])),
		.left = (uint32_t)nm_uint(timer),
	};

	nm_bytes(address, q.address, family == IPV4 ? 4 : 16);
	/* without an address of its own, a bridge queries from 0.0.0.0 but not from :: */
	if (q.who == OWN && family == IPV6 && address && !memcmp(q.address, none, sizeof(none)))
		q.who = NOBODY;
	return q;
}

static void read_queriers(struct queriers *q, const struct nlattr *state, const struct nlattr *own,
			  const struct nlattr *interval)
{
	q->own = nm_uint(own);
	q->interval = (uint32_t)nm_uint(interval);
	for (int f = 0; f < FAMILIES; f++)
		q->is[f] = read_querier(state, f, q->own);
}

static void read_bridge(struct state *s, struct bridge *b, const struct nm_msg *m)
{
	const struct nlattr *data = nm_in(m->attr[IFLA_LINKINFO], IFLA_INFO_DATA);
	const struct nlattr *state = nm_in(data, IFLA_BR_MCAST_QUERIER_STATE);
	struct br_boolopt_multi opt = {0};

	nm_bytes(nm_in(data, IFLA_BR_MULTI_BOOLOPT), &opt, sizeof(opt));
	b->per_vlan = opt.optval & (1u << BR_BOOLOPT_MCAST_VLAN_SNOOPING);
	b->snooping = nm_uint(nm_in(data, IFLA_BR_MCAST_SNOOPING));
	b->statistics = nm_uint(nm_in(data, IFLA_BR_MCAST_STATS_ENABLED));
	b->limit = (uint32_t)nm_uint(nm_in(data, IFLA_BR_MCAST_HASH_MAX));
	b->versions = (uint32_t)(nm_uint(nm_in(data, IFLA_BR_MCAST_IGMP_VERSION)) << 8 |
				 nm_uint(nm_in(data, IFLA_BR_MCAST_MLD_VERSION)));
	/* That there is no querier is not said; only since Linux 5.15 does it mean that. */
	s->tells_queriers |= state || m->attr[IFLA_GRO_MAX_SIZE];
	read_queriers(&b->queriers, state, nm_in(data, IFLA_BR_MCAST_QUERIER),
		      nm_in(data, IFLA_BR_MCAST_QUERIER_INTVL));
	b->queriers.known = b->snooping && !b->per_vlan && (s->tells_queriers || b->queriers.own);
}

static void tell_bridge(struct nm_view *v, struct bridge *b, uint32_t ifindex,
			const struct bridge *was)
{
	if (was->snooping != b->snooping)
		tell_snooping(v, b, ifindex);
	tell_queriers(v, b, &(struct place){.ifindex = ifindex, .vid = 0}, &b->queriers);
}

static bool queriers_differ(const struct queriers *a, const struct queriers *b)
{
	return a->own != b->own || a->known != b->known || a->is[IPV4].who != b->is[IPV4].who ||
	       a->is[IPV6].who != b->is[IPV6].who;
}

static bool differs(const struct bridge *a, const struct bridge *b)
{
	return a->snooping != b->snooping || a->limit != b->limit ||
	       queriers_differ(&a->queriers, &b->queriers);
}

/* Groups that the bridge itself has joined go with it, and nobody tells. */
static int remove_bridge(struct nm_view *v, uint32_t ifindex)
{
	struct state *s = v->state;
	const void *key;
	int err = 0;

	for (size_t i = 0;
	     !err && counts_of(s, ifindex)->n[ENTRIES] && nm_map_next(&s->entries, &key, &i);) {
		struct entry_key k = *(const struct entry_key *)key;

		if (k.bridge == ifindex) {
			err = remove_entry(v, &k);
			i--;
		}
	}
	for (size_t i = 0; nm_map_next(&s->routers, &key, &i);) {
		struct router_key k = *(const struct router_key *)key;

		if (k.bridge == ifindex) {
			nm_map_del(&s->routers, &k);
			i--;
		}
	}
	nm_map_del(&s->bridges, &ifindex);
	s->left = true;
	return err;
}

static int on_bridge(struct nm_view *v, const struct nm_msg *m, uint32_t ifindex, const char *name)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	struct bridge *b, was;
	bool fresh;

	b = nm_map_put(&s->bridges, &ifindex, &fresh);
	if (!b)
		return -ENOMEM;
	take_name(&b->dev, &c->bridges, name);
	was = *b;
	b->seen = s->dump;
	read_bridge(s, b, m);
	b->changed |= fresh || differs(&was, b);
	if (fresh)
		was.snooping = b->snooping;
	tell_bridge(v, b, ifindex, &was);
	if (!fresh && (was.snooping != b->snooping || was.per_vlan != b->per_vlan ||
		       was.versions != b->versions))
		s->again = true;
	/* The module that knows bridges may not have been there when the database was asked for. */
	if (fresh && nm_source_error(v, MDB))
		nm_distrust(v, &sources[MDB]);
	return 0;
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	const struct config *c = v->config;
	struct state *s = v->state;
	uint32_t ifindex = (uint32_t)h->ifi_index;
	const char *kind = nm_str(nm_in(m->attr[IFLA_LINKINFO], IFLA_INFO_KIND)),
		   *name = nm_str(m->attr[IFLA_IFNAME]);
	struct port *p = nm_map_get(&s->ports, &ifindex);
	bool is_bridge = kind && !strcmp(kind, "bridge");

	if (p && name)
		take_name(&p->dev, &c->ports, name);
	if (!m->gone && name && is_bridge && h->ifi_index > 0)
		return on_bridge(v, m, ifindex, name);
	/* with less than everything in it, a message tells of something else */
	if ((m->gone || kind) && nm_map_get(&s->bridges, &ifindex))
		return remove_bridge(v, ifindex);
	return 0;
}

/* ---- ports ------------------------------------------------------------------------------------ */

static void forget_port(struct state *s, struct port *p)
{
	p->gone = true;
	s->left = true;
}

static int on_port(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	const struct nlattr *info = m->attr[IFLA_PROTINFO], *limit;
	const char *name = nm_str(m->attr[IFLA_IFNAME]);
	const struct config *c = v->config;
	struct state *s = v->state;
	uint32_t ifindex = (uint32_t)h->ifi_index;
	struct port *p = nm_map_get(&s->ports, &ifindex), was;
	bool fresh;

	if (m->gone) {
		if (p)
			forget_port(s, p);
		return 0;
	}
	/* drivers answer too, for themselves, but do not know the port's state */
	if (!nm_in(info, IFLA_BRPORT_STATE) || !m->attr[IFLA_MASTER] || !name || h->ifi_index <= 0)
		return 0;
	p = nm_map_put(&s->ports, &ifindex, &fresh);
	if (!p)
		return -ENOMEM;
	was = *p;
	take_name(&p->dev, &c->ports, name);
	p->bridge = (uint32_t)nm_uint(m->attr[IFLA_MASTER]);
	limit = nm_in(info, IFLA_BRPORT_MCAST_MAX_GROUPS);
	p->limit = (uint32_t)nm_uint(limit);
	p->changed |= fresh || was.gone || was.bridge != p->bridge || was.limit != p->limit;
	p->gone = false;
	p->seen = s->dump;
	return 0;
}

/* ---- IGMP and MLD ------------------------------------------------------------------------------- */

static int on_statistics(struct nm_view *v, const struct nm_msg *m)
{
	const struct if_stats_msg *h = m->hdr;
	struct state *s = v->state;
	bool port = nm_map_get(&s->ports, &h->ifindex);
	const struct nlattr *a =
		m->attr[port ? IFLA_STATS_LINK_XSTATS_SLAVE : IFLA_STATS_LINK_XSTATS];
	struct statistics *st;

	a = nm_in(nm_in(a, LINK_XSTATS_TYPE_BRIDGE), BRIDGE_XSTATS_MCAST);
	if (!a || (!port && !nm_map_get(&s->bridges, &h->ifindex)))
		return 0;
	st = nm_map_put(&s->statistics, &h->ifindex, NULL);
	if (!st)
		return -ENOMEM;
	st->len = nm_bytes(a, &st->c, sizeof(st->c));
	st->seen = s->dump;
	return 0;
}

/* ---- VLANs ------------------------------------------------------------------------------------ */

static int on_vlan(struct nm_view *v, const struct bridge *b, const struct place *at,
		   const struct nlattr *o)
{
	const struct nlattr *list = nm_in(nm_in(o, BRIDGE_VLANDB_GOPTS_MCAST_ROUTER_PORTS),
					  MDBA_ROUTER),
			    *a;
	struct state *s = v->state;
	struct vlan *vlan, was;
	bool fresh;

	vlan = nm_map_put(&s->vlans, at, &fresh);
	if (!vlan)
		return -ENOMEM;
	was = *vlan;
	vlan->seen = s->dump;
	vlan->snooping = nm_uint(nm_in(o, BRIDGE_VLANDB_GOPTS_MCAST_SNOOPING));
	vlan->routers = 0;
	for (a = nm_child(list, NULL); a; a = nm_child(list, a))
		vlan->routers += nm_type(a) == MDBA_ROUTER_PORT;
	read_queriers(&vlan->queriers, nm_in(o, BRIDGE_VLANDB_GOPTS_MCAST_QUERIER_STATE),
		      nm_in(o, BRIDGE_VLANDB_GOPTS_MCAST_QUERIER),
		      nm_in(o, BRIDGE_VLANDB_GOPTS_MCAST_QUERIER_INTVL));
	vlan->queriers.known = b->snooping && vlan->snooping;
	vlan->changed |= fresh || was.snooping != vlan->snooping || was.routers != vlan->routers ||
			 queriers_differ(&was.queriers, &vlan->queriers);
	tell_queriers(v, b, at, &vlan->queriers);
	return 0;
}

/*
 * The kernel tells VLANs that follow one another as one if they have the same options, with the
 * state of the first, but not where one has a router port (br_multicast_ctx_options_equal()).  A
 * port that hears a querier is one: so what it tells is true of all, unless mcast_router is 0.
 * Where no VLAN has a querier of its own, it tells the options all the same.
 */
static int on_vlans(struct nm_view *v, const struct nm_msg *m)
{
	const struct br_vlan_msg *h = m->hdr;
	const struct state *s = v->state;
	const struct bridge *b = nm_map_get(&s->bridges, &h->ifindex);
	int err = 0;

	if (!b || !b->per_vlan)
		return 0;
	for (const struct nlattr *a = nm_attr(m, NULL); a && !err; a = nm_attr(m, a)) {
		const struct nlattr *range = nm_in(a, BRIDGE_VLANDB_GOPTS_RANGE);
		uint64_t first = nm_uint(nm_in(a, BRIDGE_VLANDB_GOPTS_ID)),
			 last = range ? nm_uint(range) : first;

		if (nm_type(a) != BRIDGE_VLANDB_GLOBAL_OPTIONS || !first || last >= VIDS)
			continue;
		for (uint32_t vid = (uint32_t)first; vid <= last && !err; vid++)
			err = on_vlan(v, b, &(struct place){.ifindex = h->ifindex, .vid = vid}, a);
	}
	return err;
}

/* ---- dumps -------------------------------------------------------------------------------------------- */

static void begin_mdb(struct nm_view *v, const struct nm_source *source)
{
	struct state *s = v->state;

	s->dump++;
	s->surprise = false;
	if (source == &sources[STATISTICS])
		s->statistics_dump = s->dump;
	if (source == &sources[VLANS])
		s->vlans_dump = s->dump;
}

/* What a complete dump did not have is gone, also when nobody told so. */
static void sweep_bridges(struct nm_view *v)
{
	struct state *s = v->state;
	const struct bridge *b;
	const void *key;

	for (size_t i = 0; (b = nm_map_next(&s->bridges, &key, &i));)
		if (b->seen != s->dump) {
			remove_bridge(v, *(const uint32_t *)key);
			i--;
		}
}

static void sweep_ports(struct nm_view *v)
{
	struct state *s = v->state;
	struct port *p;
	const void *key;

	for (size_t i = 0; (p = nm_map_next(&s->ports, &key, &i));)
		if (p->seen != s->dump)
			forget_port(s, p);
}

/*
 * The kernel tells at once that a port has left a group, but takes the empty group
 * from its list later and tells nobody: then a dump misses others, and no event shows
 * that it did.  So one that says something else than the events is read again, and
 * what is missing is gone when it was missing CONFIRMED times.
 */
static void sweep_entries(struct nm_view *v)
{
	struct state *s = v->state;
	struct entry *e;
	const void *key;

	s->again |= s->surprise;
	for (size_t i = 0; (e = nm_map_next(&s->entries, &key, &i));) {
		if (e->seen == s->dump)
			continue;
		if (++e->missed < CONFIRMED) {
			s->again = true;
			continue;
		}
		struct entry_key k = *(const struct entry_key *)key; /* the map's own moves */

		remove_entry(v, &k);
		i--;
	}
}

static void sweep_routers(struct nm_view *v)
{
	struct state *s = v->state;
	const uint32_t *seen;
	const void *key;

	for (size_t i = 0; (seen = nm_map_next(&s->routers, &key, &i));)
		if (*seen != s->dump) {
			struct router_key k = *(const struct router_key *)key;
			struct bridge *b = nm_map_get(&s->bridges, &k.bridge);
			struct port *p = nm_map_get(&s->ports, &k.port);

			if (b)
				b->changed = true;
			if (p)
				p->changed = true;
			nm_map_del(&s->routers, &k);
			i--;
		}
}

static void sweep_vlans(struct state *s)
{
	const struct vlan *vlan;
	const void *key;

	for (size_t i = 0; (vlan = nm_map_next(&s->vlans, &key, &i));)
		if (vlan->seen != s->dump) {
			struct place at = *(const struct place *)key;

			nm_map_del(&s->vlans, &at);
			i--;
		}
}

static void end_mdb(struct nm_view *v, const struct nm_source *source, bool complete)
{
	if (!complete)
		return;
	switch (source - sources) {
	case BRIDGES:
		sweep_bridges(v);
		break;
	case PORTS:
		sweep_ports(v);
		break;
	case MDB:
		sweep_entries(v);
		sweep_routers(v);
		break;
	case VLANS:
		sweep_vlans(v->state);
		break;
	}
}

static int message_mdb(struct nm_view *v, const struct nm_msg *m)
{
	static int (*const on[])(struct nm_view * v, const struct nm_msg *m) = {
		[BRIDGES] = on_link,          [PORTS] = on_port,  [MDB] = on_mdb,
		[STATISTICS] = on_statistics, [VLANS] = on_vlans,
	};

	return on[m->src - sources](v, m);
}

static int settle_mdb(struct nm_view *v)
{
	struct state *s = v->state;
	int err = 0;

	for (int i = 0; s->again && !err && i < CONFIRMED; i++) {
		s->again = false;
		err = nm_ask(v, &sources[MDB], NULL);
	}
	return err == -ENOMEM ? err : 0;
}

/* ---- what no event tells --------------------------------------------------------------------- */

/* A querier that comes, goes or is replaced, and a bridge that is down and is changed. */
static int poll_bridges(struct nm_view *v)
{
	struct state *s = v->state;
	const struct bridge *b;
	const void *key;
	size_t n = 0;
	int err = 0;

	if (s->bridges.used > s->asked_room) {
		uint32_t *more = reallocarray(s->asked, s->bridges.used, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->asked = more;
		s->asked_room = s->bridges.used;
	}
	for (size_t i = 0; (b = nm_map_next(&s->bridges, &key, &i));)
		if (b->dev.selected)
			s->asked[n++] = *(const uint32_t *)key;
	while (n && err != -ENOMEM && err != -EAGAIN) {
		err = nm_ask(v, &sources[BRIDGES], &s->asked[--n]);
		if (err && err != -ENODEV && err != -EAGAIN)
			nm_distrust(v, &sources[BRIDGES]);
	}
	return err == -ENOMEM ? err : settle_mdb(v);
}

/* All bridges and ports with one question, and none where nobody counts. */
static int poll_statistics(struct nm_view *v)
{
	const struct state *s = v->state;
	const struct bridge *b;
	const void *key;

	for (size_t i = 0; (b = nm_map_next(&s->bridges, &key, &i));)
		if (b->statistics && b->dev.selected)
			return nm_ask(v, &sources[STATISTICS], NULL) == -ENOMEM ? -ENOMEM : 0;
	return 0;
}

/* All VLANs with one question, and none where no bridge has queriers by VLAN. */
static int poll_vlans(struct nm_view *v)
{
	struct state *s = v->state;
	const struct bridge *b;
	const void *key;

	for (size_t i = 0; (b = nm_map_next(&s->bridges, &key, &i));)
		if (b->per_vlan && b->dev.selected)
			return nm_ask(v, &sources[VLANS], NULL) == -ENOMEM ? -ENOMEM : 0;
	nm_map_free(&s->vlans);
	return 0;
}

/* Ports that have left their bridge, and counts of what exists no more. */
static void forget(struct nm_view *v)
{
	struct state *s = v->state;
	const struct port *p;
	const struct counts *c;
	const void *key;

	if (!s->left)
		return;
	s->left = false;
	for (size_t i = 0; (p = nm_map_next(&s->ports, &key, &i));)
		if (p->gone) {
			uint32_t ifindex = *(const uint32_t *)key;

			nm_map_del(&s->statistics, &ifindex);
			nm_map_del(&s->ports, &ifindex);
			i--;
		}
	for (size_t i = 0; (c = nm_map_next(&s->places, &key, &i));) {
		struct place at = *(const struct place *)key;

		if (!c->n[ENTRIES] && !nm_map_get(&s->ports, &at.ifindex) &&
		    !nm_map_get(&s->bridges, &at.ifindex)) {
			nm_map_del(&s->places, &at);
			i--;
		}
	}
}

/* ---- what is submitted ---------------------------------------------------------------------- */

static const struct shown {
	const char *name;
	unsigned count;
	bool of_port;
} shown[] = {
	{"entries_temporary", TEMPORARY, true}, {"entries_permanent", PERMANENT, true},
	{"entries_blocked", BLOCKED, true},     {"sources", SOURCES, true},
	{"mode_include", INCLUDE, true},        {"mode_exclude", EXCLUDE, true},
	{"groups_host", HOST, false},
};

#define RX(member) (offsetof(struct br_mcast_stats, member) + BR_MCAST_DIR_RX * sizeof(uint64_t))
#define TX(member) (offsetof(struct br_mcast_stats, member) + BR_MCAST_DIR_TX * sizeof(uint64_t))

/* Without Verbose, the versions of a protocol together. */
static const struct packets {
	const char *name;
	bool verbose;
	struct {
		size_t rx, tx;
	} of[3];
} packets[] = {
#define SUM(m)                                                                                     \
	{                                                                                          \
		RX(m), TX(m)                                                                       \
	}
	{"igmp_queries", false, {SUM(igmp_v1queries), SUM(igmp_v2queries), SUM(igmp_v3queries)}},
	{"igmp_reports", false, {SUM(igmp_v1reports), SUM(igmp_v2reports), SUM(igmp_v3reports)}},
	{"igmp_leaves", false, {SUM(igmp_leaves)}},
	{"mld_queries", false, {SUM(mld_v1queries), SUM(mld_v2queries)}},
	{"mld_reports", false, {SUM(mld_v1reports), SUM(mld_v2reports)}},
	{"mld_leaves", false, {SUM(mld_leaves)}},
	{"igmp_v1queries", true, {SUM(igmp_v1queries)}},
	{"igmp_v2queries", true, {SUM(igmp_v2queries)}},
	{"igmp_v3queries", true, {SUM(igmp_v3queries)}},
	{"igmp_v1reports", true, {SUM(igmp_v1reports)}},
	{"igmp_v2reports", true, {SUM(igmp_v2reports)}},
	{"igmp_v3reports", true, {SUM(igmp_v3reports)}},
	{"mld_v1queries", true, {SUM(mld_v1queries)}},
	{"mld_v2queries", true, {SUM(mld_v2queries)}},
	{"mld_v1reports", true, {SUM(mld_v1reports)}},
	{"mld_v2reports", true, {SUM(mld_v2reports)}},
};

static uint64_t counter(const struct statistics *st, size_t off)
{
	uint64_t u;

	memcpy(&u, (const char *)&st->c + off, sizeof(u));
	return u;
}

static void submit_statistics(const struct nm_view *v, struct nm_reading *r, uint32_t ifindex)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	const struct statistics *st = nm_map_get(&s->statistics, &ifindex);

	if (!st || st->seen != s->statistics_dump ||
	    st->len < offsetof(struct br_mcast_stats, mcast_bytes))
		return;
	for (const struct packets *p = packets; p < packets + NM_COUNT(packets); p++) {
		uint64_t rx = 0, tx = 0;

		for (size_t i = 0; i < NM_COUNT(p->of) && p->of[i].tx; i++) {
			rx += counter(st, p->of[i].rx);
			tx += counter(st, p->of[i].tx);
		}
		if (!p->verbose || c->verbose)
			nm_derive2(r, "if_packets", p->name, rx, tx);
	}
	nm_derive(r, "if_rx_errors", "igmp_parse", st->c.igmp_parse_errors);
	nm_derive(r, "if_rx_errors", "mld_parse", st->c.mld_parse_errors);
}

/* The name of a value of a bridge, or of one of its VLANs. */
static const char *of_vlan(struct nm_reading *r, const char *name, uint32_t vid)
{
	char buf[40];

	if (!vid)
		return name;
	snprintf(buf, sizeof(buf), "%s_vlan%u", name, vid);
	return nm_text(r, buf);
}

static void submit_querier(struct nm_reading *r, const struct queriers *q, uint32_t vid)
{
	static const char *const age[] = {[IPV4] = "querier_ipv4", [IPV6] = "querier_ipv6"};
	bool any = false;

	if (!q->known)
		return;
	for (int f = 0; f < FAMILIES; f++) {
		const struct querier *is = &q->is[f];

		any |= is->who != NOBODY;
		if (is->who == OTHER && is->left <= q->interval)
			nm_gauge(r, "duration", of_vlan(r, age[f], vid),
				 (q->interval - is->left) / 100.0);
	}
	nm_gauge(r, "bool", of_vlan(r, "querier", vid), any);
}

static void submit_queriers(struct nm_reading *r, const struct queriers *q, uint32_t vid,
			    bool others)
{
	nm_gauge(r, "bool", of_vlan(r, "querier_own", vid), q->own);
	if (!q->known || !others)
		return;
	nm_gauge(r, "bool", of_vlan(r, "querier_other_ipv4", vid), q->is[IPV4].who == OTHER);
	nm_gauge(r, "bool", of_vlan(r, "querier_other_ipv6", vid), q->is[IPV6].who == OTHER);
}

static void submit_counts(struct nm_reading *r, const struct counts *n, uint32_t limit, bool port)
{
	for (size_t i = 0; n && i < NM_COUNT(shown); i++)
		if (shown[i].of_port || !port)
			nm_gauge(r, "gauge", shown[i].name, n->n[shown[i].count]);
	if (!limit)
		return;
	nm_gauge(r, "gauge", "limit", limit);
	if (n)
		nm_gauge(r, "percent", "limit",
			 n->n[ENTRIES] < limit ? 100.0 * n->n[ENTRIES] / limit : 100);
}

static unsigned router_ports(const struct state *s, uint32_t bridge)
{
	const void *key;
	unsigned n = 0;

	for (size_t i = 0; nm_map_next(&s->routers, &key, &i);)
		n += ((const struct router_key *)key)->bridge == bridge;
	return n;
}

static void submit_bridge(struct nm_view *v, struct nm_reading *r, struct bridge *b,
			  uint32_t ifindex)
{
	const struct state *s = v->state;
	const struct counts *n = known_counts(v, ifindex);
	char buf[32];

	if (!b->dev.selected)
		return;
	nm_instance(r, label(&b->dev, ifindex, buf));
	nm_owner(r, ifindex);
	submit_querier(r, &b->queriers, 0);
	if (n)
		nm_gauge(r, "gauge", "groups", n->n[GROUPS]);
	if (b->statistics)
		submit_statistics(v, r, ifindex);
	if (b->changed || (n && n->changed) || nm_slow_due(v, ifindex)) {
		nm_slow(r, true);
		submit_counts(r, n, b->limit, false);
		nm_gauge(r, "bool", "snooping", b->snooping);
		submit_queriers(r, &b->queriers, 0, s->tells_queriers);
		if (n)
			nm_gauge(r, "gauge", "router_ports", router_ports(s, ifindex));
		nm_slow(r, false);
	}
	b->changed = false;
	if (n)
		tell_limit(v, &b->dev, ifindex, n->n[ENTRIES], b->limit, &b->full);
}

static void submit_port(struct nm_view *v, struct nm_reading *r, struct port *p, uint32_t ifindex)
{
	const struct state *s = v->state;
	const struct counts *n = known_counts(v, ifindex);
	const struct bridge *b = nm_map_get(&s->bridges, &p->bridge);
	const struct router_key router = {.bridge = p->bridge, .port = ifindex};
	char buf[32];

	if (!b || !b->dev.selected || !p->dev.selected)
		return;
	nm_instance(r, label(&p->dev, ifindex, buf));
	nm_owner(r, ifindex);
	if (n)
		nm_gauge(r, "gauge", "groups", n->n[GROUPS]);
	if (b->statistics)
		submit_statistics(v, r, ifindex);
	if (p->changed || (n && n->changed) || nm_slow_due(v, ifindex)) {
		nm_slow(r, true);
		submit_counts(r, n, p->limit, true);
		if (n)
			nm_gauge(r, "bool", "router", nm_map_get(&s->routers, &router) != NULL);
		nm_slow(r, false);
	}
	p->changed = false;
	if (n)
		tell_limit(v, &p->dev, ifindex, n->n[ENTRIES], p->limit, &p->full);
}

/* A VLAN whose last group has gone has 0 of them, as long as there is the bridge or port. */
static void submit_vlan(const struct nm_view *v, struct nm_reading *r, const struct place *at,
			const struct counts *n)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	const struct bridge *b = nm_map_get(&s->bridges, &at->ifindex);
	const struct port *p = c->vlans == NM_DETAIL ? nm_map_get(&s->ports, &at->ifindex) : NULL;
	const struct bridge *of = p ? nm_map_get(&s->bridges, &p->bridge) : b;
	char buf[32];

	if (!of || !of->dev.selected || (p && !p->dev.selected) ||
	    !(n->changed || nm_slow_due(v, at->ifindex)))
		return;
	nm_instance(r, label(p ? &p->dev : &b->dev, at->ifindex, buf));
	nm_gauge(r, "gauge", of_vlan(r, "groups", at->vid), n->n[GROUPS]);
	nm_gauge(r, "gauge", of_vlan(r, "entries", at->vid), n->n[TEMPORARY] + n->n[PERMANENT]);
}

static void submit_vlans(const struct nm_view *v, struct nm_reading *r)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	struct counts *n;
	const void *key;

	nm_slow(r, true);
	for (size_t i = 0; (n = nm_map_next(&s->places, &key, &i));) {
		const struct place *at = key;

		if (at->vid && c->vlans != NM_NO)
			submit_vlan(v, r, at, n);
		n->changed = false;
	}
	nm_slow(r, false);
}

static void submit_vlan_querier(const struct nm_view *v, struct nm_reading *r,
				const struct bridge *b, const struct place *at, struct vlan *vlan)
{
	char buf[32];

	if (!b->dev.selected || !b->per_vlan || !(vlan->changed || nm_slow_due(v, at->ifindex)))
		return;
	vlan->changed = false;
	nm_instance(r, label(&b->dev, at->ifindex, buf));
	submit_querier(r, &vlan->queriers, at->vid);
	submit_queriers(r, &vlan->queriers, at->vid, true);
	nm_gauge(r, "bool", of_vlan(r, "snooping", at->vid), vlan->snooping);
	nm_gauge(r, "gauge", of_vlan(r, "router_ports", at->vid), vlan->routers);
}

static void submit_vlan_queriers(const struct nm_view *v, struct nm_reading *r)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	const struct bridge *b;
	struct vlan *vlan;
	const void *key;

	if (c->vlans == NM_NO || nm_source_error(v, VLANS))
		return;
	nm_slow(r, true);
	for (size_t i = 0; (vlan = nm_map_next(&s->vlans, &key, &i));) {
		const struct place *at = key;

		b = nm_map_get(&s->bridges, &at->ifindex);
		if (b && vlan->seen == s->vlans_dump)
			submit_vlan_querier(v, r, b, at, vlan);
	}
	nm_slow(r, false);
}

static int submit_mdb(struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	struct bridge *b;
	struct port *p;
	const void *key;
	int err = poll_bridges(v);

	if (!err)
		err = poll_vlans(v);
	if (!err)
		err = poll_statistics(v);
	if (!err && s->recount)
		err = recount(s);
	if (err)
		return err;
	forget(v);
	for (size_t i = 0; (b = nm_map_next(&s->bridges, &key, &i));)
		submit_bridge(v, r, b, *(const uint32_t *)key);
	for (size_t i = 0; (p = nm_map_next(&s->ports, &key, &i));)
		submit_port(v, r, p, *(const uint32_t *)key);
	submit_vlans(v, r);
	submit_vlan_queriers(v, r);
	return 0;
}

const struct nm_plugin netmon_mdb = {
	.name = "netmon_mdb",
	.graph = "link",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_mdb,
	.begin = begin_mdb,
	.message = message_mdb,
	.end = end_mdb,
	.settle = settle_mdb,
	.submit = submit_mdb,
	.close = close_mdb,
};
