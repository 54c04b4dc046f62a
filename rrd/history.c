/* SPDX-License-Identifier: MIT */
/* History as numbers: octets, rates, availability and flaps of interfaces, from their RRD files. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

#define MEAN_OVER 300 /* s: the 95th percentile is that of means over so long, as it is billed */

/* ---- one direction -------------------------------------------------------------------------- */

struct way {
	double bytes;
	double seconds;            /* of which something is known */
	double average, peak, p95; /* bit/s; NaN: not known */
	double over;               /* s: the longest time that one of the means of p95 is of */
};

struct sample {
	double rate, seconds;
};

static int by_rate(const void *a, const void *b)
{
	double x = ((const struct sample *)a)->rate, y = ((const struct sample *)b)->rate;

	return x < y ? -1 : x > y;
}

/* The least rate that was not exceeded in 95 % of the time that is known. */
static double percentile(struct sample *v, size_t n, double share)
{
	double all = 0, sum = 0;

	for (size_t i = 0; i < n; i++)
		all += v[i].seconds;
	if (n)
		qsort(v, n, sizeof(*v), by_rate);
	for (size_t i = 0; i < n; i++) {
		sum += v[i].seconds;
		if (sum >= share * all * (1 - 1e-12))
			return v[i].rate;
	}
	return NAN;
}

/* Rows that are finer are put together to means over MEAN_OVER seconds; others stay. */
static size_t means(const struct row *row, size_t n, struct sample *to, double *over)
{
	size_t out = 0;

	*over = MEAN_OVER;
	for (size_t i = 0; i < n;) {
		time_t slot = row[i].from / MEAN_OVER;
		struct sample s = {0};

		do {
			if (!isnan(row[i].v)) {
				s.rate += row[i].v * (double)(row[i].to - row[i].from);
				s.seconds += (double)(row[i].to - row[i].from);
			}
			i++;
		} while (i < n && row[i].from / MEAN_OVER == slot);
		if (s.seconds > 0) {
			s.rate /= s.seconds;
			to[out++] = s;
			if ((double)(row[i - 1].to - row[i - 1].from) > *over)
				*over = (double)(row[i - 1].to - row[i - 1].from);
		}
	}
	return out;
}

/* What of the rows lies between two times. */
static size_t cut(const struct row *row, size_t n, time_t from, time_t to, struct row *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (row[i].from < to && row[i].to > from) {
			out[kept] = row[i];
			out[kept].from = row[i].from > from ? row[i].from : from;
			out[kept++].to = row[i].to < to ? row[i].to : to;
		}
	return kept;
}

/* Counters that restarted are unknown in RRD files: they add nothing, and no time either. */
static void measure_way(struct way *w, const struct row *mean, size_t n, const struct row *most,
			size_t nmost, time_t from, time_t to)
{
	struct row *part = need(malloc((n + 1) * sizeof(*part)));
	struct sample *s = need(malloc((n + 1) * sizeof(*s)));

	n = cut(mean, n, from, to, part);
	*w = (struct way){.average = NAN, .peak = NAN, .p95 = NAN};
	for (size_t i = 0; i < n; i++)
		if (!isnan(part[i].v)) {
			w->bytes += part[i].v * (double)(part[i].to - part[i].from);
			w->seconds += (double)(part[i].to - part[i].from);
		}
	/* A row that two periods share belongs to the one that has its middle. */
	for (size_t i = 0; i < nmost; i++) {
		time_t middle = most[i].from + (most[i].to - most[i].from) / 2;

		if (middle >= from && middle < to && !isnan(most[i].v) &&
		    !(w->peak >= 8 * most[i].v))
			w->peak = 8 * most[i].v;
	}
	if (w->seconds > 0) {
		w->average = 8 * w->bytes / w->seconds;
		w->p95 = 8 * percentile(s, means(part, n, s, &w->over), 0.95);
	}
	if (w->peak < w->average)
		w->peak = w->average;
	free(part);
	free(s);
}

/* ---- an interface --------------------------------------------------------------------------- */

struct rows {
	struct row *v;
	size_t n;
};

struct link { /* all that its files have of the time that was asked for */
	struct rows mean[2], most[2];
	struct rows state, state_least, state_most, downs;
};

