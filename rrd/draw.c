/* SPDX-License-Identifier: MIT */
/* A definition and an object become arguments of rrdgraph, a picture and its numbers. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph.h"

/* ---- colours ------------------------------------------------------------------------------- */

static const struct {
	const char *name, *light, *dark;
} palette[] = {
	/* Many of one kind, in this order: {c}. */
	{"1", "2f7fd1", "5aa2ee"},
	{"2", "e8842c", "f0954a"},
	{"3", "2ba84a", "4cc46c"},
	{"4", "8e5bd0", "b48aec"},
	{"5", "d62976", "f0609f"},
	{"6", "17a2b0", "3cc4d2"},
	{"7", "b8860b", "dcae3a"},
	{"8", "6b7a90", "9aa8bd"},
	{"9", "c0392b", "ef6d60"},
	{"10", "5d9c1f", "93cc52"},
	{"11", "3f51b5", "8795f0"},
	{"12", "a05a2c", "d29064"},
	/* Those that mean something. */
	{"in", "2f7fd1", "4b93e2"},
	{"inline", "1b5fa8", "8fc1fa"},
	{"out", "e8842c", "e08a3c"},
	{"outline", "b85e10", "ffbe85"},
	{"good", "2ba84a", "3fbf62"},
	{"warn", "f0c419", "e8bf2c"},
	{"bad", "d62930", "f0565c"},
	{"quiet", "8a94a6", "7f8a9c"},
	{"text", "2b3242", "d5dbe5"},
};

enum { COLOURS = 12 };

static const struct {
	const char *part, *light, *dark;
} surface[] = {
	{"BACK", "ffffff", "151a22"},     {"CANVAS", "fbfcfe", "181e28"},
	{"GRID", "1c2b4418", "ffffff12"}, {"MGRID", "1c2b4438", "ffffff30"},
	{"FONT", "2b3242", "d5dbe5"},     {"AXIS", "5a6375", "8b96a8"},
	{"ARROW", "5a6375", "8b96a8"},    {"FRAME", "ffffff", "151a22"},
	{"SHADEA", "ffffff", "151a22"},   {"SHADEB", "ffffff", "151a22"},
};

static const char *colour(const char *name, size_t len, bool dark)
{
	for (size_t i = 0; i < NM_COUNT(palette); i++)
		if (strlen(palette[i].name) == len && !memcmp(palette[i].name, name, len))
			return dark ? palette[i].dark : palette[i].light;
	return NULL;
}

void put_colours(FILE *f, bool dark)
{
	for (size_t i = 0; i < NM_COUNT(palette); i++)
		fprintf(f, "--c-%s:#%s;", palette[i].name,
			dark ? palette[i].dark : palette[i].light);
	for (size_t i = 0; i < NM_COUNT(surface); i++)
		fprintf(f, "--%s:#%s;", surface[i].part, dark ? surface[i].dark : surface[i].light);
}

/* ---- labels of an axis --------------------------------------------------------------------- */

static struct {
	bool mirrored; /* without a minus */
	bool decimals; /* 0.2, not 200 m */
} axis;

void pango_layout_set_text(void *layout, const char *s, int len);

/*
 * A label of an axis as librrd writes it, "-200 m", as it is meant; other text as it is.  A legend
 * that looks like a number ends with a blank.
 */
static const char *axis_label(const char *s, char *buf, size_t size)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || (*end && *end != ' ') || (*end && (strlen(end) != 2 || end[1] == ' ')))
		return s;
	if (axis.mirrored && strchr(s, '-'))
		s = strchr(s, '-') + 1;
	if (!axis.decimals || *end != ' ' || (end[1] != 'm' && end[1] != 'u'))
		return s;
	v *= end[1] == 'm' ? 1e-3 : 1e-6;
	snprintf(buf, size, "%.3g", axis.mirrored ? fabs(v) : v);
	return buf;
}

/*
 * Stands before pango's own: librrd has no way to label what was drawn below the axis with
 * positive numbers, and all its text comes through here.
 */
