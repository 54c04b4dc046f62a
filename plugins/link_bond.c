/* SPDX-License-Identifier: MIT */
/* Bonds and their ports for netmon_link: who is active, who is missing, what LACP has agreed. */
#include <string.h>

#include "link.h"
#include "names.h"
#include "uapi.h"

/* ---- what is kept ----------------------------------------------------------------- */

struct bond {
	bool known, lacp;
	uint8_t mode;
	uint32_t active; /* ifindex; 0: none, or not of this mode */
	uint64_t active_changes;
	uint16_t aggregator, in_aggregator; /* number, and how many ports it has; 0: none */
	uint8_t partner[6];
	bool had_partner; /* and it is missed since then */
	unsigned ports, up, ports_told, up_told;
	bool mixed;
	bool watched; /* it looks after its ports: what is known of them is of now */
	bool checked; /* they were counted once: a difference is news */
};

enum { UNKNOWN = -1, CHURNED = 1 }; /* AD_CHURN of the kernel's bond_3ad.h */

struct port {
	bool known;
	uint8_t state, mii;
	uint32_t failures;
	bool lacp; /* what follows was told */
	uint16_t aggregator;
	uint8_t actor;
	uint16_t partner;
	int actor_churn, partner_churn; /* UNKNOWN in most kernels */
};

/* ---- bonds ---------------------------------------------------------------------------- */

static bool has_partner(const struct bond *b)
{
	static const uint8_t nobody[sizeof(b->partner)];

	return memcmp(b->partner, nobody, sizeof(nobody)) != 0;
}

static const char *partner_text(const struct bond *b, char buf[static 24])
{
	const uint8_t *p = b->partner;

	if (!has_partner(b))
		return "none";
	snprintf(buf, 24, "%02x:%02x:%02x:%02x:%02x:%02x", p[0], p[1], p[2], p[3], p[4], p[5]);
	return buf;
}

static void tell_active(struct nm_view *v, const struct link *l, const struct bond *was,
			const struct bond *b)
{
	const char *old = nm_link_name(v, was->active), *new = nm_link_name(v, b->active);

	nm_say(nm_link_tell(v, l, ACTIVE_PORT,
			    !b->active  ? NM_FAILURE :
			    was->active ? NM_WARNING :
					  NM_OKAY,
			    old, new),
	       "bond %s: the active port was %s and is %s", l->label, old, new);
}

static void tell_partner(struct nm_view *v, const struct link *l, const struct bond *was,
			 const struct bond *b)
{
	char old[24], new[24];

	nm_say(nm_link_tell(v, l, PARTNER,
			    !has_partner(b)  ? NM_FAILURE :
			    has_partner(was) ? NM_WARNING :
					       NM_OKAY,
			    partner_text(was, old), partner_text(b, new)),
	       has_partner(b) ? "bond %s: the LACP partner was %s and is %s" :
				"bond %s: the LACP partner %s does not answer any more%.0s",
	       l->label, partner_text(was, old), partner_text(b, new));
}

static bool bond_changed(const struct bond *a, const struct bond *b)
{
	return a->mode != b->mode || a->active != b->active || a->aggregator != b->aggregator ||
	       a->in_aggregator != b->in_aggregator || has_partner(a) != has_partner(b);
}

static void read_bond(struct nm_view *v, struct link *l, const struct nm_msg *m,
		      const struct nlattr *data)
{
	const struct nlattr *ad = nm_in(data, IFLA_BOND_AD_INFO);
	struct bond *b = l->is[OWN], was = *b;
	struct state *s = v->state;

	(void)m;
	if (!nm_in(data, IFLA_BOND_MODE))
		return;
	b->mode = (uint8_t)nm_uint(nm_in(data, IFLA_BOND_MODE));
	b->lacp = b->mode == BOND_MODE_8023AD;
	b->active = (uint32_t)nm_uint(nm_in(data, IFLA_BOND_ACTIVE_SLAVE));
	b->aggregator = (uint16_t)nm_uint(nm_in(ad, IFLA_BOND_AD_INFO_AGGREGATOR));
	b->in_aggregator = (uint16_t)nm_uint(nm_in(ad, IFLA_BOND_AD_INFO_NUM_PORTS));
	memset(b->partner, 0, sizeof(b->partner));
	nm_bytes(nm_in(ad, IFLA_BOND_AD_INFO_PARTNER_MAC), b->partner, sizeof(b->partner));
	b->known = true;
	l->changed |= bond_changed(&was, b);
	s->check_bonds |= !was.known || bond_changed(&was, b) ||
			  was.watched != !!(l->a.flags & IFF_UP);
	if (!was.known || was.mode != b->mode)
		return;
	if (was.active != b->active) {
		b->active_changes++;
		tell_active(v, l, &was, b);
	}
	/* that negotiation takes its time after a start is no news */
	if (memcmp(was.partner, b->partner, sizeof(b->partner)) &&
	    (has_partner(&was) || b->had_partner))
		tell_partner(v, l, &was, b);
	b->had_partner |= has_partner(&was) || has_partner(b);
}

