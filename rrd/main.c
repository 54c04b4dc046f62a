/* SPDX-License-Identifier: MIT */
/* netmon-graph: pictures, pages and numbers of what collectd has written to RRD files. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "graph.h"

#define DATA_DIR "/var/lib/collectd/rrd"
#define ETC_DIR  "/etc/netmon/graphs"

/* ---- what all files use --------------------------------------------------------------------- */

int fail(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("netmon-graph: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
	return status;
}

void *need(void *p)
{
	if (!p)
		exit(fail(FAILED, "%s", strerror(ENOMEM)));
	return p;
}

char *text(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return need(s);
}

void add_word(struct words *w, char *word)
{
	if (!(w->n & (w->n - 1))) /* 0 or a power of two: it is full */
		w->v = need(realloc(w->v, (w->n ? 2 * w->n : 1) * sizeof(*w->v)));
	w->v[w->n++] = word;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void sort_words(struct words *w)
{
	if (w->n)
		qsort(w->v, w->n, sizeof(*w->v), by_name);
}

void unique_words(struct words *w)
{
	size_t kept = 0;

	sort_words(w);
	for (size_t i = 0; i < w->n; i++)
		if (kept && !strcmp(w->v[kept - 1], w->v[i]))
			free(w->v[i]);
		else
			w->v[kept++] = w->v[i];
	w->n = kept;
}

void words_free(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words){0};
}

/* Bytes of a well-formed sequence of UTF-8 (RFC 3629) that is no control character, else 0. */
static size_t sequence(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] < 0x20 || s[0] == 0x7f || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
	    (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

char *clean(const char *s)
{
	char *out = need(malloc(3 * strlen(s) + 1)), *to = out;

	while (*s) {
		size_t n = sequence((const unsigned char *)s);

		to = mempcpy(to, n ? s : "\xef\xbf\xbd", n ? n : 3); /* U+FFFD */
		s += n ? n : 1;
	}
	*to = 0;
	return out;
}

/* Seconds are told in thousandths and less; of other things there is 0.02. */
void put_number(char *buf, size_t size, double x, const char *unit, bool columns)
{
	static const char prefix[] = "pnum kMGTPE";
	int p = 4;

	if (isnan(x)) {
		snprintf(buf, size, columns ? "      -  " : "\xe2\x80\x93"); /* U+2013 */
		return;
	}
	for (; fabs(x) >= 999.5 && prefix[p + 1]; p++)
		x /= 1000;
	for (; !strcmp(unit, "s") && x != 0 && fabs(x) < 0.9995 && p > 0; p--)
		x *= 1000;
	if (columns)
		snprintf(buf, size, "%7.2f %c", x, prefix[p]);
	else
		snprintf(buf, size, p == 4 ? "%.*f" : "%.*f %c",
			 x == floor(x) || fabs(x) >= 99.95 ? 0 :
			 fabs(x) >= 9.995                  ? 1 :
			 fabs(x) >= 0.1                    ? 2 :
							     3,
			 x, prefix[p]);
}

const char *unit_gap(const char *unit)
{
	return strlen(unit) > 3 && !strchr(unit, '/') ? " " : "";
}

/* ---- arguments ------------------------------------------------------------------------------ */

static struct {
	const char *output, *rrd, *host, *cached, *graph, *last, *start, *end, *format;
	const char *command, *object;
	struct words graphs;
	struct look look;
	enum form form;
} arg = {
	.rrd = DATA_DIR,
	.look = {.legend = true, .width = 860, .height = 300, .zoom = 1},
};

static struct definitions definitions;
static bool wrong_definitions;

enum {
	RRD = 256,
	HOST,
	CACHED,
	GRAPH,
	GRAPHS,
	LAST,
	TODAY,
	START,
	END,
	FORMAT,
	THEME,
	WIDTH,
	HEIGHT,
	ZOOM,
	JSON,
	CSV,
	HELP,
	VERSION
};

static const struct option longs[] = {
	{"output", required_argument, NULL, 'o'},
	{"rrd", required_argument, NULL, RRD},
	{"host", required_argument, NULL, HOST},
	{"daemon", required_argument, NULL, CACHED},
	{"graph", required_argument, NULL, GRAPH},
	{"graphs", required_argument, NULL, GRAPHS},
	{"last", required_argument, NULL, LAST},
	{"today", no_argument, NULL, TODAY},
	{"start", required_argument, NULL, START},
	{"end", required_argument, NULL, END},
	{"format", required_argument, NULL, FORMAT},
	{"theme", required_argument, NULL, THEME},
	{"width", required_argument, NULL, WIDTH},
	{"height", required_argument, NULL, HEIGHT},
	{"zoom", required_argument, NULL, ZOOM},
	{"json", no_argument, NULL, JSON},
	{"csv", no_argument, NULL, CSV},
	{"help", no_argument, NULL, HELP},
	{"version", no_argument, NULL, VERSION},
	{0},
};

static int help(FILE *to)
{
	fputs("Usage: netmon-graph KIND [OBJECT] -o FILE [OPTION]...\n"
	      "       netmon-graph list\n"
	      "       netmon-graph all -o DIR [OPTION]...\n"
	      "       netmon-graph history INTERFACE [OPTION]...\n"
	      "       netmon-graph summary [OPTION]...\n\n"
	      "Draws what collectd's plugins rrdtool and rrdcached have written.\n\n"
	      "Commands:\n"
	      "  KIND [OBJECT]        one graph, such as `netmon-graph link eth0 -o eth0.png`\n"
	      "  list                 the objects of each kind, and the graphs of each\n"
	      "  all                  pages with all graphs, to be read in a browser\n"
	      "  history INTERFACE    traffic, availability and flaps, period by period\n"
	      "  summary              the same of all interfaces, and in total\n\n"
	      "Options:\n"
	      "  -o, --output FILE    where to; - is standard output\n"
	      "  --rrd DIR            DataDir of collectd's plugin (" DATA_DIR ")\n"
	      "  --host NAME          a directory below it (this host, or the only one)\n"
	      "  --daemon ADDRESS     rrdcached: write first what it holds ($RRDCACHED_ADDRESS)\n"
	      "  --last SPAN          24h (default), 90m, 7d, 4w, 12mon, 5y\n"
	      "  --today              since midnight\n"
	      "  --start, --end TIME  as rrdtool understands it: \"20261101 08:00\", -2days\n"
	      "  --graph NAME         another graph than the first of the object\n"
	      "  --graphs DIR         more definitions of graphs; can be given more than once\n"
	      "  --format png|svg     (from the file's name)\n"
	      "  --theme light|dark   (light)\n"
	      "  --width, --height N  of what is inside the axes (860, 300)\n"
	      "  --zoom N             2: as large, with twice as many pixels (1)\n"
	      "  --json, --csv        history, summary: for programs\n"
	      "  --help, --version\n\n"
	      "Exit status: 0 done, 1 failed or incomplete, 2 wrong usage.\n",
	      to);
	return to == stdout ? OK : USAGE;
}

static int number(const char *option, const char *s, double min, double max, double *to)
{
	char *end;

	*to = strtod(s, &end);
	if (*s && !*end && *to >= min && *to <= max)
		return OK;
	return fail(USAGE, "--%s: \"%s\" is not accepted; accepted is a number from %g to %g",
		    option, s, min, max);
}

static int one_of(const char *option, const char *s, const char *no, const char *yes, bool *to)
{
	*to = !strcasecmp(s, yes);
	if (*to || !strcasecmp(s, no))
		return OK;
	return fail(USAGE, "--%s: \"%s\" is not accepted; accepted is %s or %s", option, s, no,
		    yes);
}

static int take(int c)
{
	int status = OK;
	double n = 0;

	switch (c) {
	case 'o':
		arg.output = optarg;
		return OK;
	case RRD:
		arg.rrd = optarg;
		return OK;
	case HOST:
		arg.host = optarg;
		return OK;
	case CACHED:
		arg.cached = optarg;
		return OK;
	case GRAPH:
		arg.graph = optarg;
		return OK;
	case GRAPHS:
		add_word(&arg.graphs, text("%s", optarg));
		return OK;
	case LAST:
		arg.last = optarg;
		return OK;
	case TODAY:
		arg.start = "00:00";
		return OK;
	case START:
		arg.start = optarg;
		return OK;
	case END:
		arg.end = optarg;
		return OK;
	case FORMAT:
		arg.format = optarg;
		return one_of("format", optarg, "png", "svg", &arg.look.svg);
	case THEME:
		return one_of("theme", optarg, "light", "dark", &arg.look.dark);
	case WIDTH:
	case HEIGHT:
		status = number(c == WIDTH ? "width" : "height", optarg, 50, 10000, &n);
		*(c == WIDTH ? &arg.look.width : &arg.look.height) = (unsigned)n;
		return status;
	case ZOOM:
		return number("zoom", optarg, 0.25, 8, &arg.look.zoom);
	case JSON:
		arg.form = FORM_JSON;
		return OK;
	case CSV:
		arg.form = FORM_CSV;
		return OK;
	case HELP:
		exit(help(stdout));
	case VERSION:
		puts("netmon-graph " NM_VERSION);
		exit(OK);
	default:
		return USAGE; /* getopt has said why */
	}
}

/* ---- time ----------------------------------------------------------------------------------- */

static int parse_last(const char *s, time_t *seconds, char *span, size_t size)
{
	static const struct {
		const char *suffix, *word;
		double seconds;
	} units[] = {
		{"s", "seconds", 1},        {"m", "minutes", 60},     {"min", "minutes", 60},
		{"h", "hours", 3600},       {"d", "days", 86400},     {"w", "weeks", 604800},
		{"mon", "months", 2678400}, {"y", "years", 31622400},
	};
	char *end;
	double n = strtod(s, &end);

	for (size_t i = 0; i < NM_COUNT(units); i++)
		if (end != s && !strcmp(end, units[i].suffix) && n * units[i].seconds >= 60 &&
		    n * units[i].seconds <= 1e10) {
			*seconds = (time_t)(n * units[i].seconds);
			if (n == 1)
				snprintf(span, size, "last %.*s", (int)strlen(units[i].word) - 1,
					 units[i].word);
			else
				snprintf(span, size, "last %g %s", n, units[i].word);
			return OK;
		}
	return fail(USAGE,
		    "--last: \"%s\" is not accepted; accepted are at least a minute, and "
		    "s, m, h, d, w, mon or y, such as 24h",
		    s);
}

static int parse_time(const char *option, const char *s, struct rrd_time_value *t)
{
	char *wrong = rrd_parsetime(s, t);

	return wrong ? fail(USAGE, "--%s: %s", option, wrong) : OK;
}

/* Start and end, and how to call what is between. */
static int parse_span(struct look *look, char *span, size_t size)
{
	struct rrd_time_value start, end;
	time_t seconds = 86400;
	struct tm a, b;
	char from[32], to[32];
	int status = parse_time("end", arg.end ? arg.end : "now", &end);

	if (!status && arg.last && arg.start)
		status = fail(USAGE, "--last and --start exclude each other");
	snprintf(span, size, "last 24 hours");
	if (!status && arg.last)
		status = parse_last(arg.last, &seconds, span, size);
	if (!status)
		status = parse_time("start", arg.start ? arg.start : "now", &start);
	rrd_clear_error();
	if (!status && rrd_proc_start_end(&start, &end, &look->start, &look->end))
		status = fail(USAGE, "--start, --end: %s", rrd_get_error());
	if (status)
		return status;
	if (!arg.start)
		look->start = look->end - seconds;
	if (look->start >= look->end)
		return fail(USAGE, "--start is not before --end");
	look->span = span;
	if (!arg.start && !arg.end)
		return OK;
	strftime(from, sizeof(from), "%Y-%m-%d %H:%M", localtime_r(&look->start, &a));
	strftime(to, sizeof(to), "%Y-%m-%d %H:%M", localtime_r(&look->end, &b));
	snprintf(span, size, "%s to %s", from, to);
	return OK;
}

/* ---- hosts and definitions ------------------------------------------------------------------ */

/* Those of the package or the source, then those of the administrator. */
static int read_definitions(void)
{
	static const char *const beside[] = {"/../share/netmon/graphs", "/../rrd/graphs",
					     "/../../rrd/graphs"};
	char program[PATH_MAX], *slash, *dir;
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	struct words all = {0};
	int status;

	program[len > 0 ? len : 0] = 0;
	slash = strrchr(program, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; slash && !all.n && i < NM_COUNT(beside); i++) {
		dir = text("%s%s", program, beside[i]);
		if (access(dir, R_OK))
			free(dir);
		else
			add_word(&all, dir);
	}
	add_word(&all, text(ETC_DIR));
	for (size_t i = 0; i < arg.graphs.n; i++)
		add_word(&all, text("%s", arg.graphs.v[i]));
	status = definitions_read(&definitions, &all, arg.graphs.n);
	words_free(&all);
	/* What is wrong in one does not keep the others from being drawn. */
	wrong_definitions = definitions.n && status;
	return definitions.n ? OK : status;
}

static bool is_kind(const char *name)
{
	for (size_t i = 0; i < definitions.n; i++)
		if (!strcmp(definitions.v[i].kind, name))
			return true;
	return false;
}

/* The host that is meant when none was named. */
static int choose_host(void)
{
	struct words hosts = {0};
	char name[256] = "";
	int status;

	if (arg.host && (!*arg.host || *arg.host == '.' || strchr(arg.host, '/')))
		return fail(USAGE,
			    "--host: \"%s\" is not accepted; accepted is the name of a "
			    "directory in %s",
			    arg.host, arg.rrd);
	if (arg.host)
		return OK;
	status = hosts_below(arg.rrd, &hosts);
	gethostname(name, sizeof(name) - 1);
	for (size_t i = 0; !status && i < hosts.n; i++)
		if (hosts.n == 1 || !strcmp(hosts.v[i], name) ||
		    (!arg.host && !strncmp(hosts.v[i], name, strcspn(name, ".")) &&
		     hosts.v[i][strcspn(name, ".")] == 0))
			arg.host = strdup(hosts.v[i]);
	if (!status && !arg.host)
		status = fail(USAGE, "%zu hosts are in %s, such as %s: --host says which", hosts.n,
			      arg.rrd, hosts.v[0]);
	words_free(&hosts);
	return status;
}

/* ---- commands ------------------------------------------------------------------------------- */

static int no_such_object(const struct store *s)
{
	struct words names = {0};
	int status;

	objects(&definitions, s, arg.command, &names);
	if (!names.n)
		status = fail(FAILED, "%s/%s has nothing of the kind %s", s->root, s->host,
			      arg.command);
	else if (!arg.object && *names.v[0])
		status = fail(USAGE, "%s: which? There is %s%s", arg.command, names.v[0],
			      names.n > 1 ? ", and others that `netmon-graph list` shows" : "");
	else
		status = fail(FAILED,
			      "%s/%s has no graph%s%s of %s %s; `netmon-graph list` shows "
			      "what it has",
			      s->root, s->host, arg.graph ? " " : "", arg.graph ? arg.graph : "",
			      arg.command, arg.object ? arg.object : "");
	words_free(&names);
	return status;
}

static int draw_one(const struct store *s)
{
	const char *object = arg.object ? arg.object : "", *dot;
	const struct definition *def = NULL;
	struct drawing d;
	int status;

	if (!arg.output)
		return fail(USAGE, "-o FILE says where to write; - is standard output");
	dot = strrchr(arg.output, '.');
	if (!arg.format && dot)
		arg.look.svg = !strcasecmp(dot, ".svg");
	if (!arg.format && strcmp(arg.output, "-") && !arg.look.svg &&
	    (!dot || strcasecmp(dot, ".png")))
		return fail(USAGE,
			    "-o %s: accepted are names that end in .png or .svg, or --format",
			    arg.output);
	for (size_t i = 0; !def && definitions.v && i < definitions.n; i++)
		if (!strcmp(definitions.v[i].kind, arg.command) &&
		    (!arg.graph || !strcmp(definitions.v[i].id, arg.graph)) &&
		    definition_applies(&definitions.v[i], s, object))
			def = &definitions.v[i];
	if (!def)
		return no_such_object(s);
	status = drawing_open(&d, def, s, object, &arg.look);
	if (!status)
		status = drawing_write(&d, &arg.look, arg.output);
	if (d.incomplete)
		status = FAILED;
	drawing_free(&d);
	return status;
}

static void list_object(const struct store *s, const char *kind, const char *object)
{
	char *name = clean(object);
	bool any = false;

	printf("%s%s%s:", kind, *name ? " " : "", name);
	for (size_t i = 0; i < definitions.n; i++)
		if (!strcmp(definitions.v[i].kind, kind) &&
		    definition_applies(&definitions.v[i], s, object)) {
			printf("%s %s", any ? "," : "", definitions.v[i].id);
			any = true;
		}
	putchar('\n');
	free(name);
}

static int list(const struct store *s)
{
	size_t n = 0;

	for (size_t i = 0; i < definitions.n; i++) {
		const char *kind = definitions.v[i].kind;
		struct words names = {0};
		size_t first = 0;

		while (strcmp(definitions.v[first].kind, kind) != 0)
			first++;
		if (first != i)
			continue;
		objects(&definitions, s, kind, &names);
		for (size_t k = 0; k < names.n; k++)
			list_object(s, kind, names.v[k]);
		n += names.n;
		words_free(&names);
	}
	return n ? OK :
		   fail(FAILED, "%s/%s: no graph can be drawn of what is there", s->root, s->host);
}

static int write_all(void)
{
	struct words hosts = {0};
	int status = OK;

	if (!arg.output || !strcmp(arg.output, "-"))
		return fail(USAGE, "-o DIR says where to write the pages");
	if (arg.host)
		status = choose_host();
	if (!status && arg.host)
		add_word(&hosts, text("%s", arg.host));
	else if (!status)
		status = hosts_below(arg.rrd, &hosts);
	if (!status)
		status = site_write(&definitions, arg.rrd, &hosts, arg.cached, arg.output,
				    arg.look.svg);
	words_free(&hosts);
	return status;
}

static int of_host(void)
{
	struct store s;
	int status = choose_host();

	if (status)
		return status;
	status = store_open(&s, arg.rrd, arg.host, arg.cached);
	if (status)
		;
	else if (!strcmp(arg.command, "history"))
		status = arg.object ?
				 history(&s, arg.object, arg.look.start, arg.look.end, arg.form) :
				 fail(USAGE, "history: of which interface? `netmon-graph list` "
					     "shows them");
	else if (!strcmp(arg.command, "summary"))
		status = summary(&s, arg.look.start, arg.look.end, arg.form);
	else if (!strcmp(arg.command, "list"))
		status = list(&s);
	else
		status = draw_one(&s);
	store_close(&s);
	return status;
}

static int dispatch(void)
{
	static const char *const without[] = {"history", "summary"};
	static char span[80];
	int status = parse_span(&arg.look, span, sizeof(span));
	bool numbers = false;

	if (status || !arg.command)
		return status;
	for (size_t i = 0; i < NM_COUNT(without); i++)
		numbers |= !strcmp(arg.command, without[i]);
	if (!numbers)
		status = read_definitions();
	if (status)
		return status;
	if (!strcmp(arg.command, "all"))
		return write_all();
	if (!numbers && strcmp(arg.command, "list") && !is_kind(arg.command))
		return fail(USAGE,
			    "\"%s\" is no command and no kind of object; `netmon-graph "
			    "--help` lists them, such as link",
			    arg.command);
	return of_host();
}

int main(int argc, char **argv)
{
	int c, status = OK;

	setlocale(LC_TIME, "");
	arg.cached = getenv("RRDCACHED_ADDRESS");
	while (!status && (c = getopt_long(argc, argv, "o:", longs, NULL)) != -1)
		status = take(c);
	if (status)
		return status;
	if (optind >= argc)
		return help(stderr);
	/* librrd would ask rrdcached for files by names that are not theirs. */
	unsetenv("RRDCACHED_ADDRESS");
	arg.command = argv[optind++];
	arg.object = optind < argc ? argv[optind++] : NULL;
	if (optind < argc ||
	    (arg.object && (!strcmp(arg.command, "list") || !strcmp(arg.command, "all") ||
			    !strcmp(arg.command, "summary"))))
		status = fail(USAGE,
			      "\"%s\" is one word too many; `netmon-graph --help` says what "
			      "is accepted",
			      argv[optind < argc ? optind : optind - 1]);
	if (!status)
		status = dispatch();
	if (!status && wrong_definitions)
		status = FAILED;
	definitions_free(&definitions);
	words_free(&arg.graphs);
	if (fflush(stdout) && errno != EPIPE && !status)
		status = fail(FAILED, "standard output cannot be written: %s", strerror(errno));
	return status;
}