__attribute__((visibility("default"))) void pango_layout_set_text(void *layout, const char *s,
								  int len)
{
	static void (*pango)(void *, const char *, int);
	char buf[32];

	if (!pango)
		*(void **)&pango = need(dlsym(RTLD_NEXT, "pango_layout_set_text"));
	pango(layout, len < 0 ? axis_label(s, buf, sizeof(buf)) : s, len);
}

/* ---- a line of a definition ---------------------------------------------------------------- */

const char *const stat_names[STATS] = {"last", "average", "min", "max", "p95", "sum"};
const char *const stat_heads[STATS] = {"last", "average", "least", "peak", "95 %", "sum"};
static const char *const stat_rpn[STATS] = {"LAST",    "AVERAGE",       "MINIMUM",
					    "MAXIMUM", "95,PERCENTNAN", "TOTAL"};

enum { MOST = 12, MOST_FIELDS = 12, HOUR = 3600, YEAR = 31622400 };
enum { SUM = STATS - 1 };
enum { LABEL = 1 }; /* a byte that stands in an argument for the next legend's label */

struct maker {
	struct drawing *d;
	const struct look *look;
	const struct input *each;
	struct words series, parts; /* of it */
	struct words missing;       /* variables that cannot be had */
	struct opened {
		const struct input *in;
		size_t i;
		struct file file;
	} open[64];
	size_t nopen;
	struct words values; /* VDEF and PRINT of the numbers */
	struct target {
		size_t legend, stat;
		char unit[16];
	} target[256];
	size_t targets;
	const struct line *line;
};

static int bad_line(const struct maker *m, const char *why, const char *what)
{
	return fail(FAILED, "%s:%u: %s \"%s\"", m->d->def->file, m->line->number, why, what);
}

/* {i} and {c} of a repeated line; colours stay until it is known whether it is dark. */
static char *fill(const char *s, size_t i)
{
	char *out = NULL;
	size_t size;
	FILE *f = need(open_memstream(&out, &size));

	for (; *s; s++) {
		if (!strncmp(s, "{i}", 3))
			fprintf(f, "%zu", i + 1), s += 2;
		else if (!strncmp(s, "{c}", 3))
			fprintf(f, "{%zu}", i % COLOURS + 1), s += 2;
		else
			fputc(*s, f);
	}
	fclose(f);
	return need(out);
}

static bool is_missing(const struct maker *m, const char *name, size_t len)
{
	for (size_t i = 0; i < m->missing.n; i++)
		if (strlen(m->missing.v[i]) == len && !memcmp(m->missing.v[i], name, len))
			return true;
	return false;
}

/* One of the words of an expression. */
static bool uses_missing(const struct maker *m, const char *rpn)
{
	for (size_t len; *rpn; rpn += len + (rpn[len] != 0)) {
		len = strcspn(rpn, ",");
		if (is_missing(m, rpn, len))
			return true;
	}
	return false;
}

static struct file *open_input(struct maker *m, const struct input *in, size_t i)
{
	struct opened *o = m->open;
	const char *series;

	for (; o < m->open + m->nopen; o++)
		if (o->in == in && o->i == i)
			return o->file.fd < 0 ? NULL : &o->file;
	if (m->nopen == NM_COUNT(m->open))
		return NULL;
	m->nopen++;
	*o = (struct opened){.in = in, .i = i, .file.fd = -1};
	series = in->how == FILE_EACH ? (i < m->series.n ? m->series.v[i] : NULL) :
					input_series(in, m->d->store, m->d->object);
	if (!series)
		return NULL;
	if (file_open(&o->file, m->d->store, series)) {
		m->d->incomplete = true;
		return NULL;
	}
	if (o->file.last > m->d->last)
		m->d->last = o->file.last;
	return &o->file;
}

/*
 * What may stand in the last fields.  librrd writes past the end of its buffer when it wants to
 * say that it does not know one ("Unused Arguments").
 */
