/* SPDX-License-Identifier: MIT */
/* The routes that netmon_route watches, default ones and chosen prefixes, and who is told. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "route.h"
#include "uapi.h"

#define GATEWAYS 8 /* of one route that are asked for */

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

/* ---- what is watched ---------------------------------------------------------------- */

bool nm_prefix_read(const char *text, struct prefix *p)
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

int nm_watches_open(struct nm_view *v)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	size_t n = 2;

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

		if (nm_prefix_read(p->name, &prefix) && prefix.length)
			add_watch(s, &prefix, p->name);
	}
	return 0;
}

void nm_watches_close(struct state *s)
{
	for (size_t i = 0; i < s->entries; i++)
		free(s->entry[i]);
	nm_map_free(&s->neighbours);
	free(s->watch);
	free(s->entry);
}

/* ---- routes as they come and go ----------------------------------------------------- */

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
	ssize_t hops = nm_hops_read(s, m);
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

int nm_watch_route(struct nm_view *v, const struct nm_msg *m, struct rtable *t, unsigned family)
{
	const struct state *s = v->state;
	int err = 0;

	for (size_t i = 0; !err && i < s->watches; i++)
		if (is_watched(&s->watch[i], family, m))
			err = on_watched(v, m, t, i);
	return err;
}

void nm_watch_sweep(struct state *s, unsigned family, bool complete)
{
	for (size_t i = 0; i < s->entries; i++) {
		const struct entry *e = s->entry[i];

		if (s->watch[e->watch].prefix.family == family && (e->dump == s->dump) != complete)
			remove_entry(s, i--);
	}
}

void nm_watch_link_down(struct state *s, uint32_t ifindex)
{
	for (size_t i = 0; i < s->entries; i++)
		for (size_t h = 0; h < s->entry[i]->n; h++)
			if (s->entry[i]->hop[h].oif == ifindex)
				s->entry[i]->hop[h].flags |= RTNH_F_DEAD;
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
		n += nm_hop_alive_now(s, &e->hop[i]);
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

		if (!nm_hop_alive_now(v->state, h))
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
	n = nm_notify(v, severity, nm_name(&nm_route_notices, what), t->label);
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

void nm_watch_show(struct nm_view *v)
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

/* ---- what is submitted -------------------------------------------------------------- */

int nm_watch_neighbour(struct nm_view *v, const struct nm_msg *m)
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
		nm_ask(v, source(v, h->length == 4 ? NEIGHBOUR4 : NEIGHBOUR6), &k);
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
		if (e->hop[i].length && nm_hop_alive_now(s, &e->hop[i])) {
			int one = reachable(v, &e->hop[i]);

			best = one > best ? one : best;
			n++;
		}
	if (best >= 0)
		nm_gauge(r, "bool", w->reachable, best);
}

void nm_watch_submit(struct nm_view *v, struct nm_reading *r, struct rtable *t)
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
