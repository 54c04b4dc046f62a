/* SPDX-License-Identifier: MIT */
/* The next hops of netmon_route: those of a route, nexthop objects, groups and their buckets. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"
#include "uapi.h"

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

/* ---- the next hops of a route ------------------------------------------------------- */

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

bool nm_hop_alive_now(const struct state *s, const struct hop *h)
{
	const struct link *l = nm_map_get(&s->links, &h->oif);

	if (h->flags & (RTNH_F_DEAD | RTNH_F_UNRESOLVED))
		return false;
	return l ? l->up && l->carrier : hop_alive(h);
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

ssize_t nm_hops_read(struct state *s, const struct nm_msg *m)
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

/* ---- nexthop objects ---------------------------------------------------------------- */

void nm_nexthops_open(struct state *s)
{
	s->nexthops = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(void *)};
	s->buckets =
		(struct nm_map){.key = sizeof(struct bucket_key), .val = sizeof(struct bucket)};
}

void nm_nexthops_close(struct state *s)
{
	const void *key;
	void **n;

	for (size_t i = 0; (n = nm_map_next(&s->nexthops, &key, &i));)
		free(*n);
	nm_map_free(&s->nexthops);
	nm_map_free(&s->buckets);
	free(s->hop);
}

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

int nm_nexthop_message(struct nm_view *v, const struct nm_msg *m)
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
		nm_distrust(v, source(v, BUCKETS));
		if (!fresh) { /* no route uses a new one yet; those of one that is gone are gone */
			s->untold = v->now;
			nm_routes_distrust(v, IPV4, IPV6);
		}
		if (m->gone) /* groups lose a member untold */
			nm_distrust(v, m->src);
	}
	return 0;
}

int nm_bucket_message(struct nm_view *v, const struct nm_msg *m)
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

void nm_nexthops_sweep(struct state *s)
{
	struct nexthop **n;
	const void *key;

	for (size_t i = 0; (n = nm_map_next(&s->nexthops, &key, &i));)
		if ((*n)->seen != s->dump) {
			remove_nexthop(s, (*n)->id);
			i--;
		}
}

void nm_buckets_sweep(struct state *s)
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

/* ---- what is submitted -------------------------------------------------------------- */

void nm_nexthops_submit(const struct nm_view *v, struct nm_reading *r)
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

		up += m && nm_hop_alive_now(s, &m->hop);
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
void nm_groups_submit(struct nm_view *v, struct nm_reading *r)
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
		if (!s->no_stats && nm_ask(v, source(v, NEXTHOPS), &id) == -EINVAL)
			s->no_stats = true;
		n = nm_map_get(&s->nexthops, &id); /* the answer may have moved it */
		if (n)
			submit_group(v, r, *n);
	}
}