struct period {
	time_t from, to;
	struct way way[2];   /* rx, tx */
	double availability; /* 0 to 1; NaN: not known */
	double flaps;        /* NaN: not known */
};

/* Where the octets of an interface can be: by type, and with Layout wide all in one file. */
static const char *const places[][2] = {
	{"netmon_link-", "/if_octets"},
	{"netmon_link-", "/netmon_link"},
	/* collectd's own plugin, or ours under its name (PluginName) */
	{"interface-", "/if_octets"},
	{"interface-", "/netmon_link"},
};

static bool has_series(const struct store *s, const char *series)
{
	size_t at = store_find(s, series);

	return at < s->series.n && !strcmp(s->series.v[at], series);
}

/* What the series of an interface begin with, NULL: there is no traffic of it. */
static const char *plugin_of(const struct store *s, const char *object)
{
	const char *found = NULL;

	for (size_t i = 0; !found && i < NM_COUNT(places); i++) {
		char *series = text("%s%s%s", places[i][0], object, places[i][1]);

		if (has_series(s, series))
			found = places[i][0];
		free(series);
	}
	return found;
}

/* The rows of data sources of the first of two files that there is. */
static int load(const struct store *s, const char *object, const char *const name[2],
		const char *const ds[], const char *cf, time_t from, time_t to, struct rows *rows[],
		size_t n)
{
	const char *plugin = plugin_of(s, object);
	char *series = text("%s%s/%s", plugin, object, name[0]);
	struct file f;
	int status = OK;

	if (!has_series(s, series)) {
		free(series);
		series = text("%s%s/%s", plugin, object, name[1]);
	}
	if (has_series(s, series)) {
		status = file_open(&f, s, series);
		for (size_t i = 0; !status && i < n; i++) {
			const char *which = file_ds(&f, ds[i]);

			if (which)
				status = file_rows(&f, which, cf, from, to, &rows[i]->v,
						   &rows[i]->n);
		}
		file_close(&f);
	}
	free(series);
	return status;
}

static int load_link(struct link *l, const struct store *s, const char *object, time_t from,
		     time_t to)
{
	static const char *const octets[] = {"if_octets", "netmon_link"},
				 *const ways[] = {"rx|rx_bytes", "tx|tx_bytes"},
				 *const state[] = {"gauge-link_state", "netmon_link"},
				 *const states[] = {"value|link_state"},
				 *const down[] = {"transitions-carrier_down", "netmon_link_slow"},
				 *const downs[] = {"value|carrier_down"};
	const struct {
		const char *const *name, *const *ds, *cf;
		struct rows *rows[2];
		size_t n;
	} all[] = {
		{octets, ways, "AVERAGE", {&l->mean[0], &l->mean[1]}, 2},
		{octets, ways, "MAX", {&l->most[0], &l->most[1]}, 2},
		{state, states, "AVERAGE", {&l->state}, 1},
		{state, states, "MIN", {&l->state_least}, 1},
		{state, states, "MAX", {&l->state_most}, 1},
		{down, downs, "AVERAGE", {&l->downs}, 1},
	};
	int status = OK;

	for (size_t i = 0; i < NM_COUNT(all); i++) {
		struct rows *rows[] = {all[i].rows[0], all[i].rows[1]};

		if (load(s, object, all[i].name, all[i].ds, all[i].cf, from, to, rows, all[i].n))
			status = FAILED;
	}
	return status;
}

static void free_link(struct link *l)
{
	struct rows *all[] = {&l->mean[0], &l->mean[1],     &l->most[0],    &l->most[1],
			      &l->state,   &l->state_least, &l->state_most, &l->downs};

	for (size_t i = 0; i < NM_COUNT(all); i++)
		free(all[i]->v);
}

/*
 * The share of a row in which the state was not 0 (down).  A row of which a part was down says
 * how much only if it is known what the rest was; the highest state that it saw is taken for it,
 * so that a mix of idle and active counts as a little less than it was.
 */
static double share_up(double mean, double least, double most)
{
	if (least >= 0.5)
		return 1;
	if (most < 0.5)
		return 0;
	return mean / most > 1 ? 1 : mean / most;
}

