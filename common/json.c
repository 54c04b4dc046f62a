/* SPDX-License-Identifier: MIT */
/*
 * A message as JSON by its table.  Nearly all of what is printed was printed
 * before: keys are made once for each row, and the text of a struct's head, of
 * flags, names and addresses is kept until their bytes differ.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"
#include "names.h"

/*
 * Bytes that were printed last, and the text that they made.  All texts that are kept, keys and
 * elements, start with a comma, which the first element of a container leaves out.
 */
#define MEMO_RAW   16
#define HEAD_RAW   32
#define MEMO_TEXT  (96 + NM_SLACK)
#define ARRAY_RAW  512
#define ARRAY_TEXT 4096
struct memo {
	uint16_t raw_len;
	uint8_t vain;          /* times that it was another value, one after the other */
	unsigned epoch, depth; /* of struct nm_json */
	unsigned len;
};

struct array_memo {
	struct memo m;
	uint8_t raw[ARRAY_RAW];
	char text[ARRAY_TEXT + NM_SLACK];
};

struct shape_row {
	uint8_t key_len; /* 0: no row */
	bool keeps, number, many;
	struct memo memo;
	uint8_t raw[MEMO_RAW];
	char key[64 + NM_SLACK]; /* ",\"oif\":" */
	char text[MEMO_TEXT];
	union {
		struct shape *sub;
		struct array_memo *array; /* of NM_ARRAY_OF, when one was printed */
	};
};

struct shape { /* how a table is printed */
	const struct nm_table *table;
	struct shape *attrs;
	bool keeps; /* the head, all members of the struct */
	struct memo head;
	uint8_t raw[HEAD_RAW];
	char text[256 + NM_SLACK];
	struct shape_row row[];
};

struct range { /* of attributes */
	const void *from, *end;
};

static void object(struct nm_json *j, struct shape *s, const uint8_t *p, size_t len);

/* ---- what is printed again and again -------------------------------------------------- */

static char *lower(char *to, const char *end, const char *s)
{
	for (; *s && to < end; s++)
		*to++ = (char)(*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s);
	return to;
}

/* ,"name": without the prefix that the table's symbols share. */
static uint8_t make_key(char to[static 64], const char *name, size_t prefix)
{
	char *p = to;

	*p++ = ',';
	*p++ = '"';
	p = lower(p, to + 64 - sizeof("\":"), name + (strlen(name) > prefix ? prefix : 0));
	*p++ = '"';
	*p++ = ':';
	return (uint8_t)(p - to);
}

static bool worth_keeping(const struct nm_field *d)
{
	enum nm_kind k = d->kind;

	return !d->by &&
	       (k == NM_ENUM || k == NM_BITS || k == NM_IFINDEX || k == NM_TABLE || k == NM_ADDR);
}

static struct shape *shape_of(struct nm_json *j, const struct nm_table *t)
{
	struct shape **at, *s;
	bool fresh;

	j->shapes.key = sizeof(t);
	j->shapes.val = sizeof(s);
	at = nm_map_put(&j->shapes, &t, &fresh);
	if (!at || !fresh)
		return at ? *at : NULL;
	s = calloc(1, sizeof(*s) + t->n * sizeof(s->row[0]));
	if (!s) {
		nm_map_del(&j->shapes, &t);
		return NULL;
	}
	*at = s;
	s->table = t;
	s->keeps = t->size && t->size <= HEAD_RAW && t->n && t->row[0].name;
	for (size_t i = 0; i < t->n; i++)
		if (t->row[i].name) {
			s->row[i].key_len = make_key(s->row[i].key, t->row[i].name, t->prefix);
			s->row[i].keeps = worth_keeping(&t->row[i]);
			s->row[i].number = t->row[i].kind == NM_UINT;
			s->row[i].many = t->row[i].many;
		}
	return s;
}

static void free_shape(struct shape *s)
{
	for (size_t i = 0; i < s->table->n; i++)
		if (s->table->row[i].kind == NM_ARRAY_OF)
			free(s->row[i].array);
	free(s);
}

void nm_shapes_free(struct nm_json *j)
{
	const void *key;
	struct shape **s;

	for (size_t i = 0; (s = nm_map_next(&j->shapes, &key, &i));)
		free_shape(*s);
	nm_map_free(&j->shapes);
	for (size_t i = 0; i < NM_COUNT(j->names); i++)
		nm_map_free(&j->names[i]);
}

static inline bool same(const uint8_t *a, const uint8_t *b, size_t len)
{
	if (len == 4)
		return nm_load(a, 4) == nm_load(b, 4);
	if (len == 1)
		return *a == *b;
	if (len >= 8 && len <= 16)
		return nm_load(a, 8) == nm_load(b, 8) &&
		       nm_load(a + len - 8, 8) == nm_load(b + len - 8, 8);
	return !memcmp(a, b, len);
}

/* A text that starts with a comma. */
static inline void put_element(struct nm_json *j, const char *text, size_t len)
{
	nm_put_short(j, text + j->first, len - j->first);
	j->first = false;
}

