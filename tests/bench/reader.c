/* SPDX-License-Identifier: MIT */
/*
 * A host that hands nothing on: what a plugin's readings cost by themselves.
 *
 *	reader [--option 'KEY VALUE']... [--times N] [--show PATTERN]... MODE PLUGIN
 *
 *	steady   readings of a view that was read before
 *	again    readings for which every kept source is read again, as after a loss
 *	first    the view is opened, read once and closed
 *	follow   events as they come, until standard input ends, and a reading each --interval seconds
 *
 * Prints lines of JSON: `value` for each value of a reading that matches a PATTERN (fnmatch), and
 * at last what a reading, or in `follow` everything, has cost.  `follow` says when it is ready.
 */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <malloc.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netmon.h"

#define NM_PLUGIN(p) extern const struct nm_plugin p;
#include "plugins.h"
#undef NM_PLUGIN
#define NM_PLUGIN(p) &(p),
static const struct nm_plugin *const plugins[] = {
#include "plugins.h"
};

static const struct nm_plugin *plugin;
static void *config;
static const char *show[16];
static size_t shows;
static int times = 1;
static double interval = 1;
static struct nm_reading reading;
static struct nm_cost start; /* when measuring began */
static double cpu, wall, sync_ms, torn_ms, torn_worst, torn_since;
static unsigned long readings, notices;

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "reader: %s: %s\n", what, strerror(-err));
	return 1;
}