static const char *const of_def[] = {"AVERAGE", "MIN", "MAX", "LAST", "step=", "reduce=", NULL};
static const char *const of_element[] = {"STACK",   "skipscale",    "dashes",
					 "dashes=", "dash-offset=", NULL};

/* Fields that are one of these words, or begin with one that ends with "=" and go on simply. */
static bool fields_good(const char *s, const char *const *words)
{
	for (size_t len; *s; s += len + (s[len] == ':')) {
		const char *const *w = words;

		len = strcspn(s, ":");
		for (; *w; w++) {
			size_t n = strlen(*w);

			if ((*w)[n - 1] == '=' ?
				    len > n && !strncmp(s, *w, n) &&
					    strspn(s + n, "0123456789.,AEGIMNRVX") == len - n :
				    len == n && !strncmp(s, *w, n))
				break;
		}
		if (!*w)
			return false;
	}
	return true;
}

static const struct input *input_named(const struct definition *def, const char *name, size_t len)
{
	for (size_t i = 0; i < def->inputs; i++)
		if (strlen(def->input[i].name) == len && !memcmp(def->input[i].name, name, len))
			return &def->input[i];
	return NULL;
}

/* DEF:in=o:rx:AVERAGE, with the file in place of its name. */
static int add_def(struct maker *m, char *s, size_t i)
{
	char *eq = strchr(s, '='), *name = eq ? eq + 1 : s, *names, *rest;
	const struct input *in = input_named(m->d->def, name, strcspn(name, ":"));
	const char *ds;
	struct file *f;

	if (!eq || !in)
		return bad_line(m, "no file of this definition in", s);
	names = strchr(name, ':');
	rest = names ? strchr(++names, ':') : NULL;
	if (!rest)
		return bad_line(m, "no consolidation function in", s);
	f = open_input(m, in, i);
	if (!f) {
		if (in->how == FILE_NEEDED)
			return FAILED; /* file_open() has said why */
		add_word(&m->missing, text("%.*s", (int)(eq - s - 4), s + 4));
		return OK;
	}
	if (!fields_good(rest + 1, of_def))
		return bad_line(m, "accepted are AVERAGE, MIN, MAX, and step=N, not", rest + 1);
	*rest = 0;
	ds = file_ds(f, names);
	if (!ds)
		return bad_line(m, "the RRD file has no data source", names);
	add_word(&m->d->arguments, text("%.*s=%s:%s:%s", (int)(eq - s), s, f->path, ds, rest + 1));
	return OK;
}

static int add_expression(struct maker *m, const char *s)
{
	const char *name = strchr(s, ':') + 1, *eq = strchr(s, '=');

	if (!eq || strchr(name, ':'))
		return bad_line(m, "accepted is name=expression, not", name);
	if (uses_missing(m, eq + 1))
		add_word(&m->missing, text("%.*s", (int)(eq - name), name));
	else
		add_word(&m->d->arguments, text("%s", s));
	return OK;
}

static size_t split(char *s, char **field)
{
	size_t n = 0;

	for (field[n++] = s; *s; s++)
		if (*s == '\\' && s[1]) {
			s++;
		} else if (*s == ':' && n < MOST_FIELDS) {
			*s = 0;
			field[n++] = s + 1;
		}
	return n;
}

static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1] == ':')
			s++;
		*to++ = *s;
	}
	*to = 0;
}

static void add_legend(struct maker *m, const char *value, char *label, size_t i)
{
	struct drawing *d = m->d;
	const char *brace = strchr(value, '{'), *name;
	struct legend *l;

	d->legend = need(realloc(d->legend, (d->legends + 1) * sizeof(*l)));
	l = &d->legend[d->legends++];
	*l = (struct legend){0};
	if (brace)
		l->colour = text("%.*s", (int)strcspn(brace + 1, "}"), brace + 1);
	unescape(label);
	name = strstr(label, "{name}");
	if (name && i < m->parts.n) {
		char *whole = text("%.*s%s%s", (int)(name - label), label, m->parts.v[i], name + 6);

		l->label = clean(whole);
		free(whole);
	} else {
		l->label = clean(label);
	}
}

