/* SPDX-License-Identifier: MIT */
/* What the files of netmon_route know of each other: what is kept, and what is configured. */
#ifndef ROUTE_H
#define ROUTE_H

#include <linux/rtnetlink.h>
#include <sys/types.h>

#include "netmon.h"

/* Words of the option Notify. */
enum {
	DEFAULT = 1 << 0,
	CHANGED = 1 << 1,
	PREFIX = 1 << 2,
};
extern const struct nm_names nm_route_notices;

struct config {
	struct nm_config common;
	struct nm_select tables;
	unsigned collect, notify;
	struct nm_setting *prefixes;
};

/* What the kernel is asked. */
enum { LINKS, ADDRESSES, NEIGHBOUR4, NEIGHBOUR6, NEXTHOPS, BUCKETS, ROUTES };
enum { IPV4, IPV6, MPLS, IPMR, IP6MR, FAMILIES }; /* of routes, from ROUTES on */

struct neighbour_key {
	uint32_t ifindex;
	uint8_t length, pad[3]; /* of the address */
	uint8_t address[16];
};

#define LABEL_SIZE     72
#define TEXT_SIZE      64 /* of a meta data value */
#define NOT_ALIVE      (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_UNRESOLVED)
#define NEXTHOPS_LABEL "nexthops"

struct prefix {
	unsigned family; /* IPV4, IPV6 */
	uint8_t length;
	uint8_t address[16];
};

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

struct entry; /* a route to a prefix that is watched */

struct shown { /* the route of a prefix that is used now */
	const struct entry *entry;
	bool any, up; /* there is one; it can carry traffic */
	uint32_t metric, total, alive;
	uint64_t hash; /* of what a change of is told */
	char text[TEXT_SIZE];
};

struct multipath { /* routes with several next hops */
	uint64_t routes, hops, alive;
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

struct family {
	bool known;      /* the last dump was whole */
	bool running;    /* a dump runs */
	uint64_t dumped; /* the reading during which it ended */
	uint64_t dump;   /* its number */
};

struct state {
	uint64_t dump;   /* number of the dump that runs or ran last */
	uint64_t untold; /* ns: when something was told that routes vanish after, untold */

	/* netmon_route.c */
	struct nm_map tables; /* id -> struct rtable * */
	struct nm_map counts; /* struct count_key -> struct count */
	struct nm_map churn;  /* struct count_key without type -> struct churn */
	struct nm_map links;  /* ifindex -> struct link */
	struct nm_map table_names, protocol_names;
	struct nm_rtwatch written;           /* their files */
	const char *protocol[UINT8_MAX + 1]; /* its name, unlike all others */
	char number[UINT8_MAX + 1][4];
	struct family family[FAMILIES];
	uint64_t multipath6; /* IPv6 routes with several next hops */

	/* route_watch.c */
	struct watch *watch;
	size_t watches;
	struct entry **entry; /* in the kernel's order */
	size_t entries, entry_room;
	struct nm_map neighbours; /* struct neighbour_key -> uint16_t, of this reading */
	bool moved; /* a watched route, or what it depends on, is another than shown */
	bool shown; /* what is shown was once what is */

	/* route_nexthop.c */
	struct hop *hop; /* of the route that is read */
	size_t hop_room;
	struct nm_map nexthops; /* id -> struct nexthop * */
	struct nm_map buckets;  /* struct bucket_key -> struct bucket */
	struct objects {
		size_t single, groups, resilient, buckets;
	} sent;
	bool objects_sent;
	bool no_stats; /* this kernel counts no packets of nexthop groups */
};

/* netmon_route.c */
static inline const struct nm_source *source(const struct nm_view *v, unsigned i)
{
	return &v->plugin->source[i];
}
/* The routes of these families, IPV4 to IP6MR, are read again. */
void nm_routes_distrust(struct nm_view *v, unsigned first, unsigned last);

/* route_watch.c */
/* ADDRESS/LENGTH, no bit of the address set beyond the length. */
bool nm_prefix_read(const char *text, struct prefix *p);
/* The default routes, and with Collect Detail each Prefix.  -ENOMEM */
int nm_watches_open(struct nm_view *v);
void nm_watches_close(struct state *s);
/* A route that was told or dumped; nothing, unless it is watched.  -ENOMEM */
int nm_watch_route(struct nm_view *v, const struct nm_msg *m, struct rtable *t, unsigned family);
/* Behind a dump of a family: what it did not have is gone; a partial one is forgotten. */
void nm_watch_sweep(struct state *s, unsigned family, bool complete);
/* Nothing goes over this link any more. */
void nm_watch_link_down(struct state *s, uint32_t ifindex);
/* A gateway's.  -ENOMEM */
int nm_watch_neighbour(struct nm_view *v, const struct nm_msg *m);
/* Finds the used route of each watched prefix, and tells what differs from what was told. */
void nm_watch_show(struct nm_view *v);
void nm_watch_submit(struct nm_view *v, struct nm_reading *r, struct rtable *t);

/* route_nexthop.c */
/* As the kernel said it with the route. */
static inline bool hop_alive(const struct hop *h)
{
	return !(h->flags & NOT_ALIVE);
}
/* The kernel's flags are old news once the link has told something else. */
bool nm_hop_alive_now(const struct state *s, const struct hop *h);
/* A route's next hops into s->hop.  How many, or -ENOMEM */
ssize_t nm_hops_read(struct state *s, const struct nm_msg *m);
void nm_nexthops_open(struct state *s);
void nm_nexthops_close(struct state *s);
/* -ENOMEM */
int nm_nexthop_message(struct nm_view *v, const struct nm_msg *m);
int nm_bucket_message(struct nm_view *v, const struct nm_msg *m);
/* What a whole dump did not have is gone. */
void nm_nexthops_sweep(struct state *s);
void nm_buckets_sweep(struct state *s);
/* How many there are. */
void nm_nexthops_submit(const struct nm_view *v, struct nm_reading *r);
/* What of each group is alive, and how much each member has. */
void nm_groups_submit(struct nm_view *v, struct nm_reading *r);

#endif