/* The text of a value that was printed just before, if it is the same value. */
static inline bool recall(struct nm_json *j, struct memo *m, const uint8_t *raw, const char *text,
			  const uint8_t *p, size_t len)
{
	if (m->epoch != j->epoch || m->raw_len != len || m->depth != j->depth ||
	    !same(raw, p, len)) {
		m->vain++;
		return false;
	}
	m->vain = 0;
	put_element(j, text, m->len);
	return true;
}

struct mark { /* where an element began */
	const char *at;
	uint64_t flushes;
	unsigned nameless;
	bool first;
};

static inline struct mark here(struct nm_json *j, size_t room)
{
	char *at = nm_room(j, room);

	return (struct mark){at, j->flushes, j->nameless, j->first};
}

/* What stands from there on is kept; seldom, where it is another value each time. */
static void keep(struct nm_json *j, struct memo *m, uint8_t *raw, char *text, size_t size,
		 const uint8_t *p, size_t len, struct mark from)
{
	size_t n = (size_t)(j->at - from.at) + from.first;

	if (m->vain > 4 && m->vain % 16)
		return;
	m->epoch = 0;
	if (j->flushes != from.flushes || j->nameless != from.nameless || n > size - NM_SLACK)
		return;
	*text = ',';
	memcpy(text + from.first, from.at, n - from.first);
	memcpy(raw, p, len);
	m->raw_len = (uint16_t)len;
	m->epoch = j->epoch;
	m->depth = j->depth;
	m->len = (unsigned)n;
}

static inline void key(struct nm_json *j, const struct shape_row *r)
{
	if (j->depth <= j->lines) {
		nm_json_element(j);
		nm_put_short(j, r->key + 1, r->key_len - 1u);
		nm_put(j, ' ');
	} else {
		put_element(j, r->key, r->key_len);
	}
}

/* "oif_name": behind "oif": */
static void name_key(struct nm_json *j, const struct shape_row *r)
{
	nm_json_element(j);
	nm_put_short(j, r->key + 1, r->key_len - 3u);
	nm_put_text(j, "_name\":", 7);
	if (j->depth <= j->lines)
		nm_put(j, ' ');
}

static void number_key(struct nm_json *j, uint64_t u)
{
	nm_json_element(j);
	nm_put(j, '"');
	nm_put_number(j, u, false);
	nm_put_text(j, "\":", 2);
	if (j->depth <= j->lines)
		nm_put(j, ' ');
}

/* A name that names.awk has made: in small letters and without a prefix. */
static void symbol_key(struct nm_json *j, const char *name)
{
	size_t len = strnlen(name, 64);
	char *to;

	nm_json_element(j);
	to = nm_room(j, 72);
	*to++ = '"';
	memcpy(to, name, len);
	to += len;
	*to++ = '"';
	*to++ = ':';
	j->at = to;
	if (j->depth <= j->lines)
		nm_put(j, ' ');
}

/* ---- values -------------------------------------------------------------------------------- */

static void ipv4(struct nm_json *j, const uint8_t *p)
{
	char *to = nm_room(j, 24);

	*to++ = '"';
	for (int i = 0; i < 4; i++) {
		memcpy(to, j->octet[p[i]].text, 4);
		to += j->octet[p[i]].len;
	}
	to[-1] = '"'; /* for the last point */
	j->at = to;
}

/* inet_ntop() is a third of the time that a route takes. */
static void ipv6(struct nm_json *j, const uint8_t *p)
{
	static const char digit[] = "0123456789abcdef";
	size_t best = 8, most = 1; /* the longest run of zeros, two at least */
	unsigned word[8];
	char *to;

	for (size_t i = 0; i < 8; i++)
		word[i] = (unsigned)p[2 * i] << 8 | p[2 * i + 1];
	for (size_t i = 0, n; i < 8; i += n ? n : 1) {
		for (n = 0; i + n < 8 && !word[i + n]; n++)
			;
		if (n > most) {
			best = i;
			most = n;
		}
	}
	to = nm_room(j, INET6_ADDRSTRLEN + 2);
	*to++ = '"';
	if (best == 0 && most >= 5 && most < 8) { /* may hold an IPv4 address */
		inet_ntop(AF_INET6, p, to, INET6_ADDRSTRLEN);
		to += strlen(to);
		*to++ = '"';
		j->at = to;
		return;
	}
	for (size_t i = 0; i < 8; i++) {
		unsigned u = word[i];

		if (i == best) {
			*to++ = ':';
			i += most - 1;
			if (i == 7)
				*to++ = ':';
			continue;
		}
		if (i)
			*to++ = ':';
		for (int shift = u > 0xfff ? 12 :
				 u > 0xff  ? 8 :
				 u > 0xf   ? 4 :
					     0;
		     shift >= 0; shift -= 4)
			*to++ = digit[u >> shift & 15];
	}
	*to++ = '"';
	j->at = to;
}

static void address(struct nm_json *j, const uint8_t *p, size_t len)
{
	if (len == 4)
		ipv4(j, p);
	else if (len == 16)
		ipv6(j, p);
	else
		nm_put_hex(j, p, len, ':');
}

