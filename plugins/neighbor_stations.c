/* SPDX-License-Identifier: MIT */
/* The stations of netmon_neighbor: who was seen where, and who is told when that changes. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "neighbor.h"

/* ---- addresses and places ---------------------------------------------------------------- */

uint64_t nm_lladdr_pack(const uint8_t *p, size_t len)
{
	uint64_t at = (uint64_t)(len < 255 ? len : 255) << 56;

	for (size_t i = len > 7 ? len - 7 : 0, n = len - i; n; n--)
		at |= (uint64_t)p[i++] << 8 * (n - 1);
	return at;
}

const char *nm_lladdr_text(uint64_t at, char buf[static TEXT])
{
	unsigned len = (unsigned)(at >> 56), n = len < 7 ? len : 7;
	char *to = buf;

	*to = 0;
	if (len > 7)
		to += snprintf(to, 8, "%u/", len);
	for (; n; n--)
		to += snprintf(to, 4, "%02x%s", (unsigned)(at >> 8 * (n - 1)) & 0xff,
			       n > 1 ? ":" : "");
	return buf;
}

const char *nm_station_text(const struct station_key *k, char buf[static TEXT])
{
	if (k->family != AF_BRIDGE) {
		*buf = 0;
		inet_ntop(k->family, k->addr, buf, TEXT);
	} else if (k->vlan) {
		nm_lladdr_text(nm_lladdr_pack(k->addr, 6), buf);
		snprintf(buf + strlen(buf), 8, "/%u", k->vlan);
	} else {
		nm_lladdr_text(nm_lladdr_pack(k->addr, 6), buf);
	}
	return buf;
}

static const char *place_text(const struct station_key *k, const struct station *s, size_t i,
			      char buf[static TEXT])
{
	if (k->family != AF_BRIDGE)
		return nm_lladdr_text(s->at[i], buf);
	snprintf(buf, TEXT, "%.15s", s->port);
	return buf;
}

/* ---- who is told ------------------------------------------------------------------------ */

/* What was remembered from before the start is known: what differs from it is news. */
static struct nm_notice *tell(struct nm_view *v, unsigned what, enum nm_severity severity,
			      const struct station_key *k, const char *old, const char *new)
{
	const struct config *c = v->config;
	struct stations *s = nm_stations(v);
	struct nm_notice *n;
	char text[TEXT];

	if (!v->news && !s->remembers)
		return NULL;
	for (unsigned i = 0; i < STATION_NOTICES; i++)
		s->events[i] += what == 1u << i && !(what == DUPLICATE && severity == NM_OKAY);
	if (!(c->notify & what))
		return NULL;
	n = nm_notify(v, severity, nm_name(&nm_neighbor_notices, what), k->where);
	if (!n)
		return NULL;
	nm_meta(n, "ifindex", "%u", nm_neighbor_ifindex(v, k->where));
	nm_meta(n, "address", "%s", nm_station_text(k, text));
	nm_change(n, old, new);
	return n;
}

/* ---- stations ------------------------------------------------------------------------------ */

/* The one of n numbers that k are less than, at most; they are put into some other order. */
static int64_t kth(int64_t *x, size_t n, size_t k)
{
	while (n > 1) {
		int64_t pivot = x[(n - 1) / 2];
		size_t low = 0, high = n;

		for (;; low++) {
			while (x[low] < pivot)
				low++;
			while (x[--high] > pivot)
				;
			if (low >= high)
				break;
			int64_t swap = x[low];

			x[low] = x[high];
			x[high] = swap;
		}
		if (k <= high) {
			n = high + 1;
		} else {
			x += high + 1;
			n -= high + 1;
			k -= high + 1;
		}
	}
	return *x;
}

/*
 * By when it was seen last.  Of those that were seen together chance decides: were it
 * their place in the map, one end of the map would fill up and be searched for long.
 */
static int64_t rank_of(const struct station_key *k, const struct station *st)
{
	uint32_t h = k->vlan;

	for (size_t i = 0; i < sizeof(k->addr); i++)
		h = (h ^ k->addr[i]) * 0x01000193u;
	return st->seen * (1 << 20) + (h >> 12);
}

