/* SPDX-License-Identifier: MIT */
/* Bridges and their ports for netmon_link: spanning tree, forwarding entries, VLANs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "names.h"
#include "uapi.h"

/* ---- what is kept ----------------------------------------------------------------- */

struct vlan {
	struct bridge_vlan_xstats c;
	uint64_t at; /* ns: the reading that had it last */
};

struct vlans { /* of a bridge or port, by their number */
	struct vlan *v;
	size_t n, room;
	uint64_t at; /* ns: the reading that told of them, also of none */
};

enum stp { STP_OFF, STP_KERNEL, STP_USER }; /* BR_NO_STP ... of the kernel's br_private.h */
enum { UNKNOWN = -1 };

struct bridge {
	struct vlans vlans; /* first: as of a port */
	bool known;
	uint8_t stp;
	bool filtering, counts_vlans, counts_by_port;
	bool trees; /* MST */
	bool topology_change;
	int querier; /* UNKNOWN, or whether there is one */
	struct ifla_bridge_id root, id;
	uint16_t root_port;
	uint32_t root_cost;
	uint64_t topology_changes; /* seen */
	int64_t learned, limit;    /* forwarding entries; UNKNOWN before Linux 6.7 */
	bool full;
};

#define MST_MAX 65 /* the common tree and 64 more, as 802.1Q has them */

struct port {
	struct vlans vlans;
	bool known;
	uint8_t state;
	uint32_t cost;
	uint32_t flags, has; /* a bit for each row of flags[] */
	struct bridge_stp_xstats c;
	uint64_t counted; /* ns: the reading that brought them */
	size_t nmst;
	struct mst {
		uint16_t msti;
		uint8_t state;
	} mst[MST_MAX];
};

static const struct flag {
	uint16_t type;
	const char *name;
} flags[] = {
	{IFLA_BRPORT_LEARNING, "learning"}, {IFLA_BRPORT_LOCKED, "locked"},
	{IFLA_BRPORT_MAB, "mab"},           {IFLA_BRPORT_ISOLATED, "isolated"},
	{IFLA_BRPORT_GUARD, "guard"},       {IFLA_BRPORT_PROTECT, "protect"},
};

static void close_vlans(void *kept)
{
	free(((struct vlans *)kept)->v);
}

/* ---- bridges ----------------------------------------------------------------------- */

static void id_text(const struct ifla_bridge_id *id, char buf[static 32])
{
	const uint8_t *a = id->addr;

	snprintf(buf, 32, "%02x%02x.%02x:%02x:%02x:%02x:%02x:%02x", id->prio[0], id->prio[1], a[0],
		 a[1], a[2], a[3], a[4], a[5]);
}

static void tell_root(struct nm_view *v, const struct link *l, const struct bridge *was,
		      const struct bridge *b)
{
	char old[32], new[32];

	id_text(&was->root, old);
	id_text(&b->root, new);
	nm_say(nm_link_tell(v, l, STP, NM_WARNING, old, new),
	       "bridge %s: the root of the spanning tree was %s and is %s%s", l->label, old, new,
	       memcmp(&b->root, &b->id, sizeof(b->id)) ? "" : ", this bridge itself");
}

static void tell_full(struct nm_view *v, const struct link *l, const struct bridge *b)
{
	char old[24], new[24];

	snprintf(old, sizeof(old), "%lld", (long long)b->limit);
	snprintf(new, sizeof(new), "%lld", (long long)b->learned);
	nm_say(nm_link_tell(v, l, FDB, b->full ? NM_FAILURE : NM_OKAY, old, new),
	       b->full ?
		       "bridge %s: %s forwarding entries were learned, and no more than %s may be" :
		       "bridge %s: %s forwarding entries were learned, less than the limit of %s",
	       l->label, new, old);
}

/*
 * Only since Linux 5.15 does the kernel tell of other queriers, and then not that there is none:
 * IFLA_GRO_MAX_SIZE came right after it.  With a querier for each VLAN a link tells of none.
 */
