/* SPDX-License-Identifier: MIT */
/* netmon: shows a person, or a script, what the plugins see.  Here is the command line. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define NM_PLUGIN(p) extern const struct nm_plugin p;
#include "plugins.h"
#undef NM_PLUGIN
#define NM_PLUGIN(p) &(p),
static const struct nm_plugin *const plugins[] = {
#include "plugins.h"
};

struct args arg = {.count = 1};

int fail(int status, const char *fmt, ...)
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

int no_memory(void)
{
	return fail(FAILED, "%s", strerror(ENOMEM));
}

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *short_name(const struct nm_plugin *p)
{
	return p->name + strlen("netmon_");
}

const struct nm_plugin *plugin_at(size_t i)
{
	return i < NM_COUNT(plugins) ? plugins[i] : NULL;
}

const struct nm_plugin *plugin_named(const char *name)
{
	for (size_t i = 0; i < NM_COUNT(plugins); i++)
		if (!strcmp(short_name(plugins[i]), name))
			return plugins[i];
	return NULL;
}

/* ---- commands ------------------------------------------------------------------------ */

enum {
	SHOW = 1 << 0,
	METRICS = 1 << 1,
	OPTIONS = 1 << 2,
	NO_OPTION = 1 << 3, /* but --help */
	DIFF = 1 << 4,
	WATCH = 1 << 5,
	TOP = 1 << 6,
	EXPLAIN = 1 << 7,
};

static int show_help(void);

static const struct command commands[] = {
	{"all", show_all, SHOW, "", 0, "everything that all of them show"},
	{"watch", show_watch, WATCH, " [NAME]...", 16, "changes of these as they happen"},
	{"explain", show_explain, EXPLAIN, " ADDRESS", 1,
	 "the way of a packet: rule, route, neighbour, port"},
	{"top", show_top, TOP, "", 0, "a live table of interfaces and their traffic"},
	{"diff", show_diff, DIFF, " FILE [FILE]", 2,
	 "what differs between two outputs, or one and now"},
	{"metrics", show_metrics, METRICS, " PLUGIN...", 64,
	 "the values that the collectd plugins would send now"},
	{"options", show_options, OPTIONS, " PLUGIN", 1,
	 "what the collectd plugin can be configured with"},
	{"schema", show_schema, NO_OPTION, " NAME", 1,
	 "the JSON schema of what a command above prints"},
	{"history", NULL, 0, " ...", 0, "values of the past, by netmon-graph"},
	{"summary", NULL, 0, " ...", 0, "traffic by day, week or month, by netmon-graph"},
	{"help", show_help, OPTIONS, " COMMAND", 1, "more about one of these"},
};
/* forward can be followed, and then prints rates */
static int show_one(void)
{
	return arg.interval > 0 ? show_rates() : show();
}

static const struct command show_command = {"", show_one, SHOW, "", 0, ""};
static const struct command *command = &show_command; /* that was given */

