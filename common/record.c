/* SPDX-License-Identifier: MIT */
/*
 * Recordings: what went over the sockets, as pcap files of LINKTYPE_NETLINK,
 * which tcpdump and Wireshark read too.  A packet is the 16 bytes of Linux'
 * "cooked" header (direction, ARPHRD_NETLINK, netlink protocol; big-endian) and
 * the messages of one datagram.  Requests are recorded, so that a replay sees
 * where a dump begins, and an NLMSG_NOOP where a reading ended or, as an event,
 * where those that had come together did.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/genetlink.h>
#include <linux/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

#define MAGIC_US         0xa1b2c3d4u
#define MAGIC_NS         0xa1b23c4du
#define LINKTYPE_NETLINK 253
#define SNAPLEN          (16 << 20)

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, linktype;
};

struct packet_header {
	uint32_t sec, frac, caplen, len;
};

struct cooked {
	uint16_t direction, arphrd;
	uint8_t unused[10];
	uint16_t protocol;
};

/* A file of /proc is one message that carries its name and its text. */
static const uint16_t protocols[] = {
	[NM_ROUTE] = NETLINK_ROUTE,
	[NM_GENERIC] = NETLINK_GENERIC,
	[NM_FILE] = NETLINK_USERSOCK,
};

/* ---- writing --------------------------------------------------------------------- */

void nm_record_packet(struct view *w, enum nm_bus bus, enum nm_direction dir, const void *buf,
		      size_t len)
{
	uint64_t now = nm_clock(CLOCK_REALTIME);
	struct packet_header p = {
		.sec = (uint32_t)(now / NM_NS_PER_S),
		.frac = (uint32_t)(now % NM_NS_PER_S),
		.caplen = (uint32_t)(len + sizeof(struct cooked)),
	};
	struct cooked c = {
		.direction = htons((uint16_t)dir),
		.arphrd = htons(ARPHRD_NETLINK),
		.protocol = htons(protocols[bus]),
	};

	p.len = p.caplen;
	if (fwrite(&p, sizeof(p), 1, w->record) != 1 || fwrite(&c, sizeof(c), 1, w->record) != 1 ||
	    fwrite(buf, len, 1, w->record) != 1)
		w->record_error = -EIO;
}

void nm_record_mark(struct view *w, enum nm_direction what)
{
	struct nlmsghdr noop = {.nlmsg_len = sizeof(noop), .nlmsg_type = NLMSG_NOOP};

	nm_record_packet(w, NM_ROUTE, what, &noop, sizeof(noop));
	if (fflush(w->record))
		w->record_error = -EIO;
}

/* The kernel numbers generic netlink families as they come: the file says what it used. */
void nm_record_family(struct view *w, const char *family, uint16_t id)
{
	char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *g;

	h->nlmsg_type = GENL_ID_CTRL;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->cmd = CTRL_CMD_NEWFAMILY;
	mnl_attr_put_u16(h, CTRL_ATTR_FAMILY_ID, id);
	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, family);
	nm_record_packet(w, NM_GENERIC, NM_ANSWER, h, h->nlmsg_len);
}

int nm_record(struct nm_view *v, FILE *to)
{
	struct view *w = view_of(v);
	struct file_header f = {.magic = MAGIC_NS,
				.major = 2,
				.minor = 4,
				.snaplen = SNAPLEN,
				.linktype = LINKTYPE_NETLINK};

	if (fwrite(&f, sizeof(f), 1, to) != 1)
		return -EIO;
	w->record = to;
	for (size_t i = 0; i < v->plugin->nsource; i++)
		if (w->src[i].family)
			nm_record_family(w, v->plugin->source[i].family, w->src[i].family);
	return w->record_error;
}

/* ---- replaying --------------------------------------------------------------------- */

static void learn_family(struct view *w, const struct nlmsghdr *h)
{
	const void *end = mnl_nlmsg_get_payload_tail(h);
	const struct nlattr *a, *id = NULL, *name = NULL;

	for (a = nm_attr_first(mnl_nlmsg_get_payload_offset(h, sizeof(struct genlmsghdr)), end); a;
	     a = nm_attr_next(a, end)) {
		if (nm_type(a) == CTRL_ATTR_FAMILY_ID)
			id = a;
		if (nm_type(a) == CTRL_ATTR_FAMILY_NAME)
			name = a;
	}
	for (size_t i = 0; id && nm_str(name) && i < w->pub.plugin->nsource; i++)
		if (w->pub.plugin->source[i].family &&
		    !strcmp(w->pub.plugin->source[i].family, nm_str(name)))
			w->src[i].family = (uint16_t)nm_uint(id);
}

/* Which link a question was about, see nm_source.each. */
static void replay_link(struct view *w, const struct nm_source *s, const struct nlmsghdr *h)
{
	const void *end = mnl_nlmsg_get_payload_tail(h);

	w->pub.link = 0;
	for (const struct nlattr *a =
		     nm_attr_first(mnl_nlmsg_get_payload_offset(h, s->table->size), end);
	     s->each && a; a = nm_attr_next(a, end))
		if (nm_type(a) == s->each_by)
			w->pub.link = (uint32_t)nm_uint(a);
}