static void group(struct nm_json *j, const uint8_t *p, size_t len)
{
	uint16_t proto = len < 18 ? 0xffff : (uint16_t)(p[16] << 8 | p[17]);

	if (proto == ETH_P_IP || proto == ETH_P_IPV6)
		address(j, p, proto == ETH_P_IP ? 4 : 16);
	else
		nm_put_hex(j, p, proto ? len : 6, ':');
}

static void sockaddr(struct nm_json *j, const uint8_t *p, size_t len)
{
	char ip[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 24];
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (nm_load(p, len < 2 ? 0 : 2) == AF_INET && len >= sizeof(in)) {
		memcpy(&in, p, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, ip, sizeof(ip));
		snprintf(text, sizeof(text), "%s:%u", ip, ntohs(in.sin_port));
	} else if (nm_load(p, len < 2 ? 0 : 2) == AF_INET6 && len >= sizeof(in6)) {
		memcpy(&in6, p, sizeof(in6));
		inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof(ip));
		if (in6.sin6_scope_id)
			snprintf(text, sizeof(text), "[%s%%%u]:%u", ip, in6.sin6_scope_id,
				 ntohs(in6.sin6_port));
		else
			snprintf(text, sizeof(text), "[%s]:%u", ip, ntohs(in6.sin6_port));
	} else {
		nm_put_hex(j, p, len, 0);
		return;
	}
	nm_put_quoted(j, text, sizeof(text));
}

static void base64(struct nm_json *j, const uint8_t *p, size_t len)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	nm_put(j, '"');
	for (size_t i = 0; i < len; i += 3) {
		uint32_t u = (uint32_t)p[i] << 16 | (i + 1 < len ? p[i + 1] << 8 : 0) |
			     (i + 2 < len ? p[i + 2] : 0);
		char *to = nm_room(j, 4);

		*to++ = digit[u >> 18];
		*to++ = digit[u >> 12 & 63];
		*to++ = i + 1 < len ? digit[u >> 6 & 63] : '=';
		*to++ = i + 2 < len ? digit[u & 63] : '=';
		j->at = to;
	}
	nm_put(j, '"');
}

static void bits(struct nm_json *j, const struct nm_names *t, uint64_t v)
{
	const char *sep = "";

	nm_put(j, '[');
	for (size_t i = 0; t && i < t->n; i++) {
		uint32_t bit = t->v[i].value;

		if (bit && !(bit & (bit - 1)) && (v & bit)) {
			nm_put_text(j, sep, strlen(sep));
			nm_put_quoted(j, t->v[i].name, SIZE_MAX);
			v &= ~(uint64_t)bit;
			sep = ",";
		}
	}
	if (v) {
		char rest[24];

		snprintf(rest, sizeof(rest), "0x%" PRIx64, v);
		nm_put_text(j, sep, strlen(sep));
		nm_put_quoted(j, rest, SIZE_MAX);
	}
	nm_put(j, ']');
}

static void sint(struct nm_json *j, uint64_t u, size_t len)
{
	int64_t s = len == 1 ? (int8_t)u :
		    len == 2 ? (int16_t)u :
		    len == 4 ? (int32_t)u :
			       (int64_t)u;

	nm_put_number(j, s < 0 ? -(uint64_t)s : (uint64_t)s, s < 0);
}

/* What the administrator calls a number, where the kernel's headers do not. */
static const char *given_name(struct nm_json *j, const struct nm_names *t, uint32_t id)
{
	static const char *const file[] = {"rt_tables", "rt_protos"};
	size_t which = t == &nm_RTPROT;

	if (t != &nm_RTPROT && t != &nm_RT_TABLE)
		return NULL;
	if (!j->named[which])
		nm_rtnames_load(&j->names[which], file[which]);
	j->named[which] = true;
	return nm_map_get(&j->names[which], &id);
}

static const char *name_of(struct nm_json *j, const struct nm_names *t, uint64_t id)
{
	const char *name = id > UINT32_MAX ? NULL : nm_name(t, (uint32_t)id);

	return name || id > UINT32_MAX ? name : given_name(j, t, (uint32_t)id);
}

/* The name that stands beside a number; NULL: not known. */
static const char *name_beside(struct nm_json *j, const struct nm_view *v, const struct nm_field *d,
			       uint64_t id)
{
	bool special = d->kind == NM_IFINDEX && d->names;
	const char *name = special ? nm_name(d->names, (uint32_t)id) : NULL;

	return name                  ? name :
	       d->kind == NM_IFINDEX ? nm_ifname(v, (uint32_t)id) :
	       d->kind == NM_TABLE   ? name_of(j, &nm_RT_TABLE, id) :
				       NULL;
}

/* The kernel's arrays: {"forwarding":1,"mc_forwarding":0,...}, or [38,2,...] without names. */
static void array(struct nm_json *j, const struct nm_field *d, const uint8_t *p, size_t len)
{
	nm_json_open(j, d->names ? '{' : '[');
	for (size_t i = 0; (i + 1) * d->len <= len; i++) {
		const char *name = d->names ? nm_name(d->names, (uint32_t)(i + d->by)) : NULL;
		uint64_t u = nm_load(p + i * d->len, d->len);

		if (name)
			symbol_key(j, name);
		else if (d->names)
			number_key(j, i + d->by);
		else
			nm_json_element(j);
		if (d->len < 8)
			sint(j, u, d->len);
		else
			nm_put_number(j, u, false);
	}
	nm_json_end(j, d->names ? '}' : ']');
}

