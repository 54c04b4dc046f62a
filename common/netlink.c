/* SPDX-License-Identifier: MIT */
/*
 * Sockets, dumps and events.
 *
 * One socket asks and another listens: a dump is never confused with an
 * event.  Messages from both, and from a recorded file, go through nm_take()
 * to the plugin.
 *
 * libmnl's own callback runner is not used.  It stops in the middle of a dump
 * that the kernel flags as interrupted and leaves the rest in the socket,
 * where it breaks every later dump; and it calls a dump that ended with an
 * error a success.  Here a dump is always read to its NLMSG_DONE.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/genetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define BUF_SIZE       32768 /* the kernel fills no more in one go, unless a message is larger */
#define BUF_MAX        (16 << 20)
#define BUF_TAPPED     (1 << 20) /* what was printed cannot be read again into a larger one */
#define DUMP_TRIES     3
#define RECEIVE_BUFFER (8 << 20) /* of events, where no configuration says how much */
#define ANSWER_TIMEOUT 10        /* s without a word: the kernel has lost the question */
#define TORN_TRIES     9         /* after which what they had together is as good as whole */
#define MAX_EVENTS     (1 << 17) /* in one go: changes faster than we read must not hold a reading */
#define AT_ONCE        64        /* events of a storm that are said to have come together */
#define FAST           1000      /* events a second, from which on they wait for each other */
#define REST           4         /* ms: how long */