static int read_querier(const struct nm_msg *m, const struct nlattr *data, bool per_vlan)
{
	const struct nlattr *state = nm_in(data, IFLA_BR_MCAST_QUERIER_STATE);
	bool own = nm_uint(nm_in(data, IFLA_BR_MCAST_QUERIER));

	if (!nm_uint(nm_in(data, IFLA_BR_MCAST_SNOOPING)) || per_vlan)
		return UNKNOWN;
	if (!own && !state && !m->attr[IFLA_GRO_MAX_SIZE])
		return UNKNOWN;
	return own || nm_in(state, BRIDGE_QUERIER_IP_OTHER_TIMER) ||
	       nm_in(state, BRIDGE_QUERIER_IPV6_OTHER_TIMER);
}

static int64_t number_or_unknown(const struct nlattr *a)
{
	return a ? (int64_t)nm_uint(a) : UNKNOWN;
}

/* What is sent as a slow value. */
static bool bridge_changed(const struct bridge *a, const struct bridge *b)
{
	return a->stp != b->stp || a->filtering != b->filtering || a->querier != b->querier ||
	       a->root_port != b->root_port || a->root_cost != b->root_cost ||
	       a->topology_change != b->topology_change || a->limit != b->limit ||
	       memcmp(&a->root, &b->root, sizeof(a->root)) || memcmp(&a->id, &b->id, sizeof(a->id));
}

static void read_bridge(struct nm_view *v, struct link *l, const struct nm_msg *m,
			const struct nlattr *data)
{
	struct bridge *b = l->is[OWN], was = *b;
	struct br_boolopt_multi opt = {0};

	if (!nm_in(data, IFLA_BR_STP_STATE))
		return;
	nm_bytes(nm_in(data, IFLA_BR_MULTI_BOOLOPT), &opt, sizeof(opt));
	b->trees = opt.optval & (1u << BR_BOOLOPT_MST_ENABLE);
	b->stp = (uint8_t)nm_uint(nm_in(data, IFLA_BR_STP_STATE));
	b->filtering = nm_uint(nm_in(data, IFLA_BR_VLAN_FILTERING));
	b->counts_vlans = nm_uint(nm_in(data, IFLA_BR_VLAN_STATS_ENABLED));
	b->counts_by_port = nm_uint(nm_in(data, IFLA_BR_VLAN_STATS_PER_PORT));
	b->topology_change = nm_uint(nm_in(data, IFLA_BR_TOPOLOGY_CHANGE));
	b->root_port = (uint16_t)nm_uint(nm_in(data, IFLA_BR_ROOT_PORT));
	b->root_cost = (uint32_t)nm_uint(nm_in(data, IFLA_BR_ROOT_PATH_COST));
	nm_bytes(nm_in(data, IFLA_BR_ROOT_ID), &b->root, sizeof(b->root));
	nm_bytes(nm_in(data, IFLA_BR_BRIDGE_ID), &b->id, sizeof(b->id));
	b->learned = number_or_unknown(nm_in(data, IFLA_BR_FDB_N_LEARNED));
	b->limit = number_or_unknown(nm_in(data, IFLA_BR_FDB_MAX_LEARNED));
	b->querier = read_querier(m, data, opt.optval & (1u << BR_BOOLOPT_MCAST_VLAN_SNOOPING));
	b->full = b->limit > 0 && b->learned >= b->limit;
	b->known = true;
	l->changed |= bridge_changed(&was, b);
	if (!was.known)
		return;
	/* while it is off, the bridge's own id is its root: nobody's tree changes with it */
	if (was.stp && b->stp && memcmp(&was.root, &b->root, sizeof(b->root)))
		tell_root(v, l, &was, b);
	if (!was.topology_change && b->topology_change) {
		b->topology_changes++;
		nm_say(nm_link_tell(v, l, STP, NM_WARNING, NULL, NULL),
		       "bridge %s: the topology of the spanning tree has changed", l->label);
	}
	if (was.full != b->full)
		tell_full(v, l, b);
}

/* ---- ports --------------------------------------------------------------------------- */