static const struct command *command_named(const char *name)
{
	for (size_t i = 0; i < NM_COUNT(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* ---- options --------------------------------------------------------------------------- */

enum kind { YES, TEXT_OF, NUMBER, COUNT, BIT, FLAG, FORMAT, COLOR, MANY, VERSION };

static const struct option {
	const char *name;
	char letter;
	enum kind kind;
	const char *value; /* NULL: takes none; "[...]": only behind "=" */
	unsigned group;    /* of commands that take it */
	unsigned bit;      /* of BIT and FLAG; or a format */
	void *to;
	double min, max;
	const char *help;
} options[] = {
	{"json", 0, FORMAT, NULL, SHOW | METRICS | DIFF | EXPLAIN, FORMAT_JSON, NULL, 0, 0,
	 "JSON, an entry on a line (default in a file or pipe)"},
	{"pretty", 0, FORMAT, NULL, SHOW | METRICS | DIFF | EXPLAIN, FORMAT_PRETTY, NULL, 0, 0,
	 "JSON, a value on a line (default on a terminal)"},
	{"ndjson", 0, FORMAT, NULL, SHOW | METRICS | DIFF | WATCH, FORMAT_NDJSON, NULL, 0, 0,
	 "JSON objects, an entry each, one on a line"},
	{"summary", 's', YES, NULL, SHOW, 0, &arg.summary, 0, 0, "a table for people"},
	{"ipv4", '4', BIT, NULL, SHOW, ONLY_IPV4, &arg.only, 0, 0, "only IPv4"},
	{"ipv6", '6', BIT, NULL, SHOW, ONLY_IPV6, &arg.only, 0, 0, "only IPv6"},
	{"table", 0, TEXT_OF, "TABLE", SHOW, 0, &arg.table, 0, 0,
	 "only this routing table: its name or number"},
	{"arp", 0, BIT, NULL, SHOW, ONLY_ARP, &arg.only, 0, 0, "only ARP entries (IPv4)"},
	{"ndp", 0, BIT, NULL, SHOW, ONLY_NDP, &arg.only, 0, 0,
	 "only neighbour discovery entries (IPv6)"},
	{"bridge", 0, BIT, NULL, SHOW, ONLY_BRIDGE, &arg.only, 0, 0,
	 "only forwarding entries of bridges"},
	{"interface", 'i', TEXT_OF, "NAME", SHOW, 0, &arg.interface, 0, 0,
	 "only what belongs to this interface"},
	{"addresses", 0, BIT, NULL, SHOW, ONLY_ADDRESSES, &arg.only, 0, 0,
	 "interfaces and their addresses"},
	{"extended", 0, BIT, NULL, SHOW, ONLY_EXTENDED, &arg.only, 0, 0,
	 "interfaces, their speed and their counters alone"},
	{"wireguard", 0, BIT, NULL, SHOW, ONLY_WIREGUARD, &arg.only, 0, 0,
	 "interfaces and WireGuard's peers"},
	{"no-unknown-attrs", 0, FLAG, NULL, SHOW | WATCH | DIFF, NM_NO_UNKNOWN, &arg.print, 0, 0,
	 "leave out attributes that netmon has no row for"},
	{"color", 0, COLOR, "[always|auto|never]", SHOW | DIFF | WATCH | TOP | EXPLAIN, 0, NULL, 0,
	 0, "colours; auto: on a terminal without NO_COLOR"},
	{"config", 'c', TEXT_OF, "FILE", METRICS, 0, &arg.config_file, 0, 0,
	 "configuration: a file as collectd reads it"},
	{"option", 'o', MANY, "LINE", METRICS, 0, NULL, 0, 0,
	 "configuration: one line, \"KEY VALUE...\""},
	{"openmetrics", 0, YES, NULL, METRICS, 0, &arg.openmetrics, 0, 0,
	 "OpenMetrics, as a textfile collector reads it"},
	{"count", 'n', COUNT, "N", METRICS | SHOW, 0, &arg.count, 1, 1e9,
	 "readings (1; forward --interval: until it is ended)"},
	{"interval", 0, NUMBER, "SECONDS", METRICS | TOP | SHOW | WATCH, 0, &arg.interval, 0.01,
	 86400, "time between two readings (1; metrics: 10)"},
	{"since-start", 0, YES, NULL, WATCH, 0, &arg.since_start, 0, 0,
	 "count the changes of each since the start"},
	{"counters", 0, YES, NULL, DIFF, 0, &arg.counters, 0, 0,
	 "also what always moves: counters, ages and timers"},
	{"sort", 0, TEXT_OF, "COLUMN", TOP, 0, &arg.sort, 0, 0,
	 "name, rx, tx, rx-packets, tx-packets, errors or used"},
	{"filter", 0, TEXT_OF, "TEXT", TOP, 0, &arg.filter, 0, 0,
	 "only interfaces with this in the name, or like eth*"},
	{"once", '1', YES, NULL, TOP, 0, &arg.once, 0, 0,
	 "print once, after one interval, without control codes"},
	{"from", 0, TEXT_OF, "ADDRESS", EXPLAIN, 0, &arg.from, 0, 0, "the packet's source"},
	{"iif", 0, TEXT_OF, "NAME", EXPLAIN, 0, &arg.iif, 0, 0, "it came in there; needs --from"},
	{"mark", 0, NUMBER, "N", EXPLAIN, 0, &arg.mark, 0, 4294967295.0, "its mark"},
	{"man", 0, YES, NULL, OPTIONS, 0, &arg.man, 0, 0, "as a manual page"},
	{"namespace", 'N', TEXT_OF, "NAME", SHOW | METRICS | DIFF | WATCH | TOP | EXPLAIN, 0,
	 &arg.netns, 0, 0, "read the network namespace of this name"},
	{"record", 0, TEXT_OF, "FILE", SHOW | METRICS, 0, &arg.record, 0, 0,
	 "write what the kernel answered as a pcap file"},
	{"replay", 0, TEXT_OF, "FILE", SHOW | METRICS, 0, &arg.replay, 0, 0,
	 "read such a file instead of asking the kernel"},
	{"help", 'h', YES, NULL, ~0u, 0, &arg.help, 0, 0, "this text"},
	{"version", 'V', VERSION, NULL, ~0u, 0, NULL, 0, 0, NULL},
};

/* Options that only some nouns take. */
static bool noun_takes(const struct noun *n, const struct option *o)
{
	if (o->kind == BIT)
		return n && n->only & o->bit;
	if (o->to == &arg.interface)
		return n && n->interface;
	if (o->to == &arg.table)
		return n && n->table;
	if (command->group & SHOW && (o->to == &arg.interval || o->to == &arg.count))
		return n && n->rates;
	return true;
}

static bool takes(const struct option *o)
{
	return o->group & command->group && noun_takes(arg.noun, o);
}

/* ---- help -------------------------------------------------------------------------------- */

static void say_option(const struct option *o)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s%.1s%s--%s%s%s", o->letter ? "-" : "    ",
			 &o->letter, o->letter ? ", " : "", o->name,
			 o->value ? *o->value == '[' ? "[=" : "=" : "",
			 o->value ? o->value + (*o->value == '[') : "");

	printf("  %-26s%s%s\n", text, n > 25 ? "\n                            " : "", o->help);
}

static int help_of(const char *name)
{
	printf("Usage: netmon %s%s [OPTION]...\n\nShows %s.\n\nOptions:\n", name, command->words,
	       arg.noun ? arg.noun->help : command->help);
	for (size_t i = 0; i < NM_COUNT(options); i++)
		if (options[i].help && takes(&options[i]))
			say_option(&options[i]);
	if (command->group & WATCH)
		puts("\nWithout a name link, route, neighbor, mdb and rule; \"all\" is everything. The\n"
		     "kernel tells no changes of WireGuard, which is looked at every --interval.");
	if (command->group & METRICS)
		puts("\n`netmon options PLUGIN` says what can be configured.");
	return OK;
}

static int help_all(FILE *to)
{
	fputs("Usage: netmon COMMAND [OPTION]...\n\n"
	      "Shows what the Linux kernel says of its network. Reads only, changes nothing.\n\n"
	      "Shows as JSON, or as a table with --summary:\n",
	      to);
	for (const struct noun *n = nouns; n->name; n++)
		if (noun_plugin(n))
			fprintf(to, "  %-20s%s\n", n->name, n->help);
	for (size_t i = 0; i < NM_COUNT(plugins); i++) {
		const struct noun *n = noun_named(short_name(plugins[i]));
		const struct noun *known = nouns;

		while (known->name && known != n)
			known++;
		if (!known->name)
			fprintf(to, "  %-20s%s\n", n->name, n->help);
	}
	for (size_t i = 0; i < NM_COUNT(commands); i++)
		fprintf(to, "%s  %s%-*s%s\n", i == 1 ? "\nOther commands:\n" : "", commands[i].name,
			(int)(20 - strlen(commands[i].name)), commands[i].words, commands[i].help);
	fputs("\n`netmon COMMAND --help` says what each accepts. Plugins: ", to);
	for (size_t i = 0; i < NM_COUNT(plugins); i++)
		fprintf(to, "%s%s", i ? ", " : "", short_name(plugins[i]));
	fputs(".\n\nExit status: 0 done, 1 failed or different, 2 wrong usage, 3 incomplete,\n"
	      "4 not permitted.\n",
	      to);
	return to == stdout ? OK : USAGE;
}

/* ---- what is misspelt ----------------------------------------------------------------------- */

/* Letters to change, leave out or put in, and neighbours to swap, until a is b. */
static size_t distance(const char *a, const char *b)
{
	enum { MOST = 32 };
	size_t d[MOST + 1][MOST + 1], n = strnlen(a, MOST), m = strnlen(b, MOST);

	for (size_t i = 0; i <= n; i++)
		for (size_t k = 0; k <= m; k++) {
			if (!i || !k) {
				d[i][k] = i + k;
				continue;
			}
			size_t best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);

			best = d[i - 1][k] + 1 < best ? d[i - 1][k] + 1 : best;
			best = d[i][k - 1] + 1 < best ? d[i][k - 1] + 1 : best;
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
			    d[i - 2][k - 2] + 1 < best)
				best = d[i - 2][k - 2] + 1;
			d[i][k] = best;
		}
	return d[n][m];
}

