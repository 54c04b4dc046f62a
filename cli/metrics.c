/* SPDX-License-Identifier: MIT */
/* netmon metrics: the values that the collectd plugins would send, and how they are configured. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

enum { MAX_RUNS = 32, MAX_WORDS = 64 };

struct run { /* a plugin whose values are shown */
	const struct nm_plugin *plugin;
	void *config;
	struct nm_view *v;
	struct nm_reading r;
};

/* ---- configuration ------------------------------------------------------------------- */

/* One word of an option as collectd's own parser would see it; the rest follows it. */
static char *next_word(char *s, char **word, struct nm_arg *a)
{
	bool quoted;
	char *end, *to;

	while (isspace((unsigned char)*s))
		s++;
	if (!*s || *s == '#')
		return NULL;
	quoted = *s == '"';
	*word = to = s += quoted;
	for (; *s && (quoted ? *s != '"' : !isspace((unsigned char)*s)); s++) {
		if (quoted && *s == '\\' && s[1])
			s++;
		*to++ = *s;
	}
	if (*s)
		s++;
	*to = 0;
	*a = (struct nm_arg){.type = NM_ARG_STRING, .string = *word};
	double number = strtod(*word, &end);

	if (!quoted && end != *word && !*end)
		*a = (struct nm_arg){.type = NM_ARG_NUMBER, .number = number};
	else if (!quoted && (!strcasecmp(*word, "true") || !strcasecmp(*word, "false")))
		*a = (struct nm_arg){.type = NM_ARG_BOOL,
				     .boolean = tolower((unsigned char)**word) == 't'};
	return s;
}

/* where: what the complaint starts with. */
static int set_option(const struct run *run, const char *text, const char *where)
{
	char *copy = strdup(text), *s = copy, *key = NULL, *word, err[768];
	struct nm_arg a[MAX_WORDS], ignored;
	size_t n = 0;
	int e = 0;

	if (!copy)
		return no_memory();
	s = next_word(s, &key, &ignored);
	while (s && n < NM_COUNT(a) && (s = next_word(s, &word, &a[n])))
		n++;
	e = nm_config_set(run->plugin, run->config, key ? key : "", a, n, err, sizeof(err));
	free(copy);
	return e ? fail(USAGE, "%s: %s", where, err) : OK;
}

/* "<Plugin netmon_link>" or with the name in quotes. */
static bool opens_block_of(const char *s, const char *plugin)
{
	char name[64];

	return sscanf(s, "<%*[Pp]lugin \"%63[^\">]\">", name) == 1 ||
			       sscanf(s, "<%*[Pp]lugin %63[^\"> ]>", name) == 1 ?
		       !strcmp(name, plugin) :
		       false;
}

/*
 * A file as collectd reads it, of which only the plugin's own block counts, or
 * one that has nothing but the lines of such a block.
 */
static int read_config(const struct run *run, FILE *f)
{
	char *line = NULL, where[512];
	size_t room = 0, number = 0;
	bool blocks = false, ours = false, inside = false;
	int status = OK;

	while (getline(&line, &room, f) > 0)
		blocks |= line[strspn(line, " \t")] == '<';
	rewind(f);
	while (!status && getline(&line, &room, f) > 0) {
		const char *s = line + strspn(line, " \t\r\n");

		number++;
		if (*s == '<') {
			if (s[1] == '/' && !strncasecmp(s, "</Plugin", 8))
				inside = ours = false;
			else if (!inside && !strncasecmp(s, "<Plugin", 7))
				ours = inside = opens_block_of(s, run->plugin->name);
			continue;
		}
		if (!*s || *s == '#' || (blocks && !ours))
			continue;
		snprintf(where, sizeof(where), "%s:%zu", arg.config_file, number);
		status = set_option(run, s, where);
	}
	free(line);
	return status;
}

static int configure(struct run *run)
{
	FILE *f;
	int status = OK;

	if (nm_config_new(run->plugin, &run->config))
		return no_memory();
	if (arg.config_file) {
		f = fopen(arg.config_file, "re");
		if (!f)
			return fail(USAGE, "-c %s: %s", arg.config_file, strerror(errno));
		status = read_config(run, f);
		fclose(f);
	}
	for (size_t i = 0; !status && i < arg.options; i++)
		status = set_option(run, arg.option[i], "--option");
	return status;
}