/* Not ru_maxrss, which starts with the peak of the process that we were forked from. */
static long peak_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kb = 0;

	while (f && !kb && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmHWM:", 6))
			kb = strtol(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kb;
}

static void show_value(const struct nm_value *v)
{
	char name[512];
	bool match = false;

	snprintf(name, sizeof(name), "%s/%s%s%s", v->instance, v->type, v->type_instance ? "-" : "",
		 v->type_instance ? v->type_instance : "");
	for (size_t i = 0; i < shows && !match; i++)
		match = !fnmatch(show[i], name, 0);
	if (!match)
		return;
	printf("{\"reading\":%lu,\"value\":\"%s\",\"is\":[", readings, name);
	for (size_t i = 0; i < v->n; i++)
		if (v->gauge)
			printf("%s%.15g", i ? "," : "", reading.number[v->first + i].gauge);
		else
			printf("%s%llu", i ? "," : "",
			       (unsigned long long)reading.number[v->first + i].derive);
	puts("]}");
}

static void show_reading(struct nm_view *v)
{
	struct nm_notice *n;

	for (const struct nm_value *p = reading.value; p < reading.value + reading.n; p++)
		show_value(p);
	while ((n = nm_take_notice(v))) {
		notices++;
		free(n);
	}
	readings++;
}

/* How long dumps take during which the kernel holds its lock throughout: FDB, MDB and rules. */
static void begin(struct nm_view *v, const struct nm_source *s)
{
	torn_since = now(CLOCK_MONOTONIC);
	if (plugin->begin)
		plugin->begin(v, s);
}

static void end(struct nm_view *v, const struct nm_source *s, bool complete)
{
	if (s->torn)
		torn_ms += now(CLOCK_MONOTONIC) - torn_since;
	if (plugin->end)
		plugin->end(v, s, complete);
}

static int open_view(struct nm_view **v)
{
	static struct nm_plugin timed;
	int err;

	timed = *plugin;
	timed.begin = begin;
	timed.end = end;
	err = nm_open(v, &timed, config, NULL, NM_EVENTS);

	if (err)
		return err;
	(*v)->interval = interval;
	sync_ms = now(CLOCK_MONOTONIC);
	err = nm_sync(*v);
	sync_ms = now(CLOCK_MONOTONIC) - sync_ms;
	return err == -EINTR ? 0 : err;
}

static int first(struct nm_cost *cost)
{
	struct nm_view *v;
	int err = 0;

	cpu = wall = 0;
	for (int i = 0; i < times && !err; i++) {
		double c = now(CLOCK_PROCESS_CPUTIME_ID), w = now(CLOCK_MONOTONIC);

		err = open_view(&v);
		if (err)
			return err;
		err = nm_read(v, &reading);
		cpu += now(CLOCK_PROCESS_CPUTIME_ID) - c;
		wall += now(CLOCK_MONOTONIC) - w;
		if (i == times - 1)
			show_reading(v);
		*cost = v->cost;
		nm_close(v);
	}
	return err;
}

static bool torn(void)
{
	for (size_t s = 0; s < plugin->nsource; s++)
		if (plugin->source[s].torn)
			return true;
	return false;
}

static uint64_t distrust(struct nm_view *v)
{
	uint64_t n = 0;

	for (size_t i = 0; i < plugin->nsource; i++) {
		const struct nm_source *s = &plugin->source[i];

		if (s->kept && !nm_source_error(v, i) && (!s->wanted || s->wanted(config))) {
			nm_distrust(v, s);
			n++;
		}
	}
	return n;
}

/* A source whose dumps can be torn rests for 99 times what one took: so do we. */
static int read_again(struct nm_view *v, double *took)
{
	for (int tries = 0; tries < 8; tries++) {
		double rest = torn() ? fmin(1e8 * *took, 5e9) : 0, c, w; /* ns */

		nanosleep(&(struct timespec){(time_t)(rest / 1e9), (long)fmod(rest, 1e9)}, NULL);
		uint64_t dumps = v->cost.dumps, due = distrust(v);

		c = now(CLOCK_PROCESS_CPUTIME_ID);
		w = now(CLOCK_MONOTONIC);
		int err = nm_read(v, &reading);

		if (err)
			return err;
		w = now(CLOCK_MONOTONIC) - w;
		if (v->cost.dumps - dumps < due) {
			*took *= 2;
			continue;
		}
		*took = w;
		cpu += now(CLOCK_PROCESS_CPUTIME_ID) - c;
		wall += w;
		return 0;
	}
	return -ETIMEDOUT;
}

/* Readings of one view; what is shown is the last one. */
static int read_often(struct nm_view *v, bool again)
{
	double took = sync_ms;
	int err = nm_read(v, &reading);

	if (!err)
		err = nm_read(v, &reading); /* what was new is not any more */
	start = v->cost;
	cpu = again ? 0 : now(CLOCK_PROCESS_CPUTIME_ID);
	wall = again ? 0 : now(CLOCK_MONOTONIC);
	for (int i = 0; i < times && !err; i++)
		err = again ? read_again(v, &took) : nm_read(v, &reading);
	if (!again) {
		cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		wall = now(CLOCK_MONOTONIC) - wall;
	}
	show_reading(v);
	return err;
}

static int take_events(struct nm_view *v, double until, bool *over)
{
	struct pollfd fd[3] = {{.fd = 0, .events = POLLIN}};
	int listening[2], err = 0, rest = 0;
	size_t n = nm_fds(v, listening, 2);

	for (size_t i = 0; i < n; i++)
		fd[1 + i] = (struct pollfd){.fd = listening[i], .events = POLLIN};
	for (double left;
	     !*over && (!err || err == -ENOBUFS) && (left = until - now(CLOCK_MONOTONIC)) > 0;) {
		if (rest) /* as the hosts do */
			poll(fd, 1, rest);
		poll(fd, 1 + n, (int)left + 1);
		*over = fd[0].revents;
		err = nm_events(v);
		rest = nm_rest(v);
	}
	return err == -ENOBUFS ? 0 : err;
}

static int follow(struct nm_view *v)
{
	bool over = false;
	int err = nm_read(v, &reading);
	double next;

	puts("{\"ready\":true}");
	torn_ms = 0;
	start = v->cost;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	wall = now(CLOCK_MONOTONIC);
	while (!err && !over) {
		double before = torn_ms;

		next = now(CLOCK_MONOTONIC) + 1e3 * interval;
		err = take_events(v, next, &over);
		if (!err)
			err = nm_read(v, &reading);
		torn_worst = fmax(torn_worst, torn_ms - before);
		show_reading(v);
	}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now(CLOCK_MONOTONIC) - wall;
	times = 1;
	return err;
}

static int run(const char *mode)
{
	struct nm_cost cost = {0};
	struct mallinfo2 heap;
	struct nm_view *v = NULL;
	int err;

	if (!strcmp(mode, "first")) {
		err = first(&cost);
	} else {
		err = open_view(&v);
		if (!err)
			err = !strcmp(mode, "follow") ? follow(v) :
							read_often(v, !strcmp(mode, "again"));
		if (v)
			cost = v->cost;
	}
	if (err)
		return fail(plugin->name, err);
	heap = mallinfo2();
	printf("{\"cpu_ms\":%.4f,\"wall_ms\":%.4f,\"values\":%zu,\"rss_kb\":%ld,\"heap_kb\":%zu,"
	       "\"readings\":%lu,\"notices\":%lu,\"torn_ms\":%.3f,\"torn_worst_ms\":%.3f,\"events\":%llu,\"dumps\":%llu,"
	       "\"interrupted\":%llu,\"lost\":%llu}\n",
	       cpu / times, wall / times, reading.n, peak_kb(),
	       (heap.uordblks + heap.hblkhd) / 1024, readings, notices, torn_ms, torn_worst,
	       (unsigned long long)(cost.events - start.events),
	       (unsigned long long)(cost.dumps - start.dumps),
	       (unsigned long long)(cost.interrupted - start.interrupted),
	       (unsigned long long)(cost.lost - start.lost));
	nm_close(v);
	nm_reading_free(&reading);
	return 0;
}

static int set_option(char *text)
{
	char *key = strtok(text, " "), *word = strtok(NULL, ""), *end = NULL, err[768] = "";
	double number = word ? strtod(word, &end) : 0;
	struct nm_arg a = {.type = NM_ARG_STRING, .string = word};

	if (word && end != word && !*end)
		a = (struct nm_arg){.type = NM_ARG_NUMBER, .number = number};
	else if (word && (!strcmp(word, "true") || !strcmp(word, "false")))
		a = (struct nm_arg){.type = NM_ARG_BOOL, .boolean = *word == 't'};
	if (!nm_config_set(plugin, config, key ? key : "", &a, word ? 1 : 0, err, sizeof(err)))
		return 0;
	fprintf(stderr, "reader: %s\n", err);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"option", required_argument, NULL, 'o'},
					      {"times", required_argument, NULL, 't'},
					      {"interval", required_argument, NULL, 'i'},
					      {"show", required_argument, NULL, 's'},
					      {0}};
	char *options[16];
	size_t n = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (c == 'o' && n < NM_COUNT(options))
			options[n++] = optarg;
		else if (c == 's' && shows < NM_COUNT(show))
			show[shows++] = optarg;
		else if (c == 't')
			times = (int)strtol(optarg, NULL, 10);
		else if (c == 'i')
			interval = strtod(optarg, NULL);
		else
			return 2;
	for (size_t i = 0; argc == optind + 2 && i < NM_COUNT(plugins); i++)
		if (!strcmp(plugins[i]->name + strlen("netmon_"), argv[optind + 1]))
			plugin = plugins[i];
	if (!plugin || times < 1) {
		fputs("usage: reader [OPTION]... steady|again|first|follow PLUGIN\n", stderr);
		return 2;
	}
	if (nm_config_new(plugin, &config))
		return fail("configuration", -ENOMEM);
	for (size_t i = 0; i < n; i++)
		if (set_option(options[i]))
			return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	c = run(argv[optind]);
	nm_config_free(plugin, config);
	return c;
}