static void tell_port(struct nm_view *v, const struct link *l, uint8_t was, uint8_t is)
{
	const char *old = nm_name(&nm_BR_STATE, was), *new = nm_name(&nm_BR_STATE, is);
	bool passing = is == BR_STATE_LISTENING || is == BR_STATE_LEARNING;
	const struct bridge *b = nm_link_master(v, l, &nm_bridge);

	if (!b || !b->stp || passing || !old || !new)
		return;
	nm_say(nm_link_tell(v, l, STP_PORT, is == BR_STATE_FORWARDING ? NM_OKAY : NM_WARNING, old,
			    new),
	       "port %s of bridge %s was %s and is %s", l->label, nm_link_name(v, l->a.master), old,
	       new);
}

static void read_port_info(struct nm_view *v, struct link *l, const struct nlattr *info)
{
	struct port *p = l->is[PORT], was = *p;

	if (!nm_in(info, IFLA_BRPORT_STATE))
		return;
	p->state = (uint8_t)nm_uint(nm_in(info, IFLA_BRPORT_STATE));
	p->cost = (uint32_t)nm_uint(nm_in(info, IFLA_BRPORT_COST));
	p->flags = p->has = 0;
	for (size_t i = 0; i < NM_COUNT(flags); i++) {
		const struct nlattr *a = nm_in(info, flags[i].type);

		p->has |= (uint32_t) !!a << i;
		p->flags |= (uint32_t) !!nm_uint(a) << i;
	}
	p->known = true;
	l->changed |= was.state != p->state || was.cost != p->cost || was.flags != p->flags;
	if (was.known && was.state != p->state)
		tell_port(v, l, was.state, p->state);
}

static void read_port(struct nm_view *v, struct link *l, const struct nm_msg *m,
		      const struct nlattr *data)
{
	(void)m;
	read_port_info(v, l, data);
}

/* The states of a port in the trees of MST, each with its VLANs; in dumps only, not in events. */
static bool read_mst(struct port *p, const struct nlattr *list)
{
	size_t n = 0, had = p->nmst;
	bool changed = false;

	for (const struct nlattr *e = nm_child(list, NULL); e && n < MST_MAX;
	     e = nm_child(list, e), n++) {
		const struct mst was = p->mst[n],
				 is = {
					 .msti = (uint16_t)nm_uint(
						 nm_in(e, IFLA_BRIDGE_MST_ENTRY_MSTI)),
					 .state = (uint8_t)nm_uint(
						 nm_in(e, IFLA_BRIDGE_MST_ENTRY_STATE)),
				 };

		changed |= was.msti != is.msti || was.state != is.state;
		p->mst[n] = is;
	}
	p->nmst = n;
	return changed || n != had;
}

void nm_bridge_port_told(struct nm_view *v, struct link *l, const struct nm_msg *m)
{
	const struct nlattr *spec = m->attr[IFLA_AF_SPEC];

	read_port_info(v, l, m->attr[IFLA_PROTINFO]);
	if (spec && !m->event)
		l->changed |= read_mst(l->is[PORT], nm_in(spec, IFLA_BRIDGE_MST));
}

bool nm_bridge_has_trees(const struct link *l)
{
	const struct bridge *b = l->role[OWN] == &nm_bridge ? l->is[OWN] : NULL;

	return b && b->trees;
}

static bool port_counts(const struct nm_view *v, const struct link *l)
{
	const struct bridge *b = nm_link_master(v, l, &nm_bridge);

	return b && b->stp;
}

/* ---- statistics ------------------------------------------------------------------------ */

/* The place of a VLAN, which the kernel tells in their order; NULL: no memory. */
static struct vlan *vlan_of(struct vlans *vs, size_t *at, uint16_t vid)
{
	struct vlan *more;

	while (*at < vs->n && vs->v[*at].c.vid < vid)
		++*at;
	if (*at < vs->n && vs->v[*at].c.vid == vid)
		return &vs->v[*at];
	if (vs->n == vs->room) {
		more = reallocarray(vs->v, vs->room ? 2 * vs->room : 8, sizeof(*more));
		if (!more)
			return NULL;
		vs->room = vs->room ? 2 * vs->room : 8;
		vs->v = more;
	}
	memmove(&vs->v[*at + 1], &vs->v[*at], (vs->n++ - *at) * sizeof(*vs->v));
	return &vs->v[*at];
}