/* ---- ports ------------------------------------------------------------------------------ */

static int churn(const struct nlattr *a)
{
	return a ? nm_uint(a) == CHURNED : UNKNOWN;
}

static bool port_changed(const struct port *a, const struct port *b)
{
	return a->known != b->known || a->state != b->state || a->mii != b->mii ||
	       a->failures != b->failures || a->lacp != b->lacp || a->aggregator != b->aggregator ||
	       a->actor != b->actor || a->partner != b->partner ||
	       a->actor_churn != b->actor_churn || a->partner_churn != b->partner_churn;
}

static void read_port(struct nm_view *v, struct link *l, const struct nm_msg *m,
		      const struct nlattr *data)
{
	const struct nlattr *actor = nm_in(data, IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE);
	struct port *p = l->is[PORT], was = *p;
	struct state *s = v->state;
	struct link *bond = nm_link_find(s, l->a.master);

	if (!nm_in(data, IFLA_BOND_SLAVE_STATE))
		return;
	p->state = (uint8_t)nm_uint(nm_in(data, IFLA_BOND_SLAVE_STATE));
	p->mii = (uint8_t)nm_uint(nm_in(data, IFLA_BOND_SLAVE_MII_STATUS));
	p->failures = (uint32_t)nm_uint(nm_in(data, IFLA_BOND_SLAVE_LINK_FAILURE_COUNT));
	p->lacp = actor != NULL;
	p->aggregator = (uint16_t)nm_uint(nm_in(data, IFLA_BOND_SLAVE_AD_AGGREGATOR_ID));
	p->actor = (uint8_t)nm_uint(actor);
	p->partner = (uint16_t)nm_uint(nm_in(data, IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE));
	p->actor_churn = churn(nm_in(data, IFLA_BOND_SLAVE_AD_CHURN_ACTOR_STATE));
	p->partner_churn = churn(nm_in(data, IFLA_BOND_SLAVE_AD_CHURN_PARTNER_STATE));
	p->known = true;
	if (!port_changed(&was, p))
		return;
	l->changed = true;
	s->check_bonds = true;
	if (m->event && bond)
		nm_link_ask(s, bond, ASK_LINK);
}

/* ---- how many there are ------------------------------------------------------------------- */

/* Ports that carry traffic, or would: with LACP those of the aggregator that is used. */
static void count_ports(const struct state *s, const struct link *l, struct bond *b)
{
	const struct link *other;
	double speed = 0;
	const void *key;
	struct link **p;

	b->ports = b->up = 0;
	b->mixed = false;
	for (size_t i = 0; (p = nm_map_next(&s->special, &key, &i));) {
		const struct port *port = (*p)->is[PORT];

		other = *p;
		if (other->a.master != l->ifindex || other->role[PORT] != &nm_bond_port ||
		    !port->known)
			continue;
		b->ports++;
		if (port->mii != BOND_LINK_UP ||
		    (b->lacp && (!port->lacp || port->aggregator != b->aggregator)))
			continue;
		b->up++;
		b->mixed |= speed > 0 && other->speed > 0 && other->speed != speed;
		speed = other->speed > 0 ? other->speed : speed;
	}
}

