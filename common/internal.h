/* SPDX-License-Identifier: MIT */
/* What the files of common/ know of each other and nobody else does. */
#ifndef INTERNAL_H
#define INTERNAL_H

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <string.h>

#include "netmon.h"

enum nm_bus { NM_ROUTE, NM_GENERIC, NM_BUSES, NM_FILE = NM_BUSES /* has no socket */ };

struct nm_srcstate {
	int error;       /* why it cannot be asked; -ENODATA: a file has no answer so far */
	int cut;         /* partial: the error that its last dump ended with */
	uint16_t family; /* generic netlink: the family's id */
	bool dirty;      /* kept: the state is not known to be true */
	bool whole;      /* one dump of it was */
	uint8_t vain;    /* dumps that were not, before */
	int fd;          /* of a file; -1: not open */
	bool secret;     /* its table has secrets */
};

struct nm_link {
	char name[IFNAMSIZ]; /* first: see nm_ifname() */
	bool each;           /* of the kind view.each */
};

#define NM_MINUTE 60

struct view {
	struct nm_view pub; /* first: the two are cast into each other */
	unsigned flags;
	struct {
		struct mnl_socket *ask, *listen;
	} bus[NM_BUSES];
	struct nm_srcstate *src; /* one for each source */

	/* The answer that is being read. */
	const struct nm_source *asked;
	uint32_t seq;
	bool dump, done, interrupted, cut; /* cut: the error is that of a dump that had begun */
	int answer;
	uint64_t shape; /* the source's, before it was asked */

	const struct nlattr *attr[NM_ATTR_MAX + 1];
	char *buf;
	size_t room;
	struct {
		uint64_t second, ns;
	} held[NM_MINUTE]; /* what dumps of torn sources took, in the last minute */
	uint64_t audited;  /* ns, as pub.now */
	uint64_t wall;     /* ns since 1970, as pub.now */
	uint64_t before;   /* ns since 1970: the last reading that was whole */
	uint64_t woken;    /* ns: when nm_events() was called last */
	bool fast;         /* more than FAST came since */

	nm_tap *tap;
	void *tap_arg;
	nm_adds *adds;
	void *adds_arg;
	FILE *record;
	int record_error;
	struct nm_map names;         /* ifindex -> struct nm_link */
	struct nm_map owners, bases; /* owner.c */
	size_t owned;                /* instances of this reading that have an owner */
	const char *each;            /* the kind of links that a source is asked for; may be NULL */
	bool begun;                  /* the answer's object: the next message goes on with it */
	struct {
		const struct nm_source *source; /* NULL: no message so far */
		uint16_t type;
		uint8_t af;
		bool gone;
	} like;           /* what rtnetlink's last message was */
	unsigned renamed; /* times that a known name of an interface became another */

	struct nm_notice *first, **last;
	size_t waiting;
};

static inline struct view *view_of(const struct nm_view *v)
{
	return (struct view *)(uintptr_t)v;
}

/* netlink.c */
#define NM_NS_PER_S 1000000000ull
static inline enum nm_bus nm_bus_of(const struct nm_source *s)
{
	return s->file ? NM_FILE : s->family ? NM_GENERIC : NM_ROUTE;
}
uint64_t nm_clock(int id);
/* All messages of one received datagram, by the rules that kernel and file share. */
void nm_take(struct view *w, enum nm_bus bus, const void *buf, size_t len, bool event);
void nm_answer_starts(struct view *w, const struct nm_source *s, uint32_t seq, bool dump);
int nm_answer_ends(struct view *w);
/* All kept sources were read: what differs from now on is news. */
bool nm_all_read(const struct view *w);
/* To the tap or the plugin. */
int nm_hand_on(struct view *w, const struct nm_msg *m);
int nm_finish_reading(struct view *w, struct nm_reading *r);
/* The first message in a buffer and the one after another; NULL: none that is whole. */
const struct nlmsghdr *nm_msg_first(const void *buf, size_t len);
const struct nlmsghdr *nm_msg_next(const struct nlmsghdr *h, const void *end);

/* record.c: what went over a socket, as a packet of a pcap file */
enum nm_direction { NM_ANSWER = 0, NM_EVENT = 2, NM_REQUEST = 4 }; /* PACKET_* of if_packet.h */
void nm_record_packet(struct view *w, enum nm_bus bus, enum nm_direction dir, const void *buf,
		      size_t len);
/* NM_REQUEST: a reading ended here; NM_EVENT: what waited was delivered, the plugin settled. */
void nm_record_mark(struct view *w, enum nm_direction what);
void nm_record_family(struct view *w, const char *family, uint16_t id);

/* proc.c: files of /proc as sources */
int nm_file_open(struct view *w, const struct nm_source *s); /* in the calling thread's namespace */
int nm_file_read(struct view *w, const struct nm_source *s);
void nm_file_replay(struct view *w, const struct nlmsghdr *h);

