/* SPDX-License-Identifier: MIT */
/* netmon_neighbor: ARP, NDP and forwarding entries, their tables, and the stations behind them. */
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <string.h>

#include "names.h"
#include "neighbor.h"
#include "uapi.h"

/* ---- what the kernel's bytes mean ----------------------------------------------- */

/* Of NDA_FLAGS_EXT; their prefix is also that of NTF_EXT_LEARNED, which is a flag of ndm_flags. */
static const struct nm_name ntf_ext_names[] = {
	{NTF_EXT_MANAGED, "managed"},
	{NTF_EXT_LOCKED, "locked"},
	{NTF_EXT_EXT_VALIDATED, "ext_validated"},
};
static const struct nm_names ntf_ext = {NM_ARRAY(ntf_ext_names)};

static const struct nm_field cache_rows[] = {
	NM_M(nda_cacheinfo, ndm_confirmed, UINT),
	NM_M(nda_cacheinfo, ndm_used, UINT),
	NM_M(nda_cacheinfo, ndm_updated, UINT),
	NM_M(nda_cacheinfo, ndm_refcnt, UINT),
};
static const struct nm_table cache = NM_STRUCT_OF(nda_cacheinfo, "ndm_", cache_rows, NULL);

static const struct nm_field nfea_rows[] = {
	NM_A(NFEA_ACTIVITY_NOTIFY, UINT),
	NM_A(NFEA_DONT_REFRESH, FLAG),
};
static const struct nm_table nfea = NM_ATTRS("NFEA_", nfea_rows, NULL);

static const struct nm_field nda_rows[] = {
	NM_A(NDA_DST, ADDR),
	NM_A(NDA_LLADDR, LLADDR),
	NM_A(NDA_CACHEINFO, STRUCT, .table = &cache),
	NM_A(NDA_PROBES, UINT),
	NM_A(NDA_VLAN, UINT),
	NM_A(NDA_PORT, BE),
	NM_A(NDA_VNI, UINT),
	/* of an entry of VXLAN; the message has an ifindex of its own */
	[NDA_IFINDEX] = {.name = "NDA_VIA_IFINDEX", .kind = NM_IFINDEX},
	NM_A(NDA_MASTER, IFINDEX),
	NM_A(NDA_LINK_NETNSID, SINT),
	NM_A(NDA_SRC_VNI, UINT),
	NM_A(NDA_PROTOCOL, ENUM, .names = &nm_RTPROT),
	NM_A(NDA_NH_ID, UINT),
	NM_A(NDA_FDB_EXT_ATTRS, NEST, .table = &nfea),
	NM_A(NDA_FLAGS_EXT, BITS, .names = &ntf_ext),
	NM_A(NDA_NDM_STATE_MASK, BITS, .names = &nm_NUD),
	NM_A(NDA_NDM_FLAGS_MASK, BITS, .names = &nm_NTF),
};
static const struct nm_table nda = NM_ATTRS("NDA_", nda_rows, &nm_NDA);

static const struct nm_field nd_rows[] = {
	NM_M(ndmsg, ndm_family, ENUM, .names = &nm_AF),
	NM_M(ndmsg, ndm_ifindex, IFINDEX),
	NM_M(ndmsg, ndm_state, BITS, .names = &nm_NUD),
	NM_M(ndmsg, ndm_flags, BITS, .names = &nm_NTF),
	NM_M(ndmsg, ndm_type, UINT),
};
static const struct nm_table nd = NM_STRUCT_OF(ndmsg, "ndm_", nd_rows, &nda);

static const struct nm_field ndt_config_rows[] = {
	NM_M(ndt_config, ndtc_key_len, UINT),    NM_M(ndt_config, ndtc_entry_size, UINT),
	NM_M(ndt_config, ndtc_entries, UINT),    NM_M(ndt_config, ndtc_last_flush, UINT),
	NM_M(ndt_config, ndtc_last_rand, UINT),  NM_M(ndt_config, ndtc_hash_rnd, UINT),
	NM_M(ndt_config, ndtc_hash_mask, UINT),  NM_M(ndt_config, ndtc_hash_chain_gc, UINT),
	NM_M(ndt_config, ndtc_proxy_qlen, UINT),
};
static const struct nm_table ndt_config = NM_STRUCT_OF(ndt_config, "ndtc_", ndt_config_rows, NULL);

static const struct nm_field ndt_stats_rows[] = {
	NM_M(ndt_stats, ndts_allocs, UINT),           NM_M(ndt_stats, ndts_destroys, UINT),
	NM_M(ndt_stats, ndts_hash_grows, UINT),       NM_M(ndt_stats, ndts_res_failed, UINT),
	NM_M(ndt_stats, ndts_lookups, UINT),          NM_M(ndt_stats, ndts_hits, UINT),
	NM_M(ndt_stats, ndts_rcv_probes_mcast, UINT), NM_M(ndt_stats, ndts_rcv_probes_ucast, UINT),
	NM_M(ndt_stats, ndts_periodic_gc_runs, UINT), NM_M(ndt_stats, ndts_forced_gc_runs, UINT),
	NM_M(ndt_stats, ndts_table_fulls, UINT),
};
static const struct nm_table ndt_stats = NM_STRUCT_OF(ndt_stats, "ndts_", ndt_stats_rows, NULL);