static void value(struct nm_json *j, struct shape_row *r, const struct nm_field *d,
		  const uint8_t *p, size_t len, struct range siblings);

/* Every child by the row of its type; lists whose types only count, by the first row. */
static void list(struct nm_json *j, struct shape *s, const uint8_t *p, size_t len)
{
	const struct nm_table *t = s->table;

	nm_json_open(j, '[');
	for (const struct nlattr *a = nm_attr_first(p, p + len); a; a = nm_attr_next(a, p + len)) {
		uint16_t type = nm_type(a);

		if (type >= t->n || !t->row[type].name)
			type = 0;
		nm_json_element(j);
		value(j, &s->row[type], &t->row[type], nm_payload(a), nm_payload_len(a),
		      (struct range){0});
	}
	nm_json_end(j, ']');
}

/* A stack of MPLS labels: 20 bits of 4 bytes each. */
static void labels(struct nm_json *j, const uint8_t *p, size_t len)
{
	nm_json_open(j, '[');
	for (size_t i = 0; i + 4 <= len; i += 4) {
		nm_json_element(j);
		nm_put_number(j, (uint64_t)p[i] << 12 | p[i + 1] << 4 | p[i + 2] >> 4, false);
	}
	nm_json_end(j, ']');
}

/* One behind another, each as long as the table says or as its own first member does. */
static void structs(struct nm_json *j, struct shape *s, bool by_length, const uint8_t *p,
		    size_t len)
{
	size_t size = s->table->size, step;

	nm_json_open(j, '[');
	for (; len >= size; p += step, len -= step) {
		step = by_length ? nm_load(p, 2) : size;
		if (step < size || step > len)
			break;
		nm_json_element(j);
		object(j, s, p, step);
		step = NLMSG_ALIGN(step) < len ? NLMSG_ALIGN(step) : len;
	}
	nm_json_end(j, ']');
}

static const struct nlattr *sibling(struct range siblings, uint16_t type)
{
	const struct nlattr *found = NULL;

	for (const struct nlattr *a = nm_attr_first(siblings.from, siblings.end); a;
	     a = nm_attr_next(a, siblings.end))
		if (nm_type(a) == type)
			found = a;
	return found;
}

static const struct nm_table *choose(const struct nm_field *d, struct range siblings)
{
	const char *is = nm_str(sibling(siblings, d->by));

	for (const struct nm_case *c = d->cases; is && c->is; c++)
		if (!strcmp(c->is, is))
			return c->table;
	return NULL;
}

/* A value that is made of others; without memory for its shape it is null, and said at the end. */
static void compound(struct nm_json *j, struct shape_row *r, const struct nm_field *d,
		     const struct nm_table *t, const uint8_t *p, size_t len)
{
	struct shape *s = r->sub && r->sub->table == t ? r->sub : shape_of(j, t);

	r->sub = s;
	if (!s) {
		j->failed = true;
		nm_put_text(j, "null", 4);
	} else if (d->kind == NM_STRUCTS) {
		structs(j, s, d->by, p, len);
	} else if (d->kind == NM_LIST) {
		list(j, s, p, len);
	} else {
		object(j, s, p, len);
	}
}

static void value(struct nm_json *j, struct shape_row *r, const struct nm_field *d,
		  const uint8_t *p, size_t len, struct range siblings)
{
	bool is_number = len == 1 || len == 2 || len == 4 || len == 8;
	enum nm_kind kind = d->kind;
	const struct nm_table *t = d->table;
	const char *name;

	if (kind == NM_CHOICE) {
		t = choose(d, siblings);
		kind = t ? NM_NEST : NM_HEX;
	}
	if (!is_number && (kind == NM_UINT || kind == NM_SINT || kind == NM_BE || kind == NM_ENUM ||
			   kind == NM_BITS || kind == NM_IFINDEX || kind == NM_TABLE))
		kind = NM_HEX;
	switch (kind) {
	case NM_UINT:
	case NM_TABLE:
		nm_put_number(j, nm_load(p, len), false);
		break;
	case NM_IFINDEX: /* an int of the kernel's, where some messages have -1 for all */
	case NM_SINT:
		sint(j, nm_load(p, len), len);
		break;
	case NM_BE:
		nm_put_number(j, be64toh(nm_load(p, len) << (64 - 8 * len)), false);
		break;
	case NM_STR:
		nm_put_quoted(j, (const char *)p, len);
		break;
	case NM_FLAG:
		nm_put_text(j, "true", 4);
		break;
	case NM_ENUM:
		name = name_of(j, d->names, nm_load(p, len));
		if (name)
			nm_put_quoted(j, name, SIZE_MAX);
		else
			nm_put_number(j, nm_load(p, len), false);
		break;
	case NM_BITS:
		bits(j, d->names, nm_load(p, len));
		break;
	case NM_LLADDR:
		nm_put_hex(j, p, len, ':');
		break;
	case NM_ADDR:
		address(j, p, len);
		break;
	case NM_GROUP:
		group(j, p, len);
		break;
	case NM_ARRAY_OF:
		array(j, d, p, len);
		break;
	case NM_STRUCT:
	case NM_NEST:
	case NM_STRUCTS:
	case NM_LIST:
		compound(j, r, d, t, p, len);
		break;
	case NM_LABELS:
		labels(j, p, len);
		break;
	case NM_VIA:
		address(j, p + (len > 2 ? 2 : 0), len > 2 ? len - 2 : 0);
		break;
	case NM_SOCKADDR:
		sockaddr(j, p, len);
		break;
	case NM_BASE64:
		base64(j, p, len);
		break;
	default:
		nm_put_hex(j, p, len, 0);
	}
}