/* ---- text and JSON ---------------------------------------------------------------------- */

static void print_values(const struct run *run, bool prefix)
{
	const struct nm_reading *r = &run->r;

	for (const struct nm_value *v = r->value; v < r->value + r->n; v++) {
		if (prefix)
			printf("%s-", v->plugin ? v->plugin : run->plugin->name);
		printf("%s/%s%s%s ", v->instance, v->type, v->type_instance ? "-" : "",
		       v->type_instance ? v->type_instance : "");
		for (size_t i = 0; i < v->n; i++)
			if (nm_is_gauge(v, i))
				printf("%s%.15g", i ? ":" : "", r->number[v->first + i].gauge);
			else
				printf("%s%llu", i ? ":" : "",
				       (unsigned long long)r->number[v->first + i].derive);
		printf("%s%s\n", v->before ? " before" : "", v->slow ? " slow" : "");
	}
}

static void json_values(const struct run *run, struct nm_json *j)
{
	const struct nm_reading *r = &run->r;

	for (const struct nm_value *v = r->value; v < r->value + r->n; v++) {
		nm_json_begin(j, NULL, '{');
		nm_json_string(j, "plugin", v->plugin ? v->plugin : run->plugin->name);
		nm_json_string(j, "plugin_instance", v->instance);
		nm_json_string(j, "type", v->type);
		nm_json_string(j, "type_instance", v->type_instance);
		nm_json_begin(j, "kinds", '[');
		for (size_t i = 0; i < v->n; i++)
			nm_json_string(j, NULL, nm_is_gauge(v, i) ? "gauge" : "derive");
		nm_json_end(j, ']');
		nm_json_begin(j, "values", '[');
		for (size_t i = 0; i < v->n; i++)
			if (nm_is_gauge(v, i))
				nm_json_number(j, NULL, r->number[v->first + i].gauge);
			else
				nm_json_uint(j, NULL, r->number[v->first + i].derive);
		nm_json_end(j, ']');
		nm_json_number(j, "time", (double)(v->before ? r->before : r->time) / 1e9);
		nm_json_bool(j, "slow", v->slow);
		nm_json_end(j, '}');
		if (arg.format == FORMAT_NDJSON)
			nm_json_line(j);
	}
}

/* ---- OpenMetrics --------------------------------------------------------------------------- */

struct sample {
	const struct run *run;
	const struct nm_value *v;
	size_t i; /* which of its numbers */
	char family[160];
};

static const char *ds_name(const struct nm_value *v, size_t i, char buf[static 16])
{
	static const char *const pair[] = {"rx", "tx"};

	if (v->own)
		return v->own->source[i].name;
	snprintf(buf, 16, "%u", (unsigned)i);
	return v->n == 1 ? "" : v->n == 2 ? pair[i] : buf;
}

static int by_family(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	int order = strcmp(x->family, y->family);

	return order ? order : (x->v > y->v) - (x->v < y->v);
}

static void put_label(const char *name, const char *s)
{
	printf("%s=\"", name);
	for (; *s; s++)
		if (*s == '\n')
			fputs("\\n", stdout);
		else
			fputs(*s == '"' || *s == '\\' ? (char[]){'\\', *s, 0} : (char[]){*s, 0},
			      stdout);
	putchar('"');
}

static void put_sample(const struct sample *s)
{
	union nm_number n = s->run->r.number[s->v->first + s->i];

	printf("%s%s{", s->family, nm_is_gauge(s->v, s->i) ? "" : "_total");
	put_label("instance", s->v->instance);
	if (s->v->type_instance) {
		putchar(',');
		put_label("type", s->v->type_instance);
	}
	if (!nm_is_gauge(s->v, s->i))
		printf("} %llu\n", (unsigned long long)n.derive);
	else if (isnan(n.gauge))
		puts("} NaN");
	else
		printf("} %.15g\n", n.gauge);
}

