/* SPDX-License-Identifier: MIT */
/* netmon_link: interfaces: counters, state, speed, addresses, and who changed what.  Kinds: link_*.c */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "names.h"
#include "uapi.h"

/* ---- what the kernel's bytes mean ----------------------------------------------- */

static const struct nm_field cache_rows[] = {
	NM_M(ifa_cacheinfo, ifa_prefered, UINT),
	NM_M(ifa_cacheinfo, ifa_valid, UINT),
	NM_M(ifa_cacheinfo, cstamp, UINT),
	NM_M(ifa_cacheinfo, tstamp, UINT),
};
static const struct nm_table cache = NM_STRUCT_OF(ifa_cacheinfo, "", cache_rows, NULL);

static const struct nm_field ifa_rows[] = {
	NM_A(IFA_ADDRESS, ADDR),
	NM_A(IFA_LOCAL, ADDR),
	NM_A(IFA_LABEL, STR),
	NM_A(IFA_BROADCAST, ADDR),
	NM_A(IFA_ANYCAST, ADDR),
	NM_A(IFA_CACHEINFO, STRUCT, .table = &cache),
	NM_A(IFA_FLAGS, BITS, .names = &nm_IFA_F),
	NM_A(IFA_RT_PRIORITY, UINT),
	NM_A(IFA_TARGET_NETNSID, SINT),
	NM_A(IFA_PROTO, ENUM, .names = &nm_IFAPROT),
};
static const struct nm_table ifa = NM_ATTRS("IFA_", ifa_rows, &nm_IFA);

static const struct nm_field ifaddr_rows[] = {
	NM_M(ifaddrmsg, ifa_family, ENUM, .names = &nm_AF),
	NM_M(ifaddrmsg, ifa_prefixlen, UINT),
	NM_M(ifaddrmsg, ifa_scope, ENUM, .names = &nm_RT_SCOPE),
	NM_M(ifaddrmsg, ifa_index, IFINDEX),
};
static const struct nm_table ifaddr = NM_STRUCT_OF(ifaddrmsg, "ifa_", ifaddr_rows, &ifa);

static const struct nm_field header_rows[] = {
	NM_A(ETHTOOL_A_HEADER_DEV_INDEX, UINT),
	NM_A(ETHTOOL_A_HEADER_DEV_NAME, STR),
};
static const struct nm_table header =
	NM_ATTRS("ETHTOOL_A_HEADER_", header_rows, &nm_ETHTOOL_HEADER);

static const struct nm_field modes_rows[] = {
	NM_A(ETHTOOL_A_LINKMODES_HEADER, NEST, .table = &header),
	NM_A(ETHTOOL_A_LINKMODES_AUTONEG, UINT),
	NM_A(ETHTOOL_A_LINKMODES_SPEED, SINT), /* Mbit/s; -1: SPEED_UNKNOWN */
	NM_A(ETHTOOL_A_LINKMODES_DUPLEX, UINT),
	NM_A(ETHTOOL_A_LINKMODES_MASTER_SLAVE_CFG, UINT),
	NM_A(ETHTOOL_A_LINKMODES_MASTER_SLAVE_STATE, UINT),
	NM_A(ETHTOOL_A_LINKMODES_LANES, UINT),
	NM_A(ETHTOOL_A_LINKMODES_RATE_MATCHING, UINT),
};
static const struct nm_table modes =
	NM_ATTRS("ETHTOOL_A_LINKMODES_", modes_rows, &nm_ETHTOOL_LINKMODES);
static const struct nm_field genl_rows[] = {
	{0},
};
static const struct nm_table linkmodes = NM_STRUCT_OF(genlmsghdr, "", genl_rows, &modes);

/* ---- what is asked ---------------------------------------------------------------- */

/*
 * RTM_GETSTATS costs a fraction of RTM_GETLINK; IFLA_STATS64 comes with the latter anyway.
 * The counters of SR-IOV functions come only where statistics are not skipped.
 */
static void ask_links(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	const struct config *c = v->config;
	struct ifinfomsg *h = mnl_nlmsg_get_payload(nlh);
	uint32_t mask = c ? RTEXT_FILTER_SKIP_STATS : RTEXT_FILTER_VF;

	if (key)
		h->ifi_index = *(const int *)key;
	if (c && c->collect_vf)
		mask = key ? RTEXT_FILTER_VF : RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, mask);
}

static void ask_ports(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)key;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK,
			 v->config ? RTEXT_FILTER_MST :
				     RTEXT_FILTER_MST | RTEXT_FILTER_BRVLAN_COMPRESSED);
}

static void ask_linkmodes(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, ETHTOOL_A_LINKMODES_HEADER);

	(void)v;
	if (key)
		mnl_attr_put_u32(nlh, ETHTOOL_A_HEADER_DEV_INDEX, *(const uint32_t *)key);
	mnl_attr_put_u32(nlh, ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS);
	mnl_attr_nest_end(nlh, nest);
}

static bool wants_xstats(const struct nm_view *v);

static void ask_counters(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	struct if_stats_msg *h = mnl_nlmsg_get_payload(nlh);

	(void)key;
	h->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
	if (!v->config || wants_xstats(v))
		h->filter_mask |= IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_XSTATS) |
				  IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_XSTATS_SLAVE);
}

enum { LINKS, PORTS, ADDRESSES, LINKMODES, COUNTERS };

static const struct nm_source sources[] = {
	[LINKS] = {"links", .get = RTM_GETLINK, .add = RTM_NEWLINK, .del = RTM_DELLINK,
		   .kept = true, .group = {RTNLGRP_LINK}, .table = &nm_link_table,
		   .ask = ask_links},
	[PORTS] = {"ports", .get = RTM_GETLINK, .add = RTM_NEWLINK, .del = RTM_DELLINK,
		   .af = AF_BRIDGE, .kept = true, .group = {RTNLGRP_LINK},
		   .table = &nm_port_link_table, .ask = ask_ports},
	[ADDRESSES] = {"addresses", .get = RTM_GETADDR, .add = RTM_NEWADDR, .del = RTM_DELADDR,
		       .any_af = true, .kept = true,
		       .group = {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}, .table = &ifaddr},
	[LINKMODES] = {"linkmodes", .family = ETHTOOL_GENL_NAME, .get = ETHTOOL_MSG_LINKMODES_GET,
		       .add = ETHTOOL_MSG_LINKMODES_GET_REPLY, .ntf = {ETHTOOL_MSG_LINKMODES_NTF},
		       .kept = true, .mcast = ETHTOOL_MCGRP_MONITOR_NAME, .table = &linkmodes,
		       .ask = ask_linkmodes, .without = "speed, duplex and utilization"},
	[COUNTERS] = {"counters", .get = RTM_GETSTATS, .add = RTM_NEWSTATS,
		      .table = &nm_if_stats_table, .ask = ask_counters},
};

/* ---- what is configured -------------------------------------------------------------- */

enum { LABEL_IFNAME, LABEL_ALIAS, LABEL_ALTNAME };
static const struct nm_name label_names[] = {
	{LABEL_IFNAME, "ifname"},
	{LABEL_ALIAS, "alias"},
	{LABEL_ALTNAME, "altname"},
};
static const struct nm_names labels = {NM_ARRAY(label_names)};

enum { PLAIN, BRIEF, WIDE };
static const struct nm_name layout_names[] = {
	{PLAIN, "plain"},
	{BRIEF, "brief"},
	{WIDE, "wide"},
};
static const struct nm_names layouts = {NM_ARRAY(layout_names)};