/* At the limit the eighth that was seen longest ago goes: it is looked for seldom. */
static int make_room(const struct nm_view *v)
{
	const struct config *c = v->config;
	struct stations *s = nm_stations(v);
	size_t n = s->known.used, k = 0;
	const struct station *st;
	const void *key;
	int64_t *rank, last;

	if ((double)n < c->max_stations)
		return 0;
	rank = reallocarray(NULL, n, sizeof(*rank));
	if (!rank)
		return -ENOMEM;
	for (size_t i = 0; k < n && (st = nm_map_next(&s->known, &key, &i));)
		rank[k++] = rank_of(key, st);
	last = kth(rank, k, k / 8);
	free(rank);
	for (size_t i = 0; (st = nm_map_next(&s->known, &key, &i));)
		if (rank_of(key, st) <= last) {
			struct station_key gone = *(const struct station_key *)key;

			nm_map_del(&s->known, &gone);
			nm_map_del(&s->clashes, &gone);
			s->forgotten++;
			i--;
		}
	return 0;
}

int nm_station_add(struct nm_view *v, const struct station_key *k, const struct station *is)
{
	struct stations *s = nm_stations(v);
	struct station *st;
	int err = make_room(v);

	st = err ? NULL : nm_map_put(&s->known, k, NULL);
	if (!st)
		return -ENOMEM;
	*st = *is;
	s->unsaved = s->changed = true;
	return 0;
}

/* arpwatch may not have known the interface: who is found first has it. */
static int adopt(struct nm_view *v, const struct station_key *k, struct station **out)
{
	struct station_key any = *k;
	struct stations *s = nm_stations(v);
	struct station *st, is;
	int err;

	memset(any.where, 0, sizeof(any.where));
	st = nm_map_get(&s->known, &any);
	if (!st)
		return 0;
	is = *st;
	nm_map_del(&s->known, &any);
	err = nm_station_add(v, k, &is);
	*out = nm_map_get(&s->known, k);
	return err;
}

/* Two stations that answer for one address take turns. */
static int tell_duplicate(struct nm_view *v, const struct station_key *k, const char *old,
			  const char *new)
{
	struct stations *s = nm_stations(v);
	char text[TEXT];
	bool fresh;
	int64_t *at = nm_map_put(&s->clashes, k, &fresh);

	if (!at)
		return -ENOMEM;
	*at = seconds(v);
	if (fresh)
		nm_say(tell(v, DUPLICATE, NM_FAILURE, k, old, new),
		       "interface %s: address %s is used by both %s and %s", k->where,
		       nm_station_text(k, text), old, new);
	return 0;
}

/* By arpwatch's words: a change to the address before is a flip flop, to an older one a reuse. */
static int change_station(struct nm_view *v, const struct station_key *k, struct station *st,
			  uint64_t at)
{
	static const struct {
		unsigned what;
		const char *word;
	} kinds[] = {
		{CHANGED, "changed"},
		{FLIPFLOP, "flip flop"},
		{REUSED, "reused old"},
	};
	const struct config *c = v->config;
	char address[TEXT], old[TEXT], new[TEXT];
	size_t i = 1, kind;
	int64_t before = st->changed;

	while (i < PAST && st->at[i] != at)
		i++;
	kind = i == PAST ? 0 : i == 1 ? 1 : 2;
	nm_lladdr_text(st->at[0], old);
	nm_lladdr_text(at, new);
	for (i = i < PAST ? i : PAST - 1; i; i--)
		st->at[i] = st->at[i - 1];
	st->at[0] = at;
	st->changed = seconds(v);
	nm_say(tell(v, kinds[kind].what, NM_WARNING, k, old, new),
	       "interface %s: station %s: %s link layer address: it was %s and is %s", k->where,
	       nm_station_text(k, address), kinds[kind].word, old, new);
	if (kind == 1 && (double)(st->changed - before) <= c->duplicate_interval)
		return tell_duplicate(v, k, old, new);
	return 0;
}

static void move_station(struct nm_view *v, const struct station_key *k, struct station *st,
			 const char *port)
{
	char address[TEXT];

	nm_say(tell(v, MOVED, NM_WARNING, k, st->port, port),
	       "bridge %s: station %s moved from port %s to %s", k->where,
	       nm_station_text(k, address), st->port, port);
	memset(st->port, 0, sizeof(st->port));
	snprintf(st->port, sizeof(st->port), "%s", port);
	st->changed = seconds(v);
}

/* A station is new, or active again after so many days. */
static void tell_there(struct nm_view *v, unsigned what, const struct station_key *k,
		       const struct station *is, double days)
{
	struct nm_notice *n = tell(v, what, NM_OKAY, k, NULL, NULL);
	const char *where = k->family == AF_BRIDGE ? "bridge" : "interface";
	char address[TEXT], place[TEXT];

	if (!n)
		return;
	nm_station_text(k, address);
	nm_change(n, NULL, place_text(k, is, 0, place));
	if (what == NEW)
		nm_say(n, "%s %s: new station %s at %s", where, k->where, address, place);
	else
		nm_say(n, "%s %s: station %s at %s is active again after %.0f days", where,
		       k->where, address, place, days);
}