static const struct nm_field ndtpa_rows[] = {
	NM_A(NDTPA_IFINDEX, IFINDEX),       NM_A(NDTPA_REFCNT, UINT),
	NM_A(NDTPA_REACHABLE_TIME, UINT),   NM_A(NDTPA_BASE_REACHABLE_TIME, UINT),
	NM_A(NDTPA_RETRANS_TIME, UINT),     NM_A(NDTPA_GC_STALETIME, UINT),
	NM_A(NDTPA_DELAY_PROBE_TIME, UINT), NM_A(NDTPA_QUEUE_LEN, UINT),
	NM_A(NDTPA_APP_PROBES, UINT),       NM_A(NDTPA_UCAST_PROBES, UINT),
	NM_A(NDTPA_MCAST_PROBES, UINT),     NM_A(NDTPA_ANYCAST_DELAY, UINT),
	NM_A(NDTPA_PROXY_DELAY, UINT),      NM_A(NDTPA_PROXY_QLEN, UINT),
	NM_A(NDTPA_LOCKTIME, UINT),         NM_A(NDTPA_QUEUE_LENBYTES, UINT),
	NM_A(NDTPA_MCAST_REPROBES, UINT),   NM_A(NDTPA_INTERVAL_PROBE_TIME_MS, UINT),
};
static const struct nm_table ndtpa = NM_ATTRS("NDTPA_", ndtpa_rows, &nm_NDTPA);

static const struct nm_field ndta_rows[] = {
	NM_A(NDTA_NAME, STR),
	NM_A(NDTA_THRESH1, UINT),
	NM_A(NDTA_THRESH2, UINT),
	NM_A(NDTA_THRESH3, UINT),
	NM_A(NDTA_CONFIG, STRUCT, .table = &ndt_config),
	NM_A(NDTA_PARMS, NEST, .table = &ndtpa),
	NM_A(NDTA_STATS, STRUCT, .table = &ndt_stats),
	NM_A(NDTA_GC_INTERVAL, UINT),
};
static const struct nm_table ndta = NM_ATTRS("NDTA_", ndta_rows, &nm_NDTA);

static const struct nm_field ndt_rows[] = {
	NM_M(ndtmsg, ndtm_family, ENUM, .names = &nm_AF),
};
static const struct nm_table ndt = NM_STRUCT_OF(ndtmsg, "ndtm_", ndt_rows, &ndta);

/* ---- what is asked ---------------------------------------------------------------- */

struct entry_key {
	uint32_t where; /* interface; the bridge of a forwarding entry */
	uint16_t vlan;
	uint8_t family, pad;
	uint8_t addr[16];
};

/* One forwarding entry of a bridge; since Linux 5.0. */
static void ask_fdb(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	const struct entry_key *k = key;

	(void)v;
	if (!k)
		return;
	mnl_attr_put(nlh, NDA_LLADDR, 6, k->addr);
	mnl_attr_put_u32(nlh, NDA_MASTER, k->where);
	if (k->vlan)
		mnl_attr_put_u16(nlh, NDA_VLAN, k->vlan);
}

/*
 * The highest bucket of one of the kernel's tables; 0: there is no such table.  It is told first of
 * all: what follows, of each interface, is left with the socket.
 */
static uint32_t buckets(uint8_t family)
{
	_Alignas(struct nlmsghdr) char buf[2048];
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct timeval patience = {.tv_sec = 1};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ndt_config conf = {0};
	const struct nlattr *a;
	ssize_t n = -1;

	if (!nl)
		return 0;
	h->nlmsg_type = RTM_GETNEIGHTBL;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	((struct ndtmsg *)mnl_nlmsg_put_extra_header(h, sizeof(struct ndtmsg)))->ndtm_family =
		family;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) > 0)
		n = recv(mnl_socket_get_fd(nl), buf, sizeof(buf), 0);
	mnl_socket_close(nl);
	if (n > 0 && mnl_nlmsg_ok(h, (int)n) && h->nlmsg_type == RTM_NEWNEIGHTBL)
		mnl_attr_for_each(a, h, sizeof(struct ndtmsg))
			if (nm_type(a) == NDTA_CONFIG)
				nm_bytes(a, &conf, sizeof(conf));
	return conf.ndtc_hash_mask;
}

/*
 * A dump of neighbours goes from bucket to bucket.  When there are more of them meanwhile
 * (neigh_hash_grow(): of a table that all network namespaces share) the entries are in other
 * ones, and some are lost or come twice.  There are never fewer.
 */
static uint64_t shape_of_tables(void)
{
	return (uint64_t)buckets(AF_INET) << 32 | buckets(AF_INET6);
}

enum { LINKS, FDB, NEIGHBORS, TABLES };

/* The first source that fits a message has it: the one family stands before all the others. */
static const struct nm_source sources[] = {
	[LINKS] = NM_LINK_NAMES,
	[FDB] = {"fdb", .get = RTM_GETNEIGH, .add = RTM_NEWNEIGH, .del = RTM_DELNEIGH,
		 .af = AF_BRIDGE, .kept = true, .torn = true, .group = {RTNLGRP_NEIGH},
		 .table = &nd, .ask = ask_fdb},
	[NEIGHBORS] = {"neighbors", .get = RTM_GETNEIGH, .add = RTM_NEWNEIGH, .del = RTM_DELNEIGH,
		       .any_af = true, .kept = true, .group = {RTNLGRP_NEIGH}, .table = &nd,
		       .shape = shape_of_tables},
	/* without events: submit() says when it is to be read again */
	[TABLES] = {"tables", .get = RTM_GETNEIGHTBL, .add = RTM_NEWNEIGHTBL, .any_af = true,
		    .kept = true, .table = &ndt},
};

/* ---- what is configured -------------------------------------------------------------- */