/* A value, and the name beside it. */
static void named(struct nm_json *j, struct shape_row *r, const struct nm_field *d,
		  const uint8_t *p, size_t len, struct range siblings)
{
	const char *name;

	value(j, r, d, p, len, siblings);
	if (len > 4 || (d->by && sibling(siblings, d->by)))
		return;
	name = name_beside(j, &j->of->pub, d, nm_load(p, len));
	j->nameless += !name;
	if (name) {
		name_key(j, r);
		nm_put_quoted(j, name, SIZE_MAX);
	}
}

/* Most interfaces have the same settings, hundreds of numbers of them. */
static void array_member(struct nm_json *j, struct shape_row *r, const struct nm_field *d,
			 const uint8_t *p, size_t len)
{
	struct array_memo *a = r->array;
	struct mark from;

	if (!a)
		a = r->array = len <= ARRAY_RAW ? calloc(1, sizeof(*a)) : NULL;
	if (a && len <= ARRAY_RAW && recall(j, &a->m, a->raw, a->text, p, len))
		return;
	from = here(j, NM_JSON_PIECE);
	key(j, r);
	array(j, d, p, len);
	if (a && len <= ARRAY_RAW)
		keep(j, &a->m, a->raw, a->text, sizeof(a->text), p, len, from);
}

static void new_member(struct nm_json *j, struct shape_row *r, const struct nm_field *d,
		       const uint8_t *p, size_t len, struct range siblings)
{
	struct mark from;

	if (d->kind == NM_SECRET)
		return;
	if (d->kind == NM_ARRAY_OF) {
		array_member(j, r, d, p, len);
		return;
	}
	from = here(j, NM_JSON_PIECE);
	key(j, r);
	if (d->kind == NM_IFINDEX || d->kind == NM_TABLE)
		named(j, r, d, p, len, siblings);
	else
		value(j, r, d, p, len, siblings);
	if (r->keeps && len && len <= MEMO_RAW)
		keep(j, &r->memo, r->raw, r->text, sizeof(r->text), p, len, from);
}

static inline __attribute__((always_inline)) void member(struct nm_json *j, struct shape *s,
							 size_t i, const uint8_t *p, size_t len,
							 struct range siblings)
{
	struct shape_row *r = &s->row[i];

	if (r->number && (len == 8 || len == 4 || len == 1)) {
		key(j, r);
		nm_put_number(j, nm_load(p, len), false);
	} else if (!r->keeps || !recall(j, &r->memo, r->raw, r->text, p, len)) {
		new_member(j, r, &s->table->row[i], p, len, siblings);
	}
}

/* ---- attributes and structs ----------------------------------------------------------------- */

static void attribute(struct nm_json *j, struct shape *s, const struct nlattr *a,
		      struct range siblings)
{
	const struct nm_table *t = s->table;
	uint16_t type = nm_type(a), len = nm_payload_len(a);
	const uint8_t *p = nm_payload(a);
	const char *symbol;

	if (type < t->n && s->row[type].key_len) {
		member(j, s, type, p, len, siblings);
		return;
	}
	/* 0 is every nest's padding and UNSPEC */
	if (!j->unknown || !type)
		return;
	symbol = t->others ? nm_name(t->others, type) : NULL;
	if (symbol)
		symbol_key(j, symbol);
	else
		number_key(j, type);
	nm_put_hex(j, p, len, 0);
}

/* Whether a type stands twice: of the first NM_ATTR_MAX. */
static inline bool any_twice(struct range all)
{
	uint64_t low = 0, high = 0, twice = 0; /* a bit for each type */

	for (const struct nlattr *a = nm_attr_first(all.from, all.end); a;
	     a = nm_attr_next(a, all.end)) {
		uint16_t type = nm_type(a);
		uint64_t bit = 1ull << type % 64;

		if (type < 64) {
			twice |= low & bit;
			low |= bit;
		} else if (type <= NM_ATTR_MAX) {
			twice |= high & bit;
			high |= bit;
		}
	}
	return twice;
}

static bool again_later(const struct nlattr *a, const void *end)
{
	uint16_t type = nm_type(a);

	while ((a = nm_attr_next(a, end)))
		if (nm_type(a) == type)
			return type <= NM_ATTR_MAX;
	return false;
}

