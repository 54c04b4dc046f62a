/* SPDX-License-Identifier: MIT */
/* netmon link, route ...: everything that the kernel says, as JSON or as a table for people. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

struct show {
	const struct noun *noun;
	struct nm_view *v;
	struct nm_json *json;
	struct counter *counter;
	struct filters filters;
	const struct nm_source *only; /* of a replay: there the sources take turns */
	struct rows *rows;            /* of the table for people */
	size_t entries;               /* of the source that is shown */
	bool open;                    /* the last entry: the next message may go on with it */
	uint64_t wall;                /* ns since 1970 */
	char why[512];                /* not complete */
};

static bool lines(void)
{
	return arg.format == FORMAT_NDJSON;
}

static void end_entry(struct show *s)
{
	if (!s->open)
		return;
	nm_print_end(s->json);
	nm_json_end(s->json, '}');
	if (lines())
		nm_json_line(s->json);
	s->open = false;
}

/* What a line is, and of which command, where several print lines of the same name. */
static void say_what(struct nm_json *j, const char *what, const struct noun *n)
{
	nm_json_string(j, "what", what);
	if (n && n != arg.noun)
		nm_json_string(j, "command", n->name);
}

static void begin_entry(struct show *s, const struct nm_msg *m)
{
	end_entry(s);
	nm_json_begin(s->json, NULL, '{');
	if (lines())
		say_what(s->json, m->src->what, s->noun);
	s->open = true;
}

static int print_entry(const struct nm_msg *m, void *user)
{
	struct show *s = user;

	if ((s->only && s->only != m->src) || (!m->goes_on && !filters_pass(&s->filters, m)))
		return 0;
	s->entries += !m->goes_on;
	counter_take(s->counter, m);
	if (arg.summary) {
		if (!m->goes_on && !strcmp(m->src->what, s->noun->listed ? s->noun->listed : ""))
			return rows_add(s->rows, s->json, s->v, m);
		return 0;
	}
	if (!m->goes_on || !s->open)
		begin_entry(s, m);
	nm_print(s->json, s->v, m);
	return ferror_unlocked(stdout) ? -EPIPE : 0;
}

static void begin_array(struct show *s, const struct nm_source *src)
{
	s->entries = 0;
	if (!arg.summary && !lines())
		nm_json_begin(s->json, src->what, '[');
}

static void end_array(struct show *s)
{
	end_entry(s);
	if (!arg.summary && !lines())
		nm_json_end(s->json, ']');
}

/* One reason behind another; one that has no room was printed anyway. */
static void add_why(char *to, size_t size, const char *why)
{
	size_t n = strlen(to), len = strlen(why);

	if (n + sizeof("; ") + len > size)
		return;
	if (n) {
		to[n++] = ';';
		to[n++] = ' ';
	}
	memcpy(to + n, why, len + 1);
}

/* Streamed: a million entries need no memory. */
static int show_live(struct show *s, FILE *record)
{
	int status = read_names(s->v, record);

	if (!status)
		status = filters_make(&s->filters, s->v, s->noun);
	if (status)
		return status;
	nm_set_tap(s->v, print_entry, s);
	nm_set_adds(s->v, filters_ask, &s->filters);
	for (size_t i = 0; i < s->v->plugin->nsource; i++) {
		const struct nm_source *src = &s->v->plugin->source[i];
		int err;

		if (!noun_shows(s->noun, src))
			continue;
		begin_array(s, src);
		err = nm_dump(s->v, i);
		end_array(s);
		/* a routing table that nobody has put a route into is no table of the kernel's */
		if (arg.table && (err == -ENOENT || nm_source_error(s->v, i) == -ENOENT))
			continue;
		if (err && !ferror(stdout)) {
			char why[256];

			status = fail(why_incomplete(s->v, src, err, s->entries, why, sizeof(why)),
				      "%s", why);
			add_why(s->why, sizeof(s->why), why);
		} else if (!err && nm_source_error(s->v, i) &&
			   !(src->wanted && nm_source_error(s->v, i) == -EOPNOTSUPP))
			/* but for what is only asked where there is more of it, as VLANs of bridges */
			fail(OK, "this kernel does not tell %s: %s", src->what,
			     strerror(-nm_source_error(s->v, i)));
	}
	return status;
}

static int show_replay(struct show *s, FILE *from)
{
	int status = replay_all(s->v, from, NULL, NULL); /* for the names, as above */

	if (!status)
		status = filters_make(&s->filters, s->v, s->noun);
	for (size_t i = 0; !status && i < s->v->plugin->nsource; i++) {
		s->only = &s->v->plugin->source[i];
		if (!noun_shows(s->noun, s->only))
			continue;
		begin_array(s, s->only);
		status = replay_all(s->v, from, print_entry, s);
		end_array(s);
	}
	if (!status)
		status = replay_whole(s->v);
	if (status == INCOMPLETE)
		snprintf(s->why, sizeof(s->why), "a dump in the recording is not whole");
	return status;
}

/* ---- metadata ---------------------------------------------------------------------- */

static uint64_t wall_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void timestamp(uint64_t ns, char *buf, size_t size)
{
	time_t s = (time_t)(ns / 1000000000u);
	struct tm tm;
	char day[32];

	gmtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, size, "%s.%06uZ", day, (unsigned)(ns % 1000000000u / 1000));
}