static const struct nm_name notice_names[] = {
	{STATE, "state"},
	{SPEED, "speed"},
	{RENAME, "rename"},
	{CREATE, "create"},
	{DELETE, "delete"},
	{ADDRESS, "address"},
	{DUPLICATE, "duplicate"},
	{PROMISCUOUS, "promiscuous"},
	{MASTER, "master"},
	{XDP, "xdp"},
	{MTU, "mtu"},
	{BOND, "bond"},
	{ACTIVE_PORT, "active_port"},
	{PARTNER, "partner"},
	{STP, "stp"},
	{STP_PORT, "stp_port"},
	{FDB, "fdb"},
};
static const struct nm_names notices = {NM_ARRAY(notice_names)};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.report_inactive = true,
	.idle_timeout = 5,
	.notify = STATE | SPEED | DUPLICATE | MASTER | XDP | BOND | ACTIVE_PORT | PARTNER | STP |
		  FDB,
};

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Interface", NM_OPT_SELECT, interfaces, .def = "all",
		.help = "Interfaces to report: names or POSIX extended regular expressions between "
			"slashes, not anchored. May stand several times. An empty list is all."),
	NM_OPTION(config, "IgnoreSelected", NM_OPT_BOOL, interfaces.invert,
		  .help = "Report all interfaces but those of Interface."),
	NM_OPTION(
		config, "Verbose", NM_OPT_BOOL, verbose,
		.help = "Report every cause of an error or drop, collisions and compressed packets too."),
	NM_OPTION(
		config, "ReportTotal", NM_OPT_BOOL, report_total,
		.help = "Report under the instance \"total\" the octets, packets, errors and drops of all "
			"reported interfaces together."),
	NM_OPTION(
		config, "CollectVlan", NM_OPT_BOOL, collect_vlan,
		.help = "Report the VLANs of each bridge and port, and their traffic where the bridge "
			"counts it."),
	NM_OPTION(config, "CollectVF", NM_OPT_BOOL, collect_vf,
		  .help = "Report the traffic of each SR-IOV virtual function."),
	NM_OPTION(config, "ReportInactive", NM_OPT_BOOL, report_inactive,
		  .help = "Report interfaces that have never moved a packet."),
	NM_OPTION(
		config, "IdleTimeout", NM_OPT_NUMBER, idle_timeout, .max = 86400,
		.help = "Seconds without a packet after which an interface that is up counts as idle."),
	NM_OPTION(
		config, "Speed", NM_OPT_SETTING, speed, .min = 1, .max = 1e15,
		.def = "what the driver says",
		.help = "The speed of an interface in bit/s, for its utilization: where the driver knows "
			"none, or where less was bought. May stand several times."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &notices,
		  .help = "Which changes are told by a notification."),
	NM_OPTION(
		config, "Label", NM_OPT_WORD, label, .words = &labels,
		.help = "What the plugin instance is made of. An interface without an alias or altname, "
			"or with one that another interface has too, is labelled with its name."),
	NM_OPTION(
		config, "Layout", NM_OPT_WORD, layout, .words = &layouts,
		.help = "brief: at every reading octets and packets alone, everything else as slow values: "
			"half the cost. wide: one value list for each interface with all its counters and "
			"its state, and one with its slow values, of types that receivers know from "
			"netmon.types.db: a fraction of the cost."),
	NM_OPTION(
		config, "PluginName", NM_OPT_PLUGIN, plugin_name, .def = "netmon_link",
		.help = "Send the values under the name of another plugin: \"interface\" for dashboards "
			"that know collectd's own. That plugin must not be loaded then."),
};

/* ---- what is kept ----------------------------------------------------------------------- */

#define HOLD     3     /* readings for which collectd may still remember a name that was given up */
#define JUST_NOW NS(1) /* the kernel sets an interface down just before it deletes it */

struct address_key {
	uint32_t ifindex;
	uint8_t family, prefixlen, pad[2];
	uint8_t local[16], peer[16];
};

struct address {
	uint32_t flags;
	uint64_t seen;
};

struct owner {            /* of a label */
	uint32_t ifindex; /* 0: nobody */
	uint64_t left;    /* the reading at which it was given up */
};

struct link *nm_link_find(const struct state *s, uint32_t ifindex)
{
	struct link **l = nm_map_get(&s->links, &ifindex);

	return l ? *l : NULL;
}

static int open_link(struct nm_view *v)
{
	struct state *s = v->state;

	s->links = s->special =
		(struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct link *)};
	s->addresses =
		(struct nm_map){.key = sizeof(struct address_key), .val = sizeof(struct address)};
	s->owners = (struct nm_map){.key = LABEL_SIZE, .val = sizeof(struct owner)};
	return 0;
}

static void drop_role(struct state *s, struct link *l, int i)
{
	if (!l->role[i])
		return;
	if (l->role[i]->close)
		l->role[i]->close(l->is[i]);
	free(l->is[i]);
	l->is[i] = NULL;
	l->role[i] = NULL;
	s->check_bonds = true;
	if (!l->role[OWN] && !l->role[PORT] && !l->vfs)
		nm_map_del(&s->special, &l->ifindex);
}

static void free_link(struct state *s, struct link *l)
{
	for (int i = 0; i < ROLES; i++)
		drop_role(s, l, i);
	nm_map_del(&s->special, &l->ifindex);
	free(l->vfs);
	free(l);
}

static void close_link(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;

	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		free_link(s, *l);
	nm_map_free(&s->links);
	nm_map_free(&s->special);
	nm_map_free(&s->addresses);
	nm_map_free(&s->owners);
	free(s->pending);
}

/* ---- who is told ------------------------------------------------------------------------ */

/* The link of one of these is its other end, not what carries it. */
static bool is_pair(const char *kind)
{
	return !strcmp(kind, "veth") || !strcmp(kind, "netkit");
}

static const char *parent_word(const struct link *l)
{
	return is_pair(l->a.kind) ? "peer" : "parent";
}

struct nm_notice *nm_link_tell(struct nm_view *v, const struct link *l, unsigned what,
			       enum nm_severity severity, const char *old, const char *new)
{
	const struct config *c = v->config;
	struct nm_notice *n;

	if (!v->news || !l->selected || !(c->notify & what))
		return NULL;
	n = nm_notify(v, severity, nm_name(&notices, what), l->label);
	if (!n)
		return NULL;
	n->plugin = c->plugin_name;
	nm_meta(n, "ifindex", "%u", l->ifindex);
	nm_change(n, old, new);
	if (*l->a.kind)
		nm_meta(n, "kind", "%s", l->a.kind);
	if (l->a.parent && nm_ifname(v, l->a.parent))
		nm_meta(n, parent_word(l), "%s", nm_ifname(v, l->a.parent));
	return n;
}

static void tell_down(struct nm_view *v, const struct link *l, const char *reason, const char *why)
{
	struct nm_notice *n = nm_link_tell(v, l, STATE, NM_FAILURE, "up", "down");

	if (n)
		nm_meta(n, "reason", "%s", reason);
	nm_say(n, "interface %s is down: %s", l->label, why);
}

/*
 * Up and down, also those that no event showed: the kernel counts the changes
 * of the carrier, and tells at most one a second (net/core/link_watch.c).
 */