static double availability(const struct link *l, time_t from, time_t to)
{
	double up = 0, all = 0;

	/* The archives of all three functions have the same rows. */
	for (size_t i = 0; i < l->state.n && i < l->state_least.n && i < l->state_most.n; i++) {
		const struct row *r = &l->state.v[i];
		time_t a = r->from > from ? r->from : from, b = r->to < to ? r->to : to;

		if (a >= b || isnan(r->v))
			continue;
		up += (double)(b - a) * share_up(r->v, l->state_least.v[i].v, l->state_most.v[i].v);
		all += (double)(b - a);
	}
	return all > 0 ? up / all : NAN;
}

static double flaps(const struct link *l, time_t from, time_t to)
{
	struct row *part = need(malloc((l->downs.n + 1) * sizeof(*part)));
	size_t n = cut(l->downs.v, l->downs.n, from, to, part);
	double sum = NAN;

	for (size_t i = 0; i < n; i++)
		if (!isnan(part[i].v))
			sum = (isnan(sum) ? 0 : sum) +
			      part[i].v * (double)(part[i].to - part[i].from);
	free(part);
	return isnan(sum) ? NAN : round(sum);
}

static struct period measure(const struct link *l, time_t from, time_t to)
{
	struct period p = {.from = from, .to = to};

	for (int i = 0; i < 2; i++)
		measure_way(&p.way[i], l->mean[i].v, l->mean[i].n, l->most[i].v, l->most[i].n, from,
			    to);
	p.availability = availability(l, from, to);
	p.flaps = flaps(l, from, to);
	return p;
}

/* ---- periods -------------------------------------------------------------------------------- */

enum { MINUTE = 60, HOUR = 3600 };
static const time_t by_minutes = 2 * (time_t)HOUR, by_hours = 48 * (time_t)HOUR,
		    by_days = 1488 * (time_t)HOUR; /* the longest span of which it is so */

/* Hours, days and months as the clock on the wall has them. */
static time_t next_period(time_t t, time_t length)
{
	struct tm tm;

	localtime_r(&t, &tm);
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	if (length <= by_minutes) {
		tm.tm_min += 5 - tm.tm_min % 5;
	} else if (length <= by_hours) {
		/* Not by mktime(): an hour is repeated when the clock is set back. */
		return t + HOUR - (time_t)tm.tm_min * MINUTE - t % MINUTE;
	} else {
		tm.tm_min = tm.tm_hour = 0;
		tm.tm_mday++;
		if (length > by_days) {
			tm.tm_mday = 1;
			tm.tm_mon++;
		}
	}
	return mktime(&tm);
}