uint64_t nm_clock(int id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NM_NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct nm_srcstate *state_of(struct view *w, const struct nm_source *s)
{
	return &w->src[s - w->pub.plugin->source];
}

/* ---- messages ---------------------------------------------------------------- */

/* libmnl's check takes an int and lets lengths above INT_MAX pass. */
const struct nlmsghdr *nm_msg_first(const void *buf, size_t len)
{
	const struct nlmsghdr *h = buf;

	return len >= sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= len ? h : NULL;
}

const struct nlmsghdr *nm_msg_next(const struct nlmsghdr *h, const void *end)
{
	size_t step = NLMSG_ALIGN((size_t)h->nlmsg_len), left = (const char *)end - (const char *)h;

	return step < left ? nm_msg_first((const char *)h + step, left - step) : NULL;
}

/* Which source describes a message: one answer for dump, event and file. */
static const struct nm_source *look_for_source(struct view *w, enum nm_bus bus,
					       const struct nlmsghdr *nlh, bool *gone)
{
	const struct nm_plugin *p = w->pub.plugin;
	const uint8_t *payload = nm_msg_payload(nlh);
	size_t len = nm_msg_payload_len(nlh);

	for (size_t i = 0; len && i < p->nsource; i++) {
		const struct nm_source *s = &p->source[i];
		/* genlmsghdr.cmd and the address family of rtnetlink's headers come first */
		uint16_t type = bus == NM_GENERIC ? payload[0] : nlh->nlmsg_type;

		if (nm_bus_of(s) != bus || len < s->table->size ||
		    (bus == NM_GENERIC && nlh->nlmsg_type != w->src[i].family) ||
		    (bus == NM_ROUTE && !s->any_af && payload[0] != s->af))
			continue;
		*gone = s->del && type == s->del;
		if (type == s->add || *gone || (type && (type == s->ntf[0] || type == s->ntf[1])))
			return s;
	}
	return NULL;
}

/* Most messages are like the one before: of that type, with that header, of that family. */
static const struct nm_source *source_of(struct view *w, enum nm_bus bus,
					 const struct nlmsghdr *nlh, bool *gone)
{
	size_t len = nm_msg_payload_len(nlh);
	uint8_t af = len ? *(const uint8_t *)nm_msg_payload(nlh) : 0;
	const struct nm_source *s = w->like.source;

	if (bus != NM_ROUTE || !s || w->like.type != nlh->nlmsg_type || w->like.af != af ||
	    len < s->table->size) {
		s = look_for_source(w, bus, nlh, gone);
		if (s && bus == NM_ROUTE) {
			w->like.source = s;
			w->like.type = nlh->nlmsg_type;
			w->like.af = af;
			w->like.gone = *gone;
		}
		return s;
	}
	*gone = w->like.gone;
	return s;
}

/*
 * Names come from the messages themselves, never from the machine that happens
 * to print them: a recorded file replays with the names that it had.
 */
static void learn_name(struct view *w, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = nm_msg_payload(nlh);
	const char *name = NULL, *kind = NULL;
	const struct nlattr *a;
	struct nm_link *l;

	if (nm_msg_payload_len(nlh) < sizeof(*ifi) ||
	    (ifi->ifi_family != AF_UNSPEC && ifi->ifi_family != AF_BRIDGE))
		return;
	uint32_t index = (uint32_t)ifi->ifi_index;

	if (nlh->nlmsg_type == RTM_DELLINK) {
		if (ifi->ifi_family == AF_BRIDGE) /* it has only left its bridge */
			return;
		nm_map_del(&w->names, &index);
		w->renamed++;
		return;
	}
	for (a = nm_attr_first(ifi + 1, nm_msg_end(nlh)); a && (!name || (w->each && !kind));
	     a = nm_attr_next(a, nm_msg_end(nlh)))
		if (nm_type(a) == IFLA_IFNAME)
			name = nm_str(a);
		else if (nm_type(a) == IFLA_LINKINFO)
			kind = nm_str(nm_in(a, IFLA_INFO_KIND));
	l = name ? nm_map_put(&w->names, &index, NULL) : NULL;
	if (!l)
		return;
	w->renamed += *l->name && strncmp(l->name, name, IFNAMSIZ) != 0;
	snprintf(l->name, sizeof(l->name), "%s", name);
	if (ifi->ifi_family == AF_UNSPEC)
		l->each = w->each && kind && !strcmp(kind, w->each);
}

/*
 * Who only looks does not read all links for the sake of a few names: any socket
 * of the namespace answers (sock_do_ioctl()).  That there is none is kept too.
 */
static const char *ask_name(struct view *w, uint32_t ifindex)
{
	struct ifreq r = {.ifr_ifindex = (int)ifindex};
	struct nm_link *l;

	if (w->pub.config || !w->bus[NM_ROUTE].ask)
		return NULL;
	l = nm_map_put(&w->names, &ifindex, NULL);
	if (l && !ioctl(mnl_socket_get_fd(w->bus[NM_ROUTE].ask), SIOCGIFNAME, &r))
		snprintf(l->name, sizeof(l->name), "%.*s", IFNAMSIZ - 1, r.ifr_name);
	return l ? l->name : NULL;
}

const char *nm_ifname(const struct nm_view *v, uint32_t ifindex)
{
	const char *name = nm_map_get(&view_of(v)->names, &ifindex);

	if (!name && ifindex)
		name = ask_name(view_of(v), ifindex);
	return name && *name ? name : NULL;
}

uint32_t nm_ifindex(const struct nm_view *v, const char *name)
{
	struct view *w = view_of(v);
	struct ifreq r = {0};
	const struct nm_link *l;
	const void *index;

	if (w->bus[NM_ROUTE].ask && strlen(name) < IFNAMSIZ) {
		memcpy(r.ifr_name, name, strlen(name));
		if (!ioctl(mnl_socket_get_fd(w->bus[NM_ROUTE].ask), SIOCGIFINDEX, &r))
			return (uint32_t)r.ifr_ifindex;
	}
	for (size_t i = 0; (l = nm_map_next(&w->names, &index, &i));)
		if (!strncmp(l->name, name, IFNAMSIZ))
			return *(const uint32_t *)index;
	return 0;
}

/*
 * Points attr[] at what the message has.  Only as long as the table's highest
 * row, and only what was set is cleared afterwards: at a million routes a
 * cleared index of all types is half of the cost.
 */
static size_t index_attrs(struct view *w, const struct nm_table *t, const struct nlmsghdr *nlh,
			  uint8_t set[static NM_ATTR_MAX + 1])
{
	const void *end = nm_msg_end(nlh);
	size_t n = 0, rows = t->attrs ? t->attrs->n : 0;

	for (const struct nlattr *a = nm_attr_first(nm_msg_attrs(nlh, t->size), end); a;
	     a = nm_attr_next(a, end)) {
		uint16_t type = nm_type(a);

		if (type >= rows || type > NM_ATTR_MAX)
			continue;
		if (!w->attr[type])
			set[n++] = (uint8_t)type;
		w->attr[type] = a;
	}
	return n;
}

int nm_hand_on(struct view *w, const struct nm_msg *m)
{
	if (w->tap && !m->src->aid)
		return w->tap(m, w->tap_arg);
	return w->pub.config && w->pub.plugin->message ? w->pub.plugin->message(&w->pub, m) : 0;
}

static void deliver(struct view *w, enum nm_bus bus, const struct nlmsghdr *nlh, bool event)
{
	struct nm_msg m = {.nlh = nlh, .hdr = nm_msg_payload(nlh), .attr = w->attr, .event = event};
	uint8_t set[NM_ATTR_MAX + 1];
	size_t n;
	int err = 0;

	if (bus == NM_ROUTE && nlh->nlmsg_type == RTM_NEWLINK)
		learn_name(w, nlh);
	m.src = source_of(w, bus, nlh, &m.gone);
	if (m.src) {
		n = index_attrs(w, m.src->table, nlh, set);
		m.goes_on = m.src->join.list && !event && w->begun;
		w->begun = m.src->join.list && !event;
		err = nm_hand_on(w, &m);
		while (n)
			w->attr[set[--n]] = NULL;
	}
	if (bus == NM_ROUTE && nlh->nlmsg_type == RTM_DELLINK)
		learn_name(w, nlh);
	if (err && w->asked && !event)
		w->interrupted = true;
	else if (err)
		state_of(w, m.src)->dirty = true;
}

/* ---- answers: a dump or one object -------------------------------------------- */

void nm_answer_starts(struct view *w, const struct nm_source *s, uint32_t seq, bool dump)
{
	if (w->asked) { /* a file in which an answer has no end */
		w->interrupted = true;
		nm_answer_ends(w);
	}
	w->asked = s;
	w->seq = seq;
	w->dump = dump;
	w->done = w->interrupted = w->cut = w->begun = false;
	w->answer = 0;
	if (dump && w->pub.config && w->pub.plugin->begin)
		w->pub.plugin->begin(&w->pub, s);
}

/*
 * What a kernel lacks, or does not tell us, is remembered and not asked for again.  Of links that
 * are asked one by one only the latter: modules come and go.
 */
static bool cannot_be_had(const struct nm_source *s, int err)
{
	return err == -EPERM ||
	       (!s->each && (err == -EOPNOTSUPP || err == -EAFNOSUPPORT || err == -ENOENT));
}

/* 0, the kernel's error, or -EINTR: read to its end, but the set changed meanwhile. */
int nm_answer_ends(struct view *w)
{
	const struct nm_source *s = w->asked;
	struct nm_srcstate *st = state_of(w, s);
	int err = w->answer ? w->answer : w->interrupted ? -EINTR : 0;

	w->asked = NULL;
	if (!w->dump)
		return err;
	st->cut = s->partial && w->cut ? err : 0;
	w->pub.cost.dumps++;
	w->pub.cost.interrupted += err && !st->cut;
	st->error = cannot_be_had(s, err) && !st->cut ? err : 0;
	st->dirty = s->kept && err;
	st->whole |= !err;
	st->vain += err == -EINTR && st->vain < UINT8_MAX;
	if (w->pub.config && w->pub.plugin->end)
		w->pub.plugin->end(&w->pub, s, !err);
	return err;
}

/*
 * Where the set changes all the time, no dump of a torn source is ever known to
 * be whole.  What one has missed another has had, or an event told of it.
 */
bool nm_all_read(const struct view *w)
{
	for (size_t i = 0; i < w->pub.plugin->nsource; i++) {
		const struct nm_source *s = &w->pub.plugin->source[i];
		const struct nm_srcstate *st = &w->src[i];

		if (s->kept && !st->whole && st->vain && !(s->torn && st->vain >= TORN_TRIES))
			return false;
	}
	return true;
}

/* A kernel that lacks the address family asked for answers with all the others. */
static bool foreign(const struct view *w, enum nm_bus bus, const struct nlmsghdr *h)
{
	const uint8_t *family = nm_msg_payload(h);

	return bus == NM_ROUTE && !w->asked->any_af && nm_msg_payload_len(h) &&
	       *family != w->asked->af;
}

static void take_answer(struct view *w, enum nm_bus bus, const struct nlmsghdr *h)
{
	if (!w->asked || w->done)
		return;
	if (h->nlmsg_seq != w->seq) { /* the rest of a question that was given up */
		w->interrupted = true;
		return;
	}
	w->interrupted |= h->nlmsg_flags & NLM_F_DUMP_INTR;
	if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
		int err = 0;

		/* A dump's end can carry the kernel's error after good messages. */
		if (nm_msg_payload_len(h) >= sizeof(err))
			memcpy(&err, nm_msg_payload(h), sizeof(err));
		w->answer = err < 0 ? err : 0;
		w->cut = err < 0 && h->nlmsg_type == NLMSG_DONE;
		w->done = true;
	} else if (h->nlmsg_type >= NLMSG_MIN_TYPE && !foreign(w, bus, h)) {
		deliver(w, bus, h, false);
	}
}