static void tell_state(struct nm_view *v, struct link *l, const struct attrs *was)
{
	uint32_t unseen = was->counts_carrier && l->a.counts_carrier ?
				  l->a.carrier_down - was->carrier_down :
				  0;

	if (was->up && !l->a.up) {
		l->down_at = v->now;
		if (l->a.flags & IFF_UP)
			tell_down(v, l, "carrier", "it has no carrier");
		else
			tell_down(v, l, "admin_down", "it was set down");
	} else if (!was->up && l->a.up) {
		nm_say(nm_link_tell(v, l, STATE, NM_OKAY, "down", "up"), "interface %s is up",
		       l->label);
	} else if (was->up && unseen && unseen < INT32_MAX) {
		tell_down(v, l, "carrier", "it lost its carrier for a moment");
		nm_say(nm_link_tell(v, l, STATE, NM_OKAY, "down", "up"),
		       "interface %s is up again; it was down %u times since it was last looked at",
		       l->label, unseen);
	}
}

const char *nm_link_name(const struct nm_view *v, uint32_t ifindex)
{
	const char *name = ifindex ? nm_ifname(v, ifindex) : "none";

	return name ? name : "unknown";
}

static void tell_changes(struct nm_view *v, struct link *l, const struct attrs *was)
{
	const struct attrs *a = &l->a;
	char old[16], new[16];

	if (strcmp(was->name, a->name))
		nm_say(nm_link_tell(v, l, RENAME, NM_WARNING, was->name, a->name),
		       "interface %s is named %s now", was->name, a->name);
	tell_state(v, l, was);
	if (was->mtu != a->mtu) {
		snprintf(old, sizeof(old), "%u", was->mtu);
		snprintf(new, sizeof(new), "%u", a->mtu);
		nm_say(nm_link_tell(v, l, MTU, NM_WARNING, old, new),
		       "interface %s: the MTU was %s and is %s", l->label, old, new);
	}
	if (!was->promiscuity != !a->promiscuity)
		nm_say(nm_link_tell(v, l, PROMISCUOUS, a->promiscuity ? NM_WARNING : NM_OKAY,
				    a->promiscuity ? "off" : "on", a->promiscuity ? "on" : "off"),
		       "interface %s %s promiscuous mode", l->label,
		       a->promiscuity ? "entered" : "left");
	if (was->master != a->master)
		nm_say(nm_link_tell(v, l, MASTER, NM_WARNING, nm_link_name(v, was->master),
				    nm_link_name(v, a->master)),
		       "interface %s: the master was %s and is %s", l->label,
		       nm_link_name(v, was->master), nm_link_name(v, a->master));
	if (was->xdp != a->xdp)
		nm_say(nm_link_tell(v, l, XDP, a->xdp ? NM_OKAY : NM_WARNING,
				    a->xdp ? "none" : "attached", a->xdp ? "attached" : "none"),
		       "interface %s: an XDP program is %s", l->label,
		       a->xdp ? "attached" : "attached no more");
}

/* ---- labels ------------------------------------------------------------------------------- */

static void give_up_label(struct nm_view *v, struct link *l)
{
	struct state *s = v->state;
	struct owner *o = nm_map_get(&s->owners, l->label);

	if (o && o->ifindex == l->ifindex)
		*o = (struct owner){.left = v->readings};
}

static bool taken(const struct state *s, const char *label, uint32_t ifindex)
{
	const struct owner *o = nm_map_get(&s->owners, label);

	return !strcmp(label, "total") || !strcmp(label, "self") ||
	       (o && o->ifindex && o->ifindex != ifindex);
}

/* An alias may hold any byte; collectd's identifiers hold no "/". */
static void tidy(char label[static LABEL_SIZE], const char *wish)
{
	for (size_t i = 0; i < LABEL_SIZE - 1 && wish[i]; i++)
		label[i] = (unsigned char)wish[i] < ' ' || wish[i] == '/' || wish[i] == 0x7f ?
				   '_' :
				   wish[i];
}

/* The kernel keeps names unique: who had this one has lost it, whether we saw it or not. */
static void choose_label(const struct nm_view *v, const struct link *l, const struct nm_msg *m,
			 char label[static LABEL_SIZE])
{
	const struct config *c = v->config;
	const char *wish = c->label == LABEL_ALIAS ?
				   nm_str(m->attr[IFLA_IFALIAS]) :
			   c->label == LABEL_ALTNAME ?
				   nm_str(nm_in(m->attr[IFLA_PROP_LIST], IFLA_ALT_IFNAME)) :
				   NULL;

	memset(label, 0, LABEL_SIZE); /* it is a key: all bytes count */
	if (wish)
		tidy(label, wish);
	if (*label && !taken(v->state, label, l->ifindex))
		return;
	memset(label, 0, LABEL_SIZE);
	if (!strcmp(l->a.name, "total") || !strcmp(l->a.name, "self"))
		snprintf(label, LABEL_SIZE, "%s_if%u", l->a.name, l->ifindex);
	else
		snprintf(label, LABEL_SIZE, "%s", l->a.name);
}

/* From now on the counters start at other values; what they grow by stays the same. */
static void rebase(struct link *l, const union counters *base)
{
	static const union counters none;

	for (size_t i = 0; i < NM_COUNT(base->c); i++) {
		l->counters[0].c[i] += l->base.c[i] - base->c[i];
		l->counters[1].c[i] += l->base.c[i] - base->c[i];
	}
	l->base = *base;
	l->based = memcmp(base, &none, sizeof(none)) != 0;
}

/*
 * A name that another interface had a moment ago: its series in collectd must
 * not jump to this one's counters, so they count from here.
 */
static int take_label(struct nm_view *v, struct link *l, const struct nm_msg *m)
{
	const struct config *c = v->config;
	union counters base = {0};
	struct state *s = v->state;
	char label[LABEL_SIZE];
	struct owner *o;
	bool fresh;

	choose_label(v, l, m, label);
	l->selected = nm_selected(&c->interfaces, l->a.name);
	if (!strcmp(label, l->label))
		return 0;
	if (*l->label)
		give_up_label(v, l);
	o = nm_map_put(&s->owners, label, &fresh);
	if (!o)
		return -ENOMEM;
	if (!fresh && (o->ifindex || v->readings - o->left < HOLD))
		nm_bytes(m->attr[IFLA_STATS64], &base, sizeof(base));
	rebase(l, &base);
	*o = (struct owner){.ifindex = l->ifindex};
	memcpy(l->label, label, sizeof(label));
	l->changed = true; /* under this name nothing was sent */
	l->unsent = 0;
	return 0;
}

/* Labels that nobody has any more, once they are more than those in use. */
static int forget_labels(struct nm_view *v)
{
	struct state *s = v->state;
	struct nm_map keep = {.key = s->owners.key, .val = s->owners.val};
	const void *key;
	struct owner *o, *to;

	if (s->owners.used < 2 * s->links.used + 64)
		return 0;
	for (size_t i = 0; (o = nm_map_next(&s->owners, &key, &i));)
		if (o->ifindex || v->readings - o->left < HOLD) {
			to = nm_map_put(&keep, key, NULL);
			if (!to) {
				nm_map_free(&keep);
				return -ENOMEM;
			}
			*to = *o;
		}
	nm_map_free(&s->owners);
	s->owners = keep;
	return 0;
}

/* ---- links --------------------------------------------------------------------------------- */

/* What events do not tell is asked for once they are delivered. */
int nm_link_ask(struct state *s, struct link *l, unsigned what)
{
	if (s->npending == s->pending_room) {
		size_t room = s->pending_room ? 2 * s->pending_room : 16;
		uint32_t *p = reallocarray(s->pending, room, sizeof(*p));

		if (!p)
			return -ENOMEM;
		s->pending = p;
		s->pending_room = room;
	}
	if (!l->asked_later)
		s->pending[s->npending++] = l->ifindex;
	s->nspeeds += what & ~l->asked_later & ASK_SPEED;
	l->asked_later |= what;
	return 0;
}