/* A question in the file: its answers belong to the same source as they did. */
static void replay_request(struct view *w, enum nm_bus bus, const struct nlmsghdr *h)
{
	const uint8_t *payload = mnl_nlmsg_get_payload(h);

	if (!mnl_nlmsg_get_payload_len(h))
		return;
	for (size_t i = 0; i < w->pub.plugin->nsource; i++) {
		const struct nm_source *s = &w->pub.plugin->source[i];

		if (nm_bus_of(s) == bus &&
		    (bus == NM_GENERIC ? h->nlmsg_type == w->src[i].family && payload[0] == s->get :
					 h->nlmsg_type == s->get && payload[0] == s->af)) {
			replay_link(w, s, h);
			nm_answer_starts(w, s, h->nlmsg_seq, h->nlmsg_flags & NLM_F_DUMP);
			return;
		}
	}
}

/* As nm_events() and nm_read() do; what they asked for then stands before this in the file. */
static int settle(struct view *w)
{
	const struct nm_plugin *p = w->pub.plugin;

	return w->pub.config && p->settle ? p->settle(&w->pub) : 0;
}

/* true: a reading ended here. */
static bool replay_packet(struct view *w, const struct cooked *c, void *buf, size_t len)
{
	const struct nlmsghdr *h = nm_msg_first(buf, len);
	enum nm_bus bus = 0;

	while (bus < NM_COUNT(protocols) && ntohs(c->protocol) != protocols[bus])
		bus++;
	if (!h || bus == NM_COUNT(protocols))
		return false;
	if (bus == NM_FILE) {
		nm_file_replay(w, h);
		return false;
	}
	nm_wipe(w, bus, buf, len); /* it may be another program's recording */
	if (ntohs(c->direction) == NM_REQUEST) {
		if (h->nlmsg_type == NLMSG_NOOP)
			return true;
		replay_request(w, bus, h);
		return false;
	}
	if (h->nlmsg_type == NLMSG_NOOP && ntohs(c->direction) == NM_EVENT) {
		if (w->pub.news)
			settle(w);
		return false;
	}
	if (bus == NM_GENERIC && h->nlmsg_type == GENL_ID_CTRL)
		learn_family(w, h);
	else
		nm_take(w, bus, buf, len, ntohs(c->direction) == NM_EVENT);
	if (w->asked && w->done)
		nm_answer_ends(w);
	return false;
}

/* 1: a packet is in w->buf; 0: the file has ended. */
static int read_packet(struct view *w, FILE *from, bool ns, struct packet_header *p, char *err,
		       size_t size)
{
	long at = ftell(from);
	size_t n = fread(p, 1, sizeof(*p), from);

	if (!n)
		return ferror(from) ? -EIO : 0;
	if (n == sizeof(*p) &&
	    (p->caplen > SNAPLEN || p->caplen < sizeof(struct cooked) || p->caplen < p->len)) {
		snprintf(err, size, "damaged: no packet starts at byte %ld", at);
		return -EPROTO;
	}
	if (n == sizeof(*p) && p->caplen > w->room) {
		char *more = realloc(w->buf, p->caplen);

		if (!more)
			return -ENOMEM;
		w->buf = more;
		w->room = p->caplen;
	}
	if (n != sizeof(*p) || fread(w->buf, 1, p->caplen, from) != p->caplen) {
		snprintf(err, size, "cut off: the packet at byte %ld is not whole", at);
		return -EPROTO;
	}
	w->wall = p->sec * NM_NS_PER_S + p->frac * (ns ? 1ull : 1000ull);
	w->pub.now = w->wall;
	return 1;
}

static int check_header(FILE *from, bool *ns, char *err, size_t size)
{
	struct file_header f;
	size_t n;

	rewind(from);
	n = fread(&f, 1, sizeof(f), from);
	if (n == sizeof(f) && (f.magic == MAGIC_NS || f.magic == MAGIC_US) &&
	    f.linktype == LINKTYPE_NETLINK) {
		*ns = f.magic == MAGIC_NS;
		return 0;
	}
	snprintf(err, size,
		 "no recording: a pcap file of netlink messages is needed, as --record makes it");
	return -EILSEQ;
}

static int replay(struct view *w, FILE *from, struct nm_reading *r, char *err, size_t size)
{
	struct packet_header p;
	bool mark = false, any = false, ns = true;
	long at = ftell(from);
	int e = check_header(from, &ns, err, size);

	if (e)
		return e;
	if (at > 0)
		fseek(from, at, SEEK_SET);
	while (!mark) {
		e = read_packet(w, from, ns, &p, err, size);
		if (e <= 0)
			break;
		struct cooked c;

		memcpy(&c, w->buf, sizeof(c));
		mark = replay_packet(w, &c, w->buf + sizeof(c), p.caplen - sizeof(c));
		any = true;
	}
	if (w->asked && !mark) { /* the file ends within an answer */
		w->interrupted = true;
		nm_answer_ends(w);
	}
	if (e < 0 || !any || !r || !w->pub.config)
		return e < 0 ? e : mark;
	w->pub.news |= nm_all_read(w);
	e = settle(w);
	if (!e)
		e = nm_finish_reading(w, r);
	w->pub.readings++;
	return e ? e : 1;
}

int nm_replay(struct nm_view *v, FILE *from, struct nm_reading *r, char *err, size_t size)
{
	if (r)
		nm_reading_start(r);
	snprintf(err, size, "%s", strerror(EIO));
	return replay(view_of(v), from, r, err, size);
}
