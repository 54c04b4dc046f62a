/* SPDX-License-Identifier: MIT */
/* The summary: how many entries there are of each kind, counted while they pass by. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define RAW_MAX    30
#define HEADER_MAX 16
enum { COUNTS = 64, TITLE = 16 };

struct key { /* a value that was seen: its own bytes, so that nothing is formatted on the way */
	uint8_t count, len;
	uint8_t raw[RAW_MAX];
};

struct counted { /* one line of a source's summary */
	const struct count *how;
	const struct nm_source *source;
	struct nm_path path;
	bool in_header;
	uint64_t n; /* with .bit or .sum: how many */
	uint32_t bit;
	struct key last; /* most entries are like the one before */
	uint32_t at;     /* of its value in struct counter */
};

/* Entries in a row that have the same header: what is counted in it is counted once. */
struct run {
	uint8_t header[HEADER_MAX];
	uint64_t n;
};

struct counter {
	const struct nm_view *v;
	const struct noun *noun;
	uint64_t total[MAX_SOURCES];
	size_t first[MAX_SOURCES + 1]; /* of a source's lines, up to the next one's */
	struct run run[MAX_SOURCES];
	struct counted of[COUNTS];
	size_t n;
	struct nm_map seen; /* struct key -> index of its number */
	struct value {
		struct key key;
		uint64_t n;
	} * value;
	size_t numbers, room;
};

static uint32_t bit_named(const struct nm_names *names, const char *name)
{
	for (size_t i = 0; names && i < names->n; i++)
		if (!strcmp(names->v[i].name, name))
			return names->v[i].value;
	return 0;
}

struct counter *counter_new(const struct nm_view *v, const struct noun *n)
{
	struct counter *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->v = v;
	c->noun = n;
	c->seen.key = sizeof(struct key);
	c->seen.val = sizeof(uint32_t);
	for (const struct nm_source *s = v->plugin->source;
	     s < v->plugin->source + v->plugin->nsource; s++) {
		for (const struct count *h = n->count; h->name && c->n < COUNTS; h++) {
			struct counted *x = &c->of[c->n];

			if (s->file || !noun_shows(n, s) ||
			    (h->source && strcmp(h->source, s->what) != 0) ||
			    nm_path(&x->path, s->table, h->path))
				continue;
			x->how = h;
			x->source = s;
			if (h->bit)
				x->bit = bit_named(x->path.field->names, h->bit);
			x->in_header = !h->each && x->path.n == 1 && x->path.step[0].member &&
				       s->table->size <= HEADER_MAX;
			c->n++;
		}
		c->first[s - v->plugin->source + 1] = c->n;
	}
	return c;
}

static uint32_t place_of(struct counter *c, const struct key *k)
{
	bool fresh;
	uint32_t *at = nm_map_put(&c->seen, k, &fresh);

	if (at && fresh && c->numbers == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		struct value *more = reallocarray(c->value, room, sizeof(*more));

		if (more) {
			c->value = more;
			c->room = room;
		} else {
			nm_map_del(&c->seen, k);
			at = NULL;
		}
	}
	if (!at)
		return UINT32_MAX;
	if (fresh) {
		c->value[c->numbers] = (struct value){.key = *k};
		*at = (uint32_t)c->numbers++;
	}
	return *at;
}

struct passing {
	struct counter *c;
	struct counted *x;
	uint64_t n; /* so many entries have it */
};

static void take_value(void *arg_, const void *p, size_t len)
{
	struct passing *pass = arg_;
	struct counter *c = pass->c;
	struct counted *x = pass->x;
	uint32_t as;

	if (x->how->sum) {
		x->n += pass->n;
		return;
	}
	if (x->how->bit) {
		uint32_t bits = 0;

		memcpy(&bits, p, len < sizeof(bits) ? len : sizeof(bits));
		x->n += (bits & x->bit) ? pass->n : 0;
		return;
	}
	if (x->how->as) {
		as = x->how->as(c->v, p, len);
		p = &as;
		len = sizeof(as);
	}
	if (len > RAW_MAX)
		len = RAW_MAX;
	if (!x->last.count || x->last.len != len || memcmp(x->last.raw, p, len) != 0) {
		x->last = (struct key){.count = (uint8_t)(x - c->of + 1), .len = (uint8_t)len};
		memcpy(x->last.raw, p, len);
		x->at = place_of(c, &x->last);
	}
	if (x->at != UINT32_MAX)
		c->value[x->at].n += pass->n;
}

