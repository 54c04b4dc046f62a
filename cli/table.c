/* SPDX-License-Identifier: MIT */
/* Tables for people: columns that line up, colours where they are wanted, numbers that fit. */
#include <errno.h>
#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "cli.h"

void paint(int color)
{
	if (arg.color)
		printf("\033[%dm", color);
}

const char *humane(double number, const char *unit, char buf[static 32])
{
	static const char *const prefix[] = {"", "k", "M", "G", "T", "P", "E"};
	size_t i = 0;

	for (; fabs(number) >= 999.5 && i + 1 < NM_COUNT(prefix); i++)
		number /= 1000;
	snprintf(buf, 32,
		 fabs(number) < 9.995 && (i || number != floor(number)) ? "%.2f%s%s%s" :
		 fabs(number) < 99.95 && (i || number != floor(number)) ? "%.1f%s%s%s" :
									  "%.0f%s%s%s",
		 number, *prefix[i] || *unit ? " " : "", prefix[i], unit);
	return buf;
}

size_t columns(void)
{
	struct winsize w;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col >= 20)
		return w.ws_col;
	return 80;
}

/* One character of a text; *len: its bytes.  What the locale cannot show is shown as '?'. */
static int one(const char *s, size_t *len)
{
	mbstate_t state = {0};
	wchar_t c;
	size_t n = mbrtowc(&c, s, MB_CUR_MAX, &state);
	int w = n && n < (size_t)-2 ? wcwidth(c) : -1;

	*len = n && n < (size_t)-2 ? n : 1;
	return w;
}

size_t width(const char *s)
{
	size_t w = 0, len;

	for (; *s; s += len) {
		int n = one(s, &len);

		w += n < 0 ? 1 : (size_t)n;
	}
	return w;
}

/* Whether a character beyond ASCII can be shown here. */
static bool utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

void put_cell(const char *s, size_t cells, bool right)
{
	size_t have = width(s), len;
	bool cut = have > cells;
	size_t room = cut && cells ? cells - 1 : cells;

	for (size_t i = have; right && i < cells; i++)
		putchar(' ');
	for (size_t used = 0; *s; s += len) {
		int w = one(s, &len);

		if (used + (w < 0 ? 1 : (size_t)w) > room)
			break;
		used += w < 0 ? 1 : (size_t)w;
		if (w < 0) /* a control character, or no text at all: never sent to a terminal */
			putchar('?');
		else
			fwrite(s, 1, len, stdout);
	}
	if (cut && cells)
		fputs(utf8() ? "…" : "~", stdout);
	for (size_t i = have; !right && i < cells; i++)
		putchar(' ');
}

/* ---- rows whose columns are as wide as what is in them --------------------------------- */

enum { COLUMNS = 12, CELL = 64, GAP = 2 };

struct rows {
	const struct column *column;
	size_t n; /* columns */
	struct nm_path path[COLUMNS];
	bool has[COLUMNS]; /* the source has such a value */
	char (*cell)[CELL];
	size_t cells, room;
};

struct rows *rows_new(const struct noun *n, const struct nm_view *v)
{
	struct rows *r = calloc(1, sizeof(*r));
	const struct nm_source *s = v->plugin->source;

	if (!r)
		return NULL;
	while (s < v->plugin->source + v->plugin->nsource && strcmp(s->what, n->listed) != 0)
		s++;
	r->column = n->column;
	for (; r->n < COLUMNS && n->column[r->n].title; r->n++)
		r->has[r->n] = s < v->plugin->source + v->plugin->nsource &&
			       !nm_path(&r->path[r->n], s->table, n->column[r->n].path);
	return r;
}

static bool grow(struct rows *r)
{
	size_t room = r->room ? 2 * r->room : 64 * r->n;
	char(*cell)[CELL];

	if (r->cells + r->n <= r->room)
		return true;
	cell = reallocarray(r->cell, room, sizeof(*cell));
	if (!cell)
		return false;
	r->cell = cell;
	r->room = room;
	return true;
}

static void fill(char cell[static CELL], const struct column *c, const struct nm_path *path,
		 struct nm_json *j, const struct nm_view *v, const struct nm_msg *m)
{
	size_t len;
	const void *p = nm_path_get(path, m, &len);
	char text[CELL], *to = cell;

	snprintf(cell, CELL, "-");
	if (!p)
		return;
	nm_value_text(j, v, path->field, p, len, text, sizeof(text));
	if (c->how == BYTES) {
		char buf[32];

		snprintf(cell, CELL, "%s", humane(strtod(text, NULL), "B", buf));
		return;
	}
	for (const char *s = text; *s; s++)
		if (path->field->kind != NM_BITS || !strchr("[]\"", *s))
			*to++ = *s;
	*to = 0;
	if (!*cell)
		snprintf(cell, CELL, "-");
}

int rows_add(struct rows *r, struct nm_json *j, const struct nm_view *v, const struct nm_msg *m)
{
	if (!grow(r))
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++) {
		snprintf(r->cell[r->cells + i], CELL, "-");
		if (r->has[i])
			fill(r->cell[r->cells + i], &r->column[i], &r->path[i], j, v, m);
	}
	r->cells += r->n;
	return 0;
}

/* What is down is red, what carries is green. */
static int color_of(const struct column *c, const char *cell)
{
	if (strcmp(c->title, "state") != 0)
		return PLAIN;
	return !strcmp(cell, "up") || !strcmp(cell, "unknown") ? GREEN :
	       strstr(cell, "down")                            ? RED :
								 YELLOW;
}

enum { KEPT = 3 };

/* Empty columns vanish, then the last ones until all fit; of what is left the widest is cut. */
static void fit(const struct rows *r, size_t w[static COLUMNS])
{
	size_t all = 2, widest;

	for (size_t i = 0; i < r->n; i++) {
		bool empty = true;

		w[i] = width(r->column[i].title);
		for (size_t c = i; c < r->cells; c += r->n) {
			empty &= !strcmp(r->cell[c], "-");
			if (width(r->cell[c]) > w[i])
				w[i] = width(r->cell[c]);
		}
		if (empty)
			w[i] = 0;
		all += w[i] ? w[i] + GAP : 0;
	}
	for (size_t i = r->n; i > KEPT && all > columns() + GAP; i--) {
		all -= w[i - 1] ? w[i - 1] + GAP : 0;
		w[i - 1] = 0;
	}
	while (all > columns() + GAP) {
		widest = 0;
		for (size_t i = 1; i < r->n; i++)
			if (w[i] > w[widest])
				widest = i;
		if (w[widest] <= 4)
			break;
		w[widest]--;
		all--;
	}
}

void rows_print(const struct rows *r)
{
	size_t w[COLUMNS];

	if (!r->cells)
		return;
	fit(r, w);
	for (size_t c = 0; c < r->cells + r->n; c++) {
		size_t i = c % r->n;
		const char *cell = c < r->n ? r->column[i].title : r->cell[c - r->n];
		bool last = true;

		for (size_t k = i + 1; k < r->n; k++)
			last &= !w[k];
		if (!i)
			fputs("  ", stdout);
		if (w[i]) {
			paint(c < r->n ? DIM : color_of(&r->column[i], cell));
			put_cell(cell,
				 last && width(cell) <= w[i] && r->column[i].how != BYTES ?
					 width(cell) :
					 w[i],
				 r->column[i].how == BYTES);
			paint(PLAIN);
			if (!last)
				printf("%*s", GAP, "");
		}
		if (i + 1 == r->n)
			putchar('\n');
	}
}

void rows_free(struct rows *r)
{
	if (!r)
		return;
	free(r->cell);
	free(r);
}