/* A bridge tells of the VLANs of its ports too, of which it is no member itself. */
static bool is_of_ports_alone(const struct bridge_vlan_xstats *x)
{
	return x->flags & BRIDGE_VLAN_INFO_MASTER && !(x->flags & BRIDGE_VLAN_INFO_BRENTRY);
}

static int read_vlans(struct nm_view *v, struct link *l, struct vlans *vs,
		      const struct nlattr *xstats)
{
	const struct config *c = v->config;
	size_t at = 0, had = vs->n;
	struct bridge_vlan_xstats x;

	vs->at = v->now;

	for (const struct nlattr *a = c->collect_vlan ? nm_child(xstats, NULL) : NULL; a;
	     a = nm_child(xstats, a)) {
		struct vlan *vlan;

		if (nm_type(a) != BRIDGE_XSTATS_VLAN || nm_bytes(a, &x, sizeof(x)) < sizeof(x) ||
		    is_of_ports_alone(&x))
			continue;
		if (at < vs->n && x.vid < vs->v[at].c.vid)
			at = 0; /* not in their order: no harm, but dearer */
		vlan = vlan_of(vs, &at, x.vid);
		if (!vlan)
			return -ENOMEM;
		l->changed |= vlan->c.flags != x.flags;
		*vlan = (struct vlan){.c = x, .at = v->now};
	}
	l->changed |= had != vs->n;
	return 0;
}

static int bridge_xstats(struct nm_view *v, struct link *l, const struct nlattr *xstats)
{
	struct bridge *b = l->is[OWN];

	return read_vlans(v, l, &b->vlans, nm_in(xstats, LINK_XSTATS_TYPE_BRIDGE));
}

static int port_xstats(struct nm_view *v, struct link *l, const struct nlattr *xstats)
{
	const struct nlattr *x = nm_in(xstats, LINK_XSTATS_TYPE_BRIDGE);
	const struct nlattr *stp = nm_in(x, BRIDGE_XSTATS_STP);
	struct port *p = l->is[PORT];

	if (stp)
		p->counted = nm_bytes(stp, &p->c, sizeof(p->c)) == sizeof(p->c) ? v->now : 0;
	return read_vlans(v, l, &p->vlans, x);
}

/* ---- what is submitted -------------------------------------------------------------------- */

static void submit_vlan(struct nm_reading *r, const struct vlan *vlan)
{
	char buf[16];
	const char *name;

	snprintf(buf, sizeof(buf), "vlan%u", vlan->c.vid);
	name = nm_text(r, buf);
	nm_derive(r, "if_rx_octets", name, vlan->c.rx_bytes);
	nm_derive(r, "if_tx_octets", name, vlan->c.tx_bytes);
	nm_derive(r, "if_rx_packets", name, vlan->c.rx_packets);
	nm_derive(r, "if_tx_packets", name, vlan->c.tx_packets);
}

static void submit_membership(struct nm_reading *r, const struct vlans *vs)
{
	char buf[24];

	nm_slow(r, true);
	nm_gauge(r, "gauge", "vlans", (double)vs->n);
	for (const struct vlan *vlan = vs->v; vlan < vs->v + vs->n; vlan++) {
		snprintf(buf, sizeof(buf), "untagged_vlan%u", vlan->c.vid);
		nm_gauge(r, "bool", nm_text(r, buf), !!(vlan->c.flags & BRIDGE_VLAN_INFO_UNTAGGED));
		if (vlan->c.flags & BRIDGE_VLAN_INFO_PVID)
			nm_gauge(r, "gauge", "pvid", vlan->c.vid);
	}
	nm_slow(r, false);
}

/* Those that this reading did not have are gone. */
static void submit_vlans(const struct nm_view *v, struct nm_reading *r, struct link *l,
			 struct vlans *vs, bool counted, bool slow)
{
	const struct config *c = v->config;
	size_t kept = 0;

	if (!c->collect_vlan || !vs->at || vs->at < l->now_at)
		return;
	for (size_t i = 0; i < vs->n; i++)
		if (vs->v[i].at >= l->now_at)
			vs->v[kept++] = vs->v[i];
	slow |= kept != vs->n;
	vs->n = kept;
	for (size_t i = 0; counted && i < vs->n; i++)
		submit_vlan(r, &vs->v[i]);
	if (slow)
		submit_membership(r, vs);
}