int nm_station_seen(struct nm_view *v, const struct station_key *k, const struct station *is,
		    bool wakes)
{
	const struct config *c = v->config;
	struct stations *s = nm_stations(v);
	struct station *st = nm_map_get(&s->known, k);
	int err = st ? 0 : adopt(v, k, &st);
	bool fdb = k->family == AF_BRIDGE;
	bool same;

	if (err)
		return err;
	if (!st) {
		tell_there(v, NEW, k, is, 0);
		return nm_station_add(v, k, is);
	}
	same = fdb ? !strcmp(st->port, is->port) : st->at[0] == is->at[0];
	if (wakes && (double)(is->seen - st->seen) > c->quiet * 86400)
		tell_there(v, ACTIVITY, k, is, (double)(is->seen - st->seen) / 86400);
	s->unsaved |= !same || is->seen - st->seen > 3600;
	s->changed |= !same;
	if (is->seen > st->seen)
		st->seen = is->seen;
	if (!same && fdb)
		move_station(v, k, st, is->port);
	else if (!same)
		err = change_station(v, k, st, is->at[0]);
	return err ? err : !same;
}

/* All entries of a map of stations, where interface old is named new now. */
static int rename_stations(struct nm_map *m, const char *old, const char *new, bool ports)
{
	struct nm_map renamed = {.key = m->key, .val = m->val};
	const void *key;
	void *val, *to;

	for (size_t i = 0; (val = nm_map_next(m, &key, &i));) {
		struct station_key k = *(const struct station_key *)key;

		if (!strcmp(k.where, old))
			memcpy(k.where, new, sizeof(k.where));
		to = nm_map_put(&renamed, &k, NULL);
		if (!to) {
			nm_map_free(&renamed);
			return -ENOMEM;
		}
		memcpy(to, val, m->val);
		if (ports && k.family == AF_BRIDGE && !strcmp(((struct station *)to)->port, old))
			memcpy(((struct station *)to)->port, new, IFNAMSIZ);
	}
	nm_map_free(m);
	*m = renamed;
	return 0;
}

int nm_stations_rename(struct stations *s, const char *old, const char *new)
{
	int err = s->known.used ? rename_stations(&s->known, old, new, true) : 0;

	return !err && s->clashes.used ? rename_stations(&s->clashes, old, new, false) : err;
}

void nm_stations_open(struct stations *s)
{
	s->known =
		(struct nm_map){.key = sizeof(struct station_key), .val = sizeof(struct station)};
	s->clashes = (struct nm_map){.key = sizeof(struct station_key), .val = sizeof(int64_t)};
}

void nm_stations_close(struct stations *s)
{
	nm_map_free(&s->known);
	nm_map_free(&s->clashes);
}

/* ---- what is submitted ------------------------------------------------------------------ */

void nm_stations_submit(const struct nm_view *v, struct nm_reading *r)
{
	struct stations *s = nm_stations(v);

	if (!((const struct config *)v->config)->track || !(s->changed || nm_slow_due(v, 0)))
		return;
	nm_instance(r, "stations");
	nm_slow(r, true);
	nm_gauge(r, "gauge", "known", (double)s->known.used);
	nm_derive(r, "derive", "forgotten", s->forgotten);
	for (size_t i = 0; i < STATION_NOTICES; i++)
		nm_derive(r, "derive", nm_name(&nm_neighbor_notices, 1u << i), s->events[i]);
	nm_slow(r, false);
	s->changed = false;
}

/* Nobody tells that an address is used by one station again: it is by time. */
void nm_stations_calm(struct nm_view *v)
{
	const struct config *c = v->config;
	struct stations *s = nm_stations(v);
	const int64_t *at;
	const void *key;
	char text[TEXT];

	for (size_t i = 0; (at = nm_map_next(&s->clashes, &key, &i));)
		if ((double)(seconds(v) - *at) > c->duplicate_interval) {
			struct station_key k = *(const struct station_key *)key;

			nm_say(tell(v, DUPLICATE, NM_OKAY, &k, NULL, NULL),
			       "interface %s: address %s has had one station for %.0f s", k.where,
			       nm_station_text(&k, text), c->duplicate_interval);
			nm_map_del(&s->clashes, &k);
			i--;
		}
}
