/* SPDX-License-Identifier: MIT */
/* netmon top: interfaces and what passes through them, from the values of netmon_link. */
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

enum { DOWN = 0, IDLE = 1, ACTIVE = 2 };
enum { HISTORY = 60, MAX_LINE = 1024 };

/* What is shown of an interface; rates by second, NAN: not known (yet). */
enum field { RX, TX, RX_PACKETS, TX_PACKETS, ERRORS, USED, FIELDS };

struct iface {
	char name[128];
	double state;
	uint64_t counter[6]; /* rx, tx, packets both ways, errors and drops */
	bool has[6], had[6];
	uint64_t was[6];
	double rate[FIELDS], used_now;
	float history[HISTORY]; /* bits a second, both ways; the last is now */
	uint64_t seen;
};

static const struct field_row {
	const char *title;
	char key;
	size_t width;
} field_rows[FIELDS] = {
	[RX] = {"rx", 'r', 11},
	[TX] = {"tx", 't', 11},
	[RX_PACKETS] = {"rx pkt/s", 'p', 8},
	[TX_PACKETS] = {"tx pkt/s", 'P', 8},
	[ERRORS] = {"err/s", 'e', 6}, /* and drops */
	[USED] = {"used", 'u', 5},
};

static struct top {
	struct iface **v;
	size_t n, room;
	struct nm_map named; /* name -> struct iface * */
	uint64_t reading;
	enum field sort;
	bool by_name, any; /* any: two readings were made */
	char filter[64];
	bool typing;
	size_t lines; /* of the terminal */
	size_t first; /* scrolled to */
} top = {.named = {.key = sizeof(((struct iface *)0)->name), .val = sizeof(struct iface *)}};

static volatile sig_atomic_t ended, resized;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		ended = number;
}

/* ---- readings -------------------------------------------------------------------------- */

static struct iface *add(const char *name)
{
	struct iface **more, *f;

	if (top.n == top.room) {
		more = reallocarray(top.v, top.room ? 2 * top.room : 64, sizeof(*more));
		if (!more)
			return NULL;
		top.v = more;
		top.room = top.room ? 2 * top.room : 64;
	}
	f = malloc(sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct iface){.state = NAN, .used_now = NAN};
	memcpy(f->name, name, sizeof(f->name));
	top.v[top.n++] = f;
	return f;
}

static struct iface *iface_named(const char *instance)
{
	char name[sizeof(((struct iface *)0)->name)] = "";
	struct iface **at;
	bool fresh;

	snprintf(name, sizeof(name), "%s", instance);
	at = nm_map_put(&top.named, name, &fresh);
	if (at && fresh)
		*at = add(name);
	if (at && !*at)
		nm_map_del(&top.named, name);
	return at ? *at : NULL;
}

static void forget(struct iface *f)
{
	nm_map_del(&top.named, f->name);
	free(f);
}

static void take_value(struct iface *f, const struct nm_value *v, const union nm_number *n)
{
	static const struct {
		const char *type;
		size_t first;
		bool sum;
	} rows[] = {{"if_octets", 0, false},
		    {"if_packets", 2, false},
		    {"if_errors", 4, true},
		    {"if_dropped", 5, true}};

	if (v->gauge && v->type_instance && !strcmp(v->type_instance, "link_state"))
		f->state = n->gauge;
	if (v->gauge && v->type_instance && !strncmp(v->type_instance, "utilization_", 12))
		f->used_now = fmax(isnan(f->used_now) ? 0 : f->used_now, n->gauge);
	for (size_t i = 0; i < NM_COUNT(rows); i++) {
		if (v->type_instance || v->n != 2 || strcmp(v->type, rows[i].type) != 0)
			continue;
		f->counter[rows[i].first] = n[0].derive + (rows[i].sum ? n[1].derive : 0);
		f->has[rows[i].first] = true;
		if (!rows[i].sum) {
			f->counter[rows[i].first + 1] = n[1].derive;
			f->has[rows[i].first + 1] = true;
		}
	}
}

/* A counter that starts anew has no rate. */
static double rate(const struct iface *f, size_t i, double seconds)
{
	if (!f->has[i] || !f->had[i] || f->counter[i] < f->was[i] || seconds <= 0)
		return NAN;
	return (double)(f->counter[i] - f->was[i]) / seconds;
}