static const struct nm_name notice_names[] = {
	{NEW, "new"},       {CHANGED, "changed"},       {FLIPFLOP, "flipflop"},
	{REUSED, "reused"}, {ACTIVITY, "activity"},     {DUPLICATE, "duplicate"},
	{MOVED, "moved"},   {TABLE_FULL, "table_full"}, {STATE_FILE, "state_file"},
};
const struct nm_names nm_neighbor_notices = {NM_ARRAY(notice_names)};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.track = true,
	.max_stations = 16384,
	.quiet = 180,
	.duplicate_interval = 60,
	.notify = FLIPFLOP | DUPLICATE | TABLE_FULL | STATE_FILE,
};

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Interface", NM_OPT_SELECT, interfaces, .def = "all",
		.help = "Interfaces to report: names or POSIX extended regular expressions between "
			"slashes, not anchored. May stand several times. An empty list is all. "
			"Forwarding entries belong to the bridge's port, stations behind a bridge to "
			"the bridge."),
	NM_OPTION(config, "IgnoreSelected", NM_OPT_BOOL, interfaces.invert,
		  .help = "Report all interfaces but those of Interface."),
	NM_OPTION(
		config, "ReportVlans", NM_OPT_BOOL, vlans,
		.help = "Report forwarding entries also by VLAN. It is a value for each port, VLAN and "
			"kind."),
	NM_OPTION(
		config, "TrackStations", NM_OPT_BOOL, track,
		.help = "Remember who is where: the link layer address behind each IP address, and the "
			"port behind each address that a bridge has learned. Without it only counts "
			"are reported."),
	NM_OPTION(
		config, "MaxStations", NM_OPT_NUMBER, max_stations, .min = 16, .max = 1e7,
		.help = "How many stations are remembered; each takes about 160 bytes. Beyond it the "
			"eighth that was seen longest ago is forgotten."),
	NM_OPTION(
		config, "Quiet", NM_OPT_NUMBER, quiet, .min = 0.0001, .max = 36500,
		.help = "Days without a sign of a station after which its return is new activity."),
	NM_OPTION(
		config, "DuplicateInterval", NM_OPT_NUMBER, duplicate_interval, .min = 1,
		.max = 86400,
		.help = "An address that changes to another station and back within so many seconds is "
			"used by both. It is over after as many seconds without a change."),
	NM_OPTION(
		config, "StateFile", NM_OPT_PATH, state_file, .def = "none",
		.help = "A file that keeps the stations over a restart, written at most once a minute "
			"and at the end. For another network namespace its name follows an \"@\". A "
			"copy of arpwatch's arp.dat can be put there. A damaged file is renamed to "
			"FILE.damaged."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &nm_neighbor_notices,
		  .help = "Which changes are told by a notification."),
};

/* ---- what is kept ----------------------------------------------------------------------- */

/* A count of an interface; entries that are not counted have none. */
enum {
	IPV4_CELLS = 0,
	IPV6_CELLS = 8,
	FDB_CELLS = 16,
	VXLAN_CELLS = 20,
	REMOTES = 24,
	CELLS,
	NO_CELL = CELLS,
};
static const struct cell {
	const char *name;
	uint8_t group; /* reported together once there was an entry of one of them */
} cells[CELLS] = {
	{"ipv4_incomplete", 0}, {"ipv4_reachable", 0},  {"ipv4_stale", 0},
	{"ipv4_delay", 0},      {"ipv4_probe", 0},      {"ipv4_failed", 0},
	{"ipv4_noarp", 0},      {"ipv4_permanent", 0},  {"ipv6_incomplete", 1},
	{"ipv6_reachable", 1},  {"ipv6_stale", 1},      {"ipv6_delay", 1},
	{"ipv6_probe", 1},      {"ipv6_failed", 1},     {"ipv6_noarp", 1},
	{"ipv6_permanent", 1},  {"fdb_learned", 2},     {"fdb_static", 2},
	{"fdb_permanent", 2},   {"fdb_external", 2},    {"vxlan_learned", 3},
	{"vxlan_static", 3},    {"vxlan_permanent", 3}, {"vxlan_external", 3},
	{"vxlan_remotes", 3},
};
enum { LEARNED, STATIC, PERMANENT, EXTERNAL, KINDS };

struct iface {
	char name[IFNAMSIZ]; /* empty: no link message yet */
	uint32_t count[CELLS];
	uint32_t seen;
	uint8_t groups; /* bits: which were ever used */
	bool changed, selected, bridge, vxlan;
	uint64_t moves; /* between ports of this bridge */
};

struct entry {
	uint64_t at; /* packed link layer address; the port of a forwarding entry */
	uint32_t seen;
	uint8_t cell;
	bool collectable;
};

/* A VXLAN entry is one for each remote; a learned one has one, which may change untold. */
struct tunnel_key {
	uint32_t ifindex, src_vni, vni, via, nexthop;
	uint16_t port;
	uint8_t mac[6], dst[16];
};

struct tunnel {
	uint8_t dst[16];
	uint32_t seen;
	uint8_t cell;
};

struct remote_key {
	uint32_t ifindex;
	uint8_t dst[16];
};

struct vlan_key {
	uint32_t ifindex, vlan;
};

struct vlan {
	uint32_t count[KINDS];
	bool changed;
};

/* One of the kernel's neighbour tables: what it says, and what we know of its entries. */
struct table {
	bool known, news;
	uint32_t thresh[3], entries;
	struct ndt_stats stats;
	uint64_t told; /* entries whose birth we have seen */
	uint64_t base; /* allocations that we have not seen: of others, or before we looked */
	uint32_t ours, collectable;
	bool full;
	uint64_t fulls, full_at; /* ns */
};

enum { ARP, NDISC, FAMILIES };
static const char *const table_names[FAMILIES] = {"arp_cache", "ndisc_cache"};

struct state {
	struct nm_map ifaces;  /* ifindex -> struct iface */
	struct nm_map entries; /* struct entry_key -> struct entry */
	struct nm_map tunnels; /* struct tunnel_key -> struct tunnel */
	struct nm_map remotes; /* struct remote_key -> uint32_t: entries */
	struct nm_map vlans;   /* struct vlan_key -> struct vlan */
	struct stations stations;
	struct table table[FAMILIES];
	uint32_t sets;    /* parameter sets of single interfaces that the tables' dump had */
	uint32_t dump;    /* number of the dump that runs or ran last */
	uint32_t torn;    /* number of a dump of the FDB that missed some, perhaps; 0: none */
	bool look;        /* entries were born silently, here or elsewhere */
	uint64_t look_at; /* ns: not before */
	uint64_t begun, told_begun; /* ns, and what was told, when the dump began */
};