static struct attrs read_attrs(const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	const struct nlattr *info = m->attr[IFLA_LINKINFO];
	const char *kind = nm_str(nm_in(info, IFLA_INFO_KIND));
	uint64_t oper = nm_uint(m->attr[IFLA_OPERSTATE]);
	struct attrs a = {
		.flags = h->ifi_flags,
		.mtu = (uint32_t)nm_uint(m->attr[IFLA_MTU]),
		.promiscuity = (uint32_t)nm_uint(m->attr[IFLA_PROMISCUITY]),
		.master = (uint32_t)nm_uint(m->attr[IFLA_MASTER]),
		.carrier_up = (uint32_t)nm_uint(m->attr[IFLA_CARRIER_UP_COUNT]),
		.carrier_down = (uint32_t)nm_uint(m->attr[IFLA_CARRIER_DOWN_COUNT]),
		.counts_carrier = m->attr[IFLA_CARRIER_UP_COUNT] &&
				  m->attr[IFLA_CARRIER_DOWN_COUNT],
		.xdp = nm_uint(nm_in(m->attr[IFLA_XDP], IFLA_XDP_ATTACHED)) != XDP_ATTACHED_NONE,
		/* UNKNOWN with carrier is up: tun, WireGuard and loopback never say more */
		.up = h->ifi_flags & IFF_UP && h->ifi_flags & IFF_LOWER_UP &&
		      oper != IF_OPER_LOWERLAYERDOWN && oper != IF_OPER_NOTPRESENT,
	};

	snprintf(a.name, sizeof(a.name), "%s", nm_str(m->attr[IFLA_IFNAME]));
	snprintf(a.kind, sizeof(a.kind), "%s", kind ? kind : "");
	if (!strcmp(a.kind, "vxlan"))
		a.parent = (uint32_t)nm_uint(nm_in(nm_in(info, IFLA_INFO_DATA), IFLA_VXLAN_LINK));
	else if (!m->attr[IFLA_LINK_NETNSID])
		a.parent = (uint32_t)nm_uint(m->attr[IFLA_LINK]);
	if (!is_pair(a.kind) && m->attr[IFLA_LINK])
		a.lower = a.parent;
	return a;
}

/* What is sent as a slow value. */
static bool changed(const struct attrs *was, const struct attrs *is)
{
	return was->flags != is->flags || was->mtu != is->mtu || was->xdp != is->xdp ||
	       was->promiscuity != is->promiscuity || was->carrier_up != is->carrier_up ||
	       was->carrier_down != is->carrier_down;
}

static const struct role *role_of(int i, const char *kind)
{
	static const struct role *const roles[ROLES][2] = {
		[OWN] = {&nm_bridge, &nm_bond},
		[PORT] = {&nm_bridge_port, &nm_bond_port},
	};

	for (size_t k = 0; kind && k < NM_COUNT(roles[i]); k++)
		if (!strcmp(roles[i][k]->kind, kind))
			return roles[i][k];
	return NULL;
}

int nm_link_is_special(struct state *s, struct link *l)
{
	struct link **slot = nm_map_put(&s->special, &l->ifindex, NULL);

	if (!slot)
		return -ENOMEM;
	*slot = l;
	return 0;
}

/* What it is beside a link.  A port that has another master starts anew, as the kernel's does. */
static int read_roles(struct nm_view *v, struct link *l, const struct nm_msg *m,
		      const struct attrs *was)
{
	static const uint16_t type[ROLES][2] = {
		[OWN] = {IFLA_INFO_KIND, IFLA_INFO_DATA},
		[PORT] = {IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA},
	};
	const struct nlattr *info = m->attr[IFLA_LINKINFO];
	struct state *s = v->state;

	for (int i = 0; i < ROLES; i++) {
		const struct role *role = role_of(i, nm_str(nm_in(info, type[i][0])));

		if (l->role[i] && (l->role[i] != role || (i == PORT && was->master != l->a.master)))
			drop_role(s, l, i);
		if (role && !l->role[i]) {
			l->is[i] = calloc(1, role->size);
			if (!l->is[i] || nm_link_is_special(s, l))
				return -ENOMEM;
			l->role[i] = role;
			l->changed = true;
		}
		if (role)
			role->read(v, l, m, nm_in(info, type[i][1]));
	}
	return 0;
}

static void remove_link(struct nm_view *v, struct link *l)
{
	struct state *s = v->state;

	if (l->a.up || (l->down_at && v->now - l->down_at < JUST_NOW))
		tell_down(v, l, "deleted", "it was deleted");
	nm_say(nm_link_tell(v, l, DELETE, NM_WARNING, l->a.name, NULL), "interface %s was deleted",
	       l->label);
	give_up_label(v, l);
	nm_map_del(&s->links, &l->ifindex);
	free_link(s, l);
}

static int add_link(struct nm_view *v, uint32_t ifindex, struct link **out)
{
	struct state *s = v->state;
	struct link *l = calloc(1, sizeof(*l)), **slot;

	slot = l ? nm_map_put(&s->links, &ifindex, NULL) : NULL;
	if (!slot) {
		free(l);
		return -ENOMEM;
	}
	l->ifindex = ifindex;
	l->duplex = -1;
	for (int way = 0; way < WAYS; way++)
		l->used_sent[way] = NAN;
	*out = *slot = l;
	return 0;
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	struct state *s = v->state;
	struct link *l = nm_link_find(s, (uint32_t)h->ifi_index);
	struct attrs was;
	bool fresh = !l;
	int err = 0;

	if (m->gone) {
		if (l)
			remove_link(v, l);
		return 0;
	}
	if (h->ifi_index <= 0 || !nm_str(m->attr[IFLA_IFNAME]))
		return 0;
	if (fresh)
		err = add_link(v, (uint32_t)h->ifi_index, &l);
	if (err)
		return err;
	was = l->a;
	l->a = read_attrs(m);
	l->seen = s->dump;
	if (fresh && v->news) { /* what it counted before it came here is not of this interval */
		nm_bytes(m->attr[IFLA_STATS64], &l->counters[!l->at], sizeof(*l->counters));
		l->last_at = v->now;
	}
	err = take_label(v, l, m);
	if (fresh)
		nm_say(nm_link_tell(v, l, CREATE, NM_OKAY, NULL, l->a.name),
		       "interface %s was created", l->label);
	else
		tell_changes(v, l, &was);
	l->changed |= fresh || changed(&was, &l->a);
	if (!err && (fresh || was.up != l->a.up || was.carrier_up != l->a.carrier_up))
		err = nm_link_ask(s, l, ASK_SPEED);
	if (!err)
		err = read_roles(v, l, m, &was);
	if (!err)
		err = nm_vfs_read(v, l, m);
	return err;
}

static int on_port(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	struct state *s = v->state;
	struct link *l = nm_link_find(s, (uint32_t)h->ifi_index), *master;

	/* drivers answer too, for themselves */
	if (m->gone || !l || l->role[PORT] != &nm_bridge_port)
		return 0;
	nm_bridge_port_told(v, l, m);
	master = m->event ? nm_link_find(s, l->a.master) : NULL;
	return master ? nm_link_ask(s, master, ASK_LINK) : 0;
}

/* ---- addresses -------------------------------------------------------------------------------- */

static const char *address_text(const struct address_key *k, char buf[static 64])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	inet_ntop(k->family, k->local, ip, sizeof(ip));
	snprintf(buf, 64, "%s/%u", ip, k->prefixlen);
	return buf;
}