void nm_take(struct view *w, enum nm_bus bus, const void *buf, size_t len, bool event)
{
	const char *end = (const char *)buf + len;

	w->pub.cost.bytes += len;
	for (const struct nlmsghdr *h = nm_msg_first(buf, len); h; h = nm_msg_next(h, end)) {
		w->pub.cost.messages++;
		if (!event) {
			take_answer(w, bus, h);
		} else if (h->nlmsg_type >= NLMSG_MIN_TYPE) {
			w->pub.cost.events++;
			deliver(w, bus, h, true);
		}
	}
}

/* ---- sockets -------------------------------------------------------------------- */

static void distrust_all(struct view *w, enum nm_bus bus)
{
	for (size_t i = 0; i < w->pub.plugin->nsource; i++)
		if (w->pub.plugin->source[i].kept && nm_bus_of(&w->pub.plugin->source[i]) == bus)
			w->src[i].dirty = true;
}

static void events_lost(struct view *w, enum nm_bus bus)
{
	w->pub.cost.lost++;
	distrust_all(w, bus);
}

/*
 * FDB, MDB and rule dumps miss and repeat entries when the set changes meanwhile,
 * and are not flagged: whoever changed something has sent an event.  So they are
 * flagged here, and in what is recorded.  That events were lost is said once, also
 * to who only looks.
 */