#define MAP(k, t) ((struct nm_map){.key = sizeof(k), .val = sizeof(t)})

static int open_neighbor(struct nm_view *v)
{
	struct state *s = v->state;

	s->ifaces = MAP(uint32_t, struct iface);
	s->entries = MAP(struct entry_key, struct entry);
	s->tunnels = MAP(struct tunnel_key, struct tunnel);
	s->remotes = MAP(struct remote_key, uint32_t);
	s->vlans = MAP(struct vlan_key, struct vlan);
	nm_stations_open(&s->stations);
	return 0;
}

struct stations *nm_stations(const struct nm_view *v)
{
	return &((struct state *)v->state)->stations;
}

/* ---- counts -------------------------------------------------------------------------------- */

static struct iface *iface_of(struct state *s, uint32_t ifindex)
{
	return nm_map_put(&s->ifaces, &ifindex, NULL);
}

static int count_vlan(const struct nm_view *v, uint32_t ifindex, uint16_t vlan, unsigned kind,
		      int by)
{
	struct vlan_key k = {.ifindex = ifindex, .vlan = vlan};
	struct state *s = v->state;
	struct vlan *of;

	if (!((const struct config *)v->config)->vlans)
		return 0;
	of = nm_map_put(&s->vlans, &k, NULL);
	if (!of)
		return -ENOMEM;
	of->count[kind] += (uint32_t)by;
	of->changed = true;
	return 0;
}

static int count(struct state *s, uint32_t ifindex, unsigned cell, int by)
{
	struct iface *i = cell < CELLS ? iface_of(s, ifindex) : NULL;

	if (cell >= CELLS)
		return 0;
	if (!i)
		return -ENOMEM;
	i->count[cell] += (uint32_t)by;
	i->groups |= (uint8_t)(1 << cells[cell].group);
	i->changed = true;
	return 0;
}

/* The interface that an entry is counted with. */
static uint32_t place_of(const struct entry_key *k, const struct entry *e)
{
	return k->family == AF_BRIDGE ? (uint32_t)e->at : k->where;
}

static int count_entry(const struct nm_view *v, const struct entry_key *k, const struct entry *e,
		       int by)
{
	struct state *s = v->state;
	int err = count(s, place_of(k, e), e->cell, by);

	if (k->family == AF_BRIDGE)
		return err ? err : count_vlan(v, (uint32_t)e->at, k->vlan, e->cell - FDB_CELLS, by);
	struct table *t = &s->table[k->family == AF_INET ? ARP : NDISC];

	t->ours += (uint32_t)by;
	t->collectable += e->collectable ? (uint32_t)by : 0;
	return err;
}

static int remove_entry(const struct nm_view *v, const struct entry_key *key)
{
	struct state *s = v->state;
	struct entry_key k = *key; /* it may be the map's own */
	const struct entry *e = nm_map_get(&s->entries, &k);
	int err = e ? count_entry(v, &k, e, -1) : 0;

	nm_map_del(&s->entries, &k);
	return err;
}

uint32_t nm_neighbor_ifindex(const struct nm_view *v, const char *name)
{
	const struct state *s = v->state;
	const struct iface *i;
	const void *key;

	for (size_t n = 0; (i = nm_map_next(&s->ifaces, &key, &n));)
		if (!strcmp(i->name, name))
			return *(const uint32_t *)key;
	return 0;
}

/* ---- links ----------------------------------------------------------------------------------- */

/* What the kernel did not delete entry by entry goes with the interface. */
static int purge(const struct nm_view *v, uint32_t ifindex)
{
	struct state *s = v->state;
	const struct entry *e;
	const void *key;
	int err = 0;

	for (size_t i = 0; !err && (e = nm_map_next(&s->entries, &key, &i));)
		if (((const struct entry_key *)key)->where == ifindex ||
		    place_of(key, e) == ifindex) {
			err = remove_entry(v, key);
			i--;
		}
	for (size_t i = 0; nm_map_next(&s->tunnels, &key, &i);)
		if (((const struct tunnel_key *)key)->ifindex == ifindex) {
			nm_map_del(&s->tunnels, key);
			i--;
		}
	for (size_t i = 0; nm_map_next(&s->remotes, &key, &i);)
		if (((const struct remote_key *)key)->ifindex == ifindex) {
			nm_map_del(&s->remotes, key);
			i--;
		}
	for (size_t i = 0; nm_map_next(&s->vlans, &key, &i);)
		if (((const struct vlan_key *)key)->ifindex == ifindex) {
			nm_map_del(&s->vlans, key);
			i--;
		}
	return err;
}

static int remove_iface(const struct nm_view *v, uint32_t ifindex)
{
	struct state *s = v->state;
	const struct iface *i = nm_map_get(&s->ifaces, &ifindex);
	int err = i && (i->groups || i->bridge) ? purge(v, ifindex) : 0;

	nm_map_del(&s->ifaces, &ifindex);
	return err;
}

static int rename_iface(const struct nm_view *v, struct iface *i, const char *name)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	char new[IFNAMSIZ] = "";
	int err = 0;

	snprintf(new, sizeof(new), "%s", name);
	if (!strcmp(i->name, new))
		return 0;
	if (*i->name)
		err = nm_stations_rename(&s->stations, i->name, new);
	memcpy(i->name, new, sizeof(new));
	i->selected = nm_selected(&c->interfaces, new);
	i->changed = true;
	return err;
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	struct state *s = v->state;
	const char *kind = nm_str(nm_in(m->attr[IFLA_LINKINFO], IFLA_INFO_KIND));
	struct iface *i;

	if (h->ifi_index <= 0)
		return 0;
	if (m->gone)
		return remove_iface(v, (uint32_t)h->ifi_index);
	if (!nm_str(m->attr[IFLA_IFNAME]))
		return 0;
	i = iface_of(s, (uint32_t)h->ifi_index);
	if (!i)
		return -ENOMEM;
	i->bridge = kind && !strcmp(kind, "bridge");
	i->vxlan = kind && !strcmp(kind, "vxlan");
	i->seen = s->dump;
	return rename_iface(v, i, nm_str(m->attr[IFLA_IFNAME]));
}

