/* SPDX-License-Identifier: MIT */
/*
 * Whose a series is.  An interface may take the name that another had a moment
 * ago, and with it that one's series in collectd, which must not jump from the
 * one's counters to the other's: they count from there on.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

#define HOLD 3 /* readings for which collectd may still remember a series */

struct owner {            /* of an instance, which is known by its hash */
	uint64_t reading; /* that had it last */
	uint32_t number;
	bool took; /* it from another */
};

struct series {
	uint64_t instance, number; /* hashes; of type, type instance and which number of it */
};

static uint64_t hash(uint64_t h, const char *s)
{
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h * 0x9e3779b97f4a7c15u;
}

void nm_owners_open(struct view *w)
{
	w->owners = (struct nm_map){.key = sizeof(uint64_t), .val = sizeof(struct owner)};
	w->bases = (struct nm_map){.key = sizeof(struct series), .val = sizeof(uint64_t)};
}

void nm_owners_close(struct view *w)
{
	nm_map_free(&w->owners);
	nm_map_free(&w->bases);
}

static void forget_bases(struct view *w, uint64_t instance)
{
	const void *key;

	for (size_t i = 0; nm_map_next(&w->bases, &key, &i);)
		if (((const struct series *)key)->instance == instance) {
			nm_map_del(&w->bases, key);
			i--;
		}
}

/* Names that nobody has any more, when they are very many. */
void nm_owners_sweep(struct view *w)
{
	const struct owner *o;
	const void *key;

	if (w->owners.used < w->owned * 2 + 64)
		return;
	for (size_t i = 0; (o = nm_map_next(&w->owners, &key, &i));)
		if (w->pub.readings - o->reading >= HOLD) {
			uint64_t instance = *(const uint64_t *)key;

			if (o->took)
				forget_bases(w, instance);
			nm_map_del(&w->owners, &instance);
			i--;
		}
}

void nm_owner(struct nm_reading *r, uint32_t number)
{
	struct view *w = r->view;
	uint64_t instance = hash(0, r->instance);
	struct owner *o;
	bool fresh;

	o = w ? nm_map_put(&w->owners, &instance, &fresh) : NULL;
	if (!o) {
		r->err = -ENOMEM;
		return;
	}
	if (!fresh && o->number != number) {
		if (o->took)
			forget_bases(w, instance);
		o->took = w->pub.readings - o->reading < HOLD;
	}
	o->number = number;
	o->reading = w->pub.readings;
	w->owned++;
	r->took = o->took ? instance : 0;
}

/* What a counter was when its series was taken over; one that is less has started anew. */
void nm_rebase(struct nm_reading *r, const struct nm_value *v)
{
	struct series s = {.instance = r->took, .number = hash(hash(1, v->type), v->type_instance)};

	for (size_t i = 0; i < v->n; i++, s.number++) {
		uint64_t *to = &r->number[v->first + i].derive, *base;
		bool fresh;

		if (nm_is_gauge(v, i))
			continue;
		base = nm_map_put(&r->view->bases, &s, &fresh);
		if (!base) {
			r->err = -ENOMEM;
			return;
		}
		if (fresh)
			*base = *to;
		if (*base > *to)
			*base = 0;
		*to -= *base;
	}
}