static bool events_wait(struct view *w, enum nm_bus bus)
{
	bool lost;

	if (!w->bus[bus].listen)
		return false;
	if (recv(mnl_socket_get_fd(w->bus[bus].listen), NULL, 0,
		 MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) > 0)
		return true;
	lost = errno == ENOBUFS;
	if (lost)
		events_lost(w, bus);
	return lost;
}

static bool ends_dump(const void *buf, size_t len)
{
	const char *end = (const char *)buf + len;

	for (const struct nlmsghdr *h = nm_msg_first(buf, len); h; h = nm_msg_next(h, end))
		if (h->nlmsg_type == NLMSG_DONE)
			return true;
	return false;
}

/* Whether a part of a dump shows that it is not whole, though the kernel has not flagged it. */
static bool is_torn(struct view *w, enum nm_bus bus, size_t len)
{
	const struct nm_source *s = w->asked;

	if (!w->dump || len < NLMSG_HDRLEN)
		return false;
	return (s->torn && events_wait(w, bus)) ||
	       (s->shape && ends_dump(w->buf, len) && s->shape() != w->shape);
}

static void take_time(struct view *w)
{
	w->pub.now = nm_clock(CLOCK_MONOTONIC);
	w->wall = nm_clock(CLOCK_REALTIME);
}

/* Bytes received; -EMSGSIZE: they did not fit, the next time they will. */
static ssize_t receive(struct view *w, enum nm_bus bus, bool event, int flags)
{
	struct mnl_socket *nl = event ? w->bus[bus].listen : w->bus[bus].ask;
	struct sockaddr_nl from = {0};
	ssize_t n;

	do {
		/* of events in a storm a tenth cheaper than recvmsg() */
		n = recvfrom(mnl_socket_get_fd(nl), w->buf, w->room, flags | MSG_TRUNC,
			     (struct sockaddr *)&from, &(socklen_t){sizeof(from)});
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid)); /* the kernel only */
	if (n < 0)
		return -errno;
	if (!event)
		take_time(w);
	if ((size_t)n > w->room) {
		char *more;

		explicit_bzero(w->buf, w->room); /* which realloc() would leave behind */
		more = n <= BUF_MAX ? realloc(w->buf, (size_t)n) : NULL;

		if (more) {
			w->buf = more;
			w->room = (size_t)n;
		}
		return -EMSGSIZE;
	}
	if (!event && is_torn(w, bus, (size_t)n))
		((struct nlmsghdr *)(void *)w->buf)->nlmsg_flags |= NLM_F_DUMP_INTR;
	nm_wipe(w, bus, w->buf, (size_t)n);
	if (w->record)
		nm_record_packet(w, bus, event ? NM_EVENT : NM_ANSWER, w->buf, (size_t)n);
	return n;
}

/*
 * Reads to the end whatever happens: what is left in the socket would make the
 * kernel refuse the next dump (-EBUSY).
 */
static int read_answer(struct view *w, enum nm_bus bus)
{
	int given_up = 0;

	while (!w->done) {
		ssize_t n = receive(w, bus, false, given_up ? MSG_DONTWAIT : 0);

		if (n >= 0) {
			nm_take(w, bus, w->buf, (size_t)n, false);
		} else if (n == -EMSGSIZE) {
			/* The end may have been in what was cut off: read until there is no more. */
			given_up = -EMSGSIZE;
		} else {
			w->answer = given_up ? given_up : n == -EAGAIN ? -ETIMEDOUT : (int)n;
			w->done = true;
		}
	}
	if (given_up)
		w->answer = given_up;
	return nm_answer_ends(w);
}