/* When the kernel last heard of it; clock ticks of user space are hundredths on every machine. */
static int64_t seen_at(const struct nm_view *v, const struct nm_msg *m, bool fdb)
{
	struct nda_cacheinfo ci;
	uint32_t ago;

	if (nm_bytes(m->attr[NDA_CACHEINFO], &ci, sizeof(ci)) < sizeof(ci))
		return seconds(v);
	ago = fdb || ci.ndm_updated < ci.ndm_confirmed ? ci.ndm_updated : ci.ndm_confirmed;
	return seconds(v) - ago / 100;
}

static bool tracked(const struct nm_view *v, const struct iface *i)
{
	const struct config *c = v->config;

	return c->track && i && i->selected && *i->name;
}

static struct station_key station_key(const struct iface *i, const struct entry_key *e)
{
	struct station_key k = {.vlan = e->vlan, .family = e->family};

	memcpy(k.where, i->name, sizeof(k.where));
	memcpy(k.addr, e->addr, sizeof(k.addr));
	return k;
}

/* ---- neighbours -------------------------------------------------------------------------------- */

static uint8_t neighbor_cell(uint8_t family, uint16_t nud)
{
	static const uint16_t order[] = {NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY,
					 NUD_PROBE,      NUD_FAILED,    NUD_NOARP, NUD_PERMANENT};

	for (size_t i = 0; i < NM_COUNT(order); i++)
		if (nud & order[i])
			return (uint8_t)((family == AF_INET ? IPV4_CELLS : IPV6_CELLS) + i);
	return NO_CELL;
}

/* Only what can be a single station's: not a group's, not what an interface without ARP maps to. */
static bool is_station(const struct nm_msg *m, uint64_t at)
{
	const struct ndmsg *h = m->hdr;
	bool mac = at >> 56 == 6;

	if (h->ndm_state & NUD_NOARP && !(h->ndm_flags & NTF_EXT_LEARNED))
		return false;
	return at && !(mac && (!(at << 8) || at >> 40 & 1));
}

static int on_neighbor(struct nm_view *v, const struct nm_msg *m)
{
	const struct ndmsg *h = m->hdr;
	struct entry_key k = {.where = (uint32_t)h->ndm_ifindex, .family = h->ndm_family};
	struct state *s = v->state;
	struct entry is = {.seen = s->dump}, was, *e;
	uint8_t ll[32];
	bool fresh;
	int err;

	if ((k.family != AF_INET && k.family != AF_INET6) || h->ndm_ifindex <= 0 ||
	    h->ndm_flags & NTF_PROXY ||
	    nm_bytes(m->attr[NDA_DST], k.addr, 16) != (k.family == AF_INET ? 4 : 16))
		return 0;
	if (m->gone) {
		s->table[k.family == AF_INET ? ARP : NDISC].told +=
			!nm_map_get(&s->entries, &k); /* it was born silently */
		return remove_entry(v, &k);
	}
	if (m->attr[NDA_LLADDR])
		is.at = nm_lladdr_pack(ll, nm_bytes(m->attr[NDA_LLADDR], ll, sizeof(ll)));
	is.cell = neighbor_cell(k.family, h->ndm_state);
	is.collectable = !(h->ndm_state & NUD_PERMANENT) && !(h->ndm_flags & NTF_EXT_LEARNED);
	e = nm_map_put(&s->entries, &k, &fresh);
	if (!e)
		return -ENOMEM;
	was = *e;
	*e = is;
	if (fresh)
		s->table[k.family == AF_INET ? ARP : NDISC].told++;
	if (!fresh && was.cell == is.cell && was.collectable == is.collectable &&
	    (was.at == is.at && !m->event))
		return 0;
	err = fresh ? 0 : count_entry(v, &k, &was, -1);
	if (!err)
		err = count_entry(v, &k, &is, 1);
	const struct iface *i = nm_map_get(&s->ifaces, &k.where);

	if (err || !is_station(m, is.at) || !tracked(v, i))
		return err;
	struct station_key sk = station_key(i, &k);
	struct station st = {.at = {is.at}, .seen = seen_at(v, m, false)};

	err = nm_station_seen(v, &sk, &st,
			      fresh || was.cell != neighbor_cell(k.family, NUD_REACHABLE));
	return err < 0 ? err : 0;
}

/* ---- forwarding entries --------------------------------------------------------------------------- */

static unsigned kind_of(const struct ndmsg *h)
{
	if (h->ndm_flags & NTF_EXT_LEARNED)
		return EXTERNAL;
	if (h->ndm_state & NUD_PERMANENT)
		return PERMANENT;
	return (h->ndm_state & NUD_NOARP) ? STATIC : LEARNED;
}

static int count_remote(struct state *s, uint32_t ifindex, const uint8_t dst[16], int by)
{
	static const uint8_t none[16];
	struct remote_key k = {.ifindex = ifindex};
	uint32_t *n;
	bool fresh;

	if (!memcmp(dst, none, sizeof(none))) /* a next hop group's are not ours to tell */
		return 0;
	memcpy(k.dst, dst, sizeof(k.dst));
	n = nm_map_put(&s->remotes, &k, &fresh);
	if (!n)
		return -ENOMEM;
	*n += (uint32_t)by;
	if (by > 0 && *n == 1)
		return count(s, ifindex, REMOTES, 1);
	if (by < 0 && !*n) {
		nm_map_del(&s->remotes, &k);
		return count(s, ifindex, REMOTES, -1);
	}
	return 0;
}

static int count_tunnel(struct state *s, uint32_t ifindex, const struct tunnel *t, int by)
{
	int err = count(s, ifindex, t->cell, by);

	return err ? err : count_remote(s, ifindex, t->dst, by);
}