static int print_openmetrics(const struct run *run, size_t runs)
{
	struct sample *s;
	size_t n = 0;
	char buf[16];

	for (size_t k = 0; k < runs; k++)
		n += run[k].r.numbers;
	s = calloc(n + 1, sizeof(*s));
	if (!s)
		return no_memory();
	n = 0;
	for (const struct run *x = run; x < run + runs; x++)
		for (const struct nm_value *v = x->r.value; v < x->r.value + x->r.n; v++)
			for (size_t i = 0; i < v->n && !v->before; i++, n++) {
				const char *ds = ds_name(v, i, buf);

				s[n] = (struct sample){.run = x, .v = v, .i = i};
				snprintf(s[n].family, sizeof(s[n].family), "%s_%s%s%s",
					 v->plugin ? v->plugin : x->plugin->name, v->type,
					 *ds ? "_" : "", ds);
				for (char *c = s[n].family; *c; c++)
					if (!isalnum((unsigned char)*c))
						*c = '_';
			}
	qsort(s, n, sizeof(*s), by_family);
	for (size_t i = 0; i < n; i++) {
		if (!i || strcmp(s[i].family, s[i - 1].family) != 0)
			printf("# TYPE %s %s\n", s[i].family,
			       nm_is_gauge(s[i].v, s[i].i) ? "gauge" : "counter");
		put_sample(&s[i]);
	}
	puts("# EOF");
	free(s);
	return OK;
}

/* ---- running --------------------------------------------------------------------------------- */

static void print_notices(struct nm_view *v)
{
	static const char *const severity[] = {
		[NM_FAILURE] = "FAILURE", [NM_WARNING] = "WARNING", [NM_OKAY] = "OKAY"};
	struct nm_notice *n;

	while ((n = nm_take_notice(v))) {
		if (arg.format == FORMAT_AUTO && !arg.openmetrics) {
			printf("%s %s %s: %s", severity[n->severity], n->instance, n->what,
			       n->message);
			for (size_t i = 0; i < n->nmeta; i++)
				printf(" %s=%s", n->meta[i].key, n->meta[i].value);
			putchar('\n');
		}
		free(n);
	}
}

static int print_reading(struct run *run, size_t runs, bool title)
{
	struct nm_json *j;

	if (arg.openmetrics)
		return print_openmetrics(run, runs);
	if (arg.format == FORMAT_AUTO) {
		if (title && run->v)
			printf("# reading %llu\n", (unsigned long long)run->v->readings);
		for (size_t i = 0; i < runs; i++)
			print_values(&run[i], runs > 1);
		return OK;
	}
	j = nm_json_new(stdout, arg.print);
	if (!j)
		return no_memory();
	if (arg.format != FORMAT_NDJSON)
		nm_json_begin(j, NULL, '[');
	for (size_t i = 0; i < runs; i++)
		json_values(&run[i], j);
	if (arg.format != FORMAT_NDJSON) {
		nm_json_end(j, ']');
		nm_json_line(j);
	}
	nm_json_flush(j);
	nm_json_free(j);
	return OK;
}

static int metrics_replay(struct run *run, FILE *from)
{
	char err[256];
	int e;

	while ((e = nm_replay(run->v, from, &run->r, err, sizeof(err))) == 1) {
		print_notices(run->v);
		print_reading(run, 1, true);
	}
	return e ? fail(USAGE, "--replay %s: %s", arg.replay, err) : replay_whole(run->v);
}

/* Events are delivered as they come, as the daemon does. */
static int wait_for_events(const struct run *run, size_t runs, double seconds)
{
	uint64_t end = now() + (uint64_t)(seconds * 1e9);
	struct pollfd fds[MAX_RUNS * 2];
	int fd[MAX_RUNS * 2], err = 0;
	size_t n = 0;

	for (size_t i = 0; i < runs; i++)
		n += nm_fds(run[i].v, fd + n, NM_COUNT(fd) - n);
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
	for (uint64_t t; !err && (t = now()) < end;) {
		for (size_t i = 0; i < runs; i++)
			poll(NULL, 0, nm_rest(run[i].v));
		int left = (int)((end - t + 999999) / 1000000);

		for (size_t i = 0; i < runs; i++) {
			int due = nm_timeout(run[i].v);

			left = due >= 0 && due < left ? due : left;
		}
		poll(fds, n, left);
		for (size_t i = 0; !err && i < runs; i++) {
			err = nm_events(run[i].v);
			err = err == -ENOBUFS ? 0 : err; /* the next reading repairs */
			print_notices(run[i].v);
		}
		fflush(stdout);
	}
	return err;
}

