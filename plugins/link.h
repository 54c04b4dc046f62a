/* SPDX-License-Identifier: MIT */
/* What the files of netmon_link know of each other. */
#ifndef LINK_H
#define LINK_H

#include "netmon.h"
#include "uapi.h"

#define NS(s)      ((uint64_t)((s)*1e9))
#define LABEL_SIZE 128

/* Words of the option Notify. */
enum {
	STATE = 1 << 0,
	SPEED = 1 << 1,
	RENAME = 1 << 2,
	CREATE = 1 << 3,
	DELETE = 1 << 4,
	ADDRESS = 1 << 5,
	DUPLICATE = 1 << 6,
	PROMISCUOUS = 1 << 7,
	MASTER = 1 << 8,
	XDP = 1 << 9,
	MTU = 1 << 10,
	BOND = 1 << 11,
	ACTIVE_PORT = 1 << 12,
	PARTNER = 1 << 13,
	STP = 1 << 14,
	STP_PORT = 1 << 15,
	FDB = 1 << 16,
};

struct config {
	struct nm_config common;
	struct nm_select interfaces;
	bool verbose, report_total, report_inactive, collect_vlan, collect_vf;
	double idle_timeout;
	struct nm_setting *speed;
	unsigned notify, label, layout;
	char *plugin_name;
};

enum { IPV4, IPV6, TENTATIVE, DADFAILED, DEPRECATED, ADDRESS_COUNTS };

struct attrs { /* of a link, as last told */
	char name[IFNAMSIZ], kind[16];
	uint32_t flags, mtu, promiscuity, master;
	uint32_t lower, parent; /* the link that carries it; the one that it was made of */
	uint32_t carrier_up, carrier_down;
	bool up, counts_carrier, xdp;
};

struct link;

/* What a link can be beside a link: a bridge, a bond, a port of one. */
struct role {
	const char *kind; /* IFLA_INFO_KIND, of a port IFLA_INFO_SLAVE_KIND */
	size_t size;      /* of what is kept, zeroed at first */
	bool polled;      /* some of it changes without an event */
	/* data: IFLA_INFO_DATA, of a port IFLA_INFO_SLAVE_DATA */
	void (*read)(struct nm_view *v, struct link *l, const struct nm_msg *m,
		     const struct nlattr *data);
	/* Whether RTM_GETSTATS is to bring xstats of it whenever its slow values are due. */
	bool (*counts)(const struct nm_view *v, const struct link *l);
	int (*xstats)(struct nm_view *v, struct link *l, const struct nlattr *xstats);
	void (*submit)(struct nm_view *v, struct nm_reading *r, struct link *l, bool slow);
	void (*close)(void *kept); /* optional */
};

enum { OWN, PORT, ROLES };
enum { ASK_SPEED = 1, ASK_LINK = 2 };

enum { RX, TX, WAYS };

/* What every reading touches comes first: of thousands of links, that is what it costs. */
struct link {
	uint32_t ifindex;
	uint32_t unsent; /* values that the reading before had and did not send, a bit each */
	bool selected;
	bool changed;       /* slow values are due in the next reading */
	bool covered;       /* its packets are in the total through another interface */
	bool based;         /* its counters do not start at 0 */
	uint8_t at;         /* which of counters[] are those of this reading */
	uint16_t stats_len; /* older kernels tell less */
	uint64_t now_at, last_at, active_at; /* ns; 0: never */
	double speed;                        /* bit/s; 0: unknown */
	double used[WAYS], used_sent[WAYS];  /* utilization, at the reading before and sent last */
	int state;                           /* at the reading before */
	const struct role *role[ROLES];
	void *is[ROLES]; /* what is kept of them */
	struct vfs *vfs; /* of a device that has or may get SR-IOV functions; see link_vf.c */
	char label[LABEL_SIZE];
	union counters {
		uint64_t c[sizeof(struct rtnl_link_stats64) / sizeof(uint64_t)];
		struct rtnl_link_stats64 s;
	} counters[2]; /* at this reading and at the one before */

	union counters base; /* what is subtracted from the kernel's */
	struct attrs a;
	unsigned asked_later; /* ASK_* */
	uint64_t down_at;     /* ns */
	double speed_told;    /* the last that was known */
	int duplex;           /* -1: unknown */
	bool had_errors[2];   /* received, sent: in the reading before */
	uint32_t addresses[ADDRESS_COUNTS], addresses_were[ADDRESS_COUNTS];
	uint64_t seen; /* number of the dump that had it last */
	uint64_t modes_seen;
};

struct state {
	struct nm_map links;     /* ifindex -> struct link * */
	struct nm_map special;   /* the same, of those with a role or functions */
	struct nm_map addresses; /* struct address_key -> struct address */
	struct nm_map owners;    /* label -> struct owner */
	uint64_t dump;           /* number of the dump that runs or ran last */
	bool recount;            /* the addresses of a link have changed */
	uint32_t *pending;       /* links that must be asked for something */
	size_t npending, pending_room;
	size_t nspeeds;   /* of these, for their speed */
	bool check_bonds; /* a bond or a port of one has changed */
	uint64_t total[8];
};

/* netmon_link.c */
struct link *nm_link_find(const struct state *s, uint32_t ifindex); /* NULL: there is none */
/* The name of an interface for a sentence: "none" for 0. */
const char *nm_link_name(const struct nm_view *v, uint32_t ifindex);
/* A notice about a link, NULL when nobody wants it.  old and new may be NULL. */
struct nm_notice *nm_link_tell(struct nm_view *v, const struct link *l, unsigned what,
			       enum nm_severity severity, const char *old, const char *new);
/* It has a role or functions now.  -ENOMEM */
int nm_link_is_special(struct state *s, struct link *l);
/* Asks the kernel once the events are delivered.  -ENOMEM */
int nm_link_ask(struct state *s, struct link *l, unsigned what);
/* What is kept of the bridge or bond that a port belongs to; NULL: it is no such. */
static inline void *nm_link_master(const struct nm_view *v, const struct link *l,
				   const struct role *role)
{
	const struct link *m = nm_link_find(v->state, l->a.master);

	return m && m->role[OWN] == role ? m->is[OWN] : NULL;
}

/* link_bridge.c */
extern const struct role nm_bridge, nm_bridge_port;
/* RTM_NEWLINK of AF_BRIDGE, of a bridge's port. */
void nm_bridge_port_told(struct nm_view *v, struct link *l, const struct nm_msg *m);
/* Whether it is a bridge with MST, of which no event tells. */
bool nm_bridge_has_trees(const struct link *l);

/* link_bond.c */
extern const struct role nm_bond, nm_bond_port;
/* Whether bonds have lost ports or have all again. */
void nm_bonds_check(struct nm_view *v);

/* link_vf.c */
int nm_vfs_read(struct nm_view *v, struct link *l, const struct nm_msg *m);
void nm_vfs_submit(struct nm_reading *r, const struct link *l);

#endif