static void tell_address(struct nm_view *v, const struct address_key *k, const struct address *was,
			 const struct address *is)
{
	const struct link *l = nm_link_find(v->state, k->ifindex);
	bool failed = was && was->flags & IFA_F_DADFAILED,
	     fails = is && is->flags & IFA_F_DADFAILED;
	char text[64];

	if (!l)
		return;
	address_text(k, text);
	if (!was)
		nm_say(nm_link_tell(v, l, ADDRESS, NM_OKAY, NULL, text),
		       "interface %s: address %s was added", l->label, text);
	if (!is)
		nm_say(nm_link_tell(v, l, ADDRESS, NM_WARNING, text, NULL),
		       "interface %s: address %s was removed", l->label, text);
	if (fails && !failed)
		nm_say(nm_link_tell(v, l, DUPLICATE, NM_FAILURE, NULL, text),
		       "interface %s: address %s is not used, another host has it", l->label, text);
	if (failed && !fails)
		nm_say(nm_link_tell(v, l, DUPLICATE, NM_OKAY, text, NULL),
		       "interface %s: address %s is a duplicate no more", l->label, text);
}

static int on_address(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifaddrmsg *h = m->hdr;
	struct state *s = v->state;
	struct address_key k = {
		.ifindex = h->ifa_index, .family = h->ifa_family, .prefixlen = h->ifa_prefixlen};
	struct address is = {.seen = s->dump, .flags = h->ifa_flags}, was, *a;
	bool fresh;

	if (h->ifa_family != AF_INET && h->ifa_family != AF_INET6)
		return 0;
	/* With a peer, IFA_ADDRESS is the peer and IFA_LOCAL ours; else IPv6 has the former only. */
	nm_bytes(m->attr[IFA_ADDRESS], k.peer, sizeof(k.peer));
	nm_bytes(m->attr[m->attr[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS], k.local, sizeof(k.local));
	if (m->attr[IFA_FLAGS]) /* the header's flags are 8 bits */
		is.flags = (uint32_t)nm_uint(m->attr[IFA_FLAGS]);
	s->recount = true;
	if (m->gone) {
		a = nm_map_get(&s->addresses, &k);
		if (a)
			tell_address(v, &k, a, NULL);
		nm_map_del(&s->addresses, &k);
		return 0;
	}
	a = nm_map_put(&s->addresses, &k, &fresh);
	if (!a)
		return -ENOMEM;
	was = *a;
	*a = is;
	tell_address(v, &k, fresh ? NULL : &was, &is);
	return 0;
}

static void count_addresses(struct state *s)
{
	const struct address *a;
	const void *key;
	struct link **l;

	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));) {
		memcpy((*l)->addresses_were, (*l)->addresses, sizeof((*l)->addresses));
		memset((*l)->addresses, 0, sizeof((*l)->addresses));
	}
	for (size_t i = 0; (a = nm_map_next(&s->addresses, &key, &i));) {
		const struct address_key *k = key;
		struct link *of = nm_link_find(s, k->ifindex);

		if (!of)
			continue;
		of->addresses[k->family == AF_INET ? IPV4 : IPV6]++;
		of->addresses[TENTATIVE] += !!(a->flags & IFA_F_TENTATIVE);
		of->addresses[DADFAILED] += !!(a->flags & IFA_F_DADFAILED);
		of->addresses[DEPRECATED] += !!(a->flags & IFA_F_DEPRECATED);
	}
	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		(*l)->changed |=
			memcmp((*l)->addresses_were, (*l)->addresses, sizeof((*l)->addresses)) != 0;
	s->recount = false;
}

/* ---- speed ---------------------------------------------------------------------------------------- */

static void set_speed(struct nm_view *v, struct link *l, double speed, int duplex)
{
	struct state *s = v->state;
	char old[24], new[24];

	if (speed != l->speed || duplex != l->duplex)
		l->changed = true;
	s->check_bonds |= speed != l->speed && l->role[PORT];
	l->speed = speed;
	l->duplex = duplex;
	if (speed <= 0) /* a link that is down has none */
		return;
	if (l->speed_told > 0 && speed != l->speed_told) {
		bool less = speed < l->speed_told;

		snprintf(old, sizeof(old), "%.0f", l->speed_told);
		snprintf(new, sizeof(new), "%.0f", speed);
		nm_say(nm_link_tell(v, l, SPEED, less ? NM_WARNING : NM_OKAY, old, new),
		       "interface %s: the speed %s from %.15g to %.15g Mbit/s", l->label,
		       less ? "dropped" : "rose", l->speed_told / 1e6, speed / 1e6);
	}
	l->speed_told = speed;
}

static int on_linkmodes(struct nm_view *v, const struct nm_msg *m)
{
	struct state *s = v->state;
	const struct nlattr *h = m->attr[ETHTOOL_A_LINKMODES_HEADER];
	struct link *l = nm_link_find(s, (uint32_t)nm_uint(nm_in(h, ETHTOOL_A_HEADER_DEV_INDEX)));
	uint32_t mbit = (uint32_t)nm_uint(m->attr[ETHTOOL_A_LINKMODES_SPEED]);
	uint64_t duplex = nm_uint(m->attr[ETHTOOL_A_LINKMODES_DUPLEX]);

	if (!l)
		return 0;
	l->modes_seen = s->dump;
	set_speed(v, l, mbit == (uint32_t)SPEED_UNKNOWN ? 0 : mbit * 1e6,
		  m->attr[ETHTOOL_A_LINKMODES_DUPLEX] && duplex <= DUPLEX_FULL ? (int)duplex : -1);
	return 0;
}

/* Speeds of more than half of the links: a dump costs less. */
static void ask_all_speeds(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;

	nm_distrust(v, &sources[LINKMODES]);
	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		(*l)->asked_later &= ~(unsigned)ASK_SPEED;
	s->nspeeds = 0;
}

static int settle_link(struct nm_view *v)
{
	struct state *s = v->state;

	if (s->nspeeds * 2 > s->links.used)
		ask_all_speeds(v);
	while (s->npending) {
		uint32_t ifindex = s->pending[--s->npending];
		struct link *l = nm_link_find(s, ifindex);
		unsigned what = l ? l->asked_later : 0;
		int err = 0;

		if (l)
			l->asked_later = 0;
		if (what & ASK_LINK)
			err = nm_ask(v, &sources[LINKS], &ifindex);
		if (what & ASK_SPEED && err != -ENOMEM) {
			err = nm_ask(v, &sources[LINKMODES], &ifindex);
			if (err && err != -EAGAIN && err != -ENOMEM) /* the driver knows no speed */
				set_speed(v, l, 0, -1);
		}
		if (err == -ENOMEM)
			return err;
	}
	s->nspeeds = 0;
	if (s->check_bonds)
		nm_bonds_check(v);
	return 0;
}

/* ---- counters --------------------------------------------------------------------------------------- */

static bool slow_due(const struct nm_view *v, const struct link *l)
{
	return l->changed || nm_slow_due(v, l->ifindex);
}

static bool wants_xstats(const struct nm_view *v)
{
	const struct config *c = v->config;
	const struct state *s = v->state;
	const void *key;
	struct link **l;

	for (size_t i = 0; (l = nm_map_next(&s->special, &key, &i));)
		for (int r = 0; r < ROLES; r++)
			if ((*l)->role[r] && (*l)->role[r]->xstats &&
			    (c->collect_vlan || ((*l)->role[r]->counts && slow_due(v, *l) &&
						 (*l)->role[r]->counts(v, *l))))
				return true;
	return false;
}

#define OFFSET(member) offsetof(struct rtnl_link_stats64, member)