/*
 * How long dumps of torn sources took in the last minute, with one that has just ended.
 * It is processor time that is counted: waiting for the lock is not holding it.
 */
static uint64_t held(struct view *w, uint64_t ns)
{
	uint64_t second = nm_clock(CLOCK_MONOTONIC) / NM_NS_PER_S, sum = 0;
	size_t now = second % NM_MINUTE;

	w->held[now].ns = ns + (w->held[now].second == second ? w->held[now].ns : 0);
	w->held[now].second = second;
	for (size_t i = 0; i < NM_MINUTE; i++)
		sum += second - w->held[i].second < NM_MINUTE ? w->held[i].ns : 0;
	return sum;
}

/*
 * A dump of a torn source holds the kernel's lock, against everybody who changes
 * something: no more than a hundredth of the last minute for us.
 */
static bool held_enough(struct view *w, uint64_t more)
{
	return held(w, 0) + more > NM_MINUTE * NM_NS_PER_S / 100;
}

static int ask(struct view *w, const struct nm_source *s, const void *key)
{
	enum nm_bus bus = nm_bus_of(s);
	struct nlmsghdr *h;
	uint64_t start;
	uint8_t *hdr;
	int err;

	if (bus == NM_FILE)
		return nm_file_read(w, s);
	h = mnl_nlmsg_put_header(w->buf);
	h->nlmsg_type = bus == NM_GENERIC ? state_of(w, s)->family : s->get;
	h->nlmsg_flags = NLM_F_REQUEST | (key ? NLM_F_ACK : NLM_F_DUMP);
	h->nlmsg_seq = w->seq + 1 ? w->seq + 1 : 1;
	hdr = mnl_nlmsg_put_extra_header(h, s->table->size);
	if (bus == NM_GENERIC)
		*(struct genlmsghdr *)(void *)hdr =
			(struct genlmsghdr){.cmd = (uint8_t)s->get, .version = 1};
	else
		hdr[0] = s->af;
	if (s->each)
		mnl_attr_put_u32(h, s->each_by, w->pub.link);
	if (s->ask)
		s->ask(&w->pub, h, key);
	if (w->adds && !key)
		w->adds(s, h, w->adds_arg);
	if (w->record)
		nm_record_packet(w, bus, NM_REQUEST, h, h->nlmsg_len);
	w->shape = s->shape && !key ? s->shape() : 0;
	start = s->torn ? nm_clock(CLOCK_THREAD_CPUTIME_ID) : 0;
	nm_answer_starts(w, s, h->nlmsg_seq, !key);
	if (mnl_socket_sendto(w->bus[bus].ask, h, h->nlmsg_len) < 0) {
		w->answer = -errno;
		return nm_answer_ends(w);
	}
	err = read_answer(w, bus);
	if (s->torn && !key)
		held(w, nm_clock(CLOCK_THREAD_CPUTIME_ID) - start);
	return err;
}

int nm_ask(struct nm_view *v, const struct nm_source *s, const void *key)
{
	struct view *w = view_of(v);

	if (w->flags & NM_REPLAY)
		return -EAGAIN;
	return state_of(w, s)->error ? state_of(w, s)->error : ask(w, s, key);
}

/*
 * What was lost is dumped again, but only after everything that still waits was
 * delivered: an older event must not follow the newer dump.
 */
static int drain(struct view *w)
{
	int err = 0;

	for (enum nm_bus bus = 0; bus < NM_BUSES; bus++) {
		ssize_t n = 0, came = 0;

		for (int i = 0; w->bus[bus].listen && n != -EAGAIN && i < MAX_EVENTS; i++) {
			n = receive(w, bus, true, MSG_DONTWAIT);
			if (n >= 0) {
				if (!w->fast || came++ % AT_ONCE == 0)
					take_time(w);
				nm_take(w, bus, w->buf, (size_t)n, true);
			} else if (n == -ENOBUFS || n == -EMSGSIZE) {
				events_lost(w, bus);
				err = -ENOBUFS;
			} else if (n != -EAGAIN) {
				return (int)n;
			}
		}
	}
	return err;
}

static int dump(struct view *w, const struct nm_source *s, int tries)
{
	for (;;) {
		uint64_t start = nm_clock(CLOCK_MONOTONIC);
		int err = ask(w, s, NULL);

		if ((err != -EINTR && err != -EMSGSIZE) || --tries <= 0)
			return err;
		if (!s->torn)
			continue;
		/* The next one takes as long, and with what it waits for the reading is late. */
		if (held_enough(w, nm_clock(CLOCK_MONOTONIC) - start))
			return err;
		drain(w); /* or the event that tore this one would tear the next */
	}
}

