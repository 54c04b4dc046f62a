/* SPDX-License-Identifier: MIT */
/*
 * The values of one reading and the notices that wait for the host.  Values
 * are pushed without an error code each: what fails is remembered, and a
 * reading that lacks a value is not handed on.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define TEXT_SIZE   16384
#define SLOW_TURNS  6
#define MAX_WAITING 4096 /* notices that nobody takes: the host's handlers are too slow */

struct nm_text { /* what lives as long as the reading; never moved */
	struct nm_text *next;
	size_t used;
	_Alignas(struct nm_about) char c[TEXT_SIZE];
};

double nm_slow_interval(const struct nm_view *v)
{
	const struct nm_config *c = v->config;

	return c->slow_interval <= 0          ? SLOW_TURNS * v->interval :
	       c->slow_interval > v->interval ? c->slow_interval :
						v->interval;
}

void nm_reading_start(struct nm_reading *r)
{
	/* One block is kept for the next reading: most need no other. */
	while (r->text && r->text->next) {
		struct nm_text *t = r->text;

		r->text = t->next;
		free(t);
	}
	if (r->text)
		r->text->used = 0;
	*r = (struct nm_reading){
		.value = r->value,
		.room = r->room,
		.number = r->number,
		.number_room = r->number_room,
		.text = r->text,
	};
}

void nm_reading_free(struct nm_reading *r)
{
	nm_reading_start(r);
	free(r->text);
	free(r->value);
	free(r->number);
	*r = (struct nm_reading){0};
}

/* Room of at most TEXT_SIZE bytes that lives as long as the reading; NULL: no memory. */
static void *keep(struct nm_reading *r, size_t len, size_t align)
{
	struct nm_text *t = r->text;
	size_t at = t ? (t->used + align - 1) / align * align : 0;

	if (!t || at + len > TEXT_SIZE) {
		t = malloc(sizeof(*t));
		if (!t) {
			r->err = -ENOMEM;
			return NULL;
		}
		at = 0;
		t->next = r->text;
		r->text = t;
	}
	t->used = at + len;
	return t->c + at;
}

const char *nm_text(struct nm_reading *r, const char *s)
{
	size_t len = strnlen(s, TEXT_SIZE - 1) + 1;
	char *to = keep(r, len, 1);

	if (!to)
		return "";
	memcpy(to, s, len);
	to[len - 1] = 0;
	return to;
}

void nm_instance(struct nm_reading *r, const char *instance)
{
	r->instance = nm_text(r, instance);
	r->took = 0;
	r->about = NULL;
}

void nm_about(struct nm_reading *r, const char *key, const char *value)
{
	struct nm_about *a = keep(r, sizeof(*a), _Alignof(struct nm_about));

	if (!a)
		return;
	*a = (struct nm_about){.key = key, .value = nm_text(r, value), .next = r->about};
	r->about = a;
}

void nm_slow(struct nm_reading *r, bool slow)
{
	r->slow_now = slow;
}

void nm_before(struct nm_reading *r, bool before)
{
	r->before_now = before;
}

/* Each object has its own turn, so that the writers' load is even. */
bool nm_slow_due(const struct nm_view *v, uint32_t number)
{
	double turns = v->interval > 0 ? nm_slow_interval(v) / v->interval : 1;
	uint64_t every = turns > 1 ? (uint64_t)(turns + 0.5) : 1;

	return !v->readings || (v->readings + number) % every == 0;
}

/* The array with room for want elements, NULL: no memory, it is as it was. */
static void *room(void *v, size_t *have, size_t want, size_t size)
{
	size_t more = *have ? *have * 2 : 256;

	if (want <= *have)
		return v;
	v = reallocarray(v, more, size);
	if (v)
		*have = more;
	return v;
}