/* How much of the counters is sent: of thousands of links, each line of memory counts. */
static size_t counters_used(const struct config *c)
{
	return c->verbose || c->layout == WIDE ? sizeof(union counters) : OFFSET(collisions);
}

static int on_counters(struct nm_view *v, const struct nm_msg *m)
{
	static const uint16_t type[ROLES] = {
		[OWN] = IFLA_STATS_LINK_XSTATS,
		[PORT] = IFLA_STATS_LINK_XSTATS_SLAVE,
	};
	const struct if_stats_msg *h = m->hdr;
	struct link *l = nm_link_find(v->state, h->ifindex);
	size_t used = counters_used(v->config);
	union counters *now;
	int err = 0;

	/* What does not fit into a message comes in the next, which has no more than that. */
	for (int r = 0; l && r < ROLES && !err; r++)
		if (l->role[r] && l->role[r]->xstats && m->attr[type[r]])
			err = l->role[r]->xstats(v, l, m->attr[type[r]]);
	if (err || !l || !m->attr[IFLA_STATS_LINK_64])
		return err;
	now = &l->counters[l->at];
	l->stats_len = (uint16_t)nm_bytes(m->attr[IFLA_STATS_LINK_64], now, used);
	if (l->stats_len < used)
		memset((char *)now + l->stats_len, 0, used - l->stats_len);
	l->now_at = v->now;
	for (size_t i = 0; l->based && i < NM_COUNT(now->c); i++)
		now->c[i] -= l->base.c[i];
	return 0;
}

/* ---- dumps -------------------------------------------------------------------------------------------- */

static void begin_link(struct nm_view *v, const struct nm_source *src)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;

	if (src != &sources[COUNTERS]) {
		s->dump++;
		return;
	}
	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		(*l)->now_at = 0;
}

/* What a complete dump did not have is gone, also when nobody told so. */
static void sweep_links(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;

	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		if ((*l)->seen != s->dump) {
			remove_link(v, *l);
			i--;
		}
}

static void sweep_addresses(struct nm_view *v)
{
	struct state *s = v->state;
	const struct address *a;
	const void *key;

	for (size_t i = 0; (a = nm_map_next(&s->addresses, &key, &i));)
		if (a->seen != s->dump) {
			struct address_key k = *(const struct address_key *)key;

			tell_address(v, &k, a, NULL);
			nm_map_del(&s->addresses, &k);
			i--;
		}
	s->recount = true;
}

static void sweep_speeds(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;

	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));) {
		(*l)->asked_later &= ~(unsigned)ASK_SPEED;
		if ((*l)->modes_seen != s->dump)
			set_speed(v, *l, 0, -1);
	}
	s->nspeeds = 0;
}

static void end_link(struct nm_view *v, const struct nm_source *src, bool complete)
{
	if (!complete)
		return;
	if (src == &sources[LINKS])
		sweep_links(v);
	else if (src == &sources[ADDRESSES])
		sweep_addresses(v);
	else if (src == &sources[LINKMODES])
		sweep_speeds(v);
}

static int message_link(struct nm_view *v, const struct nm_msg *m)
{
	static int (*const on[])(struct nm_view * v, const struct nm_msg *m) = {
		[LINKS] = on_link,          [PORTS] = on_port,        [ADDRESSES] = on_address,
		[LINKMODES] = on_linkmodes, [COUNTERS] = on_counters,
	};

	return on[m->src - sources](v, m);
}

/* ---- what is submitted ---------------------------------------------------------------------- */

/* The counters: traffic comes at every reading, the others too but for Layout brief. */
static const struct series {
	const char *type, *type_instance;
	size_t rx, tx; /* tx 0: it is one number */
} counters[] = {
	{"if_octets", NULL, OFFSET(rx_bytes), OFFSET(tx_bytes)},
	{"if_packets", NULL, OFFSET(rx_packets), OFFSET(tx_packets)},
	{"if_errors", NULL, OFFSET(rx_errors), OFFSET(tx_errors)},
	{"if_dropped", NULL, OFFSET(rx_dropped), OFFSET(tx_dropped)},
	{"if_multicast", NULL, OFFSET(multicast), 0},
	/* with Verbose, as far as the kernel has them */
	{"if_rx_errors", "length", OFFSET(rx_length_errors), 0},
	{"if_rx_errors", "over", OFFSET(rx_over_errors), 0},
	{"if_rx_errors", "crc", OFFSET(rx_crc_errors), 0},
	{"if_rx_errors", "frame", OFFSET(rx_frame_errors), 0},
	{"if_rx_errors", "fifo", OFFSET(rx_fifo_errors), 0},
	{"if_rx_errors", "missed", OFFSET(rx_missed_errors), 0},
	{"if_tx_errors", "aborted", OFFSET(tx_aborted_errors), 0},
	{"if_tx_errors", "carrier", OFFSET(tx_carrier_errors), 0},
	{"if_tx_errors", "fifo", OFFSET(tx_fifo_errors), 0},
	{"if_tx_errors", "heartbeat", OFFSET(tx_heartbeat_errors), 0},
	{"if_tx_errors", "window", OFFSET(tx_window_errors), 0},
	{"if_collisions", NULL, OFFSET(collisions), 0},
	{"if_rx_packets", "compressed", OFFSET(rx_compressed), 0},
	{"if_tx_packets", "compressed", OFFSET(tx_compressed), 0},
	{"if_rx_nohandler", NULL, OFFSET(rx_nohandler), 0},
	{"if_rx_dropped", "otherhost", OFFSET(rx_otherhost_dropped), 0},
};
enum { TRAFFIC = 2, SUMMED = 4, CAUSES = 5 };
enum { STATE_BIT = NM_COUNT(counters), USED_BIT }; /* of link.unsent, behind the counters */
#define STEP 0.1 /* percent: a utilization that differs by less has not changed */

static const union counters *now_of(const struct link *l)
{
	return &l->counters[l->at];
}

static const union counters *before_of(const struct link *l)
{
	return &l->counters[!l->at];
}

static uint64_t counter(const union counters *c, size_t off)
{
	return c->c[off / sizeof(uint64_t)];
}

/* What a counter grew by; one that restarted has not grown. */
static uint64_t growth(const struct link *l, size_t off)
{
	uint64_t d = counter(now_of(l), off) - counter(before_of(l), off);

	return (int64_t)d > 0 ? d : 0;
}

static bool reported(const struct nm_view *v, const struct link *l)
{
	const struct config *c = v->config;

	return l->selected && l->now_at &&
	       (c->report_inactive || now_of(l)->s.rx_packets + l->base.s.rx_packets ||
		now_of(l)->s.tx_packets + l->base.s.tx_packets);
}

/* bit/s; NAN: unknown. */
static double speed_of(const struct config *c, const struct link *l)
{
	for (const struct nm_setting *s = c->speed; s; s = s->next)
		if (!strcmp(s->name, l->a.name))
			return s->value;
	return l->speed > 0 ? l->speed : NAN;
}

static double duplex_of(const struct link *l)
{
	return l->duplex >= 0 ? l->duplex : NAN;
}

/* 0 down, 1 idle, 2 active. */
static int link_state(const struct nm_view *v, struct link *l)
{
	const struct config *c = v->config;

	if (l->last_at && growth(l, OFFSET(rx_packets)) + growth(l, OFFSET(tx_packets)))
		l->active_at = l->now_at;
	if (!l->a.up)
		return 0;
	return l->active_at && l->now_at - l->active_at < NS(c->idle_timeout) + !c->idle_timeout ?
		       2 :
		       1;
}