static void period_name(char *buf, size_t size, const struct period *p, time_t length)
{
	struct tm tm;

	localtime_r(&p->from, &tm);
	strftime(buf, size,
		 length <= by_hours ? "%Y-%m-%d %H:%M" :
		 length <= by_days  ? "%Y-%m-%d" :
				      "%Y-%m",
		 &tm);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void column(double x)
{
	char n[32];

	put_number(n, sizeof(n), x, "", true);
	printf(" %s", n);
}

static void text_head(const char *first, int widest)
{
	printf("%-*s  %-18s  %-18s  %-18s  %-18s\n", widest, "", "       bytes",
	       "   average, bit/s", "      peak, bit/s", "      95 %, bit/s");
	printf("%-*s  %8s %9s   %8s %9s   %8s %9s   %8s %9s   %8s  %6s  %8s\n", widest, first, "rx",
	       "tx", "rx", "tx", "rx", "tx", "rx", "tx", "up", "flaps", "known");
}

static void share(double x, int w)
{
	if (isnan(x))
		printf("  %*s", w, "-");
	else
		printf("  %*.*f %%", w - 2, x < 1 && x > 0.9995 ? 4 : 2, 100 * x);
}

static void text_line(const char *name, int widest, const struct period *p)
{
	const struct way *rx = &p->way[0], *tx = &p->way[1];
	const double pairs[][2] = {
		{rx->seconds > 0 ? rx->bytes : NAN, tx->seconds > 0 ? tx->bytes : NAN},
		{rx->average, tx->average},
		{rx->peak, tx->peak},
		{rx->p95, tx->p95},
	};
	char *good = clean(name);

	printf("%-*s", widest, good);
	free(good);
	for (size_t i = 0; i < NM_COUNT(pairs); i++) {
		putchar(' ');
		column(pairs[i][0]);
		column(pairs[i][1]);
	}
	putchar(' ');
	share(p->availability, 8);
	if (isnan(p->flaps))
		printf("  %6s", "-");
	else
		printf("  %6.0f", p->flaps);
	share(p->way[0].seconds / (double)(p->to - p->from), 8);
	putchar('\n');
}

/* ---- for programs --------------------------------------------------------------------------- */

static void json_string(const char *s)
{
	char *good = clean(s);

	putchar('"');
	for (const char *c = good; *c; c++) {
		if (*c == '"' || *c == '\\')
			putchar('\\');
		putchar(*c);
	}
	putchar('"');
	free(good);
}

static void json_number(const char *key, double x)
{
	if (isnan(x))
		printf(", \"%s\": null", key);
	else
		printf(", \"%s\": %.15g", key, x);
}

static void json_period(const struct period *p)
{
	static const char *const name[] = {"rx", "tx"};

	printf("\"from\": %lld, \"to\": %lld", (long long)p->from, (long long)p->to);
	for (int i = 0; i < 2; i++) {
		const struct way *w = &p->way[i];

		printf(", \"%s\": {\"known_seconds\": %.15g", name[i], w->seconds);
		json_number("bytes", w->seconds > 0 ? w->bytes : NAN);
		json_number("average", w->average);
		json_number("peak", w->peak);
		json_number("p95", w->p95);
		json_number("p95_of_means_over", isnan(w->p95) ? NAN : w->over);
		putchar('}');
	}
	json_number("availability", p->availability);
	json_number("flaps", p->flaps);
}

static void csv_string(const char *s)
{
	char *good = clean(s);

	putchar('"');
	for (const char *c = good; *c; c++)
		printf(*c == '"' ? "\"\"" : "%c", *c);
	putchar('"');
	free(good);
}

static void csv_number(double x)
{
	if (isnan(x))
		putchar(',');
	else
		printf(",%.15g", x);
}

static void csv_head(void)
{
	puts("interface,from,to,rx_bytes,tx_bytes,rx_average,tx_average,rx_peak,tx_peak,rx_p95,"
	     "tx_p95,availability,flaps,rx_known_seconds,tx_known_seconds");
}

static void csv_line(const char *name, const struct period *p)
{
	const struct way *rx = &p->way[0], *tx = &p->way[1];
	double all[] = {rx->seconds > 0 ? rx->bytes : NAN,
			tx->seconds > 0 ? tx->bytes : NAN,
			rx->average,
			tx->average,
			rx->peak,
			tx->peak,
			rx->p95,
			tx->p95,
			p->availability,
			p->flaps,
			rx->seconds,
			tx->seconds};

	csv_string(name);
	printf(",%lld,%lld", (long long)p->from, (long long)p->to);
	for (size_t i = 0; i < NM_COUNT(all); i++)
		csv_number(all[i]);
	putchar('\n');
}

/* ---- history -------------------------------------------------------------------------------- */

static void footnote(const struct period *p)
{
	double over = p->way[0].over > p->way[1].over ? p->way[0].over : p->way[1].over;

	if (over > MEAN_OVER)
		printf("\n95 %%: of means over up to %.0f s, the finest that are kept for that "
		       "long.\n",
		       over);
	else
		printf("\n95 %%: of means over %d s.\n", MEAN_OVER);
}

static int no_such_link(const struct store *s, const char *object)
{
	char *good = clean(object);
	int status = fail(FAILED,
			  "%s/%s has no traffic of an interface %s; `netmon-graph list` "
			  "shows those it has",
			  s->root, s->host, good);

	free(good);
	return status;
}

int history(const struct store *s, const char *object, time_t from, time_t to, enum form form)
{
	struct link l = {0};
	struct period all, p;
	char name[64];
	int status = plugin_of(s, object) ? load_link(&l, s, object, from, to) :
					    no_such_link(s, object);

	if (!status) {
		all = measure(&l, from, to);
		if (form == FORM_TEXT)
			text_head("from", 16);
		else if (form == FORM_CSV)
			csv_head();
		else {
			printf("{\"interface\": ");
			json_string(object);
			printf(", ");
			json_period(&all);
			printf(", \"periods\": [");
		}
		for (time_t t = from; t < to; t = p.to) {
			time_t next = next_period(t, to - from);

			p = measure(&l, t, next > t && next < to ? next : to);
			period_name(name, sizeof(name), &p, to - from);
			if (form == FORM_TEXT)
				text_line(name, 16, &p);
			else if (form == FORM_CSV)
				csv_line(object, &p);
			else {
				printf("%s\n  {", t > from ? "," : "");
				json_period(&p);
				putchar('}');
			}
		}
		if (form == FORM_JSON)
			puts("\n]}");
		else if (form == FORM_TEXT) {
			text_line("all", 16, &all);
			footnote(&all);
		}
	}
	free_link(&l);
	return status;
}

/* ---- summary -------------------------------------------------------------------------------- */

/* netmon_link's own total counts a packet once; without it the sum of what there is, but lo. */
static void add_up(struct period *sum, const struct period *p)
{
	for (int i = 0; i < 2; i++) {
		struct way *to = &sum->way[i];
		const struct way *w = &p->way[i];

		to->peak = to->p95 = NAN; /* of a sum they are not the sums */
		to->bytes += w->bytes;
		if (w->seconds > to->seconds)
			to->seconds = w->seconds;
		if (!isnan(w->average))
			to->average = (isnan(to->average) ? 0 : to->average) + w->average;
	}
}

static void print_one(const char *name, int widest, const struct period *p, enum form form,
		      bool first)
{
	if (form == FORM_TEXT)
		text_line(name, widest, p);
	else if (form == FORM_CSV)
		csv_line(name, p);
	else {
		printf("%s\n  {\"interface\": ", first ? "" : ",");
		json_string(name);
		printf(", ");
		json_period(p);
		putchar('}');
	}
}

static int links_of(const struct store *s, struct words *names)
{
	for (size_t k = 0; k < NM_COUNT(places); k++)
		for (size_t i = store_find(s, places[k][0]); i < s->series.n; i++) {
			const char *name = s->series.v[i] + strlen(places[k][0]),
				   *slash = strchr(name, '/');

			if (strncmp(s->series.v[i], places[k][0], strlen(places[k][0])) != 0)
				break;
			if (!strcmp(slash, places[k][1]))
				add_word(names, text("%.*s", (int)(slash - name), name));
		}
	unique_words(names);
	return names->n ? OK : fail(FAILED, "%s/%s has no traffic of interfaces", s->root, s->host);
}

/* Of an interface or instance, in whatever network namespace. */
static bool is_named(const char *instance, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(instance, name, n) && (!instance[n] || instance[n] == '@');
}

int summary(const struct store *s, time_t from, time_t to, enum form form)
{
	struct words names = {0};
	struct period sum = {from,
			     to,
			     {{.average = NAN, .peak = NAN, .p95 = NAN},
			      {.average = NAN, .peak = NAN, .p95 = NAN}},
			     NAN,
			     NAN};
	struct period p, total = sum;
	size_t totals = 0; /* one of each network namespace */
	bool first = true;
	int status = links_of(s, &names), widest = 9;

	for (size_t i = 0; i < names.n; i++)
		if ((int)strlen(names.v[i]) > widest)
			widest = (int)strlen(names.v[i]);
	if (names.n && form == FORM_TEXT)
		text_head("interface", widest);
	else if (names.n && form == FORM_CSV)
		csv_head();
	else if (names.n)
		printf("{\"interfaces\": [");
	for (size_t i = 0; i < names.n; i++) {
		struct link l = {0};
		const char *name = names.v[i];

		if (load_link(&l, s, name, from, to))
			status = FAILED;
		p = measure(&l, from, to);
		free_link(&l);
		if (is_named(name, "total")) {
			if (totals++)
				add_up(&total, &p);
			else
				total = p;
			continue;
		}
		print_one(name, widest, &p, form, first);
		first = false;
		if (!is_named(name, "lo"))
			add_up(&sum, &p);
	}
	if (!totals)
		total = sum;
	if (names.n && form == FORM_JSON) {
		printf("\n], \"total\": {\"of\": \"%s\", ", totals ? "plugin" : "all but lo");
		json_period(&total);
		puts("}}");
	} else if (names.n) {
		print_one("total", widest, &total, form, false);
		if (form == FORM_TEXT)
			printf("\ntotal: %s\n",
			       totals ? "as netmon_link counts it, a packet once" :
					"the sum of all but lo; with ReportTotal netmon_link "
					"counts a packet once");
	}
	words_free(&names);
	return status;
}