/* Of a recording neither the time nor the machine is known that would be told here. */
static void print_metadata(struct nm_json *j, uint64_t wall, uint64_t start, const char *why)
{
	struct utsname kernel;
	char text[64], host[256];

	if (!arg.replay) {
		timestamp(wall, text, sizeof(text));
		nm_json_string(j, "timestamp", text);
		nm_json_number(j, "collection_time_ms", (double)(now() - start) / 1e6);
		if (!gethostname(host, sizeof(host)))
			nm_json_string(j, "hostname", host);
		if (!uname(&kernel))
			nm_json_string(j, "kernel", kernel.release);
	}
	nm_json_string(j, "command", arg.noun ? arg.noun->name : "all");
	nm_json_string(j, "version", NM_VERSION);
	if (!arg.replay)
		nm_json_string(j, "namespace", arg.netns);
	nm_json_bool(j, "complete", !*why);
	if (*why)
		nm_json_string(j, "reason", why);
}

/* ---- one noun ---------------------------------------------------------------------------- */

static int open_show(struct show *s, const struct noun *n, struct nm_json *j)
{
	const struct nm_plugin *p = noun_plugin(n);
	int status = open_view(&s->v, p, NULL, 0);

	s->noun = n;
	s->json = j;
	if (status)
		return status;
	s->counter = counter_new(s->v, n);
	if (arg.summary && n->listed)
		s->rows = rows_new(n, s->v);
	return s->counter && (s->rows || !arg.summary || !n->listed) ? OK : no_memory();
}

static void close_show(struct show *s)
{
	rows_free(s->rows);
	counter_free(s->counter);
	nm_close(s->v);
}

static void begin(struct nm_json *j, const char *key, const struct noun *n)
{
	if (lines()) {
		nm_json_begin(j, NULL, '{');
		say_what(j, key, n);
	} else {
		nm_json_begin(j, key, '{');
	}
}

static void end(struct nm_json *j)
{
	nm_json_end(j, '}');
	if (lines())
		nm_json_line(j);
}

/* The entries and their summary; why: what is missing. */
static int show_noun(const struct noun *n, struct nm_json *j, FILE *from, FILE *record, char *why,
		     size_t size)
{
	struct show s = {0};
	int status = open_show(&s, n, j);

	if (!status)
		status = from ? show_replay(&s, from) : show_live(&s, record);
	if (s.counter && arg.summary && (!status || *s.why)) {
		paint(BOLD);
		printf("%s\n", n->name);
		paint(PLAIN);
		if (s.rows)
			rows_print(s.rows);
		counter_table(s.counter, j);
	} else if (s.counter && !arg.summary && (!status || *s.why)) {
		begin(j, "summary", n);
		counter_print(s.counter, j);
		end(j);
	}
	if (*s.why)
		add_why(why, size, s.why);
	close_show(&s);
	return status;
}

static int with_files(int (*run)(struct nm_json *j, FILE *from, FILE *record))
{
	struct nm_json *j = NULL;
	FILE *from = NULL, *record = NULL;
	int status = open_file(&from, arg.replay, "r"), closed;

	if (!status)
		status = open_file(&record, arg.record, "w");
	if (!status && !(j = nm_json_new(stdout, arg.print)))
		status = no_memory();
	if (!status)
		status = run(j, from, record);
	nm_json_free(j);
	if (from)
		fclose(from);
	closed = close_file(record, arg.record);
	return status ? status : closed;
}

static int finish(struct nm_json *j, int status, uint64_t wall, uint64_t start, const char *why)
{
	begin(j, "metadata", NULL);
	print_metadata(j, wall, start, why);
	end(j);
	if (!lines()) {
		nm_json_end(j, '}');
		nm_json_line(j);
	}
	return nm_json_flush(j) == -ENOMEM && !status ? no_memory() : status;
}

/* All of one noun as one member of what is printed. */
static int show_inside(const struct noun *n, struct nm_json *j, char *why, size_t size)
{
	int status;

	if (!n)
		return fail(USAGE, "--wireguard: this netmon was built without that plugin");
	if (!lines() && !arg.summary)
		nm_json_begin(j, n->name, '{');
	status = show_noun(n, j, NULL, NULL, why, size);
	if (!lines() && !arg.summary)
		nm_json_end(j, '}');
	return status;
}

static int run_one(struct nm_json *j, FILE *from, FILE *record)
{
	uint64_t start = now(), wall = wall_clock();
	char why[1024] = "";
	int status;

	if (!lines() && !arg.summary)
		nm_json_begin(j, NULL, '{');
	status = show_noun(arg.noun, j, from, record, why, sizeof(why));
	if (arg.only & ONLY_WIREGUARD && (!status || *why))
		status = show_inside(noun_named("wireguard"), j, why, sizeof(why));
	/* What was not even begun is not printed as something empty. */
	return arg.summary || (status && !*why) ? status : finish(j, status, wall, start, why);
}

int show(void)
{
	return with_files(run_one);
}

/* ---- netmon all ------------------------------------------------------------------------------ */

static int run_all(struct nm_json *j, FILE *from, FILE *record)
{
	(void)from;
	(void)record;
	uint64_t start = now(), wall = wall_clock();
	char why[1024] = "";
	int status = OK, one;
	size_t shown = 0, had;
	const struct nm_plugin *p;

	if (!lines() && !arg.summary)
		nm_json_begin(j, NULL, '{');
	for (size_t i = 0; (p = plugin_at(i)); i++) {
		const struct noun *n = noun_named(short_name(p));

		if (!can_be_had(p))
			continue;
		if (arg.summary && shown++)
			putchar('\n');
		had = strlen(why);
		one = show_inside(n, j, why, sizeof(why));
		if (one && !why[had]) /* not even begun */
			return one;
		/* What is missing for want of a privilege does not hide what is wrong besides. */
		status = one && (!status || one != NOT_PERMITTED) ? one : status;
	}
	return arg.summary ? status : finish(j, status, wall, start, why);
}

int show_all(void)
{
	if (arg.record || arg.replay)
		return fail(USAGE, "all: a recording is of one plugin; --record and --replay need "
				   "its name instead of all");
	return with_files(run_all);
}