static int remove_tunnel(struct state *s, const struct tunnel_key *key)
{
	struct tunnel_key k = *key;
	const struct tunnel *t = nm_map_get(&s->tunnels, &k);
	struct tunnel was;

	if (!t)
		return 0;
	was = *t;
	nm_map_del(&s->tunnels, &k);
	return count_tunnel(s, k.ifindex, &was, -1);
}

static int on_tunnel(struct nm_view *v, const struct nm_msg *m)
{
	const struct ndmsg *h = m->hdr;
	struct state *s = v->state;
	struct tunnel_key k = {.ifindex = (uint32_t)h->ndm_ifindex,
			       .src_vni = (uint32_t)nm_uint(m->attr[NDA_SRC_VNI])};
	struct tunnel is = {.seen = s->dump, .cell = (uint8_t)(VXLAN_CELLS + kind_of(h))}, was, *t;
	bool fresh;
	int err;

	nm_bytes(m->attr[NDA_LLADDR], k.mac, sizeof(k.mac));
	nm_bytes(m->attr[NDA_DST], is.dst, sizeof(is.dst));
	if (h->ndm_state & (NUD_NOARP | NUD_PERMANENT)) { /* may have several remotes */
		memcpy(k.dst, is.dst, sizeof(k.dst));
		k.vni = (uint32_t)nm_uint(m->attr[NDA_VNI]);
		k.via = (uint32_t)nm_uint(m->attr[NDA_IFINDEX]);
		k.nexthop = (uint32_t)nm_uint(m->attr[NDA_NH_ID]);
		k.port = (uint16_t)nm_uint(m->attr[NDA_PORT]);
	}
	if (m->gone)
		return remove_tunnel(s, &k);
	t = nm_map_put(&s->tunnels, &k, &fresh);
	if (!t)
		return -ENOMEM;
	was = *t;
	*t = is;
	err = fresh ? 0 : count_tunnel(s, k.ifindex, &was, -1);
	return err ? err : count_tunnel(s, k.ifindex, &is, 1);
}

/* A station behind a port; 1: it was behind another one. */
static int on_fdb_station(struct nm_view *v, const struct nm_msg *m, const struct entry_key *k,
			  uint32_t port)
{
	struct state *s = v->state;
	const struct iface *bridge = nm_map_get(&s->ifaces, &k->where),
			   *at = nm_map_get(&s->ifaces, &port);
	struct station st = {.seen = seen_at(v, m, true)};

	if (!tracked(v, bridge) || !at || !*at->name || k->addr[0] & 1)
		return 0;
	struct station_key sk = station_key(bridge, k);

	memcpy(st.port, at->name, sizeof(st.port));
	return nm_station_seen(v, &sk, &st, true);
}

static int on_fdb(struct nm_view *v, const struct nm_msg *m)
{
	const struct ndmsg *h = m->hdr;
	struct state *s = v->state;
	uint32_t ifindex = (uint32_t)h->ndm_ifindex;
	struct entry_key k = {.where = (uint32_t)nm_uint(m->attr[NDA_MASTER]),
			      .vlan = (uint16_t)nm_uint(m->attr[NDA_VLAN]),
			      .family = AF_BRIDGE};
	struct entry is = {.at = ifindex, .seen = s->dump}, was, *e;
	struct iface *i;
	bool fresh;
	int err, moved = 0;

	if (h->ndm_ifindex <= 0 || nm_bytes(m->attr[NDA_LLADDR], k.addr, 6) != 6)
		return 0;
	if (h->ndm_flags & NTF_SELF || !k.where) { /* else: an interface's own address filter */
		i = nm_map_get(&s->ifaces, &ifindex);
		return i && i->vxlan ? on_tunnel(v, m) : 0;
	}
	if (m->gone)
		return remove_entry(v, &k);
	is.cell = (uint8_t)(FDB_CELLS + kind_of(h));
	e = nm_map_put(&s->entries, &k, &fresh);
	if (!e)
		return -ENOMEM;
	was = *e;
	*e = is;
	if (!fresh && was.cell == is.cell && was.at == is.at && !m->event)
		return 0;
	err = fresh ? 0 : count_entry(v, &k, &was, -1);
	if (!err)
		err = count_entry(v, &k, &is, 1);
	if (!err && (is.cell == FDB_CELLS + LEARNED || is.cell == FDB_CELLS + EXTERNAL))
		moved = on_fdb_station(v, m, &k, ifindex);
	if (err || moved < 0)
		return err ? err : moved;
	i = nm_map_get(&s->ifaces, &k.where);
	if (i && (fresh ? moved : was.at != is.at))
		i->moves++;
	return 0;
}

/* ---- the kernel's tables ------------------------------------------------------------------------------ */

enum { CALM = 300 }; /* s without a refusal, after which a table is full no more */

static void tell_table(struct nm_view *v, int family, bool full)
{
	const struct config *c = v->config;
	const struct table *t = &((struct state *)v->state)->table[family];
	struct nm_notice *n = NULL;

	if (v->news && c->notify & TABLE_FULL)
		n = nm_notify(v, full ? NM_FAILURE : NM_OKAY,
			      nm_name(&nm_neighbor_notices, TABLE_FULL), table_names[family]);
	nm_meta(n, "table_fulls", "%" PRIu64, t->fulls);
	nm_meta(n, "gc_thresh3", "%u", t->thresh[2]);
	if (full)
		nm_say(n, "%s is full: the kernel refused a neighbour; gc_thresh3 is %u",
		       table_names[family], t->thresh[2]);
	else
		nm_say(n, "%s: no neighbour was refused for %d s", table_names[family], CALM);
}