/* How many fields stand before the legend, and what may follow it. */
static const struct element {
	const char *name;
	size_t before;
	bool legend, more;
} elements[] = {
	{"LINE", 2, true, true},    {"AREA", 2, true, true},      {"HRULE", 2, true, true},
	{"TICK", 3, true, false},   {"COMMENT", 2, false, false}, {"GPRINT", 4, false, false},
	{"SHIFT", 3, false, false},
};

static const struct element *element_of(const char *s)
{
	for (size_t i = 0; i < NM_COUNT(elements); i++)
		if (!strncmp(s, elements[i].name, strlen(elements[i].name)))
			return &elements[i];
	return NULL;
}

/* AREA:in{in}cc:label:STACK, LINE1..., HRULE..., TICK:down{bad}:0.02:label, GPRINT... */
static int add_element(struct maker *m, char *s, size_t i)
{
	const struct element *e = element_of(s);
	char *field[MOST_FIELDS], *out = NULL;
	size_t n = split(s, field), size;
	FILE *f;

	if (!e || n < 2 || (n > e->before + e->legend && !e->more))
		return bad_line(m, "too few or too many fields:", m->line->s);
	for (size_t k = e->before + e->legend; k < n; k++)
		if (!fields_good(field[k], of_element))
			return bad_line(m, "accepted are STACK, dashes and their like, not",
					field[k]);
	if (is_missing(m, field[1], strcspn(field[1], "#{")))
		return OK;
	f = need(open_memstream(&out, &size));
	for (size_t k = 0; k < n; k++) {
		fputs(k ? ":" : "", f);
		if (k == e->before && e->legend && *field[k]) {
			add_legend(m, field[1], field[k], i);
			/* librrd makes room for the box of all but ticks. */
			fprintf(f, "legend=%s%c", *field[0] == 'T' ? "  " : "", LABEL);
		} else {
			fputs(field[k], f);
		}
	}
	fclose(f);
	add_word(&m->d->arguments, need(out));
	return OK;
}

static void add_target(struct maker *m, const char *variable, const char *rpn,
		       const struct target *t)
{
	if (m->targets == NM_COUNT(m->target))
		return;
	add_word(&m->values, text("VDEF:netmon%zu=%s,%s", m->targets, variable, rpn));
	add_word(&m->values, text("PRINT:netmon%zu:%%.12le", m->targets));
	m->target[m->targets++] = *t;
}

/* stats in last average max=peak p95=in5 sum=octets/B */
static int add_stats(struct maker *m, char *s)
{
	struct drawing *d = m->d;
	char *save = NULL, *variable, *w;

	strtok_r(s, " \t", &save);
	variable = strtok_r(NULL, " \t", &save);
	if (!variable)
		return bad_line(m, "a variable is missing:", s);
	if (is_missing(m, variable, strlen(variable)))
		return OK;
	if (!d->legends)
		return bad_line(m, "there is no legend above stats", variable);
	while ((w = strtok_r(NULL, " \t", &save))) {
		size_t len = strcspn(w, "=/"), k;
		char *of = w[len] == '=' ? w + len + 1 : NULL, *slash = strchr(w, '/');
		struct target t = {.legend = d->legends - 1};
		const char *unit = d->def->unit;

		for (k = 0; k < STATS; k++)
			if (strlen(stat_names[k]) == len && !memcmp(stat_names[k], w, len))
				break;
		if (k == STATS)
			return bad_line(m, "accepted are last, average, min, max, p95, sum, not",
					w);
		if (slash) {
			*slash = 0;
			unit = slash + 1;
		}
		if (of && is_missing(m, of, strlen(of)))
			continue;
		t.stat = k;
		snprintf(t.unit, sizeof(t.unit), "%s", unit ? unit : "");
		len = strlen(t.unit);
		if (!slash && k == SUM && len > 1 && !strcmp(t.unit + len - 2, "/s"))
			t.unit[len - 2] = 0; /* packets/s add up to packets */
		add_target(m, of ? of : variable, stat_rpn[k], &t);
	}
	d->legend[d->legends - 1].numbers = true;
	return OK;
}