struct nearest {
	const char *to, *name;
	size_t distance;
};

static void consider(struct nearest *n, const char *name)
{
	size_t d = distance(n->to, name), len = strlen(n->to);

	if (len >= 3 && !strncmp(name, n->to, len)) /* it is cut short */
		d = 0;
	if (len <= 3 && d > 1) /* nearly nothing of it is left */
		return;
	if (d < n->distance) {
		n->distance = d;
		n->name = name;
	}
}

static int no_command(const char *name)
{
	struct nearest n = {.to = name, .distance = 3};

	for (const struct noun *x = nouns; x->name; x++)
		consider(&n, x->name);
	for (size_t i = 0; i < NM_COUNT(plugins); i++)
		consider(&n, short_name(plugins[i]));
	for (size_t i = 0; i < NM_COUNT(commands); i++)
		consider(&n, commands[i].name);
	if (n.name)
		return fail(USAGE, "no command \"%s\"; is \"%s\" meant? `netmon --help` lists them",
			    name, n.name);
	return fail(USAGE, "no command \"%s\"; `netmon --help` lists them, such as link", name);
}

static const char *what(void)
{
	return arg.noun ? arg.noun->name : command->name;
}

static int no_option(const char *name)
{
	struct nearest n = {.to = name, .distance = 3};
	bool elsewhere = false;

	for (size_t i = 0; i < NM_COUNT(options); i++) {
		elsewhere |= !strcmp(options[i].name, name);
		if (takes(&options[i]))
			consider(&n, options[i].name);
	}
	if (elsewhere)
		return fail(USAGE, "%s takes no --%s; `netmon %s --help` says what it takes",
			    what(), name, what());
	if (n.name)
		return fail(USAGE,
			    "no option --%s; is --%s meant? `netmon %s --help` says what it takes",
			    name, n.name, what());
	return fail(USAGE, "no option --%s; `netmon %s --help` says what it takes", name, what());
}