/* The kernel numbers a family when its module is loaded, and anew when it is loaded again. */
static int find_family(struct view *w, const struct nm_source *s)
{
	struct nm_srcstate *st = state_of(w, s);
	int err;

	if (st->family)
		return 0;
	err = nm_genl_resolve(s->family, NULL, &st->family, &(uint32_t){0});
	if (!err && w->record)
		nm_record_family(w, s->family, st->family);
	return err;
}

/* One link after the other.  What has gone meanwhile is nothing that could be missing. */
static int dump_each(struct view *w, const struct nm_source *s, int tries)
{
	const struct nm_link *l;
	const void *ifindex;
	int err = 0;

	for (size_t i = 0; (l = nm_map_next(&w->names, &ifindex, &i));) {
		int e;

		if (!l->each || (w->pub.config && s->of && !s->of(w->pub.config, l->name)))
			continue;
		memcpy(&w->pub.link, ifindex, sizeof(w->pub.link));
		e = find_family(w, s);
		if (!e)
			e = dump(w, s, tries);
		if (e == -ENOENT)
			state_of(w, s)->family = 0;
		else if (e && e != -EINTR && e != -ENODEV && e != -EOPNOTSUPP)
			return e;
		err = e == -EINTR ? e : err;
	}
	return err;
}

/* All that a source has. */
static int dump_all(struct view *w, const struct nm_source *s, int tries)
{
	return s->each ? dump_each(w, s, tries) : dump(w, s, tries);
}

int nm_dump(struct nm_view *v, size_t i)
{
	struct view *w = view_of(v);
	const struct nm_source *s = &v->plugin->source[i];
	int err = w->src[i].error ? w->src[i].error : dump_all(w, s, 1);

	return s->without && err == w->src[i].error && err != -EPERM ? 0 : err;
}

void nm_distrust(struct nm_view *v, const struct nm_source *s)
{
	struct view *w = view_of(v);

	state_of(w, s)->dirty = true;
	if (!s->family && !(w->flags & NM_REPLAY)) /* a module that answers may be loaded now */
		state_of(w, s)->error = 0;
}

/* ---- events ----------------------------------------------------------------------- */

int nm_events(struct nm_view *v)
{
	struct view *w = view_of(v);
	uint64_t before = w->pub.cost.events, start = nm_clock(CLOCK_MONOTONIC);
	int err;

	v->now = start;
	if (v->due && v->now >= v->due)
		v->due = 0;
	err = drain(w);
	w->fast = (w->pub.cost.events - before) * NM_NS_PER_S > FAST * (start - w->woken);
	w->woken = start;
	if (v->news && v->plugin->settle && v->plugin->settle(v) == -ENOMEM)
		err = -ENOMEM;
	if (w->record && w->pub.cost.events != before)
		nm_record_mark(w, NM_EVENT);
	return err;
}

int nm_rest(const struct nm_view *v)
{
	return view_of(v)->fast ? REST : 0;
}

int nm_timeout(const struct nm_view *v)
{
	uint64_t now = v->due ? nm_clock(CLOCK_MONOTONIC) : 0;

	if (!v->due)
		return -1;
	return now >= v->due ? 0 : (int)((v->due - now) / 1000000 + 1);
}

size_t nm_fds(const struct nm_view *v, int *fd, size_t max)
{
	size_t n = 0;

	for (enum nm_bus bus = 0; bus < NM_BUSES && n < max; bus++)
		if (view_of(v)->bus[bus].listen)
			fd[n++] = mnl_socket_get_fd(view_of(v)->bus[bus].listen);
	return n;
}

/* ---- readings ----------------------------------------------------------------------- */

/* A source that cannot be had here is remembered; without it the rest goes on. */
static int dump_or_do_without(struct view *w, const struct nm_source *s)
{
	struct nm_srcstate *st = state_of(w, s);
	int err = st->error ? st->error : dump_all(w, s, DUMP_TRIES);

	if (err && err == st->cut) /* what came counts */
		return 0;
	return err && err == st->error && s->without ? 0 : err;
}

static bool wanted(const struct view *w, const struct nm_source *s)
{
	return !s->wanted || s->wanted(w->pub.config);
}

int nm_sync(struct nm_view *v)
{
	struct view *w = view_of(v);
	int err = 0;

	for (size_t i = 0; i < v->plugin->nsource; i++) {
		const struct nm_source *s = &v->plugin->source[i];
		int e;

		if (!s->kept || !w->src[i].dirty || w->src[i].error || !wanted(w, s) ||
		    (s->torn && held_enough(w, 0)))
			continue;
		e = dump_or_do_without(w, s);
		drain(w); /* what happened meanwhile */
		if (e && e != -EINTR)
			return e;
		err = e ? e : err;
	}
	v->news |= nm_all_read(w);
	return err;
}