/* All attributes of one type, in their order. */
static void repeated(struct nm_json *j, struct shape *s, uint16_t type, struct range all)
{
	key(j, &s->row[type]);
	nm_json_open(j, '[');
	for (const struct nlattr *a = nm_attr_first(all.from, all.end); a;
	     a = nm_attr_next(a, all.end))
		if (nm_type(a) == type) {
			nm_json_element(j);
			value(j, &s->row[type], &s->table->row[type], nm_payload(a),
			      nm_payload_len(a), all);
		}
	nm_json_end(j, ']');
}

/*
 * An attribute that stands twice is printed once: JSON's keys are unique.  All but one are
 * printed, for which 0 stands for none.
 */
static void attributes(struct nm_json *j, struct shape *s, const void *from, const void *end,
		       uint16_t but)
{
	const struct nm_table *t = s->table;
	struct range all = {from, end};
	bool checked = but || any_twice(all);

	for (const struct nlattr *a = nm_attr_first(from, end); a; a = nm_attr_next(a, end)) {
		uint16_t type = nm_type(a);

		if (checked && (again_later(a, end) || (but && type == but)))
			continue;
		if (type < t->n && s->row[type].many)
			repeated(j, s, type, all);
		else
			attribute(j, s, a, all);
	}
}

/* Members of the struct as far as the payload has them. */
static void members(struct nm_json *j, struct shape *s, const uint8_t *p, size_t len)
{
	const struct nm_table *t = s->table;
	bool keeps = s->keeps && t->size <= len;
	struct mark from;

	if (keeps && recall(j, &s->head, s->raw, s->text, p, t->size))
		return;
	from = here(j, NM_JSON_PIECE);
	for (size_t i = 0; i < t->n; i++)
		if (s->row[i].key_len && (size_t)t->row[i].off + t->row[i].len <= len)
			member(j, s, i, p + t->row[i].off, t->row[i].len, (struct range){0});
	if (keeps)
		keep(j, &s->head, s->raw, s->text, sizeof(s->text), p, t->size, from);
}

/* A struct and the attributes behind it, or attributes alone. */
static void fields(struct nm_json *j, struct shape *s, const uint8_t *p, size_t len)
{
	const struct nm_table *t = s->table;
	size_t head = NLMSG_ALIGN(t->size);

	if (!t->size) {
		attributes(j, s, p, p + len, 0);
		return;
	}
	members(j, s, p, len);
	if (!t->attrs || len <= head)
		return;
	if (!s->attrs)
		s->attrs = shape_of(j, t->attrs);
	if (s->attrs)
		attributes(j, s->attrs, p + head, p + len, 0);
	else
		j->failed = true;
}

static void object(struct nm_json *j, struct shape *s, const uint8_t *p, size_t len)
{
	nm_json_open(j, '{');
	fields(j, s, p, len);
	nm_json_end(j, '}');
}

/* ---- texts: files of /proc ----------------------------------------------------------- */

static void text_key(struct nm_json *j, const char *name, size_t len)
{
	nm_json_element(j);
	nm_put_quoted(j, name, len);
	nm_put(j, ':');
	if (j->depth <= j->lines)
		nm_put(j, ' ');
}

/* A decimal number as it stands there, everything else quoted. */
static void text_value(struct nm_json *j, const char *w, size_t len)
{
	size_t sign = *w == '-', digits = strspn(w + sign, "0123456789");

	if (digits && digits + sign == len && (digits == 1 || w[sign] != '0'))
		nm_put_text(j, w, len);
	else
		nm_put_quoted(j, w, len);
}

/* "Ip: Forwarding DefaultTTL" and below it "Ip: 1 64"; values points behind the second "Ip:". */
static void text_group(struct nm_json *j, const char *names, size_t len, const char *values)
{
	const char *s = names + len, *name, *value;
	size_t name_len, value_len;

	text_key(j, names, len - 1);
	nm_json_open(j, '{');
	while ((name = nm_word(&s, &name_len)) && (value = nm_word(&values, &value_len))) {
		text_key(j, name, name_len);
		text_value(j, value, value_len);
	}
	nm_json_end(j, '}');
}

/* Lines of hexadecimal numbers that have a meaning by their column. */
static void text_columns(struct nm_json *j, const struct nm_table *t, const char *s)
{
	const char *w;
	size_t len;

	nm_json_open(j, '{');
	for (size_t i = 0; (w = nm_word(&s, &len)) && i < t->n; i++)
		if (t->row[i].name) {
			text_key(j, t->row[i].name, SIZE_MAX);
			nm_put_number(j, strtoull(w, NULL, 16), false);
		}
	nm_json_end(j, '}');
}

static void text(struct nm_json *j, const struct nm_table *columns, const char *s)
{
	for (size_t line = 0; *s; line++) {
		const char *end = s + strcspn(s, "\n"), *next = *end ? end + 1 : end;
		size_t len, value_len;
		const char *at = s, *w = nm_word(&at, &len), *value;

		if (columns) {
			number_key(j, line);
			text_columns(j, columns, s);
		} else if (w && w[len - 1] == ':' && !strncmp(next, s, (size_t)(at - s))) {
			text_group(j, w, len, next + (at - s));
			next += strcspn(next, "\n");
			next += *next != 0;
		} else if (w && (value = nm_word(&at, &value_len))) {
			text_key(j, w, len);
			text_value(j, value, value_len);
		}
		s = next;
	}
}