static int add_line(struct maker *m, size_t i)
{
	char *s = fill(m->line->s, i);
	int status;

	if (!strncmp(s, "DEF:", 4))
		status = add_def(m, s, i);
	else if (!strncmp(s, "CDEF:", 5) || !strncmp(s, "VDEF:", 5))
		status = add_expression(m, s);
	else if (!strncmp(s, "stats", 5))
		status = add_stats(m, s);
	else
		status = add_element(m, s, i);
	free(s);
	return status;
}

/* ---- all lines ----------------------------------------------------------------------------- */

struct size {
	size_t i;
	double mean;
};

static int by_size(const void *a, const void *b)
{
	double x = ((const struct size *)a)->mean, y = ((const struct size *)b)->mean;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int by_place(const void *a, const void *b)
{
	return ((const struct size *)a)->i < ((const struct size *)b)->i ? -1 : 1;
}

static double mean(const struct maker *m, const char *series)
{
	double sum = 0, seconds = 0;
	struct row *rows = NULL;
	struct file f;
	size_t n = 0;

	if (file_open(&f, m->d->store, series))
		return -1;
	if (!file_rows(&f, f.ds.v[0], "AVERAGE", m->look->start, m->look->end, &rows, &n))
		for (size_t i = 0; i < n; i++)
			if (!isnan(rows[i].v)) {
				sum += rows[i].v * (double)(rows[i].to - rows[i].from);
				seconds += (double)(rows[i].to - rows[i].from);
			}
	free(rows);
	file_close(&f);
	return seconds > 0 ? sum / seconds : -1;
}

/* More than that many cannot be told apart: the largest are drawn, and the rest is not hidden. */
static void choose(struct maker *m)
{
	struct size *size = need(calloc(m->series.n + 1, sizeof(*size)));
	struct words series = {0}, parts = {0};

	for (size_t i = 0; i < m->series.n; i++)
		size[i] = (struct size){i, mean(m, m->series.v[i])};
	qsort(size, m->series.n, sizeof(*size), by_size);
	qsort(size, MOST, sizeof(*size), by_place);
	for (size_t i = 0; i < MOST; i++) {
		add_word(&series, text("%s", m->series.v[size[i].i]));
		add_word(&parts, text("%s", m->parts.v[size[i].i]));
	}
	m->d->remark = text("the %d largest of %zu", MOST, m->series.n);
	words_free(&m->series);
	words_free(&m->parts);
	m->series = series;
	m->parts = parts;
	free(size);
}

/* Lines with {i}, one below the other, are repeated together for each file. */
static int add_lines(struct maker *m)
{
	const struct definition *def = m->d->def;
	int status = OK;

	for (size_t at = 0; !status && at < def->lines;) {
		size_t end = at;

		while (end < def->lines && strstr(def->line[end].s, "{i}"))
			end++;
		if (end == at) {
			m->line = &def->line[at++];
			status = add_line(m, 0);
			continue;
		}
		if (!m->each) {
			m->line = &def->line[at];
			return bad_line(m, "{i} needs a line \"each\":", m->line->s);
		}
		for (size_t i = 0; i < m->series.n; i++)
			for (size_t k = at; !status && k < end; k++) {
				m->line = &def->line[k];
				status = add_line(m, i);
			}
		at = end;
	}
	return status;
}

/* ---- librrd -------------------------------------------------------------------------------- */

static rrd_info_t *run(const struct drawing *d, struct words *args)
{
	rrd_info_t *info;

	add_word(args, NULL);
	rrd_clear_error();
	axis.mirrored = d->def->mirror;
	axis.decimals = !d->def->unit || strcmp(d->def->unit, "s") != 0;
	info = rrd_graph_v((int)args->n - 1, args->v);
	if (info && !rrd_test_error())
		return info;
	fail(FAILED, "%s for \"%s\": %s", d->def->file, d->object, rrd_get_error());
	if (info)
		rrd_info_free(info);
	return NULL;
}

static void begin(struct words *args, const struct look *look)
{
	static const char *const first[] = {"graph", "-", "--start"};

	for (size_t i = 0; i < NM_COUNT(first); i++)
		add_word(args, text("%s", first[i]));
	add_word(args, text("%lld", (long long)look->start));
	add_word(args, text("--end"));
	add_word(args, text("%lld", (long long)look->end));
	add_word(args, text("--width"));
	add_word(args, text("%u", look->width));
	add_word(args, text("--height"));
	add_word(args, text("%u", look->height));
}

static bool drawn(const char *argument)
{
	return strncmp(argument, "DEF:", 4) && strncmp(argument, "CDEF:", 5) &&
	       strncmp(argument, "VDEF:", 5);
}

/* What the file of the state told last, if that is not long ago; a value between two is new. */
static void find_state(struct maker *m)
{
	const struct definition *def = m->d->def;
	struct file *f = NULL;
	struct row *rows = NULL;
	size_t n = 0;

	for (size_t i = 0; def->state_of && i < def->inputs; i++)
		if (!strcmp(def->input[i].name, def->state_of))
			f = open_input(m, &def->input[i], 0);
	if (f && file_ds(f, def->state_ds))
		file_rows(f, file_ds(f, def->state_ds), "AVERAGE", f->last - HOUR, f->last, &rows,
			  &n);
	while (n && isnan(rows[n - 1].v))
		n--;
	for (size_t i = 0; n && f && f->last > m->look->end - HOUR && i < def->states; i++)
		if (round(rows[n - 1].v) == def->state[i].value)
			m->d->state = &def->state[i];
	free(rows);
}

static void set_number(struct legend *l, const struct target *t, double v)
{
	struct number *n = &l->number[t->stat];

	n->given = true;
	n->v = v;
	memcpy(n->unit, t->unit, sizeof(n->unit));
}

/* Without anything to draw librrd only calculates. */
static int get_numbers(struct maker *m)
{
	struct drawing *d = m->d;
	struct words args = {0};
	rrd_info_t *info;

	if (!m->targets)
		return OK;
	begin(&args, m->look);
	for (size_t i = 0; i < d->arguments.n; i++)
		if (!drawn(d->arguments.v[i]))
			add_word(&args, text("%s", d->arguments.v[i]));
	for (size_t i = 0; i < m->values.n; i++)
		add_word(&args, text("%s", m->values.v[i]));
	info = run(d, &args);
	words_free(&args);
	for (rrd_info_t *p = info; p; p = p->next) {
		size_t k = m->targets;
		double v;

		if (p->type == RD_I_STR && !strncmp(p->key, "print[", 6))
			k = strtoul(p->key + 6, NULL, 10);
		if (k >= m->targets)
			continue;
		v = strtod(p->value.u_str, NULL);
		set_number(&d->legend[m->target[k].legend], &m->target[k], v);
	}
	if (info)
		rrd_info_free(info);
	return info ? OK : FAILED;
}

int drawing_open(struct drawing *d, const struct definition *def, const struct store *s,
		 const char *object, const struct look *look)
{
	struct maker m = {.d = d, .look = look};
	int status;

	*d = (struct drawing){.def = def, .store = s, .object = object};
	for (size_t i = 0; i < def->inputs; i++)
		if (def->input[i].how == FILE_EACH) {
			m.each = &def->input[i];
			input_each(m.each, s, object, &m.series, &m.parts);
		}
	if (m.series.n > MOST)
		choose(&m);
	status = add_lines(&m);
	find_state(&m);
	if (!status)
		status = get_numbers(&m);
	d->file = need(calloc(m.nopen + 1, sizeof(*d->file)));
	for (size_t i = 0; i < m.nopen; i++)
		d->file[d->files++] = m.open[i].file;
	words_free(&m.series);
	words_free(&m.parts);
	words_free(&m.missing);
	words_free(&m.values);
	return status;
}

void drawing_free(struct drawing *d)
{
	for (size_t i = 0; i < d->files; i++)
		file_close(&d->file[i]);
	for (size_t i = 0; i < d->legends; i++) {
		free(d->legend[i].colour);
		free(d->legend[i].label);
	}
	free(d->file);
	free(d->legend);
	free(d->remark);
	words_free(&d->arguments);
	*d = (struct drawing){0};
}

/* ---- the picture --------------------------------------------------------------------------- */

/* In rrdgraph's legends a colon ends the text; a backslash is one only inside of it. */
static char *escape(const char *s)
{
	char *out = NULL;
	size_t size;
	FILE *f = need(open_memstream(&out, &size));

	for (; *s; s++) {
		if (*s == ':')
			fputc('\\', f);
		fputc(*s, f);
	}
	fclose(f);
	return need(out);
}

static size_t width(const char *utf8)
{
	size_t n = 0;

	for (; *utf8; utf8++)
		n += (*utf8 & 0xc0) != 0x80;
	return n;
}

static char *numbers(const struct drawing *d, const struct legend *l)
{
	char *out = NULL, number[32], *all;
	size_t size;
	FILE *f = need(open_memstream(&out, &size));

	for (size_t i = 0; i < STATS; i++) {
		size_t unit = 0;

		if (!l->number[i].given)
			continue;
		/* The units of a column stand below each other. */
		for (size_t k = 0; k < d->legends; k++)
			if (strlen(d->legend[k].number[i].unit) > unit)
				unit = strlen(d->legend[k].number[i].unit);
		put_number(number, sizeof(number), l->number[i].v, l->number[i].unit, true);
		fprintf(f, "  %s %s", stat_heads[i], number);
		/* A word stands at the axis already. */
		if (!*unit_gap(l->number[i].unit))
			fprintf(f, "%-*s", (int)unit, l->number[i].unit);
	}
	fclose(f);
	all = escape(need(out));
	free(out);
	return all;
}

static char *coloured(const char *s, bool dark)
{
	char *out = NULL;
	size_t size;
	FILE *f = need(open_memstream(&out, &size));

	for (; *s; s++) {
		const char *end = *s == '{' ? strchr(s, '}') : NULL;
		const char *hex = end ? colour(s + 1, (size_t)(end - s - 1), dark) : NULL;

		if (hex) {
			fprintf(f, "#%s", hex);
			s = end;
		} else {
			fputc(*s, f);
		}
	}
	fclose(f);
	return need(out);
}

static void add_labelled(struct words *args, char *arg, const struct legend *l, size_t widest)
{
	char *at = strchr(arg, LABEL), *label = escape(l->label);
	int pad = l->numbers ? (int)(widest - width(l->label)) : 0;

	*at = 0;
	/* What ends with a blank does not end with one of rrdgraph's own \l. */
	add_word(args, text("%s%s%*s%s", arg, label, pad + 1, "", at + 1));
	free(label);
	free(arg);
}

static void add_arguments(struct drawing *d, struct words *args, const struct look *look)
{
	size_t next = 0, widest = 0;
	bool open = false;

	for (size_t i = 0; i < d->legends; i++)
		if (d->legend[i].numbers && width(d->legend[i].label) > widest)
			widest = width(d->legend[i].label);
	for (size_t i = 0; i < d->arguments.n; i++) {
		char *arg = coloured(d->arguments.v[i], look->dark);
		struct legend *l = strchr(arg, LABEL) ? &d->legend[next++] : NULL;

		if (!l) {
			add_word(args, arg);
			continue;
		}
		if (open && l->numbers)
			add_word(args, text("COMMENT:\\l"));
		add_labelled(args, arg, l, widest);
		open = !l->numbers;
		if (l->numbers) {
			char *all = numbers(d, l);

			add_word(args, text("COMMENT:%s\\l", all));
			free(all);
		}
	}
	if (open)
		add_word(args, text("COMMENT:\\l"));
}

static void add_look(const struct drawing *d, struct words *args, const struct look *look)
{
	static const char *const always[] = {"--slope-mode", "--disable-rrdtool-tag",
					     "--border",     "0",
					     "--grid-dash",  "1:0",
					     "--units",      "si",
					     "--font",       "LEGEND:9:DejaVu Sans Mono",
					     "--font",       "TITLE:12:DejaVu Sans",
					     "--font",       "AXIS:8:DejaVu Sans",
					     "--font",       "UNIT:8:DejaVu Sans"};
	char *object = clean(d->object), *title, *unit = clean(d->def->unit ? d->def->unit : "");

	for (size_t i = 0; i < NM_COUNT(always); i++)
		add_word(args, text("%s", always[i]));
	for (size_t i = 0; i < NM_COUNT(surface); i++) {
		add_word(args, text("--color"));
		add_word(args, text("%s#%s", surface[i].part,
				    look->dark ? surface[i].dark : surface[i].light));
	}
	add_word(args, text("--imgformat"));
	add_word(args, text("%s", look->svg ? "SVG" : "PNG"));
	if (look->zoom != 1) {
		add_word(args, text("--zoom"));
		add_word(args, text("%g", look->zoom));
	}
	if (look->legend) {
		title = text("%s%s%s, %s", object, *object ? "  " : "", d->def->title, look->span);
		add_word(args, text("--title"));
		add_word(args, title);
		add_word(args, text("--vertical-label"));
		add_word(args, text("%s    %s", unit, d->def->sides ? d->def->sides : ""));
	} else {
		add_word(args, text("--font"));
		add_word(args, text("AXIS:9:DejaVu Sans")); /* it is seen on telephones, too */
		add_word(args, text("--font"));
		add_word(args, text("LEGEND:1")); /* room is left for one line of it */
		add_word(args, text("--no-legend"));
		/* A year stands at each month otherwise, and the last is cut. */
		if (look->end - look->start > (time_t)YEAR / 4 * 3 &&
		    (look->end - look->start) / 2 < YEAR) {
			add_word(args, text("--x-grid"));
			add_word(args, text("MONTH:1:MONTH:1:MONTH:1:2592000:%%b"));
		}
		add_word(args, text("--full-size-mode"));
	}
	for (size_t i = 0; i < d->def->options.n; i++)
		add_word(args, text("%s", d->def->options.v[i]));
	free(object);
	free(unit);
}

/* A page that is being read sees the old picture or the new one. */
int write_file(const char *to, const void *p, size_t n)
{
	char *temporary = text("%s.%d.new", to, (int)getpid());
	FILE *f = strcmp(to, "-") ? fopen(temporary, "wxe") : stdout;
	int err = f ? 0 : errno;

	if (f && fwrite(p, 1, n, f) != n)
		err = errno;
	if (f == stdout) {
		if (fflush(f) && !err)
			err = errno;
	} else if (f && fclose(f) && !err) {
		err = errno;
	}
	if (f && f != stdout) {
		if (!err && rename(temporary, to))
			err = errno;
		if (err)
			unlink(temporary);
	}
	free(temporary);
	return err ? fail(FAILED, "%s: %s", to, strerror(err)) : OK;
}

int drawing_write(struct drawing *d, const struct look *look, const char *to)
{
	struct words args = {0};
	rrd_info_t *info, *image;
	int status = FAILED;

	begin(&args, look);
	add_look(d, &args, look);
	add_arguments(d, &args, look);
	if (d->remark && look->legend)
		add_word(&args, text("COMMENT:%s\\l", d->remark));
	info = run(d, &args);
	words_free(&args);
	for (image = info; image && strcmp(image->key, "image") != 0;)
		image = image->next;
	if (image)
		status = write_file(to, image->value.u_blo.ptr, image->value.u_blo.size);
	else if (info)
		fail(FAILED, "%s: it draws nothing", d->def->file);
	if (info)
		rrd_info_free(info);
	return status;
}