static void end_run(struct counter *c, size_t source)
{
	struct run *r = &c->run[source];

	for (size_t i = c->first[source]; r->n && i < c->first[source + 1]; i++) {
		const struct nm_field *d = c->of[i].path.field;
		struct passing pass = {c, &c->of[i], r->n};

		if (pass.x->in_header)
			take_value(&pass, r->header + d->off, d->len);
	}
	r->n = 0;
}

/* What goes on with the object before is no other one, but has more of its lists. */
void counter_take(struct counter *c, const struct nm_msg *m)
{
	size_t source = (size_t)(m->src - c->v->plugin->source);
	size_t size = m->text || m->goes_on ? 0 : m->src->table->size;
	struct run *r = &c->run[source];

	c->total[source] += !m->goes_on;
	if (size && size <= HEADER_MAX) {
		if (r->n && memcmp(r->header, m->hdr, size) != 0)
			end_run(c, source);
		if (!r->n++)
			memcpy(r->header, m->hdr, size);
	}
	for (size_t i = c->first[source]; i < c->first[source + 1]; i++) {
		struct counted *x = &c->of[i];
		struct passing pass = {c, x, 1};
		size_t len;
		const void *p;

		if (x->in_header || (m->goes_on && !x->how->each))
			continue;
		p = x->how->each ? NULL : nm_path_get(&x->path, m, &len);
		if (p)
			take_value(&pass, p, len);
		else if (x->how->each)
			nm_path_each(&x->path, m, take_value, &pass);
	}
}

/* ---- what was counted ------------------------------------------------------------------ */

struct line {
	char name[64];
	uint64_t n;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->name, ((const struct line *)b)->name);
}

static int by_number(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->name, y->name);
}

/* ["a","b"] -> a,b */
static void plain(char *s)
{
	char *to = s;

	if (*s == '[' && s[1] == ']') {
		snprintf(s, sizeof("none"), "none");
		return;
	}
	for (; *s; s++)
		if (!strchr("[]\"", *s))
			*to++ = *s;
	*to = 0;
}

/* Two values may have one name; the most frequent comes first. */
static size_t merge(struct line *l, size_t n)
{
	size_t to = 0;

	qsort(l, n, sizeof(*l), by_name);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(l[to].name, l[i].name))
			l[to].n += l[i].n;
		else
			l[++to] = l[i];
	qsort(l, to + 1, sizeof(*l), by_number);
	return to + 1;
}

static uint32_t raw_number(const struct key *k)
{
	uint32_t n = 0;

	memcpy(&n, k->raw, k->len < sizeof(n) ? k->len : sizeof(n));
	return n;
}

/* The values of one line by how often they were seen; the caller frees. */
static size_t lines_of(struct counter *c, struct nm_json *j, const struct counted *x,
		       struct line **lines)
{
	size_t n = 0;

	*lines = calloc(c->numbers + 1, sizeof(**lines));
	for (size_t i = 0; *lines && i < c->numbers; i++) {
		const struct key *k = &c->value[i].key;
		struct line *l = &(*lines)[n];

		if (k->count != x - c->of + 1)
			continue;
		const char *name = x->how->names ? nm_name(x->how->names, raw_number(k)) : NULL;

		if (name)
			snprintf(l->name, sizeof(l->name), "%s", name);
		else
			nm_value_text(j, c->v, x->path.field, k->raw, k->len, l->name,
				      sizeof(l->name));
		if (x->path.field->kind == NM_BITS)
			plain(l->name);
		l->n = c->value[i].n;
		n++;
	}
	return n ? merge(*lines, n) : 0;
}