static int metrics_live(struct run *run, size_t runs, FILE *record)
{
	int err = record ? nm_record(run->v, record) : 0, status = OK;

	for (size_t i = 0; i < runs; i++)
		run[i].v->interval = arg.interval;
	for (unsigned long n = 0; !status && !err && n < arg.count && !ferror(stdout); n++) {
		if (n)
			err = wait_for_events(run, runs, arg.interval);
		for (size_t i = 0; !err && i < runs; i++) {
			err = nm_read(run[i].v, &run[i].r);
			if (err == -EPERM || err == -EACCES)
				return fail(NOT_PERMITTED, "%s needs CAP_NET_ADMIN: %s",
					    run[i].plugin->name, strerror(-err));
			if (err)
				return fail(FAILED, "%s: %s", run[i].plugin->name, strerror(-err));
			print_notices(run[i].v);
		}
		if (!err)
			status = print_reading(run, runs, arg.count > 1);
		fflush(stdout);
	}
	return err ? fail(FAILED, "events cannot be read: %s", strerror(-err)) : status;
}

static int open_runs(struct run *run, size_t *runs)
{
	int status = OK;

	if (!arg.words)
		return fail(USAGE, "metrics: a plugin is needed; `netmon --help` lists them");
	if (arg.words > MAX_RUNS || (arg.words > 1 && (arg.record || arg.replay || arg.options)))
		return fail(USAGE,
			    "metrics: --record, --replay and --option are for one plugin; "
			    "here are %zu",
			    arg.words);
	for (size_t i = 0; !status && i < arg.words; i++) {
		struct run *x = &run[(*runs)++];

		x->plugin = plugin_named(arg.word[i]);
		if (!x->plugin)
			status = fail(USAGE,
				      "metrics %s: no such plugin; `netmon --help` lists them",
				      arg.word[i]);
		else
			status = configure(x);
		if (!status)
			status = open_view(&x->v, x->plugin, x->config,
					   arg.count > 1 ? NM_EVENTS : 0);
	}
	return status;
}

int show_metrics(void)
{
	struct run run[MAX_RUNS] = {0};
	size_t runs = 0;
	FILE *from = NULL, *record = NULL;
	int status = open_runs(run, &runs), closed;

	if (!arg.interval)
		arg.interval = 10;
	if (!status)
		status = open_file(&from, arg.replay, "r");
	if (!status)
		status = open_file(&record, arg.record, "w");
	if (!status)
		status = from ? metrics_replay(run, from) : metrics_live(run, runs, record);
	if (from)
		fclose(from);
	closed = close_file(record, arg.record);
	for (size_t i = 0; i < runs; i++) {
		nm_close(run[i].v);
		nm_reading_free(&run[i].r);
		if (run[i].config)
			nm_config_free(run[i].plugin, run[i].config);
	}
	return status ? status : closed;
}

/* ---- netmon options: what can be configured ------------------------------------------------------ */

/* A hyphen or a dot at a line's start is troff's. */
static void put_man(const char *s)
{
	for (; *s; s++)
		fputs(*s == '-' ? "\\-" : *s == '\\' ? "\\e" : (char[]){*s, 0}, stdout);
}

int show_options(void)
{
	const struct nm_plugin *p = arg.words == 1 ? plugin_named(arg.word[0]) : NULL;
	const struct nm_option *o;
	char form[320], def[160];

	if (!p)
		return fail(USAGE, "options%s%s: a plugin is needed; `netmon --help` lists them",
			    arg.words ? " " : "", arg.words ? arg.word[0] : "");
	for (size_t i = 0; (o = nm_option(p, i)); i++) {
		nm_option_form(o, form, sizeof(form));
		nm_option_default(p, o, def, sizeof(def));
		if (!arg.man) {
			printf("%s %s\n    %s\n    Default: %s\n", o->key, form, o->help, def);
			continue;
		}
		printf(".TP\n.BR %s \" ", o->key);
		for (const char *c = form; *c; c++)
			fputs(*c == '"' ? "\\(dq" : (char[]){*c, 0}, stdout);
		puts("\"");
		put_man(o->help);
		fputs("\nDefault: ", stdout);
		put_man(def);
		puts(".");
	}
	return OK;
}