/* ---- objects that go on in the next message ------------------------------------------ */

static void end_element(struct nm_json *j)
{
	if (!j->joined.element)
		return;
	nm_json_end(j, ']');
	nm_json_end(j, '}');
	j->joined.element = false;
}

/* One of the list, or what the last one of it had no room for. */
static void element(struct nm_json *j, const struct nm_join *join, struct shape *s,
		    const struct nlattr *a)
{
	struct shape_row *r = &s->row[join->sublist];
	const struct nm_table *t = s->table->row[join->sublist].table;
	const struct nlattr *more = nm_in(a, join->sublist);
	struct shape *sub = shape_of(j, t);
	uint8_t id[sizeof(j->joined.key)] = {0};

	nm_bytes(nm_in(a, join->key), id, sizeof(id));
	if (!j->joined.element || memcmp(id, j->joined.key, sizeof(id)) != 0) {
		end_element(j);
		nm_json_element(j);
		nm_json_open(j, '{');
		attributes(j, s, nm_payload(a), nm_attr_end(a), join->sublist);
		key(j, r);
		nm_json_open(j, '[');
		memcpy(j->joined.key, id, sizeof(id));
		j->joined.element = true;
	}
	j->failed |= !sub;
	for (const struct nlattr *e = nm_child(more, NULL); sub && e; e = nm_child(more, e)) {
		nm_json_element(j);
		value(j, &sub->row[0], &t->row[0], nm_payload(e), nm_payload_len(e),
		      (struct range){0});
	}
}

static void joined(struct nm_json *j, const struct nm_msg *m)
{
	const struct nm_join *join = &m->src->join;
	const struct nm_table *t = m->src->table->attrs;
	struct shape *s = shape_of(j, t);
	struct shape *elements = shape_of(j, t->row[join->list].table->row->table);

	if (!s || !elements) {
		j->failed = true;
		return;
	}
	if (!m->goes_on || !j->joined.list) {
		attributes(j, s, nm_msg_attrs(m->nlh, NLMSG_ALIGN(m->src->table->size)),
			   nm_msg_end(m->nlh), join->list);
		key(j, &s->row[join->list]);
		nm_json_open(j, '[');
		j->joined.list = true;
	}
	for (const struct nlattr *a = nm_child(m->attr[join->list], NULL); a;
	     a = nm_child(m->attr[join->list], a))
		element(j, join, elements, a);
}

void nm_print_end(struct nm_json *j)
{
	end_element(j);
	if (j->joined.list)
		nm_json_end(j, ']');
	j->joined.list = false;
}

/* ---- one message ---------------------------------------------------------------------- */

/* What is remembered was true for these names of interfaces. */
static void remember_for(struct nm_json *j, const struct nm_view *v)
{
	struct view *w = view_of(v);

	if (j->of == w && j->renamed == w->renamed && j->epoch)
		return;
	j->of = w;
	j->renamed = w->renamed;
	j->epoch++;
}

void nm_print(struct nm_json *j, const struct nm_view *v, const struct nm_msg *m)
{
	struct shape *s = m->text ? NULL : j->last;

	if (!m->text && (!s || s->table != m->src->table))
		s = j->last = shape_of(j, m->src->table);
	remember_for(j, v);
	if (m->event)
		nm_json_string(j, "change", m->gone ? "del" : "new");
	if (m->text)
		text(j, m->src->table, m->text);
	else if (m->src->join.list)
		joined(j, m);
	else if (s)
		fields(j, s, m->hdr, nm_msg_payload_len(m->nlh));
	else
		j->failed = true;
}

/* ---- one value ------------------------------------------------------------------------------ */

/* The row of a name of which the first len characters count; SIZE_MAX: there is none. */
static size_t row_named(const struct nm_table *t, const char *name, size_t len)
{
	for (size_t i = 0; i < t->n; i++) {
		const char *is = t->row[i].name;

		if (is && strlen(is) > t->prefix)
			is += t->prefix;
		if (is && !strncasecmp(is, name, len) && !is[len])
			return i;
	}
	return SIZE_MAX;
}

/* The table below a value; *element: it is a list, whose elements it describes. */
static const struct nm_table *below(const struct nm_field *d, bool *element)
{
	*element = d->kind == NM_LIST || d->kind == NM_STRUCTS;
	if (d->many) /* only the first would be found */
		return NULL;
	return *element || d->kind == NM_NEST || d->kind == NM_STRUCT ? d->table : NULL;
}

/* The first row of a list's table is what its elements are. */
static const struct nm_field *element_of(const struct nm_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->row[i].name)
			return &t->row[i];
	return NULL;
}