/* writer.c: what nm_json_...() and json.c write; a piece is what fits without a look */
#define NM_JSON_PIECE 1024
struct nm_json {
	FILE *f;
	char *at, *end; /* in buf */
	unsigned depth, lines;
	bool first;   /* no element yet in the innermost container */
	bool unknown; /* print attributes without a row */
	bool failed;
	struct {
		bool list, element; /* are open */
		uint8_t key[32];    /* of the element */
	} joined;                   /* the object that goes on in the next message */
	uint64_t flushes;
	struct nm_map shapes; /* table -> how it is printed */
	struct shape *last;   /* of the last message */
	struct nm_map names[2];
	bool named[2];           /* were loaded */
	const struct view *of;   /* what is remembered belongs to this view */
	unsigned renamed, epoch; /* and to these names of interfaces */
	unsigned nameless;       /* interfaces that had no name so far: they may get one */
	struct {
		char text[4]; /* "0." to "255." */
		uint32_t len;
	} octet[256];
	char buf[1 << 15];
};
void nm_shapes_free(struct nm_json *j);
void nm_put_text(struct nm_json *j, const char *s, size_t len);
void nm_put_digits(struct nm_json *j, uint64_t u, bool negative);
void nm_put_quoted(struct nm_json *j, const char *text, size_t max);
void nm_put_hex(struct nm_json *j, const uint8_t *p, size_t len, char between);
void nm_json_open(struct nm_json *j, char bracket); /* behind a key that was written */
void nm_json_broken(struct nm_json *j);
static inline char *nm_room(struct nm_json *j, size_t n)
{
	if ((size_t)(j->end - j->at) < n)
		nm_json_flush(j);
	return j->at;
}
static inline void nm_put(struct nm_json *j, char c)
{
	*nm_room(j, 1) = c;
	j->at++;
}
static inline void nm_put_number(struct nm_json *j, uint64_t u, bool negative)
{
	if (u < 10 && !negative)
		nm_put(j, (char)('0' + u));
	else
		nm_put_digits(j, u, negative);
}
/* Short texts are copied by the piece: up to 31 bytes behind them are read, and written over. */
#define NM_SLACK 32
static inline void nm_put_short(struct nm_json *j, const char *s, size_t len)
{
	char *to = nm_room(j, len + NM_SLACK);

	for (size_t i = 0; i < len; i += NM_SLACK)
		memcpy(to + i, s + i, NM_SLACK);
	j->at = to + len;
}
/* What separates the next element from the one before. */
static inline void nm_json_element(struct nm_json *j)
{
	if (!j->first)
		nm_put(j, ',');
	j->first = false;
	if (j->depth <= j->lines)
		nm_json_broken(j);
}

/* What is done for everything that is read is not a call of a library. */
static inline const void *nm_payload(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}
static inline uint16_t nm_payload_len(const struct nlattr *a)
{
	return (uint16_t)(a->nla_len - NLA_HDRLEN);
}
static inline const void *nm_msg_payload(const struct nlmsghdr *h)
{
	return (const char *)h + NLMSG_HDRLEN;
}
static inline size_t nm_msg_payload_len(const struct nlmsghdr *h)
{
	return h->nlmsg_len - NLMSG_HDRLEN;
}
static inline const void *nm_msg_end(const struct nlmsghdr *h)
{
	return (const char *)h + h->nlmsg_len;
}
/* The first byte behind a header of this size. */
static inline const void *nm_msg_attrs(const struct nlmsghdr *h, size_t size)
{
	return (const char *)h + NLMSG_HDRLEN + NLMSG_ALIGN(size);
}
static inline const void *nm_attr_end(const struct nlattr *a)
{
	return (const char *)a + a->nla_len;
}
/* mnl_attr_ok() takes an int: what is left must be compared as a size first. */
static inline const struct nlattr *nm_attr_at(const void *at, size_t left)
{
	const struct nlattr *a = at;

	return left >= sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= left ? a : NULL;
}
static inline const struct nlattr *nm_attr_first(const void *from, const void *end)
{
	return (const char *)from < (const char *)end ?
		       nm_attr_at(from, (size_t)((const char *)end - (const char *)from)) :
		       NULL;
}
static inline const struct nlattr *nm_attr_next(const struct nlattr *a, const void *end)
{
	size_t step = NLA_ALIGN(a->nla_len), left = (size_t)((const char *)end - (const char *)a);

	return step < left ? nm_attr_at((const char *)a + step, left - step) : NULL;
}
/* Up to 8 bytes as the kernel's number of that width, 0 for other widths. */
static inline uint64_t nm_load(const void *p, size_t len)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (len) {
	case 1:
		memcpy(&u8, p, 1);
		return u8;
	case 2:
		memcpy(&u16, p, 2);
		return u16;
	case 4:
		memcpy(&u32, p, 4);
		return u32;
	case 8: /* 64-bit attributes are aligned to 4 bytes only */
		memcpy(&u64, p, 8);
		return u64;
	default:
		return 0;
	}
}

/* link_kinds.c: of IFLA_INFO_KIND and IFLA_INFO_SLAVE_KIND */
extern const struct nm_case nm_link_kinds[], nm_port_kinds[];

/* reading.c */
double nm_slow_interval(const struct nm_view *v);
void nm_reading_start(struct nm_reading *r);
void nm_notices_free(struct view *w);

/* owner.c */
void nm_owners_open(struct view *w);
void nm_owners_close(struct view *w);
void nm_owners_sweep(struct view *w);
void nm_rebase(struct nm_reading *r, const struct nm_value *v);

/* secret.c */
bool nm_has_secret(const struct nm_source *s);
/* Zeroes the secrets in all messages of a datagram. */
void nm_wipe(const struct view *w, enum nm_bus bus, void *buf, size_t len);

/* genl.c */
int nm_genl_resolve(const char *family, const char *mcast, uint16_t *id, uint32_t *group);

/* namespace.c: runs fn(arg) in a thread of its own inside a namespace */
int nm_in_netns(const char *netns, int (*fn)(void *arg), void *arg);

#endif