static void tell_ports(struct nm_view *v, const struct link *l, struct bond *b)
{
	bool whole = b->up == b->ports, was_whole = b->up_told == b->ports_told;
	char old[16], new[16];

	snprintf(old, sizeof(old), "%u", b->up_told);
	snprintf(new, sizeof(new), "%u", b->up);
	if (!whole && (was_whole || b->up < b->up_told))
		nm_say(nm_link_tell(v, l, BOND, b->up ? NM_WARNING : NM_FAILURE, old, new),
		       "bond %s is degraded: %s of its %u ports are up", l->label, new, b->ports);
	else if (whole && !was_whole)
		nm_say(nm_link_tell(v, l, BOND, NM_OKAY, old, new),
		       "bond %s is restored: all of its %u ports are up", l->label, b->ports);
	b->up_told = b->up;
	b->ports_told = b->ports;
}

/* One that was set down looks after its ports no more: that is told as such. */
void nm_bonds_check(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct link **l;

	s->check_bonds = false;
	for (size_t i = 0; (l = nm_map_next(&s->special, &key, &i));) {
		struct bond *b = (*l)->role[OWN] == &nm_bond ? (*l)->is[OWN] : NULL;
		struct bond was;

		if (!b || !b->known)
			continue;
		was = *b;
		b->watched = (*l)->a.flags & IFF_UP;
		(*l)->changed |= was.watched != b->watched;
		if (!b->watched)
			continue;
		count_ports(s, *l, b);
		(*l)->changed |= was.ports != b->ports || was.up != b->up || was.mixed != b->mixed;
		if (!b->checked) {
			b->up_told = b->up;
			b->ports_told = b->ports;
		}
		tell_ports(v, *l, b);
		b->checked = true;
	}
}

/* ---- what is submitted -------------------------------------------------------------------- */

static void submit_bond(struct nm_view *v, struct nm_reading *r, struct link *l, bool slow)
{
	const struct bond *b = l->is[OWN];

	(void)v;
	if (!b->known || !slow)
		return;
	nm_slow(r, true);
	nm_gauge(r, "gauge", "bond_mode", b->mode);
	if (b->watched) {
		nm_gauge(r, "gauge", "ports", b->ports);
		nm_gauge(r, "gauge", "ports_up", b->up);
		nm_gauge(r, "bool", "mixed_speed", b->mixed);
	}
	if (b->mode == BOND_MODE_ACTIVEBACKUP || b->mode == BOND_MODE_TLB ||
	    b->mode == BOND_MODE_ALB)
		nm_derive(r, "transitions", "active_port", b->active_changes);
	if (b->lacp) {
		nm_gauge(r, "bool", "lacp_partner", has_partner(b));
		nm_gauge(r, "gauge", "lacp_ports", b->in_aggregator);
		if (b->aggregator)
			nm_gauge(r, "gauge", "lacp_aggregator", b->aggregator);
	}
	nm_slow(r, false);
}

static void submit_lacp(struct nm_reading *r, const struct port *p)
{
	nm_gauge(r, "gauge", "lacp_aggregator", p->aggregator);
	nm_gauge(r, "bool", "lacp_synchronized",
		 !!(p->actor & p->partner & LACP_STATE_SYNCHRONIZATION));
	nm_gauge(r, "bool", "lacp_distributing", !!(p->actor & LACP_STATE_DISTRIBUTING));
	nm_gauge(r, "bool", "lacp_partner",
		 !(p->actor & (LACP_STATE_DEFAULTED | LACP_STATE_EXPIRED)));
	if (p->actor_churn != UNKNOWN)
		nm_gauge(r, "bool", "lacp_actor_churned", p->actor_churn);
	if (p->partner_churn != UNKNOWN)
		nm_gauge(r, "bool", "lacp_partner_churned", p->partner_churn);
}

static void submit_port(struct nm_view *v, struct nm_reading *r, struct link *l, bool slow)
{
	const struct port *p = l->is[PORT];

	(void)v;
	if (!p->known || !slow)
		return;
	nm_slow(r, true);
	nm_gauge(r, "bool", "active", p->state == BOND_STATE_ACTIVE);
	nm_gauge(r, "bool", "mii_up", p->mii == BOND_LINK_UP);
	nm_derive(r, "derive", "link_failures", p->failures);
	if (p->lacp)
		submit_lacp(r, p);
	nm_slow(r, false);
}

const struct role nm_bond = {
	.kind = "bond",
	.size = sizeof(struct bond),
	.polled = true,
	.read = read_bond,
	.submit = submit_bond,
};

const struct role nm_bond_port = {
	.kind = "bond",
	.size = sizeof(struct port),
	.polled = true,
	.read = read_port,
	.submit = submit_port,
};
