/* SPDX-License-Identifier: MIT */
/* netmon forward --interval: what is routed, as totals, differences and rates of each interval. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

/*
 * The counters of a family, and where netmon_forward has them; NULL: Linux has none.
 * What it calls ForwDatagrams counts packets that leave (IPSTATS_MIB_OUTFORWDATAGRAMS).
 */
static const struct counter_row {
	const char *group, *name, *ipv4, *ipv6; /* "Ip/InReceives" */
} rows[] = {
	{"forwarding", "incoming_packets", NULL, NULL},
	{"forwarding", "outgoing_packets", "Ip/ForwDatagrams", "Ip6/OutForwDatagrams"},
	{"traffic", "bytes_received", "IpExt/InOctets", "Ip6/InOctets"},
	{"traffic", "bytes_sent", "IpExt/OutOctets", "Ip6/OutOctets"},
	{"traffic", "packets_received", "Ip/InReceives", "Ip6/InReceives"},
	{"traffic", "packets_sent", "Ip/OutTransmits", "Ip6/OutTransmits"},
	{"traffic", "packets_delivered", "Ip/InDelivers", "Ip6/InDelivers"},
	{"traffic", "packets_requested", "Ip/OutRequests", "Ip6/OutRequests"},
	{"dropped", "header_errors", "Ip/InHdrErrors", "Ip6/InHdrErrors"},
	{"dropped", "address_errors", "Ip/InAddrErrors", "Ip6/InAddrErrors"},
	{"dropped", "no_routes", "Ip/OutNoRoutes", "Ip6/InNoRoutes"},
	{"dropped", "input_discards", "Ip/InDiscards", "Ip6/InDiscards"},
	{"dropped", "output_discards", "Ip/OutDiscards", "Ip6/OutDiscards"},
};
enum { FORWARDED = 1, RECEIVED_OCTETS, SENT_OCTETS, RECEIVED, DELIVERED = 6 };
enum { ROWS = NM_COUNT(rows), IPV4 = 0, IPV6 = 1, FAMILIES = 2, WAYS = 4 };
static const char *const way_names[WAYS] = {"rx_bytes", "tx_bytes", "rx_packets", "tx_packets"};
enum { OF_IPV6, OF_ALL, KINDS }; /* of an interface: the kernel counts no IPv4 there */

struct number {
	bool known;
	uint64_t v;
};

struct iface {
	char name[64];
	struct number v[KINDS][WAYS];
};

struct sample {
	uint64_t time;            /* ns since 1970 */
	int forwarding[FAMILIES]; /* -1: not known */
	struct number v[FAMILIES][ROWS];
	struct iface *iface;
	size_t n, room;
};

static volatile sig_atomic_t ended;

static void end_it(int number)
{
	(void)number;
	ended = 1;
}

/* ---- a sample from the values of two plugins --------------------------------------------- */

static struct iface *iface_named(struct sample *s, const char *name)
{
	struct iface *more;

	for (size_t i = s->n; i--;)
		if (!strcmp(s->iface[i].name, name))
			return &s->iface[i];
	if (s->n == s->room) {
		more = reallocarray(s->iface, s->room ? 2 * s->room : 32, sizeof(*more));
		if (!more)
			return NULL;
		s->iface = more;
		s->room = s->room ? 2 * s->room : 32;
	}
	s->iface[s->n] = (struct iface){0};
	snprintf(s->iface[s->n].name, sizeof(s->iface[s->n].name), "%s", name);
	return &s->iface[s->n++];
}

static void take_pair(struct sample *s, const struct nm_value *v, const union nm_number *n,
		      int kind)
{
	int way = !strcmp(v->type, "if_octets") ? 0 : !strcmp(v->type, "if_packets") ? 2 : -1;
	struct iface *f = way >= 0 && v->n == 2 ? iface_named(s, v->instance) : NULL;

	for (int i = 0; f && i < 2; i++)
		f->v[kind][way + i] = (struct number){true, n[i].derive};
}

static void take_forward(struct sample *s, const struct nm_value *v, const union nm_number *n)
{
	char name[96];

	if (v->type_instance && !strcmp(v->type_instance, "ipv6"))
		take_pair(s, v, n, OF_IPV6);
	if (!v->type_instance)
		return;
	snprintf(name, sizeof(name), "%s/%s", v->instance, v->type_instance);
	if (!strcmp(name, "Ip/Forwarding")) /* 1 is on, 2 is off */
		s->forwarding[IPV4] = n->gauge == 1;
	if (!strcmp(name, "all/ipv6_forwarding"))
		s->forwarding[IPV6] = n->gauge == 1;
	for (size_t i = 0; i < ROWS && !v->gauge; i++) {
		if (rows[i].ipv4 && !strcmp(rows[i].ipv4, name))
			s->v[IPV4][i] = (struct number){true, n->derive};
		if (rows[i].ipv6 && !strcmp(rows[i].ipv6, name))
			s->v[IPV6][i] = (struct number){true, n->derive};
	}
}