static void submit_self(struct view *w, struct nm_reading *r)
{
	const struct nm_cost *c = &w->pub.cost;

	r->plugin = NULL;
	nm_slow(r, false);
	nm_instance(r, "self");
	nm_gauge(r, "duration", "read", c->seconds);
	nm_derive(r, "derive", "messages", c->messages);
	nm_derive(r, "derive", "bytes", c->bytes);
	nm_derive(r, "derive", "events", c->events);
	nm_derive(r, "derive", "dumps", c->dumps);
	nm_derive(r, "derive", "interrupted", c->interrupted);
	nm_derive(r, "derive", "lost", c->lost);
}

int nm_finish_reading(struct view *w, struct nm_reading *r)
{
	struct nm_view *v = &w->pub;
	int err;

	r->time = w->wall;
	r->before = w->before;
	r->slow = nm_slow_interval(v);
	r->view = w;
	w->owned = 0;
	err = v->plugin->submit ? v->plugin->submit(v, r) : 0;
	nm_owners_sweep(w);
	err = err ? err : r->err;
	if (!err)
		w->before = r->time;
	return err;
}

static int collect(struct view *w, struct nm_reading *r)
{
	struct nm_view *v = &w->pub;
	double audit = ((const struct nm_config *)v->config)->audit_interval;
	int err = drain(w);

	if (err && err != -ENOBUFS)
		return err;
	if (audit > 0 && (double)(v->now - w->audited) > audit * NM_NS_PER_S) {
		distrust_all(w, NM_ROUTE);
		distrust_all(w, NM_GENERIC);
		w->audited = v->now;
	}
	err = nm_sync(v);
	if (err && err != -EINTR)
		return err;
	for (size_t i = 0; i < v->plugin->nsource; i++) {
		if (v->plugin->source[i].kept || v->plugin->source[i].passive ||
		    !wanted(w, &v->plugin->source[i]))
			continue;
		err = dump_or_do_without(w, &v->plugin->source[i]);
		if (err && err != -EINTR)
			return err;
	}
	err = v->plugin->settle ? v->plugin->settle(v) : 0;
	return err ? err : nm_finish_reading(w, r);
}

int nm_read(struct nm_view *v, struct nm_reading *r)
{
	struct view *w = view_of(v);
	uint64_t start = nm_clock(CLOCK_MONOTONIC);
	int err;

	nm_reading_start(r);
	v->now = start;
	w->wall = nm_clock(CLOCK_REALTIME);
	err = collect(w, r);
	v->cost.seconds = (double)(nm_clock(CLOCK_MONOTONIC) - start) / NM_NS_PER_S;
	if (!err && ((const struct nm_config *)v->config)->report_self)
		submit_self(w, r);
	if (!err)
		err = r->err;
	v->readings++;
	if (w->record)
		nm_record_mark(w, NM_REQUEST);
	return err ? err : w->record_error;
}

/* ---- opening and closing --------------------------------------------------------------- */