static void submit_tree(struct nm_reading *r, const struct bridge *b)
{
	nm_gauge(r, "bool", "stp_root", !memcmp(&b->root, &b->id, sizeof(b->id)));
	nm_gauge(r, "gauge", "stp_root_port", b->root_port);
	nm_gauge(r, "gauge", "stp_root_cost", b->root_cost);
	nm_gauge(r, "bool", "stp_topology_change", b->topology_change);
	nm_derive(r, "transitions", "stp_topology", b->topology_changes);
}

static void submit_bridge(struct nm_view *v, struct nm_reading *r, struct link *l, bool slow)
{
	struct bridge *b = l->is[OWN];

	if (!b->known)
		return;
	if (b->learned != UNKNOWN)
		nm_gauge(r, "gauge", "fdb_learned", (double)b->learned);
	if (b->learned != UNKNOWN && b->limit > 0)
		nm_gauge(r, "percent", "fdb",
			 b->full ? 100 : 100.0 * (double)b->learned / (double)b->limit);
	submit_vlans(v, r, l, &b->vlans, b->counts_vlans, slow);
	if (!slow)
		return;
	nm_slow(r, true);
	nm_gauge(r, "gauge", "stp", b->stp);
	if (b->stp == STP_KERNEL) /* a daemon's tree is not the kernel's to know */
		submit_tree(r, b);
	nm_gauge(r, "bool", "vlan_filtering", b->filtering);
	if (b->limit > 0)
		nm_gauge(r, "gauge", "fdb_limit", (double)b->limit);
	if (b->querier != UNKNOWN)
		nm_gauge(r, "bool", "querier", b->querier);
	nm_slow(r, false);
}

static void submit_tree_of_port(const struct nm_view *v, struct nm_reading *r, const struct link *l,
				const struct port *p)
{
	if (!port_counts(v, l) || p->counted < l->now_at || !p->counted)
		return;
	nm_derive(r, "transitions", "stp_blocking", p->c.transition_blk);
	nm_derive(r, "transitions", "stp_forwarding", p->c.transition_fwd);
	nm_derive(r, "if_rx_packets", "bpdu", p->c.rx_bpdu);
	nm_derive(r, "if_tx_packets", "bpdu", p->c.tx_bpdu);
	nm_derive(r, "if_rx_packets", "tcn", p->c.rx_tcn);
	nm_derive(r, "if_tx_packets", "tcn", p->c.tx_tcn);
}

static void submit_port(struct nm_view *v, struct nm_reading *r, struct link *l, bool slow)
{
	const struct bridge *b = nm_link_master(v, l, &nm_bridge);
	struct port *p = l->is[PORT];
	char buf[24];

	if (!p->known)
		return;
	submit_vlans(v, r, l, &p->vlans, b && b->counts_vlans && b->counts_by_port, slow);
	if (!slow)
		return;
	nm_slow(r, true);
	nm_gauge(r, "gauge", "stp_state", p->state);
	nm_gauge(r, "gauge", "stp_cost", p->cost);
	for (size_t i = 0; i < NM_COUNT(flags); i++)
		if (p->has >> i & 1)
			nm_gauge(r, "bool", flags[i].name, p->flags >> i & 1);
	for (size_t i = 0; i < p->nmst; i++) {
		snprintf(buf, sizeof(buf), "mst%u_state", p->mst[i].msti);
		nm_gauge(r, "gauge", nm_text(r, buf), p->mst[i].state);
	}
	submit_tree_of_port(v, r, l, p);
	nm_slow(r, false);
}

const struct role nm_bridge = {
	.kind = "bridge",
	.size = sizeof(struct bridge),
	.polled = true,
	.read = read_bridge,
	.xstats = bridge_xstats,
	.submit = submit_bridge,
	.close = close_vlans,
};

const struct role nm_bridge_port = {
	.kind = "bridge",
	.size = sizeof(struct port),
	.read = read_port,
	.counts = port_counts,
	.xstats = port_xstats,
	.submit = submit_port,
	.close = close_vlans,
};