static void print_values(struct counter *c, struct nm_json *j, const struct counted *x)
{
	struct line *l;
	size_t n = lines_of(c, j, x, &l);

	nm_json_begin(j, x->how->name, '{');
	for (size_t i = 0; i < n; i++)
		nm_json_uint(j, l[i].name, l[i].n);
	nm_json_end(j, '}');
	free(l);
}

static bool is_one_number(const struct counted *x)
{
	return x->how->bit || x->how->sum;
}

static void end_runs(struct counter *c)
{
	for (size_t i = 0; i < c->v->plugin->nsource; i++)
		end_run(c, i);
}

void counter_print(struct counter *c, struct nm_json *j)
{
	end_runs(c);
	for (const struct nm_source *s = c->v->plugin->source;
	     s < c->v->plugin->source + c->v->plugin->nsource; s++) {
		if (s->file || !noun_shows(c->noun, s))
			continue;
		nm_json_begin(j, s->what, '{');
		nm_json_uint(j, "total", c->total[s - c->v->plugin->source]);
		for (const struct counted *x = c->of; x < c->of + c->n; x++)
			if (x->source == s && is_one_number(x))
				nm_json_uint(j, x->how->name, x->n);
			else if (x->source == s)
				print_values(c, j, x);
		nm_json_end(j, '}');
	}
}

/* "  by state      12,345 reachable, 17 stale": as many lines as it takes. */
static void table_values(struct counter *c, struct nm_json *j, const struct counted *x)
{
	char title[32], number[32];
	struct line *l;
	size_t n = lines_of(c, j, x, &l), used = 0, room = columns() - TITLE - 5;

	snprintf(title, sizeof(title), "%s", x->how->name);
	for (char *s = title; (s = strchr(s, '_'));)
		*s = ' ';
	for (size_t i = 0; i < n; i++) {
		size_t w = (size_t)snprintf(number, sizeof(number), "%" PRIu64, l[i].n) + 1 +
			   width(l[i].name) + 1;

		if (!i) {
			fputs("    ", stdout);
			put_cell(title, TITLE, false);
			putchar(' ');
		} else if (used + w > room) {
			printf(",\n%*s", TITLE + 5, "");
			used = 0;
		} else {
			fputs(", ", stdout);
			used += 2;
		}
		paint(BOLD);
		fputs(number, stdout);
		paint(PLAIN);
		putchar(' ');
		put_cell(l[i].name, width(l[i].name), false);
		used += w;
	}
	if (n)
		putchar('\n');
	free(l);
}

/* What is empty or has nothing to be counted by is left out, unless nothing is left then. */
static bool worth_a_line(const struct counter *c, const struct nm_source *s)
{
	for (const struct counted *x = c->of; x < c->of + c->n; x++)
		if (x->source == s)
			return c->total[s - c->v->plugin->source] || x == c->of;
	return !c->n;
}

void counter_table(struct counter *c, struct nm_json *j)
{
	end_runs(c);
	for (const struct nm_source *s = c->v->plugin->source;
	     s < c->v->plugin->source + c->v->plugin->nsource; s++) {
		uint64_t total = c->total[s - c->v->plugin->source];

		if (s->file || !noun_shows(c->noun, s) || !worth_a_line(c, s))
			continue;
		fputs("  ", stdout);
		put_cell(s->what, TITLE + 2, false);
		putchar(' ');
		paint(BOLD);
		printf("%" PRIu64, total);
		paint(PLAIN);
		for (const struct counted *x = c->of; x < c->of + c->n; x++)
			if (x->source == s && is_one_number(x))
				printf(", %" PRIu64 " %s", x->n,
				       !strcmp(x->how->name, "admin_up") ? "set up" : x->how->name);
		putchar('\n');
		for (const struct counted *x = c->of; x < c->of + c->n; x++)
			if (x->source == s && !is_one_number(x))
				table_values(c, j, x);
	}
}

void counter_free(struct counter *c)
{
	if (!c)
		return;
	nm_map_free(&c->seen);
	free(c->value);
	free(c);
}