static void check_table(struct nm_view *v, int family, bool first)
{
	struct state *s = v->state;
	struct table *t = &s->table[family];
	uint64_t fulls = t->stats.ndts_table_fulls, born = t->stats.ndts_allocs - t->told;

	if (!first && fulls > t->fulls) {
		t->fulls = fulls;
		t->full_at = v->now;
		if (!t->full)
			tell_table(v, family, true);
		t->full = true;
	} else if (t->full && v->now - t->full_at > CALM * 1000000000ull) {
		t->full = false;
		tell_table(v, family, false);
	}
	t->fulls = fulls;
	s->look |= !first && (int64_t)(born - t->base) > 0;
	t->base = born;
}

static int on_table(struct nm_view *v, const struct nm_msg *m)
{
	const struct ndtmsg *h = m->hdr;
	struct state *s = v->state;
	int family = h->ndtm_family == AF_INET ? ARP : NDISC;
	struct table *t = &s->table[family];
	struct ndt_config conf = {0};
	bool first = !t->known;

	if (!m->attr[NDTA_CONFIG]) {
		s->sets++;
		return 0;
	}
	if ((h->ndtm_family != AF_INET && h->ndtm_family != AF_INET6) || !m->attr[NDTA_STATS])
		return 0;
	for (int i = 0; i < 3; i++)
		t->thresh[i] = (uint32_t)nm_uint(m->attr[NDTA_THRESH1 + i]);
	nm_bytes(m->attr[NDTA_CONFIG], &conf, sizeof(conf));
	t->entries = conf.ndtc_entries;
	memset(&t->stats, 0, sizeof(t->stats));
	nm_bytes(m->attr[NDTA_STATS], &t->stats, sizeof(t->stats));
	t->known = t->news = true;
	check_table(v, family, first);
	return 0;
}

enum { MANY_MISSED = 8192 };

/*
 * Where stations come and go all the time no dump of the FDB is whole, and what one
 * did not have may be there: the kernel is asked for each.  (It takes no such question
 * for what a VXLAN has, nor for rules: those that are gone untold go with the first
 * whole dump.)
 */
static int ask_for_missed(struct nm_view *v)
{
	struct state *s = v->state;
	uint32_t torn = s->torn;
	const struct entry *e;
	const void *key;
	int err = 0, n = 0;

	s->torn = 0;
	for (size_t i = 0; torn && n < MANY_MISSED && (e = nm_map_next(&s->entries, &key, &i));) {
		struct entry_key k = *(const struct entry_key *)key;

		if (k.family != AF_BRIDGE || (int32_t)(e->seen - torn) >= 0)
			continue;
		n++;
		err = nm_ask(v, &sources[FDB], &k);
		/* a recording has told of those that are there by now */
		if (err == -ENOENT || err == -EAGAIN) {
			remove_entry(v, &k);
			i--;
		} else if (err) {
			break;
		}
	}
	return err;
}

/*
 * An entry that waits for its first answer, and one that needs none, are born
 * without an event (net/core/neighbour.c); the table's allocations give them away.
 */
static int settle_neighbor(struct nm_view *v)
{
	struct state *s = v->state;
	int err = ask_for_missed(v);

	if (s->look && v->now >= s->look_at) {
		s->look = false;
		err = nm_ask(v, &sources[NEIGHBORS], NULL);
	}
	return err == -ENOMEM ? err : 0;
}

/*
 * The allocations are those of all network namespaces: most that are seen are of others.  Until we
 * look for ours again we rest for 99 times what the last dump took, until the next reading at least,
 * or the one after it if that dump had nothing new.
 */
static void looked(const struct nm_view *v)
{
	struct state *s = v->state;
	bool vain = s->table[ARP].told + s->table[NDISC].told == s->told_begun;

	for (int f = 0; f < FAMILIES; f++)
		s->table[f].base = s->table[f].stats.ndts_allocs - s->table[f].told;
	s->look = false;
	s->look_at = v->now + 99 * (v->now - s->begun) +
		     (uint64_t)((vain ? 1.5 : 0.5) * v->interval * 1e9);
}

static void close_neighbor(struct nm_view *v)
{
	struct state *s = v->state;

	nm_stations_save_at_the_end(v);
	nm_map_free(&s->ifaces);
	nm_map_free(&s->entries);
	nm_map_free(&s->tunnels);
	nm_map_free(&s->remotes);
	nm_map_free(&s->vlans);
	nm_stations_close(&s->stations);
}

/* ---- dumps -------------------------------------------------------------------------------------------------- */

static void begin_neighbor(struct nm_view *v, const struct nm_source *src)
{
	struct state *s = v->state;

	nm_stations_load(v);
	s->dump++;
	s->begun = v->now;
	s->told_begun = s->table[ARP].told + s->table[NDISC].told;
	if (src == &sources[TABLES])
		s->sets = 0;
}

static int message_neighbor(struct nm_view *v, const struct nm_msg *m)
{
	static int (*const on[])(struct nm_view * v, const struct nm_msg *m) = {
		[LINKS] = on_link,
		[FDB] = on_fdb,
		[NEIGHBORS] = on_neighbor,
		[TABLES] = on_table,
	};

	return on[m->src - sources](v, m);
}

static void sweep_links(const struct nm_view *v)
{
	struct state *s = v->state;
	const struct iface *i;
	const void *key;

	for (size_t n = 0; (i = nm_map_next(&s->ifaces, &key, &n));)
		if (i->seen != s->dump) {
			uint32_t ifindex = *(const uint32_t *)key;

			remove_iface(v, ifindex);
			n--;
		}
}

/* What a complete dump did not have is gone, also when nobody told so. */
static void sweep_entries(const struct nm_view *v, bool fdb)
{
	struct state *s = v->state;
	const struct tunnel *t;
	const struct entry *e;
	const void *key;

	for (size_t i = 0; (e = nm_map_next(&s->entries, &key, &i));)
		if (e->seen != s->dump &&
		    (((const struct entry_key *)key)->family == AF_BRIDGE) == fdb) {
			remove_entry(v, key);
			i--;
		}
	for (size_t i = 0; fdb && (t = nm_map_next(&s->tunnels, &key, &i));)
		if (t->seen != s->dump) {
			remove_tunnel(s, key);
			i--;
		}
}