/* ---- the command line -------------------------------------------------------------------------- */

static int number(const struct option *o, const char *text, double *to)
{
	char *end;

	*to = strtod(text, &end);
	if (*text && !*end && *to >= o->min && *to <= o->max)
		return OK;
	return fail(USAGE, "--%s: \"%s\" is not accepted; accepted is a number from %g to %g",
		    o->name, text, o->min, o->max);
}

static int set_color(const char *how)
{
	if (!*how || !strcmp(how, "always"))
		arg.color = true;
	else if (!strcmp(how, "never"))
		arg.color = false;
	else if (strcmp(how, "auto") != 0)
		return fail(USAGE,
			    "--color: \"%s\" is not accepted; accepted is always, auto or never",
			    how);
	return OK;
}

static int set(const struct option *o, const char *value)
{
	double n;
	int status;

	switch (o->kind) {
	case YES:
		*(bool *)o->to = true;
		return OK;
	case TEXT_OF:
		*(const char **)o->to = value;
		return OK;
	case NUMBER:
		return number(o, value, o->to);
	case COUNT:
		arg.counted = true;
		status = number(o, value, &n);
		*(unsigned long *)o->to = (unsigned long)n;
		return status;
	case BIT:
	case FLAG:
		*(unsigned *)o->to |= o->bit;
		return OK;
	case FORMAT:
		arg.format = o->bit;
		return OK;
	case COLOR:
		return set_color(value);
	case MANY:
		if (arg.options == NM_COUNT(arg.option))
			return fail(USAGE, "--%s: at most %zu; -c reads them from a file", o->name,
				    NM_COUNT(arg.option));
		arg.option[arg.options++] = value;
		return OK;
	default:
		puts("netmon " NM_VERSION);
		exit(OK);
	}
}

/* One option, which may take its value from the next word. */
static int take_option(char **word, size_t *i, size_t n)
{
	const char *s = word[*i], *value = NULL;
	const struct option *o = NULL;
	char name[64];
	bool is_long = s[1] == '-';
	size_t len = is_long ? strcspn(s + 2, "=") : 1;

	snprintf(name, sizeof(name), "%.*s", (int)len, s + 1 + is_long);
	for (size_t k = 0; !o && k < NM_COUNT(options); k++)
		if (takes(&options[k]) &&
		    (is_long ? !strcmp(options[k].name, name) : options[k].letter == s[1]))
			o = &options[k];
	if (!o)
		return is_long ? no_option(name) :
				 fail(USAGE, "no option %s; `netmon %s --help` says what it takes",
				      s, what());
	if (is_long && s[2 + len] == '=')
		value = s + 3 + len;
	else if (!is_long && s[2])
		value = s + 2;
	if (!o->value && value)
		return fail(USAGE, "--%s takes no value, and \"%s\" is one", o->name, value);
	if (o->value && *o->value != '[' && !value) {
		if (*i + 1 >= n)
			return fail(USAGE, "--%s needs a value: %s", o->name, o->value);
		value = word[++*i];
	}
	return set(o, value ? value : "");
}