/* In percent of the speed; NAN: unknown, or a counter restarted. */
static double utilization(const struct nm_view *v, const struct link *l, size_t bytes)
{
	double speed = speed_of(v->config, l), seconds = (double)(l->now_at - l->last_at) / 1e9;

	if (isnan(speed) || !l->last_at || seconds <= 0 ||
	    counter(now_of(l), bytes) < counter(before_of(l), bytes))
		return NAN;
	double percent = (double)growth(l, bytes) * 8 / seconds / speed * 100;

	return percent < 100 ? percent : 100; /* bursts of a virtual link exceed its speed */
}

/* Of what was received or sent since the last reading, in percent; NAN: unknown. */
static double error_share(const struct link *l, size_t errors, size_t packets)
{
	double bad = (double)growth(l, errors), good = (double)growth(l, packets);

	return !l->last_at ? NAN : bad > 0 ? bad / (bad + good) * 100 : 0;
}

static void gauge_if_known(struct nm_reading *r, const char *type, const char *type_instance,
			   double v)
{
	if (!isnan(v))
		nm_gauge(r, type, type_instance, v);
}

/*
 * Of an interface that has ever counted one: slow values, but for as long as there are errors, and
 * once when they are over.
 */
static void submit_errors(struct nm_reading *r, struct link *l, bool slow)
{
	static const struct {
		const char *name;
		size_t errors, packets;
	} ways[] = {
		{"errors_rx", OFFSET(rx_errors), OFFSET(rx_packets)},
		{"errors_tx", OFFSET(tx_errors), OFFSET(tx_packets)},
	};

	nm_slow(r, true);
	for (size_t i = 0; i < NM_COUNT(ways); i++) {
		double share = error_share(l, ways[i].errors, ways[i].packets);

		if (share > 0 || l->had_errors[i] || (slow && counter(now_of(l), ways[i].errors)))
			gauge_if_known(r, "percent", ways[i].name, share);
		l->had_errors[i] = share > 0;
	}
	nm_slow(r, false);
}

/* Meta data cost collectd more than a value: one of the slow ones has them. */
static void submit_kind(const struct nm_view *v, struct nm_reading *r, const struct link *l)
{
	const char *parent = l->a.parent ? nm_ifname(v, l->a.parent) : NULL;

	if (*l->a.kind)
		nm_about(r, "kind", l->a.kind);
	if (parent)
		nm_about(r, parent_word(l), parent);
}

static void submit_slow(const struct nm_view *v, struct nm_reading *r, struct link *l)
{
	static const char *const counts[ADDRESS_COUNTS] = {
		[IPV4] = "addresses_ipv4",
		[IPV6] = "addresses_ipv6",
		[TENTATIVE] = "addresses_tentative",
		[DADFAILED] = "addresses_dadfailed",
		[DEPRECATED] = "addresses_deprecated",
	};

	nm_slow(r, true);
	nm_gauge(r, "bool", "carrier", !!(l->a.flags & IFF_LOWER_UP));
	nm_gauge(r, "bool", "xdp", l->a.xdp);
	if (l->a.counts_carrier) {
		nm_derive(r, "transitions", "carrier_up", l->a.carrier_up);
		nm_derive(r, "transitions", "carrier_down", l->a.carrier_down);
	}
	nm_gauge(r, "gauge", "mtu", l->a.mtu);
	nm_gauge(r, "gauge", "promiscuity", l->a.promiscuity);
	gauge_if_known(r, "gauge", "speed", speed_of(v->config, l));
	gauge_if_known(r, "gauge", "duplex", duplex_of(l));
	for (size_t i = 0; i < ADDRESS_COUNTS; i++)
		nm_gauge(r, "gauge", counts[i], l->addresses[i]);
	submit_kind(v, r, l);
	nm_gauge(r, "bool", "admin_up", !!(l->a.flags & IFF_UP));
	nm_slow(r, false);
}

static void put_counter(struct nm_reading *r, const struct series *s, const union counters *c)
{
	if (s->tx)
		nm_derive2(r, s->type, s->type_instance, counter(c, s->rx), counter(c, s->tx));
	else
		nm_derive(r, s->type, s->type_instance, counter(c, s->rx));
}

static bool moved(const struct link *l, const struct series *s)
{
	const union counters *now = now_of(l), *before = before_of(l);

	return counter(now, s->rx) != counter(before, s->rx) ||
	       (s->tx && counter(now, s->tx) != counter(before, s->tx));
}

/*
 * What is to be sent of the i-th value that may rest: it, and what it was in the reading before if
 * that kept it back; without that, a rate would be spread over all the quiet time, and a state be
 * taken for as old as that.
 */
enum { NOTHING, IT, BOTH };
static int what_to_send(struct link *l, unsigned i, bool differs, bool all)
{
	uint32_t bit = 1u << i;
	int what = differs && l->unsent & bit ? BOTH : differs || all ? IT : NOTHING;

	l->unsent = what ? l->unsent & ~bit : l->unsent | bit;
	return what;
}

static void submit_counters(const struct nm_view *v, struct nm_reading *r, struct link *l, bool all)
{
	size_t n = ((const struct config *)v->config)->verbose ? NM_COUNT(counters) : CAUSES;

	for (unsigned i = TRAFFIC; i < n && counters[i].rx < l->stats_len; i++) {
		int what = what_to_send(l, i, moved(l, &counters[i]), all);

		nm_before(r, true);
		if (what == BOTH)
			put_counter(r, &counters[i], before_of(l));
		nm_before(r, false);
		if (what)
			put_counter(r, &counters[i], now_of(l));
	}
}

/* was: in the reading before. */
static void put_gauge(struct nm_reading *r, int what, const char *type, const char *type_instance,
		      double was, double is)
{
	nm_before(r, true);
	if (what == BOTH)
		nm_gauge(r, type, type_instance, was);
	nm_before(r, false);
	if (what)
		nm_gauge(r, type, type_instance, is);
}

static void submit_state(const struct nm_view *v, struct nm_reading *r, struct link *l, bool all)
{
	int state = link_state(v, l), what = what_to_send(l, STATE_BIT, state != l->state, all);

	put_gauge(r, what, "gauge", "link_state", l->state, state);
	l->state = state;
}

static void submit_utilization(const struct nm_view *v, struct nm_reading *r, struct link *l,
			       bool all)
{
	static const struct {
		const char *name;
		size_t bytes;
	} ways[WAYS] = {
		[RX] = {"utilization_rx", OFFSET(rx_bytes)},
		[TX] = {"utilization_tx", OFFSET(tx_bytes)},
	};

	for (unsigned way = 0; way < WAYS; way++) {
		double used = utilization(v, l, ways[way].bytes), *sent = &l->used_sent[way];
		bool differs = isnan(*sent) || fabs(used - *sent) >= STEP;
		int what = isnan(used) ? NOTHING : what_to_send(l, USED_BIT + way, differs, all);

		if (isnan(l->used[way]) && what == BOTH)
			what = IT;
		put_gauge(r, what, "percent", ways[way].name, l->used[way], used);
		if (what || isnan(used))
			*sent = used;
		l->used[way] = used;
	}
}

/* Layout brief: what differs from what was sent last, and everything when slow values are due. */
static void submit_values(const struct nm_view *v, struct nm_reading *r, struct link *l, bool due)
{
	bool brief = ((const struct config *)v->config)->layout == BRIEF;

	for (size_t i = 0; i < TRAFFIC; i++)
		put_counter(r, &counters[i], now_of(l));
	nm_slow(r, brief);
	submit_counters(v, r, l, due || !brief);
	submit_state(v, r, l, due || !brief);
	submit_utilization(v, r, l, due || !brief);
	nm_slow(r, false);
	submit_errors(r, l, due);
}