static void end_neighbor(struct nm_view *v, const struct nm_source *src, bool complete)
{
	struct state *s = v->state;

	if (src == &sources[FDB])
		s->torn = complete ? 0 : s->dump;
	if (!complete)
		return;
	if (src == &sources[NEIGHBORS])
		looked(v);
	if (src == &sources[LINKS])
		sweep_links(v);
	else if (src != &sources[TABLES])
		sweep_entries(v, src == &sources[FDB]);
}

/* ---- what is submitted ---------------------------------------------------------------------- */

enum { MANY_SETS = 256 }; /* a table's dump has two for each interface: then it is not cheap */

#define STAT(name)                                                                                 \
	{                                                                                          \
#name, offsetof(struct ndt_stats, ndts_##name)                                     \
	}
static const struct stat_row {
	const char *name;
	size_t off;
} stat_rows[] = {
	STAT(allocs),           STAT(destroys),         STAT(hash_grows),
	STAT(res_failed),       STAT(lookups),          STAT(hits),
	STAT(rcv_probes_mcast), STAT(rcv_probes_ucast), STAT(periodic_gc_runs),
	STAT(forced_gc_runs),   STAT(table_fulls),
};

static void submit_table(const struct nm_view *v, struct nm_reading *r, int family)
{
	static const char *const thresh[] = {"gc_thresh1", "gc_thresh2", "gc_thresh3"};
	struct state *s = v->state;
	struct table *t = &s->table[family];
	double fill;

	if (!t->known)
		return;
	nm_instance(r, table_names[family]);
	nm_slow(r, s->sets > MANY_SETS);
	for (size_t i = 0; t->news && i < NM_COUNT(stat_rows); i++)
		nm_derive(r, "derive", stat_rows[i].name,
			  *(const uint64_t *)(const void *)((const char *)&t->stats +
							    stat_rows[i].off));
	if (t->news)
		nm_gauge(r, "gauge", "entries", t->entries);
	nm_slow(r, false);
	nm_gauge(r, "gauge", "collectable", t->collectable);
	fill = t->thresh[2] ? 100.0 * t->collectable / t->thresh[2] : 0;
	if (t->thresh[2])
		nm_gauge(r, "percent", "fill", fill < 100 ? fill : 100);
	nm_slow(r, true);
	for (size_t i = 0; nm_slow_due(v, 0) && i < NM_COUNT(thresh); i++)
		nm_gauge(r, "gauge", thresh[i], t->thresh[i]);
	nm_slow(r, false);
	t->news = false;
}

/* Other instances of ours must not be mistaken for an interface. */
static void instance_of(struct nm_reading *r, const char *name, uint32_t ifindex)
{
	static const char *const ours[] = {"arp_cache", "ndisc_cache", "stations", "self"};
	char text[IFNAMSIZ + 16];

	for (size_t i = 0; i < NM_COUNT(ours); i++)
		if (!strcmp(name, ours[i])) {
			snprintf(text, sizeof(text), "%s_if%u", name, ifindex);
			nm_instance(r, text);
			return;
		}
	nm_instance(r, name);
}

static void submit_iface(const struct nm_view *v, struct nm_reading *r, uint32_t ifindex,
			 struct iface *i)
{
	bool due = i->changed || nm_slow_due(v, ifindex);

	if (!i->groups && !i->bridge)
		return;
	instance_of(r, i->name, ifindex);
	if (i->bridge)
		nm_derive(r, "derive", "moves", i->moves);
	nm_slow(r, true);
	for (size_t c = 0; due && c < CELLS; c++)
		if (i->groups & 1 << cells[c].group)
			nm_gauge(r, "gauge", cells[c].name, i->count[c]);
	nm_slow(r, false);
	i->changed = false;
}

static void submit_vlans(const struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	const void *key;
	struct vlan *of;
	char text[64];

	nm_slow(r, true);
	for (size_t n = 0; (of = nm_map_next(&s->vlans, &key, &n));) {
		const struct vlan_key *k = key;
		const struct iface *i = nm_map_get(&s->ifaces, &k->ifindex);

		if (!i || !i->selected || !*i->name || !(of->changed || nm_slow_due(v, k->ifindex)))
			continue;
		instance_of(r, i->name, k->ifindex);
		for (size_t kind = 0; kind < KINDS; kind++) {
			snprintf(text, sizeof(text), "%s_vlan%u", cells[FDB_CELLS + kind].name,
				 k->vlan);
			nm_gauge(r, "gauge", nm_text(r, text), of->count[kind]);
		}
		of->changed = false;
	}
	nm_slow(r, false);
}

/* The tables are read at every reading where that is cheap, else in time for the slow values. */
static void plan_tables(struct nm_view *v)
{
	const struct state *s = v->state;

	if (s->sets <= MANY_SETS || nm_slow_due(v, 1))
		nm_distrust(v, &sources[TABLES]);
}

static int submit_neighbor(struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	struct iface *i;
	const void *key;

	for (int f = 0; f < FAMILIES; f++)
		submit_table(v, r, f);
	for (size_t n = 0; (i = nm_map_next(&s->ifaces, &key, &n));)
		if (i->selected && *i->name)
			submit_iface(v, r, *(const uint32_t *)key, i);
	submit_vlans(v, r);
	nm_stations_submit(v, r);
	nm_stations_calm(v);
	plan_tables(v);
	return nm_stations_save(v);
}

const struct nm_plugin netmon_neighbor = {
	.name = "netmon_neighbor",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_neighbor,
	.begin = begin_neighbor,
	.message = message_neighbor,
	.end = end_neighbor,
	.settle = settle_neighbor,
	.submit = submit_neighbor,
	.close = close_neighbor,
};