int nm_path(struct nm_path *p, const struct nm_table *t, const char *name)
{
	*p = (struct nm_path){0};
	while (t && p->n < NM_COUNT(p->step)) {
		size_t len = strcspn(name, "."), i;
		bool behind = *name == '@', list;
		struct nm_step *step = &p->step[p->n++];

		if (*name == '*') {
			p->field = element_of(t);
			step->any = true;
		} else {
			i = behind ? SIZE_MAX : row_named(t, name, len);
			if (i == SIZE_MAX && t->size && t->attrs) {
				t = t->attrs;
				i = row_named(t, name + behind, len - behind);
			}
			if (i == SIZE_MAX || t->row[i].kind == NM_SECRET)
				return -ENOENT;
			p->field = &t->row[i];
			step->type = (uint16_t)i;
			step->member = t->size ? p->field : NULL;
		}
		if (!name[len] || !p->field)
			return p->field ? 0 : -ENOENT;
		name += len + 1;
		if (p->field->many && p->n == 1 && !strncmp(name, "*.", 2)) {
			step->any = true;
			name += 2;
			t = p->field->table;
			continue;
		}
		t = below(p->field, &list);
		if (list && p->field->kind == NM_STRUCTS) /* only lists of attributes are walked */
			return -ENOENT;
	}
	return -ENOENT;
}

/* Moves at[] to one step of a path; false: not there. */
static inline bool step_to(const struct nm_step *s, const uint8_t **at, size_t *len)
{
	const uint8_t *end = *at + *len;
	const struct nlattr *a;

	if (s->member) {
		*at += s->member->off;
		if ((size_t)s->member->off + s->member->len > *len)
			return false;
		*len = s->member->len;
		return true;
	}
	for (a = nm_attr_first(*at, end); a && nm_type(a) != s->type;)
		a = nm_attr_next(a, end);
	if (!a)
		return false;
	*at = nm_payload(a);
	*len = nm_payload_len(a);
	return true;
}

static bool first_step(const struct nm_path *p, const struct nm_msg *m, const uint8_t **at,
		       size_t *len)
{
	const struct nlattr *a;

	if (m->text)
		return false;
	if (p->step[0].member || !m->src->table->size) {
		*at = m->hdr;
		*len = nm_msg_payload_len(m->nlh);
		return step_to(&p->step[0], at, len);
	}
	a = p->step[0].type <= NM_ATTR_MAX ? m->attr[p->step[0].type] : NULL;
	*at = a ? nm_payload(a) : NULL;
	*len = a ? nm_payload_len(a) : 0;
	return a;
}

const void *nm_path_get(const struct nm_path *p, const struct nm_msg *m, size_t *len)
{
	const uint8_t *at = NULL;
	bool there = !p->step[0].any && first_step(p, m, &at, len);

	for (size_t i = 1; there && i < p->n; i++)
		there = !p->step[i].any && step_to(&p->step[i], &at, len);
	return there ? at : NULL;
}

static void walk(const struct nm_path *p, size_t i, const uint8_t *at, size_t len,
		 void (*fn)(void *arg, const void *p, size_t len), void *arg)
{
	const uint8_t *end;

	for (; i < p->n && !p->step[i].any; i++)
		if (!step_to(&p->step[i], &at, &len))
			return;
	end = at + len;
	if (i == p->n) {
		fn(arg, at, len);
		return;
	}
	for (const struct nlattr *a = nm_attr_first(at, end); a; a = nm_attr_next(a, end))
		walk(p, i + 1, nm_payload(a), nm_payload_len(a), fn, arg);
}

void nm_path_each(const struct nm_path *p, const struct nm_msg *m,
		  void (*fn)(void *arg, const void *p, size_t len), void *arg)
{
	const uint8_t *at = NULL;
	size_t len;

	if (!p->step[0].any) {
		if (first_step(p, m, &at, &len))
			walk(p, 1, at, len, fn, arg);
		return;
	}
	for (const struct nlattr *a = nm_attr(m, NULL); a; a = nm_attr(m, a))
		if (nm_type(a) == p->step[0].type)
			walk(p, 1, nm_payload(a), nm_payload_len(a), fn, arg);
}

void nm_value_text(struct nm_json *j, const struct nm_view *v, const struct nm_field *d,
		   const void *p, size_t len, char *buf, size_t size)
{
	const char *name = len <= 4 ? name_beside(j, v, d, nm_load(p, len)) : NULL;
	struct shape_row r = {0};
	char *start = nm_room(j, sizeof(j->buf) / 2);
	uint64_t since = j->flushes;
	size_t n;

	*buf = 0;
	if (name || d->kind == NM_STR) {
		snprintf(buf, size, "%.*s", (int)(name ? IFNAMSIZ * 4 : strnlen(p, len)),
			 name ? name : (const char *)p);
		return;
	}
	if (len > sizeof(j->buf) / 16) /* each byte may become six characters */
		return;
	remember_for(j, v);
	value(j, &r, d, p, len, (struct range){0});
	n = j->flushes == since ? (size_t)(j->at - start) : 0;
	j->at = start;
	if (n >= 2 && *start == '"') {
		start++;
		n -= 2;
	}
	snprintf(buf, size, "%.*s", (int)n, start);
}