static int open_socket(struct mnl_socket **nl, enum nm_bus bus)
{
	static const int protocol[] = {[NM_ROUTE] = NETLINK_ROUTE, [NM_GENERIC] = NETLINK_GENERIC};
	struct timeval patience = {.tv_sec = ANSWER_TIMEOUT};

	if (*nl)
		return 0;
	*nl = mnl_socket_open2(protocol[bus], SOCK_CLOEXEC);
	/* A port chosen by us would collide with other plugins that choose the process id. */
	if (!*nl || mnl_socket_bind(*nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	/* Old kernels (before 4.20) have no strict check and filter nothing: as good, dearer. */
	mnl_socket_setsockopt(*nl, NETLINK_GET_STRICT_CHK, &(int){1}, sizeof(int));
	setsockopt(mnl_socket_get_fd(*nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return 0;
}

static int join(struct view *w, enum nm_bus bus, uint32_t group)
{
	const struct nm_config *config = w->pub.config;
	bool fresh = !w->bus[bus].listen;
	int err = open_socket(&w->bus[bus].listen, bus);
	int size = config ? (int)config->receive_buffer : RECEIVE_BUFFER;

	if (err)
		return err;
	int fd = mnl_socket_get_fd(w->bus[bus].listen);

	/* Beyond net.core.rmem_max only with CAP_NET_ADMIN. */
	if (fresh && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return mnl_socket_setsockopt(w->bus[bus].listen, NETLINK_ADD_MEMBERSHIP, &group,
				     sizeof(group)) < 0 ?
		       -errno :
		       0;
}

static int open_source(struct view *w, const struct nm_source *s)
{
	struct nm_srcstate *st = state_of(w, s);
	enum nm_bus bus = nm_bus_of(s);
	uint32_t mcast = 0;
	int err = 0;

	if (s->file)
		return nm_file_open(w, s);
	if (s->family && !s->each)
		err = nm_genl_resolve(s->family, s->mcast, &st->family, &mcast);
	if (!err)
		err = open_socket(&w->bus[bus].ask, bus);
	for (size_t g = 0; !err && w->flags & NM_EVENTS && g < NM_COUNT(s->group) && s->group[g];
	     g++)
		err = join(w, bus, s->group[g]);
	if (!err && w->flags & NM_EVENTS && mcast)
		err = join(w, bus, mcast);
	return err;
}

/* Runs inside the namespace. */
static int open_sources(void *arg)
{
	struct view *w = arg;
	const struct nm_plugin *p = w->pub.plugin;

	for (size_t i = 0; i < p->nsource; i++) {
		int err = open_source(w, &p->source[i]);

		if (err && (err != -ENOENT || !p->source[i].without))
			return err == -ENOENT ? -EPROTONOSUPPORT : err;
		w->src[i].error = err;
	}
	return 0;
}

static void prepare_source(struct view *w, const struct nm_source *s)
{
	*state_of(w, s) = (struct nm_srcstate){
		.error = w->flags & NM_REPLAY ? -ENODATA : 0,
		.dirty = s->kept,
		.fd = -1,
		.secret = nm_has_secret(s),
	};
	if (s->each)
		w->each = s->each;
}

int nm_open(struct nm_view **v, const struct nm_plugin *p, const void *config, const char *netns,
	    unsigned flags)
{
	struct view *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	*v = NULL;
	if (!w)
		return err;
	w->flags = flags;
	w->names = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct nm_link)};
	nm_owners_open(w);
	w->pub.plugin = p;
	w->pub.config = config;
	w->pub.interval = 10;
	w->room = config ? BUF_SIZE : BUF_TAPPED;
	w->buf = malloc(w->room);
	w->src = calloc(p->nsource, sizeof(*w->src));
	w->pub.state = calloc(1, p->state_size ? p->state_size : 1);
	w->pub.netns = netns ? strdup(netns) : NULL;
	if (!w->buf || !w->src || !w->pub.state || (netns && !w->pub.netns))
		goto fail;
	for (size_t i = 0; i < p->nsource; i++)
		prepare_source(w, &p->source[i]);
	err = config && p->open ? p->open(&w->pub) : 0;
	if (err)
		goto fail;
	if (!(flags & NM_REPLAY)) {
		err = nm_in_netns(netns, open_sources, w);
		if (err)
			goto fail;
	}
	w->pub.now = w->audited = nm_clock(CLOCK_MONOTONIC);
	w->renamed = (unsigned)w->pub.now; /* no other view at this address had its names */
	w->wall = nm_clock(CLOCK_REALTIME);
	*v = &w->pub;
	return 0;
fail:
	nm_close(&w->pub);
	return err;
}

void nm_close(struct nm_view *v)
{
	struct view *w = view_of(v);

	if (!v)
		return;
	if (v->state && v->config && v->plugin->close)
		v->plugin->close(v);
	for (enum nm_bus bus = 0; bus < NM_BUSES; bus++) {
		if (w->bus[bus].ask)
			mnl_socket_close(w->bus[bus].ask);
		if (w->bus[bus].listen)
			mnl_socket_close(w->bus[bus].listen);
	}
	for (size_t i = 0; w->src && i < v->plugin->nsource; i++)
		if (w->src[i].fd >= 0)
			close(w->src[i].fd);
	nm_notices_free(w);
	nm_map_free(&w->names);
	nm_owners_close(w);
	free((char *)(uintptr_t)v->netns);
	free(v->state);
	free(w->src);
	free(w->buf);
	free(w);
}

int nm_source_error(const struct nm_view *v, size_t i)
{
	return view_of(v)->src[i].error;
}

int nm_source_cut(const struct nm_view *v, size_t i)
{
	return view_of(v)->src[i].cut;
}

void nm_set_tap(struct nm_view *v, nm_tap *tap, void *arg)
{
	view_of(v)->tap = tap;
	view_of(v)->tap_arg = arg;
}

void nm_set_adds(struct nm_view *v, nm_adds *adds, void *arg)
{
	view_of(v)->adds = adds;
	view_of(v)->adds_arg = arg;
}
