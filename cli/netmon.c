/* SPDX-License-Identifier: MIT */
/* netmon: shows a person, or a script, what the plugins see. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "netmon.h"

enum { OK = 0, FAILED = 1, USAGE = 2, INCOMPLETE = 3, NOT_PERMITTED = 4 };

#define NM_PLUGIN(p) extern const struct nm_plugin p;
#include "plugins.h"
#undef NM_PLUGIN
#define NM_PLUGIN(p) &(p),
static const struct nm_plugin *const plugins[] = {
#include "plugins.h"
};

static struct {
	const struct nm_plugin *plugin;
	const char *record, *replay, *netns;
	void *config;
	unsigned print; /* NM_NO_UNKNOWN */
	unsigned long count;
	double interval; /* s */
	bool man;
} arg = {.count = 1, .interval = 10};

static int fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(int status, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("netmon: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	return status;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const char *short_name(const struct nm_plugin *p)
{
	return p->name + strlen("netmon_");
}

/* ---- opening --------------------------------------------------------------------------- */

static int open_view(struct nm_view **v, const void *config)
{
	unsigned flags = arg.replay ? NM_REPLAY : arg.count > 1 ? NM_EVENTS : 0;
	int err = nm_open(v, arg.plugin, config, arg.netns, flags);

	if (!err)
		return OK;
	if (err == -EINVAL && arg.netns)
		return fail(USAGE, "--namespace %s: the name of a file below /run/netns is needed",
			    arg.netns);
	if (err == -ENOENT && arg.netns)
		return fail(FAILED,
			    "no network namespace %s; `ip netns list` shows those that have a name",
			    arg.netns);
	if (err == -EPROTONOSUPPORT)
		return fail(FAILED, "this kernel has none of it; perhaps a module is not loaded");
	if (err == -EPERM && arg.netns)
		return fail(NOT_PERMITTED, "network namespace %s: entering it needs CAP_SYS_ADMIN",
			    arg.netns);
	return fail(FAILED, "netlink cannot be opened: %s", strerror(-err));
}

static int open_file(FILE **f, const char *path, const char *mode)
{
	*f = path ? fopen(path, mode) : NULL;
	return path && !*f ? fail(USAGE, "--%s %s: %s", *mode == 'r' ? "replay" : "record", path,
				  strerror(errno)) :
			     OK;
}

/* What stdio could not write must not go unnoticed. */
static int close_file(FILE *f, const char *path)
{
	return f && fclose(f) ? fail(FAILED, "--record %s: %s", path, strerror(errno)) : OK;
}

/* ---- netmon link: everything the kernel says, as JSON -------------------------------------- */

enum { MAX_SOURCES = 16 };

struct printer {
	struct nm_view *v;
	struct array {
		FILE *to;
		char *text; /* of a replay: there the sources take turns */
		size_t size, entries;
	} array[MAX_SOURCES]; /* one for each source */
	size_t arrays;        /* printed so far */
};

static int print_entry(const struct nm_msg *m, void *user)
{
	struct printer *p = user;
	struct array *a = &p->array[m->src - p->v->plugin->source];

	if (!nm_goes_on(p->v, m)) {
		nm_print_end(a->to, p->v);
		fputs(a->entries++ ? ",\n    " : "\n    ", a->to);
	}
	nm_print(a->to, p->v, m, arg.print);
	return ferror(a->to) ? -EPIPE : 0;
}

/* Sources that only help the others have no array. */
static void begin_array(struct printer *p, size_t i)
{
	p->array[i].to = stdout;
	printf("%s\n  \"%s\": [", p->arrays++ ? "," : "{", p->v->plugin->source[i].what);
}

static void end_array(const struct printer *p)
{
	nm_print_end(stdout, p->v);
	fputs("\n  ]", stdout);
}

/* Streamed: a million entries need no memory. */
static int print_live(struct printer *p, FILE *record)
{
	int status = OK, err = 0;
	bool aid = p->v->plugin->source[0].aid;

	/* Links come first, for their names: messages refer to interfaces that come later. */
	if (record && aid)
		err = nm_record(p->v, record);
	nm_dump(p->v, 0);
	if (record && !aid)
		err = nm_record(p->v, record);
	if (err)
		return fail(FAILED, "--record %s: %s", arg.record, strerror(-err));
	nm_set_tap(p->v, print_entry, p);
	for (size_t i = aid; i < p->v->plugin->nsource; i++) {
		const struct nm_source *s = &p->v->plugin->source[i];

		if (s->passive)
			continue;
		begin_array(p, i);
		err = nm_dump(p->v, i);
		end_array(p);
		if (err == -EPERM)
			status = fail(NOT_PERMITTED, "%s are missing: they need CAP_NET_ADMIN",
				      s->what);
		else if (err == -EINTR && !ferror(stdout))
			status = fail(INCOMPLETE, "%s changed while they were read; try again",
				      s->what);
		else if (err && err != -EINTR)
			status = fail(INCOMPLETE, "%s%s are missing: %s",
				      p->array[i].entries ? "some " : "", s->what, strerror(-err));
		else if (!err && nm_source_error(p->v, i))
			fail(OK, "this kernel does not tell %s: %s", s->what,
			     strerror(-nm_source_error(p->v, i)));
	}
	puts("\n}");
	return status;
}

static int replay_whole(const struct nm_view *v)
{
	if (!v->cost.interrupted)
		return OK;
	return fail(INCOMPLETE, "--replay %s: a dump in it is interrupted or has no end",
		    arg.replay);
}

static int replay_all(struct printer *p, FILE *from, nm_tap *tap)
{
	char err[256];
	int e;

	rewind(from);
	nm_set_tap(p->v, tap, p);
	while ((e = nm_replay(p->v, from, NULL, err, sizeof(err))) == 1)
		;
	return e ? fail(USAGE, "--replay %s: %s", arg.replay, err) : OK;
}

static int print_replay(struct printer *p, FILE *from)
{
	int status = replay_all(p, from, NULL); /* for the names, as above */

	for (size_t i = 0; !status && i < p->v->plugin->nsource; i++) {
		p->array[i].to = open_memstream(&p->array[i].text, &p->array[i].size);
		if (!p->array[i].to)
			status = fail(FAILED, "%s", strerror(errno));
	}
	if (!status)
		status = replay_all(p, from, print_entry);
	for (size_t i = 0; i < p->v->plugin->nsource; i++) {
		struct array *a = &p->array[i];

		if (a->to) {
			if (p->v->plugin->source[i].join.list)
				nm_print_end(a->to, p->v);
			fclose(a->to);
		}
		if (!status && !p->v->plugin->source[i].aid && !p->v->plugin->source[i].passive) {
			begin_array(p, i);
			fwrite(a->text, 1, a->size, stdout);
			end_array(p);
		}
		free(a->text);
	}
	if (!status)
		puts("\n}");
	return status ? status : replay_whole(p->v);
}

static int print_json(void)
{
	struct printer p = {0};
	FILE *from = NULL, *record = NULL;
	int status = open_view(&p.v, NULL), closed;

	if (!status)
		status = open_file(&from, arg.replay, "r");
	if (!status)
		status = open_file(&record, arg.record, "w");
	if (!status)
		status = from ? print_replay(&p, from) : print_live(&p, record);
	if (from)
		fclose(from);
	closed = close_file(record, arg.record);
	nm_close(p.v);
	return status ? status : closed;
}

/* ---- netmon metrics: what the collectd plugin would send -------------------------------------- */

static void print_values(const struct nm_reading *r)
{
	for (const struct nm_value *v = r->value; v < r->value + r->n; v++) {
		printf("%s/%s%s%s ", v->instance, v->type, v->type_instance ? "-" : "",
		       v->type_instance ? v->type_instance : "");
		for (size_t i = 0; i < v->n; i++)
			if (nm_is_gauge(v, i))
				printf("%s%.15g", i ? ":" : "", r->number[v->first + i].gauge);
			else
				printf("%s%llu", i ? ":" : "",
				       (unsigned long long)r->number[v->first + i].derive);
		puts(v->slow ? " slow" : "");
	}
}

static void print_notices(struct nm_view *v)
{
	static const char *const severity[] = {
		[NM_FAILURE] = "FAILURE", [NM_WARNING] = "WARNING", [NM_OKAY] = "OKAY"};
	struct nm_notice *n;

	while ((n = nm_take_notice(v))) {
		printf("%s %s %s: %s", severity[n->severity], n->instance, n->what, n->message);
		for (size_t i = 0; i < n->nmeta; i++)
			printf(" %s=%s", n->meta[i].key, n->meta[i].value);
		putchar('\n');
		free(n);
	}
}

static int metrics_replay(struct nm_view *v, struct nm_reading *r, FILE *from)
{
	char err[256];
	int e;

	while ((e = nm_replay(v, from, r, err, sizeof(err))) == 1) {
		print_notices(v);
		printf("# reading %llu\n", (unsigned long long)v->readings);
		print_values(r);
	}
	return e ? fail(USAGE, "--replay %s: %s", arg.replay, err) : replay_whole(v);
}

/* Events are delivered as they come, as the daemon does. */
static int wait_for_events(struct nm_view *v, double seconds)
{
	uint64_t end = now() + (uint64_t)(seconds * 1e9);
	struct pollfd fds[MAX_SOURCES];
	int fd[MAX_SOURCES], err = 0;
	size_t n = nm_fds(v, fd, MAX_SOURCES);

	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
	for (uint64_t t; (!err || err == -ENOBUFS) && (t = now()) < end;) {
		poll(NULL, 0, nm_rest(v));
		int left = (int)((end - t + 999999) / 1000000), due = nm_timeout(v);

		poll(fds, n, due >= 0 && due < left ? due : left);
		err = nm_events(v);
		print_notices(v);
		fflush(stdout);
	}
	return err == -ENOBUFS ? 0 : err;
}

static int metrics_live(struct nm_view *v, struct nm_reading *r, FILE *record)
{
	int err = record ? nm_record(v, record) : 0;

	v->interval = arg.interval;
	for (unsigned long i = 0; !err && i < arg.count && !ferror(stdout); i++) {
		if (i)
			err = wait_for_events(v, arg.interval);
		if (!err)
			err = nm_read(v, r);
		if (err)
			break;
		print_notices(v);
		if (arg.count > 1)
			printf("# reading %llu\n", (unsigned long long)v->readings);
		print_values(r);
	}
	if (err == -EPERM)
		return fail(NOT_PERMITTED, "%s needs CAP_NET_ADMIN", arg.plugin->name);
	return err ? fail(FAILED, "%s: %s", arg.plugin->name, strerror(-err)) : OK;
}

static int print_metrics(void)
{
	struct nm_reading r = {0};
	struct nm_view *v = NULL;
	FILE *from = NULL, *record = NULL;
	int status = open_view(&v, arg.config), closed;

	if (!status)
		status = open_file(&from, arg.replay, "r");
	if (!status)
		status = open_file(&record, arg.record, "w");
	if (!status)
		status = from ? metrics_replay(v, &r, from) : metrics_live(v, &r, record);
	if (from)
		fclose(from);
	closed = close_file(record, arg.record);
	nm_close(v);
	nm_reading_free(&r);
	return status ? status : closed;
}

/* ---- netmon options: what can be configured ------------------------------------------------------ */

/* A hyphen or a dot at a line's start is troff's. */
static void put_man(const char *s)
{
	for (; *s; s++)
		fputs(*s == '-' ? "\\-" : *s == '\\' ? "\\e" : (char[]){*s, 0}, stdout);
}

static int print_options(void)
{
	const struct nm_option *o;
	char form[320], def[160];

	for (size_t i = 0; (o = nm_option(arg.plugin, i)); i++) {
		nm_option_form(o, form, sizeof(form));
		nm_option_default(arg.plugin, o, def, sizeof(def));
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

/* ---- the command line ------------------------------------------------------------------------------ */

static const struct command {
	const char *name;
	int (*run)(void);
} commands[] = {
	{"metrics", print_metrics},
	{"options", print_options},
};

static int help(FILE *to)
{
	fputs("Usage: netmon COMMAND [OPTION]...\n\n"
	      "Shows what the Linux kernel says of its network. Reads only, changes nothing.\n\n"
	      "Commands:\n"
	      "  PLUGIN           everything that the kernel says to this plugin, as JSON\n"
	      "  metrics PLUGIN   the values that the collectd plugin would send now\n"
	      "  options PLUGIN   what the collectd plugin can be configured with\n\n"
	      "Options:\n"
	      "  --namespace NAME    read the network namespace of this name\n"
	      "  --record FILE       write what the kernel answered as a pcap file\n"
	      "  --replay FILE       read such a file instead of asking the kernel\n"
	      "  --no-unknown-attrs  leave out attributes that netmon has no name for\n"
	      "  --option 'KEY VALUE...'\n"
	      "                      metrics: configure the plugin, as in collectd.conf\n"
	      "  --count N           metrics: readings (1); what changes between two is told\n"
	      "  --interval SECONDS  metrics: time between two readings (10)\n"
	      "  --man               options: as manual page\n"
	      "  --help, --version\n\n"
	      "Plugins: ",
	      to);
	for (size_t i = 0; i < NM_COUNT(plugins); i++)
		fprintf(to, "%s%s", i ? ", " : "", short_name(plugins[i]));
	fputs("\n\nExit status: 0 done, 1 failed, 2 wrong usage or no recording, 3 incomplete,\n"
	      "4 not permitted.\n",
	      to);
	return to == stdout ? OK : USAGE;
}

/* One word of an option as collectd's own parser would see it; the rest follows it. */
static char *next_word(char *s, char **word, struct nm_arg *a)
{
	bool quoted;
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	if (!*s)
		return NULL;
	quoted = *s == '"';
	*word = s += quoted;
	s += quoted ? strcspn(s, "\"") : strcspn(s, " \t");
	if (*s)
		*s++ = 0;
	*a = (struct nm_arg){.type = NM_ARG_STRING, .string = *word};
	double number = strtod(*word, &end);

	if (!quoted && end != *word && !*end)
		*a = (struct nm_arg){.type = NM_ARG_NUMBER, .number = number};
	else if (!quoted && (!strcasecmp(*word, "true") || !strcasecmp(*word, "false")))
		*a = (struct nm_arg){.type = NM_ARG_BOOL,
				     .boolean = tolower((unsigned char)**word) == 't'};
	return s;
}

static int set_option(const char *text)
{
	char *copy = strdup(text), *s = copy, *key = NULL, *word, err[768];
	struct nm_arg a[32], ignored;
	size_t n = 0;
	int e = 0;

	if (!copy)
		return fail(FAILED, "%s", strerror(ENOMEM));
	s = next_word(s, &key, &ignored);
	while (s && n < NM_COUNT(a) && (s = next_word(s, &word, &a[n])))
		n++;
	e = nm_config_set(arg.plugin, arg.config, key ? key : "", a, n, err, sizeof(err));
	free(copy);
	return e ? fail(USAGE, "--option: %s", err) : OK;
}

static const struct nm_plugin *plugin_named(const char *name)
{
	for (size_t i = 0; i < NM_COUNT(plugins); i++)
		if (!strcmp(short_name(plugins[i]), name))
			return plugins[i];
	return NULL;
}

enum { RECORD = 256, REPLAY, NAMESPACE, NO_UNKNOWN, OPTION, COUNT, INTERVAL, MAN, HELP, VERSION };

static const struct option longs[] = {
	{"record", required_argument, NULL, RECORD},
	{"replay", required_argument, NULL, REPLAY},
	{"namespace", required_argument, NULL, NAMESPACE},
	{"no-unknown-attrs", no_argument, NULL, NO_UNKNOWN},
	{"option", required_argument, NULL, OPTION},
	{"count", required_argument, NULL, COUNT},
	{"interval", required_argument, NULL, INTERVAL},
	{"man", no_argument, NULL, MAN},
	{"help", no_argument, NULL, HELP},
	{"version", no_argument, NULL, VERSION},
	{0},
};

static int number(const char *option, const char *text, double min, double max, double *to)
{
	char *end;

	*to = strtod(text, &end);
	if (*text && !*end && *to >= min && *to <= max)
		return OK;
	return fail(USAGE, "--%s: \"%s\" is not accepted; accepted is a number from %g to %g",
		    option, text, min, max);
}

static int parse(int argc, char **argv)
{
	int c, status = OK;
	double count;

	while (!status && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case RECORD:
			arg.record = optarg;
			break;
		case REPLAY:
			arg.replay = optarg;
			break;
		case NAMESPACE:
			arg.netns = optarg;
			break;
		case NO_UNKNOWN:
			arg.print |= NM_NO_UNKNOWN;
			break;
		case OPTION:
			status = set_option(optarg);
			break;
		case COUNT:
			status = number("count", optarg, 1, 1e9, &count);
			arg.count = (unsigned long)count;
			break;
		case INTERVAL:
			status = number("interval", optarg, 0.01, 86400, &arg.interval);
			break;
		case MAN:
			arg.man = true;
			break;
		case HELP:
			exit(help(stdout));
		case VERSION:
			puts("netmon " NM_VERSION);
			exit(OK);
		default:
			return USAGE; /* getopt has said why */
		}
	return status;
}

/* A reader that went away has seen enough; a disk that is full is another thing. */
static int close_output(void)
{
	bool failed = ferror(stdout);

	errno = 0;
	failed |= fflush(stdout) != 0;
	if (!failed || errno == EPIPE)
		return OK;
	return fail(FAILED, "standard output cannot be written: %s", strerror(errno ? errno : EIO));
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";
	int (*run)(void) = print_json;
	int status, skip = 1;

	if (name[0] == '-')
		return parse(argc, argv) ? USAGE : help(stderr);
	arg.plugin = plugin_named(name);
	for (size_t i = 0; i < NM_COUNT(commands); i++)
		if (!strcmp(commands[i].name, name)) {
			arg.plugin = argc > 2 ? plugin_named(argv[2]) : NULL;
			run = commands[i].run;
			skip = 2;
		}
	if (!arg.plugin && skip == 2)
		return fail(USAGE, "%s %s: a plugin is needed; `netmon --help` lists them", name,
			    argc > 2 ? argv[2] : "");
	if (!arg.plugin)
		return fail(USAGE, "no command \"%s\"; `netmon --help` lists them, such as link",
			    name);
	if (nm_config_new(arg.plugin, &arg.config))
		return fail(FAILED, "%s", strerror(ENOMEM));
	argv[skip] = argv[0];
	status = parse(argc - skip, argv + skip);
	if (!status && optind < argc - skip)
		status = fail(USAGE,
			      "\"%s\" is one word too many; `netmon --help` says what is accepted",
			      argv[skip + optind]);
	if (!status && arg.record && arg.replay)
		status = fail(USAGE, "--record and --replay exclude each other");
	if (!status)
		status = run();
	nm_config_free(arg.plugin, arg.config);
	return status ? status : close_output();
}