static void take(struct sample *s, const struct nm_reading *r, bool forward)
{
	for (const struct nm_value *v = r->value; v < r->value + r->n; v++)
		if (forward)
			take_forward(s, v, r->number + v->first);
		else if (!v->type_instance)
			take_pair(s, v, r->number + v->first, OF_ALL);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* "rx_bytes_delta", _rate and _total; what is not known, or has started anew, is null. */
static void put_number(struct nm_json *j, const char *name, struct number is, struct number was,
		       double seconds)
{
	char key[64];
	bool both = is.known && was.known && was.v <= is.v;
	double delta = both ? (double)(is.v - was.v) : NAN;

	snprintf(key, sizeof(key), "%s_delta", name);
	if (both)
		nm_json_uint(j, key, is.v - was.v);
	else
		nm_json_string(j, key, NULL);
	snprintf(key, sizeof(key), "%s_rate", name);
	nm_json_number(j, key, round(delta / seconds * 1000) / 1000);
	snprintf(key, sizeof(key), "%s_total", name);
	if (is.known)
		nm_json_uint(j, key, is.v);
	else
		nm_json_string(j, key, NULL);
}

static void json_family(struct nm_json *j, const char *name, int forwarding,
			const struct number *is, const struct number *was, double seconds)
{
	nm_json_begin(j, name, '{');
	if (forwarding < 0)
		nm_json_string(j, "forwarding_enabled", NULL);
	else
		nm_json_bool(j, "forwarding_enabled", forwarding);
	for (size_t i = 0; i < ROWS; i++) {
		if (!i || strcmp(rows[i].group, rows[i - 1].group) != 0)
			nm_json_begin(j, rows[i].group, '{');
		put_number(j, rows[i].name, is[i], was[i], seconds);
		if (i + 1 == ROWS || strcmp(rows[i].group, rows[i + 1].group) != 0)
			nm_json_end(j, '}');
	}
	nm_json_end(j, '}');
}

static void json_ways(struct nm_json *j, const char *name, const struct number *is,
		      const struct number *was, double seconds)
{
	nm_json_begin(j, name, '{');
	for (size_t i = 0; i < WAYS; i++)
		put_number(j, way_names[i], is[i], was[i], seconds);
	nm_json_end(j, '}');
}

static const struct iface *same_in(const struct sample *s, const char *name)
{
	static const struct iface none;

	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->iface[i].name, name))
			return &s->iface[i];
	return &none;
}

static void print_json(struct nm_json *j, const struct sample *is, const struct sample *was,
		       double seconds)
{
	static const struct number unknown[WAYS];
	char text[64], day[32];
	time_t t = (time_t)(is->time / 1000000000u);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%06uZ", day, (unsigned)(is->time % 1000000000u / 1000));
	nm_json_begin(j, NULL, '{');
	nm_json_string(j, "timestamp", text);
	nm_json_number(j, "interval_seconds", round(seconds * 1e6) / 1e6);
	json_family(j, "ipv4", is->forwarding[IPV4], is->v[IPV4], was->v[IPV4], seconds);
	json_family(j, "ipv6", is->forwarding[IPV6], is->v[IPV6], was->v[IPV6], seconds);
	nm_json_begin(j, "interfaces", '{');
	for (size_t i = 0; i < is->n; i++) {
		const struct iface *f = &is->iface[i], *old = same_in(was, f->name);

		nm_json_begin(j, f->name, '{');
		json_ways(j, "ipv4", unknown, unknown, seconds); /* Linux does not count it */
		json_ways(j, "ipv6", f->v[OF_IPV6], old->v[OF_IPV6], seconds);
		json_ways(j, "total", f->v[OF_ALL], old->v[OF_ALL], seconds);
		nm_json_end(j, '}');
	}
	nm_json_end(j, '}');
	nm_json_end(j, '}');
	nm_json_line(j);
	nm_json_flush(j);
}

/* ---- for people -------------------------------------------------------------------------------- */

static void put_rate(struct number is, struct number was, double seconds, double factor,
		     const char *unit)
{
	char buf[32];

	fputs("  ", stdout);
	if (!is.known || !was.known || was.v > is.v)
		put_cell("-", 11, true);
	else
		put_cell(humane((double)(is.v - was.v) * factor / seconds, unit, buf), 11, true);
}