static void settle(struct iface *f, double seconds)
{
	double errors = rate(f, 4, seconds), drops = rate(f, 5, seconds), both;

	f->rate[RX] = rate(f, 0, seconds) * 8;
	f->rate[TX] = rate(f, 1, seconds) * 8;
	f->rate[RX_PACKETS] = rate(f, 2, seconds);
	f->rate[TX_PACKETS] = rate(f, 3, seconds);
	f->rate[ERRORS] = isnan(errors) ? drops : isnan(drops) ? errors : errors + drops;
	f->rate[USED] = f->used_now;
	both = f->rate[RX] + f->rate[TX];
	memmove(f->history, f->history + 1, sizeof(f->history) - sizeof(f->history[0]));
	f->history[HISTORY - 1] = isnan(both) ? 0 : (float)both;
	memcpy(f->was, f->counter, sizeof(f->was));
	memcpy(f->had, f->has, sizeof(f->had));
	memset(f->has, 0, sizeof(f->has));
}

static int read_once(struct nm_view *v, struct nm_reading *r)
{
	static uint64_t last;
	struct iface *f = NULL;
	double seconds;
	int err = nm_read(v, r);
	size_t to = 0;

	if (err)
		return err;
	for (struct nm_notice *n; (n = nm_take_notice(v));)
		free(n);
	seconds = last ? (double)(r->time - last) / 1e9 : 0;
	last = r->time;
	top.reading++;
	for (size_t i = 0; i < top.n; i++)
		top.v[i]->used_now = NAN;
	for (const struct nm_value *x = r->value; x < r->value + r->n; x++) {
		if (x == r->value || x->instance != x[-1].instance)
			f = strcmp(x->instance, "self") != 0 ? iface_named(x->instance) : NULL;
		if (!f)
			continue;
		f->seen = top.reading;
		take_value(f, x, r->number + x->first);
	}
	for (size_t i = 0; i < top.n; i++)
		if (top.v[i]->seen == top.reading) {
			settle(top.v[i], seconds);
			top.v[to++] = top.v[i];
		} else {
			forget(top.v[i]);
		}
	top.n = to;
	top.any = seconds > 0;
	return 0;
}

/* ---- the table ----------------------------------------------------------------------------- */

static int by_sort(const void *a, const void *b)
{
	const struct iface *x = *(struct iface *const *)a, *y = *(struct iface *const *)b;
	double p = isnan(x->rate[top.sort]) ? -1 : x->rate[top.sort];
	double q = isnan(y->rate[top.sort]) ? -1 : y->rate[top.sort];

	if (!top.by_name && top.any && p != q)
		return p < q ? 1 : -1;
	return strcmp(x->name, y->name);
}

static bool matches(const struct iface *f)
{
	if (!*top.filter)
		return true;
	return strpbrk(top.filter, "*?[") ? !fnmatch(top.filter, f->name, 0) :
					    strstr(f->name, top.filter) != NULL;
}

static void put_state(const struct iface *f)
{
	static const struct {
		const char *text;
		int color;
	} state[] = {
		[DOWN] = {"✗ down", RED}, [IDLE] = {"○ idle", DIM}, [ACTIVE] = {"● active", GREEN}};
	int is = isnan(f->state) ? -1 : (int)f->state;

	if (is < DOWN || is > ACTIVE) {
		put_cell("-", 8, false);
		return;
	}
	paint(state[is].color);
	if (width("●") == 1)
		put_cell(state[is].text, 8, false);
	else /* a locale that has no such characters */
		put_cell(strchr(state[is].text, ' ') + 1, 8, false);
	paint(PLAIN);
}

static void put_rate(const struct iface *f, enum field field)
{
	char buf[32], text[40] = "-";
	double r = f->rate[field];

	if (!isnan(r) && field == USED)
		snprintf(text, sizeof(text), "%.*f %%", r < 9.95 ? 1 : 0, r);
	else if (!isnan(r) && field <= TX)
		snprintf(text, sizeof(text), "%s", humane(r, "bit/s", buf));
	else if (!isnan(r))
		snprintf(text, sizeof(text), "%s", humane(r, "", buf));
	if (field == ERRORS && r > 0)
		paint(RED);
	put_cell(text, field_rows[field].width, true);
	if (field == ERRORS && r > 0)
		paint(PLAIN);
}