/* ---- Layout wide: types of our own ---------------------------------------------------------- */

/* Of struct rtnl_link_stats64, in its order. */
static const struct nm_data_source wide_sources[] = {
	{"rx_packets", false},       {"tx_packets", false},          {"rx_bytes", false},
	{"tx_bytes", false},         {"rx_errors", false},           {"tx_errors", false},
	{"rx_dropped", false},       {"tx_dropped", false},          {"multicast", false},
	{"collisions", false},       {"rx_length_errors", false},    {"rx_over_errors", false},
	{"rx_crc_errors", false},    {"rx_frame_errors", false},     {"rx_fifo_errors", false},
	{"rx_missed_errors", false}, {"tx_aborted_errors", false},   {"tx_carrier_errors", false},
	{"tx_fifo_errors", false},   {"tx_heartbeat_errors", false}, {"tx_window_errors", false},
	{"rx_compressed", false},    {"tx_compressed", false},       {"rx_nohandler", false},
	{"link_state", true},        {"utilization_rx", true},       {"utilization_tx", true},
};
enum { WIDE_COUNTERS = NM_COUNT(wide_sources) - 3 };
_Static_assert(OFFSET(rx_nohandler) == (WIDE_COUNTERS - 1) * sizeof(uint64_t),
	       "the counters are those that every kernel has, in the kernel's order");

static const struct nm_data_source wide_slow_sources[] = {
	{"admin_up", true},       {"carrier", true},         {"xdp", true},
	{"carrier_up", false},    {"carrier_down", false},   {"mtu", true},
	{"promiscuity", true},    {"speed", true},           {"duplex", true},
	{"addr_ipv4", true},      {"addr_ipv6", true},       {"addr_tentative", true},
	{"addr_dadfailed", true}, {"addr_deprecated", true},
};

enum { WIDE_LIST, WIDE_SLOW_LIST };
static const struct nm_type types[] = {
	[WIDE_LIST] = {"netmon_link", NM_ARRAY(wide_sources)},
	[WIDE_SLOW_LIST] = {"netmon_link_slow", NM_ARRAY(wide_slow_sources)},
};

static void submit_wide(const struct nm_view *v, struct nm_reading *r, struct link *l)
{
	union nm_number number[NM_COUNT(wide_sources)], *gauge = number + WIDE_COUNTERS;

	for (size_t i = 0; i < WIDE_COUNTERS; i++)
		number[i].derive = now_of(l)->c[i];
	gauge[0].gauge = link_state(v, l);
	gauge[1].gauge = utilization(v, l, OFFSET(rx_bytes));
	gauge[2].gauge = utilization(v, l, OFFSET(tx_bytes));
	nm_wide(r, &types[WIDE_LIST], number);
}

static void submit_wide_slow(const struct nm_view *v, struct nm_reading *r, struct link *l)
{
	const union nm_number number[NM_COUNT(wide_slow_sources)] = {
		{.gauge = !!(l->a.flags & IFF_UP)},
		{.gauge = !!(l->a.flags & IFF_LOWER_UP)},
		{.gauge = l->a.xdp},
		{.derive = l->a.carrier_up},
		{.derive = l->a.carrier_down},
		{.gauge = l->a.mtu},
		{.gauge = l->a.promiscuity},
		{.gauge = speed_of(v->config, l)},
		{.gauge = duplex_of(l)},
		{.gauge = l->addresses[IPV4]},
		{.gauge = l->addresses[IPV6]},
		{.gauge = l->addresses[TENTATIVE]},
		{.gauge = l->addresses[DADFAILED]},
		{.gauge = l->addresses[DEPRECATED]},
	};

	if (!l->a.counts_carrier) /* before Linux 4.16: a DERIVE cannot be unknown */
		return;
	submit_kind(v, r, l);
	nm_slow(r, true);
	nm_wide(r, &types[WIDE_SLOW_LIST], number);
	nm_slow(r, false);
}

static void submit_one(struct nm_view *v, struct nm_reading *r, struct link *l)
{
	const struct config *c = v->config;
	bool slow = slow_due(v, l);

	nm_instance(r, l->label);
	if (c->layout == WIDE)
		submit_wide(v, r, l);
	else
		submit_values(v, r, l, slow);
	if (l->role[OWN] || l->role[PORT] || l->vfs)
		nm_owner(r, l->ifindex);
	if (c->collect_vf)
		nm_vfs_submit(r, l);
	for (int i = 0; i < ROLES; i++)
		if (l->role[i])
			l->role[i]->submit(v, r, l, slow);
	if (slow)
		(c->layout == WIDE ? submit_wide_slow : submit_slow)(v, r, l);
	l->changed = false;
}

/*
 * A packet through a port of a bridge or bond is counted by the master too, one
 * on a VLAN by the interface below it: of these only the lowest is summed.
 */
static void find_covered(const struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct link **l, *other;

	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));) {
		other = (*l)->a.lower && (*l)->a.lower != (*l)->ifindex ?
				nm_link_find(s, (*l)->a.lower) :
				NULL;
		(*l)->covered = other && reported(v, other);
	}
	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));) {
		other = (*l)->a.master && reported(v, *l) ? nm_link_find(s, (*l)->a.master) : NULL;
		if (other)
			other->covered = true;
	}
}

/* Sums of growth: an interface that comes or goes makes no jump. */
static void submit_total(const struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;

	find_covered(v);
	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		for (size_t p = 0; p < SUMMED && reported(v, *l) && !(*l)->covered; p++) {
			s->total[2 * p] += growth(*l, counters[p].rx);
			s->total[2 * p + 1] += growth(*l, counters[p].tx);
		}
	nm_instance(r, "total");
	for (size_t i = 0; i < SUMMED; i++)
		nm_derive2(r, counters[i].type, NULL, s->total[2 * i], s->total[2 * i + 1]);
}

/* What changes without an event: bridges, bonds and their ports, SR-IOV functions. */
static int poll_links(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;
	bool trees = false;
	int err = 0;

	for (size_t i = 0; !err && (l = nm_map_next(&s->special, &key, &i));) {
		bool polled = (*l)->vfs && (*l)->selected;

		for (int r = 0; r < ROLES; r++)
			polled |= (*l)->role[r] && (*l)->role[r]->polled;
		if (polled)
			err = nm_link_ask(s, *l, ASK_LINK);
		trees |= nm_bridge_has_trees(*l);
	}
	if (trees && nm_slow_due(v, 0) && !err)
		err = nm_ask(v, &sources[PORTS], NULL);
	return err == -ENOMEM ? err : settle_link(v);
}

static int submit_link(struct nm_view *v, struct nm_reading *r)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	const void *key;
	struct link **l;
	int err = poll_links(v);

	if (err)
		return err;
	if (s->recount)
		count_addresses(s);
	r->plugin = c->plugin_name;
	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		if (reported(v, *l))
			submit_one(v, r, *l);
	if (c->report_total)
		submit_total(v, r);
	for (size_t i = 0; (l = nm_map_next(&s->links, &key, &i));)
		if ((*l)->now_at) {
			(*l)->at = !(*l)->at;
			(*l)->last_at = (*l)->now_at;
		} else {
			(*l)->unsent = 0; /* this reading does not have it */
		}
	return forget_labels(v);
}

const struct nm_plugin netmon_link = {
	.name = "netmon_link",
	.graph = "link",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.type = types,
	.ntype = NM_COUNT(types),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_link,
	.begin = begin_link,
	.message = message_link,
	.end = end_link,
	.settle = settle_link,
	.submit = submit_link,
	.close = close_link,
};