static int parse(char **word, size_t n)
{
	bool only_words = false;
	int status = OK;

	arg.word = word;
	for (size_t i = 0; !status && i < n; i++) {
		if (!only_words && !strcmp(word[i], "--"))
			only_words = true;
		else if (!only_words && word[i][0] == '-' && word[i][1])
			status = take_option(word, &i, n);
		else
			word[arg.words++] = word[i];
	}
	if (status || arg.help)
		return status;
	if (arg.words > command->max)
		return fail(USAGE,
			    "\"%s\" is one word too many; `netmon %s --help` says what is "
			    "accepted",
			    arg.word[command->max], what());
	if (arg.record && arg.replay)
		return fail(USAGE, "--record and --replay exclude each other");
	return OK;
}

/* The table of options for the manual: a hyphen at a line's start would be troff's. */
static int help_man(void)
{
	for (const struct option *o = options; o < options + NM_COUNT(options); o++) {
		if (!o->help)
			continue;
		printf(".TP\n\\fB\\-\\-%s\\fR", o->name);
		if (o->value)
			printf("%s\\fI%s\\fR", *o->value == '[' ? "[=" : "=",
			       o->value + (*o->value == '['));
		if (o->letter)
			printf(", \\fB\\-%c\\fR", o->letter);
		printf("\n%s\n", o->help);
	}
	return OK;
}

static int show_help(void)
{
	if (arg.man)
		return help_man();
	if (!arg.words)
		return help_all(stdout);
	const struct noun *noun = noun_named(arg.word[0]);
	const struct command *c = noun ? &show_command : command_named(arg.word[0]);

	if (!c)
		return no_command(arg.word[0]);
	if (!c->run)
		return run_graph((char *[]){arg.word[0], (char[]){"--help"}}, 2);
	arg.noun = noun;
	command = c;
	return help_of(arg.word[0]);
}

/* A reader that went away has seen enough; a disk that is full is another thing. */
static int close_output(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	bool failed = ferror(stdout);

	errno = 0;
	failed |= fflush(stdout) != 0;
	if (!failed || errno == EPIPE || (poll(&out, 1, 0) == 1 && out.revents & POLLERR))
		return OK;
	return fail(FAILED, "standard output cannot be written: %s", strerror(errno ? errno : EIO));
}

static void choose_format(void)
{
	bool terminal = isatty(STDOUT_FILENO);

	if (arg.format == FORMAT_PRETTY ||
	    (arg.format == FORMAT_AUTO && terminal && command->group & SHOW))
		arg.print |= NM_PRETTY;
	if (arg.format == FORMAT_NDJSON)
		arg.print |= NM_ONE_LINE;
}

/* Called by the name of one of the toolkit's five commands, or by netmon's own. */
static const struct noun *called_as(const char *program)
{
	const char *slash = strrchr(program, '/');

	program = slash ? slash + 1 : program;
	for (const struct noun *n = nouns; n->name; n++)
		if (n->toolkit && !strcmp(n->toolkit, program))
			return n;
	return NULL;
}

int main(int argc, char **argv)
{
	const char *name;
	int status, closed, skip = 1;

	signal(SIGPIPE, SIG_IGN); /* a write says EPIPE then, and what is open is closed */
	setlocale(LC_CTYPE, "");
	name = getenv("NO_COLOR");
	arg.color = isatty(STDOUT_FILENO) && !(name && *name);
	arg.noun = argc ? called_as(argv[0]) : NULL;
	arg.toolkit = arg.noun;
	if (!arg.noun) {
		name = argc > 1 ? argv[1] : "";
		if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
			help_all(stdout);
			return close_output();
		}
		if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
			puts("netmon " NM_VERSION);
			return close_output();
		}
		if (*name == '-')
			return fail(
				USAGE,
				"%s: a command comes first, such as link; `netmon --help` lists them",
				name);
		if (!*name)
			return help_all(stderr);
		skip = 2;
		arg.noun = noun_named(name);
		const struct command *c = arg.noun ? &show_command : command_named(name);

		if (!c)
			return no_command(name);
		command = c;
		if (!c->run) /* a program of its own, which knows its own words */
			return run_graph(argv + 1, (size_t)argc - 1);
	}
	status = parse(argv + skip, (size_t)(argc - skip));
	if (!status) {
		choose_format();
		status = arg.help ? help_of(what()) : command->run();
	}
	closed = close_output();
	return status ? status : closed;
}