/* The last readings, each as high as its share of the highest. */
static void put_sparkline(const struct iface *f, size_t cells)
{
	static const char *const bar[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char plain[] = " .:-=+*#@";
	float most = 0;
	bool fine = width("▁") == 1;

	if (cells > HISTORY)
		cells = HISTORY;
	for (size_t i = HISTORY - cells; i < HISTORY; i++)
		most = f->history[i] > most ? f->history[i] : most;
	for (size_t i = HISTORY - cells; i < HISTORY; i++) {
		size_t high = most > 0 ? (size_t)ceilf(f->history[i] / most * 8) : 0;

		if (fine)
			fputs(bar[high], stdout);
		else
			putchar(plain[high]);
	}
}

/* Columns that do not fit are left out from the end; what is left over is the sparkline's. */
static void layout(size_t *name, bool shown[static FIELDS], size_t *spark)
{
	size_t room = columns(), used;
	bool fits = true;

	*name = 9;
	for (size_t i = 0; i < top.n; i++)
		if (matches(top.v[i]) && width(top.v[i]->name) > *name)
			*name = width(top.v[i]->name);
	if (*name > 20)
		*name = 20;
	used = *name + 2 + 8;
	for (enum field i = 0; i < FIELDS; i++) {
		fits &= used + 2 + field_rows[i].width <= room;
		shown[i] = fits;
		used += shown[i] ? 2 + field_rows[i].width : 0;
	}
	*spark = room > used + 4 ? room - used - 2 : 0;
	if (*spark > 30)
		*spark = 30;
}

static size_t print_table(size_t most, const char *newline)
{
	size_t name, spark, lines = 0, skipped = 0;
	bool shown[FIELDS];

	if (top.n)
		qsort(top.v, top.n, sizeof(*top.v), by_sort);
	layout(&name, shown, &spark);
	paint(DIM);
	put_cell("interface", name, false);
	fputs("  ", stdout);
	put_cell("state", 8, false);
	for (enum field i = 0; i < FIELDS; i++)
		if (shown[i]) {
			fputs("  ", stdout);
			if (i == top.sort && !top.by_name)
				paint(BOLD);
			put_cell(field_rows[i].title, field_rows[i].width, true);
			if (i == top.sort && !top.by_name) {
				paint(PLAIN);
				paint(DIM);
			}
		}
	paint(PLAIN);
	fputs(newline, stdout);
	for (size_t i = 0; i < top.n && lines < most; i++) {
		if (!matches(top.v[i]) || skipped++ < top.first)
			continue;
		put_cell(top.v[i]->name, name, false);
		fputs("  ", stdout);
		put_state(top.v[i]);
		for (enum field k = 0; k < FIELDS; k++)
			if (shown[k]) {
				fputs("  ", stdout);
				put_rate(top.v[i], k);
			}
		if (spark && !arg.once) {
			fputs("  ", stdout);
			put_sparkline(top.v[i], spark);
		}
		fputs(newline, stdout);
		lines++;
	}
	return lines;
}

/* ---- the terminal ------------------------------------------------------------------------------ */

static struct termios before;

static void terminal_on(void)
{
	struct termios raw;

	tcgetattr(STDIN_FILENO, &before);
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs("\033[?1049h\033[?25l", stdout); /* another screen, no cursor */
}

static void terminal_off(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void draw(void)
{
	struct winsize w = {.ws_row = 24};
	struct tm tm;
	time_t t = time(NULL);
	char clock[16], head[256];

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	top.lines = w.ws_row < 5 ? 5 : w.ws_row;
	localtime_r(&t, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(head, sizeof(head), "netmon top  %s  every %g s%s%s%s%s%s", clock, arg.interval,
		 arg.netns ? "  namespace " : "", arg.netns ? arg.netns : "",
		 *top.filter || top.typing ? "  filter: " : "", top.filter, top.typing ? "_" : "");
	fputs("\033[H", stdout);
	put_cell(head, columns(), false);
	fputs("\033[K\r\n\033[K\r\n", stdout);
	print_table(top.lines - 4, "\033[K\r\n");
	fputs("\033[J", stdout);
	printf("\033[%zu;1H", top.lines);
	paint(DIM);
	put_cell("q quit  r t p P e u n sort  / filter  arrows scroll", columns(), false);
	paint(PLAIN);
	fflush(stdout);
}

static void type_filter(char c)
{
	size_t n = strlen(top.filter);

	if (c == '\n' || c == '\r') {
		top.typing = false;
	} else if (c == 27) {
		top.typing = false;
		*top.filter = 0;
	} else if ((c == 127 || c == '\b') && n) {
		top.filter[n - 1] = 0;
	} else if (n + 1 < sizeof(top.filter) && !iscntrl((unsigned char)c)) {
		top.filter[n] = c;
		top.filter[n + 1] = 0;
	}
}

/* One key; an arrow is three characters.  true: quit. */
static bool key(const char *s, size_t n, size_t *used)
{
	*used = 1;
	if (top.typing) {
		type_filter(*s);
		return false;
	}
	if (n >= 3 && s[0] == 27 && s[1] == '[') {
		*used = 3;
		if (s[2] == 'B' && top.first + 1 < top.n)
			top.first++;
		if (s[2] == 'A' && top.first)
			top.first--;
		return false;
	}
	top.typing = *s == '/';
	top.by_name |= *s == 'n';
	for (enum field k = 0; k < FIELDS; k++)
		if (field_rows[k].key == *s) {
			top.sort = k;
			top.by_name = false;
		}
	return *s == 'q' || *s == 'Q';
}

static bool keys(const char *s, size_t n)
{
	bool quit = false;

	for (size_t used; n && !quit; s += used, n -= used)
		quit = key(s, n, &used);
	return quit;
}

/* Until the next reading is due: keys, a new size, events.  true: quit. */
static bool wait_until(struct nm_view *v, uint64_t end, bool live)
{
	struct pollfd fds[4] = {{.fd = live ? STDIN_FILENO : -1, .events = POLLIN}};
	int fd[3];
	size_t n = nm_fds(v, fd, NM_COUNT(fd));
	char typed[32];

	for (size_t i = 0; i < n; i++)
		fds[i + 1] = (struct pollfd){.fd = fd[i], .events = POLLIN};
	for (uint64_t t; (t = now()) < end && !ended;) {
		int ready = poll(fds, (nfds_t)n + 1, (int)((end - t + 999999) / 1000000));

		if (resized) {
			resized = 0;
			draw();
		}
		if (ready <= 0)
			continue;
		if (fds[0].revents) {
			ssize_t got = read(STDIN_FILENO, typed, sizeof(typed));

			if (got <= 0 || keys(typed, (size_t)got))
				return true;
			draw();
		}
		nm_events(v);
	}
	return ended;
}

static int parse_sort(void)
{
	static const char *const names[] = {"rx",         "tx",     "rx-packets",
					    "tx-packets", "errors", "used"};

	top.by_name = !arg.sort || !strcmp(arg.sort, "name");
	for (size_t i = 0; arg.sort && i < NM_COUNT(names); i++)
		if (!strcmp(names[i], arg.sort)) {
			top.sort = (enum field)i;
			return OK;
		}
	return top.by_name ? OK :
			     fail(USAGE,
				  "--sort %s: accepted is name, rx, tx, rx-packets, tx-packets, "
				  "errors or used",
				  arg.sort);
}

static int run(struct nm_view *v, struct nm_reading *r)
{
	bool live = !arg.once;
	bool quit = false;
	int err = read_once(v, r);
	uint64_t next = now();

	if (live && !err) {
		terminal_on();
		draw();
	}
	while (!err && !quit && !ferror(stdout)) {
		next += (uint64_t)(arg.interval * 1e9);
		if (next < now())
			next = now();
		quit = wait_until(v, next, live);
		if (quit)
			break;
		err = read_once(v, r);
		if (!err && live)
			draw();
		if (!err && arg.once) {
			print_table(SIZE_MAX, "\n");
			quit = true;
		}
	}
	if (live && top.reading)
		terminal_off();
	return err ? fail(FAILED, "link: %s", strerror(-err)) : OK;
}

int show_top(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	const struct nm_plugin *p = plugin_named("link");
	struct nm_reading r = {0};
	struct nm_view *v = NULL;
	void *config = NULL;
	int status = parse_sort();

	if (!arg.interval)
		arg.interval = 1;
	if (arg.filter)
		snprintf(top.filter, sizeof(top.filter), "%s", arg.filter);
	if (!status && !arg.once && (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)))
		return fail(USAGE, "top: a terminal is needed; -1 prints once without");
	if (arg.once)
		arg.color = false;
	if (!status && nm_config_new(p, &config))
		status = no_memory();
	if (!status)
		status = open_view(&v, p, config, NM_EVENTS);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGWINCH, &sa, NULL);
	if (!status) {
		v->interval = arg.interval;
		status = run(v, &r);
	}
	nm_close(v);
	nm_reading_free(&r);
	if (config)
		nm_config_free(p, config);
	for (size_t i = 0; i < top.n; i++)
		free(top.v[i]);
	free(top.v);
	nm_map_free(&top.named);
	return status;
}