static void print_text(const struct sample *is, const struct sample *was, double seconds)
{
	static const char *const family[] = {"IPv4", "IPv6"};
	static const char *const heads[] = {"received", "sent", "received", "delivered",
					    "forwarded"};
	static const char *const ways[] = {"rx", "tx", "rx IPv6", "tx IPv6"};
	time_t t = (time_t)(is->time / 1000000000u);
	struct tm tm;
	char clock[16];

	localtime_r(&t, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	paint(DIM);
	put_cell(clock, 15, false);
	for (size_t i = 0; i < NM_COUNT(heads); i++) {
		fputs("  ", stdout);
		put_cell(heads[i], 11, true);
	}
	putchar('\n');
	paint(PLAIN);
	for (int k = IPV4; k < FAMILIES; k++) {
		const struct number *a = is->v[k], *b = was->v[k];

		printf("%s ", family[k]);
		paint(is->forwarding[k] > 0 ? GREEN : is->forwarding[k] ? PLAIN : DIM);
		put_cell(is->forwarding[k] > 0 ? "router" :
			 is->forwarding[k]     ? "?" :
						 "host",
			 10, false);
		paint(PLAIN);
		put_rate(a[RECEIVED_OCTETS], b[RECEIVED_OCTETS], seconds, 8, "bit/s");
		put_rate(a[SENT_OCTETS], b[SENT_OCTETS], seconds, 8, "bit/s");
		put_rate(a[RECEIVED], b[RECEIVED], seconds, 1, "/s");
		put_rate(a[DELIVERED], b[DELIVERED], seconds, 1, "/s");
		put_rate(a[FORWARDED], b[FORWARDED], seconds, 1, "/s");
		putchar('\n');
	}
	paint(DIM);
	put_cell("", 15, false);
	for (size_t i = 0; i < NM_COUNT(ways); i++) {
		fputs("  ", stdout);
		put_cell(ways[i], 11, true);
	}
	putchar('\n');
	paint(PLAIN);
	for (size_t i = 0; i < is->n; i++) {
		const struct iface *f = &is->iface[i], *old = same_in(was, f->name);

		put_cell(f->name, 15, false);
		for (int kind = OF_ALL; kind >= OF_IPV6; kind--)
			for (int way = 0; way < 2; way++)
				put_rate(f->v[kind][way], old->v[kind][way], seconds, 8, "bit/s");
		putchar('\n');
	}
	putchar('\n');
}

/* ---- running ------------------------------------------------------------------------------------- */

enum { FORWARD, LINK, PLUGINS };

struct both {
	struct nm_view *v[PLUGINS];
	void *config[PLUGINS];
	struct nm_reading r;
};

static int read_both(struct both *p, struct sample *s)
{
	s->n = 0;
	s->forwarding[IPV4] = s->forwarding[IPV6] = -1;
	memset(s->v, 0, sizeof(s->v));
	for (int i = 0; i < PLUGINS; i++) {
		struct nm_notice *n;
		int err = nm_read(p->v[i], &p->r);

		if (err)
			return fail(FAILED, "%s: %s", short_name(p->v[i]->plugin), strerror(-err));
		while ((n = nm_take_notice(p->v[i])))
			free(n);
		take(s, &p->r, i == FORWARD);
		s->time = p->r.time;
	}
	return OK;
}

static int open_both(struct both *p)
{
	static const char *const names[] = {"forward", "link"};
	static const struct nm_arg yes = {.type = NM_ARG_NUMBER, .number = 0.001};
	int status = OK;
	char err[256];

	for (int i = 0; !status && i < PLUGINS; i++) {
		const struct nm_plugin *plugin = plugin_named(names[i]);

		if (nm_config_new(plugin, &p->config[i]))
			return no_memory();
		/* the switches are slow values: sent with every reading */
		nm_config_set(plugin, p->config[i], "SlowInterval", &yes, 1, err, sizeof(err));
		status = open_view(&p->v[i], plugin, p->config[i], 0);
	}
	return status;
}

static void pause_until(uint64_t end)
{
	for (uint64_t t; !ended && (t = now()) < end;)
		poll(NULL, 0, (int)((end - t + 999999) / 1000000));
}

int show_rates(void)
{
	struct sigaction sa = {.sa_handler = end_it};
	struct both p = {0};
	struct sample s[2] = {0};
	struct nm_json *j = NULL;
	uint64_t next;
	int status;

	if (arg.summary || arg.record || arg.replay)
		return fail(USAGE,
			    "forward --interval goes with --json, --pretty and --count only");
	if (arg.format == FORMAT_JSON)
		arg.print |= NM_ONE_LINE;
	status = open_both(&p);
	if (!status && arg.format != FORMAT_AUTO && !(j = nm_json_new(stdout, arg.print)))
		status = no_memory();
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (!status)
		status = read_both(&p, &s[0]);
	next = now();
	for (unsigned long i = 1; !status && (!arg.counted || i <= arg.count) && !ferror(stdout);
	     i++) {
		struct sample *is = &s[i & 1], *was = &s[~i & 1];
		double seconds;

		next += (uint64_t)(arg.interval * 1e9);
		pause_until(next);
		if (ended)
			break;
		status = read_both(&p, is);
		seconds = (double)(is->time - was->time) / 1e9;
		if (status || seconds <= 0)
			continue;
		if (j)
			print_json(j, is, was, seconds);
		else
			print_text(is, was, seconds);
		fflush(stdout);
	}
	nm_json_free(j);
	for (int i = 0; i < PLUGINS; i++) {
		nm_close(p.v[i]);
		if (p.config[i])
			nm_config_free(plugin_named(i == FORWARD ? "forward" : "link"),
				       p.config[i]);
		free(s[i].iface);
	}
	nm_reading_free(&p.r);
	return status;
}