/* A value with room for its numbers; NULL: no memory. */
static inline struct nm_value *push(struct nm_reading *r, struct nm_value value)
{
	size_t end = r->numbers + value.n;
	struct nm_value *v = r->n < r->room ? r->value :
					      room(r->value, &r->room, r->n + 1, sizeof(*v));
	union nm_number *to = NULL;

	if (v) {
		r->value = v;
		to = end <= r->number_room ? r->number :
					     room(r->number, &r->number_room, end, sizeof(*to));
	}
	if (!to) {
		r->err = -ENOMEM;
		return NULL;
	}
	r->number = to;
	value.instance = r->instance;
	value.plugin = r->plugin;
	value.about = r->about;
	value.first = (uint32_t)r->numbers;
	value.slow = r->slow_now;
	value.before = r->before_now;
	v += r->n++;
	*v = value;
	r->numbers = end;
	return v;
}

static void rebase(struct nm_reading *r, const struct nm_value *v)
{
	if (r->took)
		nm_rebase(r, v);
}

void nm_gauge(struct nm_reading *r, const char *type, const char *type_instance, double v)
{
	struct nm_value *to = push(
		r, (struct nm_value){
			   .type = type, .type_instance = type_instance, .gauge = true, .n = 1});

	if (to)
		r->number[to->first].gauge = v;
}

void nm_derive(struct nm_reading *r, const char *type, const char *type_instance, uint64_t v)
{
	struct nm_value *to =
		push(r, (struct nm_value){.type = type, .type_instance = type_instance, .n = 1});

	if (!to)
		return;
	r->number[to->first].derive = v;
	rebase(r, to);
}

void nm_derive2(struct nm_reading *r, const char *type, const char *type_instance, uint64_t rx,
		uint64_t tx)
{
	struct nm_value *v =
		push(r, (struct nm_value){.type = type, .type_instance = type_instance, .n = 2});

	if (!v)
		return;
	r->number[v->first].derive = rx;
	r->number[v->first + 1].derive = tx;
	rebase(r, v);
}

void nm_wide(struct nm_reading *r, const struct nm_type *type, const union nm_number *number)
{
	struct nm_value *v =
		push(r, (struct nm_value){.type = type->name, .own = type, .n = (uint8_t)type->n});

	if (!v)
		return;
	memcpy(r->number + v->first, number, type->n * sizeof(*number));
	rebase(r, v);
}

/* ---- notices ------------------------------------------------------------------- */

struct nm_notice *nm_notify(struct nm_view *v, enum nm_severity severity, const char *what,
			    const char *instance)
{
	struct view *w = view_of(v);
	/* of a recording they are taken at its readings only */
	bool room = w->waiting < MAX_WAITING || w->flags & NM_REPLAY;
	struct nm_notice *n = room ? calloc(1, sizeof(*n)) : NULL;

	if (!n) {
		v->cost.unsent++;
		return NULL;
	}
	n->severity = severity;
	n->time = w->wall;
	n->what = what;
	snprintf(n->instance, sizeof(n->instance), "%s", instance);
	if (w->first)
		*w->last = n;
	else
		w->first = n;
	w->last = &n->next;
	w->waiting++;
	return n;
}

void nm_say(struct nm_notice *n, const char *fmt, ...)
{
	va_list ap;

	if (!n)
		return;
	va_start(ap, fmt);
	vsnprintf(n->message, sizeof(n->message), fmt, ap);
	va_end(ap);
}

void nm_meta(struct nm_notice *n, const char *key, const char *fmt, ...)
{
	va_list ap;

	if (!n || n->nmeta == NM_COUNT(n->meta))
		return;
	n->meta[n->nmeta].key = key;
	va_start(ap, fmt);
	vsnprintf(n->meta[n->nmeta].value, sizeof(n->meta->value), fmt, ap);
	va_end(ap);
	n->nmeta++;
}

void nm_change(struct nm_notice *n, const char *old, const char *new)
{
	if (old)
		nm_meta(n, "old", "%s", old);
	if (new)
		nm_meta(n, "new", "%s", new);
}

struct nm_notice *nm_take_notice(struct nm_view *v)
{
	struct view *w = view_of(v);
	struct nm_notice *n = w->first;

	if (n) {
		w->first = n->next;
		w->waiting--;
		n->next = NULL;
	}
	return n;
}

void nm_notices_free(struct view *w)
{
	struct nm_notice *n;

	while ((n = nm_take_notice(&w->pub)))
		free(n);
}
