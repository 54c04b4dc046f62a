/* SPDX-License-Identifier: MIT */
/*
 * A message as JSON by its table.  Whatever the bytes are, the output is valid
 * JSON in UTF-8: interface names may hold any byte but '/', white space and 0.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct out {
	FILE *f;
	size_t used;
	char buf[4096]; /* stdio's own call for each character is most of the cost without it */
	const struct nm_view *v;
	bool unknown; /* print attributes without a row */
	bool first;   /* no member yet in the object */
};

static void object(struct out *o, const struct nm_table *t, const uint8_t *p, size_t len);

static void flush(struct out *o)
{
	fwrite_unlocked(o->buf, 1, o->used, o->f);
	o->used = 0;
}

static void put(struct out *o, char c)
{
	if (o->used == sizeof(o->buf))
		flush(o);
	o->buf[o->used++] = c;
}

static void word(struct out *o, const char *s)
{
	while (*s)
		put(o, *s++);
}

static void number(struct out *o, uint64_t u, bool negative)
{
	char buf[24], *p = buf + sizeof(buf);

	*--p = 0;
	do
		*--p = (char)('0' + u % 10);
	while (u /= 10);
	if (negative)
		*--p = '-';
	word(o, p);
}

static void hex_byte(struct out *o, uint8_t byte)
{
	static const char digit[] = "0123456789abcdef";

	put(o, digit[byte >> 4]);
	put(o, digit[byte & 15]);
}

/* Bytes of the well-formed UTF-8 sequence at s (RFC 3629), 0: it is none. */
static size_t utf8(const uint8_t *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 :
		   s[0] < 0xc2 ? 0 :
		   s[0] < 0xe0 ? 2 :
		   s[0] < 0xf0 ? 3 :
		   s[0] < 0xf5 ? 4 :
				 0;

	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void quote(struct out *o, const char *text, size_t max)
{
	const uint8_t *s = (const uint8_t *)text, *end = s + strnlen(text, max);

	put(o, '"');
	while (s < end) {
		size_t n = utf8(s, end - s);

		if (*s < 0x20 || *s == 0x7f) {
			word(o, "\\u00");
			hex_byte(o, *s);
		} else if (!n) {
			word(o, "\\ufffd");
		} else {
			if (*s == '"' || *s == '\\')
				put(o, '\\');
			for (size_t i = 0; i < n; i++)
				put(o, (char)s[i]);
		}
		s += n ? n : 1;
	}
	put(o, '"');
}

static void hex(struct out *o, const uint8_t *p, size_t len)
{
	put(o, '"');
	while (len--)
		hex_byte(o, *p++);
	put(o, '"');
}

static void lladdr(struct out *o, const uint8_t *p, size_t len)
{
	put(o, '"');
	for (size_t i = 0; i < len; i++) {
		if (i)
			put(o, ':');
		hex_byte(o, p[i]);
	}
	put(o, '"');
}

static void address(struct out *o, const uint8_t *p, size_t len)
{
	char buf[INET6_ADDRSTRLEN];

	if (len == 4 || len == 16) {
		inet_ntop(len == 4 ? AF_INET : AF_INET6, p, buf, sizeof(buf));
		quote(o, buf, sizeof(buf));
	} else {
		lladdr(o, p, len);
	}
}

static void group(struct out *o, const uint8_t *p, size_t len)
{
	uint16_t proto = len < 18 ? 0xffff : (uint16_t)(p[16] << 8 | p[17]);

	if (proto == ETH_P_IP || proto == ETH_P_IPV6)
		address(o, p, proto == ETH_P_IP ? 4 : 16);
	else
		lladdr(o, p, proto ? len : 6);
}

static void sockaddr(struct out *o, const uint8_t *p, size_t len)
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
		hex(o, p, len);
		return;
	}
	quote(o, text, sizeof(text));
}

static void base64(struct out *o, const uint8_t *p, size_t len)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	put(o, '"');
	for (size_t i = 0; i < len; i += 3) {
		uint32_t u = (uint32_t)p[i] << 16 | (i + 1 < len ? p[i + 1] << 8 : 0) |
			     (i + 2 < len ? p[i + 2] : 0);

		put(o, digit[u >> 18]);
		put(o, digit[u >> 12 & 63]);
		put(o, i + 1 < len ? digit[u >> 6 & 63] : '=');
		put(o, i + 2 < len ? digit[u & 63] : '=');
	}
	put(o, '"');
}

static void comma(struct out *o)
{
	if (!o->first)
		put(o, ',');
	o->first = false;
}

/* "name": or "name_suffix":, without the prefix that the table's symbols share. */
static void key(struct out *o, const char *name, size_t prefix, const char *suffix)
{
	comma(o);
	put(o, '"');
	for (name += strlen(name) > prefix ? prefix : 0; *name; name++)
		put(o, (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name));
	word(o, suffix);
	word(o, "\":");
}

static void number_key(struct out *o, uint64_t u)
{
	put(o, '"');
	number(o, u, false);
	word(o, "\":");
}

static void bits(struct out *o, const struct nm_names *t, uint64_t v)
{
	const char *sep = "";

	put(o, '[');
	for (size_t i = 0; i < t->n; i++) {
		uint32_t bit = t->v[i].value;

		if (bit && !(bit & (bit - 1)) && (v & bit)) {
			word(o, sep);
			quote(o, t->v[i].name, SIZE_MAX);
			v &= ~(uint64_t)bit;
			sep = ",";
		}
	}
	if (v) {
		char rest[24];

		snprintf(rest, sizeof(rest), "0x%" PRIx64, v);
		word(o, sep);
		quote(o, rest, sizeof(rest));
	}
	put(o, ']');
}

static void sint(struct out *o, uint64_t u, size_t len)
{
	int64_t s = len == 1 ? (int8_t)u :
		    len == 2 ? (int16_t)u :
		    len == 4 ? (int32_t)u :
			       (int64_t)u;

	number(o, s < 0 ? -(uint64_t)s : (uint64_t)s, s < 0);
}

/* The kernel's arrays: {"forwarding":1,"mc_forwarding":0,...}, or [38,2,...] without names. */
static void array(struct out *o, const struct nm_field *d, const uint8_t *p, size_t len)
{
	bool was = o->first;

	put(o, d->names ? '{' : '[');
	o->first = true;
	for (size_t i = 0; (i + 1) * d->len <= len; i++) {
		const char *name = d->names ? nm_name(d->names, (uint32_t)(i + d->by)) : NULL;
		uint64_t u = nm_load(p + i * d->len, d->len);

		if (name)
			key(o, name, 0, "");
		else
			comma(o);
		if (d->names && !name)
			number_key(o, i + d->by);
		if (d->len < 8)
			sint(o, u, d->len);
		else
			number(o, u, false);
	}
	put(o, d->names ? '}' : ']');
	o->first = was;
}

static void value(struct out *o, const struct nm_field *d, const uint8_t *p, size_t len,
		  const struct nlattr *const *sibling);

/* Every child by the row of its type; lists whose types only count, by the first row. */
static void list(struct out *o, const struct nm_table *t, const uint8_t *p, size_t len)
{
	const char *sep = "";

	put(o, '[');
	for (const struct nlattr *a = nm_attr_first(p, p + len); a; a = nm_attr_next(a, p + len)) {
		uint16_t type = mnl_attr_get_type(a);
		const struct nm_field *d = type < t->n && t->row[type].name ? &t->row[type] :
									      t->row;

		word(o, sep);
		value(o, d, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), NULL);
		sep = ",";
	}
	put(o, ']');
}

/* A stack of MPLS labels: 20 bits of 4 bytes each. */
static void labels(struct out *o, const uint8_t *p, size_t len)
{
	put(o, '[');
	for (size_t i = 0; i + 4 <= len; i += 4) {
		if (i)
			put(o, ',');
		number(o, (uint64_t)p[i] << 12 | p[i + 1] << 4 | p[i + 2] >> 4, false);
	}
	put(o, ']');
}

/* One behind another, each as long as the table says or as its own first member does. */
static void structs(struct out *o, const struct nm_field *d, const uint8_t *p, size_t len)
{
	const char *sep = "";
	size_t size = d->table->size, step;

	put(o, '[');
	for (; len >= size; p += step, len -= step) {
		step = d->by ? nm_load(p, 2) : size;
		if (step < size || step > len)
			break;
		word(o, sep);
		object(o, d->table, p, step);
		sep = ",";
		step = NLMSG_ALIGN(step) < len ? NLMSG_ALIGN(step) : len;
	}
	put(o, ']');
}

static const struct nm_table *choose(const struct nm_field *d, const struct nlattr *const *sibling)
{
	const char *is = sibling ? nm_str(sibling[d->by]) : NULL;

	for (const struct nm_case *c = d->cases; is && c->is; c++)
		if (!strcmp(c->is, is))
			return c->table;
	return NULL;
}

static void value(struct out *o, const struct nm_field *d, const uint8_t *p, size_t len,
		  const struct nlattr *const *sibling)
{
	bool is_number = len == 1 || len == 2 || len == 4 || len == 8;
	enum nm_kind kind = d->kind;
	const struct nm_table *t = d->table;
	const char *name;

	if (kind == NM_CHOICE) {
		t = choose(d, sibling);
		kind = t ? NM_NEST : NM_HEX;
	}
	if (!is_number && (kind == NM_UINT || kind == NM_SINT || kind == NM_BE || kind == NM_ENUM ||
			   kind == NM_BITS || kind == NM_IFINDEX))
		kind = NM_HEX;
	switch (kind) {
	case NM_UINT:
		number(o, nm_load(p, len), false);
		break;
	case NM_IFINDEX: /* an int of the kernel's, where some messages have -1 for all */
	case NM_SINT:
		sint(o, nm_load(p, len), len);
		break;
	case NM_BE:
		number(o, be64toh(nm_load(p, len) << (64 - 8 * len)), false);
		break;
	case NM_STR:
		quote(o, (const char *)p, len);
		break;
	case NM_FLAG:
		word(o, "true");
		break;
	case NM_ENUM:
		name = nm_load(p, len) > UINT32_MAX ? NULL :
						      nm_name(d->names, (uint32_t)nm_load(p, len));
		if (name)
			quote(o, name, SIZE_MAX);
		else
			number(o, nm_load(p, len), false);
		break;
	case NM_BITS:
		bits(o, d->names, nm_load(p, len));
		break;
	case NM_LLADDR:
		lladdr(o, p, len);
		break;
	case NM_ADDR:
		address(o, p, len);
		break;
	case NM_GROUP:
		group(o, p, len);
		break;
	case NM_ARRAY_OF:
		array(o, d, p, len);
		break;
	case NM_STRUCT:
	case NM_NEST:
		object(o, t, p, len);
		break;
	case NM_STRUCTS:
		structs(o, d, p, len);
		break;
	case NM_LABELS:
		labels(o, p, len);
		break;
	case NM_VIA:
		address(o, p + (len > 2 ? 2 : 0), len > 2 ? len - 2 : 0);
		break;
	case NM_LIST:
		list(o, t, p, len);
		break;
	case NM_SOCKADDR:
		sockaddr(o, p, len);
		break;
	case NM_BASE64:
		base64(o, p, len);
		break;
	default:
		hex(o, p, len);
	}
}

/* The name beside an ifindex, where it is known. */
static void ifname(struct out *o, const struct nm_field *d, size_t prefix, const void *p,
		   size_t len)
{
	const char *name = len == 4 ? nm_ifname(o->v, (uint32_t)nm_load(p, len)) : NULL;

	if (d->kind == NM_IFINDEX && name) {
		key(o, d->name, prefix, "_name");
		quote(o, name, SIZE_MAX);
	}
}

static void member(struct out *o, const struct nm_table *t, const struct nm_field *d,
		   const uint8_t *p, size_t len, const struct nlattr *const *sibling)
{
	if (d->kind == NM_SECRET)
		return;
	key(o, d->name, t->prefix, "");
	value(o, d, p, len, sibling);
	ifname(o, d, t->prefix, p, len);
}

/* All attributes of one type, in their order. */
static void repeated(struct out *o, const struct nm_table *t, const struct nm_field *d,
		     const void *from, const void *end)
{
	uint16_t type = (uint16_t)(d - t->row);
	const char *sep = "";

	key(o, d->name, t->prefix, "");
	put(o, '[');
	for (const struct nlattr *a = nm_attr_first(from, end); a; a = nm_attr_next(a, end))
		if (mnl_attr_get_type(a) == type) {
			word(o, sep);
			value(o, d, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), NULL);
			sep = ",";
		}
	put(o, ']');
}

static void attribute(struct out *o, const struct nm_table *t, const struct nlattr *a,
		      const struct nlattr *const *sibling)
{
	uint16_t type = mnl_attr_get_type(a), len = mnl_attr_get_payload_len(a);
	const uint8_t *p = mnl_attr_get_payload(a);
	const char *symbol;

	if (type < t->n && t->row[type].name) {
		member(o, t, &t->row[type], p, len, sibling);
		return;
	}
	/* 0 is every nest's padding and UNSPEC */
	if (!o->unknown || !type)
		return;
	symbol = t->others ? nm_name(t->others, type) : NULL;
	if (symbol) {
		key(o, symbol, 0, "");
	} else {
		comma(o);
		number_key(o, type);
	}
	hex(o, p, len);
}

/* All but one, for which 0 stands for none. */
static void attributes(struct out *o, const struct nm_table *t, const void *from, const void *end,
		       uint16_t but)
{
	const struct nlattr *last[NM_ATTR_MAX + 1] = {0}, *a;

	for (a = nm_attr_first(from, end); a; a = nm_attr_next(a, end))
		if (mnl_attr_get_type(a) <= NM_ATTR_MAX)
			last[mnl_attr_get_type(a)] = a;
	/* An attribute that stands twice is printed once: JSON's keys are unique. */
	for (a = nm_attr_first(from, end); a; a = nm_attr_next(a, end)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type <= NM_ATTR_MAX && (last[type] != a || (but && type == but)))
			continue;
		if (type < t->n && t->row[type].many)
			repeated(o, t, &t->row[type], from, end);
		else
			attribute(o, t, a, last);
	}
}

/* Members of the struct as far as the payload has them, then the attributes behind it. */
static void fields(struct out *o, const struct nm_table *t, const uint8_t *p, size_t len)
{
	size_t head = NLMSG_ALIGN(t->size);

	for (size_t i = 0; t->size && i < t->n; i++)
		if (t->row[i].name && (size_t)t->row[i].off + t->row[i].len <= len)
			member(o, t, &t->row[i], p + t->row[i].off, t->row[i].len, NULL);
	if (!t->size)
		attributes(o, t, p, p + len, 0);
	else if (t->attrs && len > head)
		attributes(o, t->attrs, p + head, p + len, 0);
}

static void object(struct out *o, const struct nm_table *t, const uint8_t *p, size_t len)
{
	bool was = o->first;

	put(o, '{');
	o->first = true;
	fields(o, t, p, len);
	put(o, '}');
	o->first = was;
}

/* ---- texts: files of /proc ----------------------------------------------------------- */

static void text_key(struct out *o, const char *name, size_t len)
{
	comma(o);
	quote(o, name, len);
	put(o, ':');
}

/* A decimal number as it stands there, everything else quoted. */
static void text_value(struct out *o, const char *w, size_t len)
{
	size_t sign = *w == '-', digits = strspn(w + sign, "0123456789");

	if (digits && digits + sign == len && (digits == 1 || w[sign] != '0'))
		while (len--)
			put(o, *w++);
	else
		quote(o, w, len);
}

/* "Ip: Forwarding DefaultTTL" and below it "Ip: 1 64"; values points behind the second "Ip:". */
static void text_group(struct out *o, const char *names, size_t len, const char *values)
{
	const char *s = names + len, *name, *value;
	size_t name_len, value_len;

	text_key(o, names, len - 1);
	put(o, '{');
	o->first = true;
	while ((name = nm_word(&s, &name_len)) && (value = nm_word(&values, &value_len))) {
		text_key(o, name, name_len);
		text_value(o, value, value_len);
	}
	put(o, '}');
	o->first = false;
}

/* Lines of hexadecimal numbers that have a meaning by their column. */
static void text_columns(struct out *o, const struct nm_table *t, const char *s)
{
	const char *w;
	size_t len;

	put(o, '{');
	o->first = true;
	for (size_t i = 0; (w = nm_word(&s, &len)) && i < t->n; i++)
		if (t->row[i].name) {
			text_key(o, t->row[i].name, SIZE_MAX);
			number(o, strtoull(w, NULL, 16), false);
		}
	put(o, '}');
	o->first = false;
}

static void text(struct out *o, const struct nm_table *columns, const char *s)
{
	for (size_t line = 0; *s; line++) {
		const char *end = s + strcspn(s, "\n"), *next = *end ? end + 1 : end;
		size_t len, value_len;
		const char *at = s, *w = nm_word(&at, &len), *value;

		if (columns) {
			comma(o);
			put(o, '"');
			number(o, line, false);
			word(o, "\":");
			text_columns(o, columns, s);
		} else if (w && w[len - 1] == ':' && !strncmp(next, s, (size_t)(at - s))) {
			text_group(o, w, len, next + (at - s));
			next += strcspn(next, "\n");
			next += *next != 0;
		} else if (w && (value = nm_word(&at, &value_len))) {
			text_key(o, w, len);
			text_value(o, value, value_len);
		}
		s = next;
	}
}

/* ---- objects that go on in the next message ------------------------------------------ */

static void end_element(struct out *o, struct view *w)
{
	if (w->open.any)
		word(o, "]}");
	w->open.any = false;
}

static void elements(struct out *o, const struct nm_table *t, const struct nlattr *list, bool first)
{
	for (const struct nlattr *a = nm_child(list, NULL); a; a = nm_child(list, a)) {
		if (!first)
			put(o, ',');
		value(o, t->row, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), NULL);
		first = false;
	}
}

/* One of the list, or what the last one of it had no room for. */
static void element(struct out *o, struct view *w, const struct nm_join *j,
		    const struct nm_table *t, const struct nlattr *a, bool first)
{
	const struct nm_field *sub = &t->row[j->sublist];
	const struct nlattr *more = nm_in(a, j->sublist);
	uint8_t id[sizeof(w->open.key)] = {0};
	bool goes_on;

	nm_bytes(nm_in(a, j->key), id, sizeof(id));
	goes_on = w->open.any && !memcmp(id, w->open.key, sizeof(id));
	if (!goes_on) {
		end_element(o, w);
		if (!first)
			put(o, ',');
		put(o, '{');
		o->first = true;
		attributes(o, t, mnl_attr_get_payload(a), nm_attr_end(a), j->sublist);
		key(o, sub->name, t->prefix, "");
		put(o, '[');
		memcpy(w->open.key, id, sizeof(id));
		w->open.any = true;
		w->open.empty = true;
	}
	elements(o, sub->table, more, w->open.empty);
	w->open.empty &= !nm_child(more, NULL);
}

static void joined(struct out *o, struct view *w, const struct nm_msg *m)
{
	const struct nm_join *j = &m->src->join;
	const struct nm_table *t = m->src->table->attrs;
	const struct nm_field *list = &t->row[j->list];
	bool first = !nm_goes_on(&w->pub, m);

	if (first) {
		w->open.is = true;
		w->open.seq = m->nlh->nlmsg_seq;
		w->open.link = w->pub.link;
		w->open.any = false;
		w->open.none = true;
		put(o, '{');
		attributes(o, t,
			   mnl_nlmsg_get_payload_offset(m->nlh, NLMSG_ALIGN(m->src->table->size)),
			   mnl_nlmsg_get_payload_tail(m->nlh), j->list);
		key(o, list->name, t->prefix, "");
		put(o, '[');
	}
	for (const struct nlattr *a = nm_child(m->attr[j->list], NULL); a;
	     a = nm_child(m->attr[j->list], a)) {
		element(o, w, j, list->table->row->table, a, w->open.none);
		w->open.none = false;
	}
}

bool nm_goes_on(const struct nm_view *v, const struct nm_msg *m)
{
	const struct view *w = view_of(v);

	return m->src->join.list && w->open.is && w->open.seq == m->nlh->nlmsg_seq &&
	       w->open.link == w->pub.link;
}

void nm_print_end(FILE *f, const struct nm_view *v)
{
	struct view *w = view_of(v);

	if (w->open.is)
		fputs(w->open.any ? "]}]}" : "]}", f);
	w->open.is = false;
}

/* ---- one message ---------------------------------------------------------------------- */

void nm_print(FILE *f, const struct nm_view *v, const struct nm_msg *m, unsigned flags)
{
	struct out o;

	/* not the buffer: clearing it would cost more than filling it */
	o.f = f;
	o.v = v;
	o.used = 0;
	o.unknown = !(flags & NM_NO_UNKNOWN);
	o.first = true;
	if (m->src->join.list) {
		joined(&o, view_of(v), m);
		flush(&o);
		return;
	}
	put(&o, '{');
	if (m->event) {
		key(&o, "change", 0, "");
		quote(&o, m->gone ? "del" : "new", SIZE_MAX);
	}
	if (m->text)
		text(&o, m->src->table, m->text);
	else
		fields(&o, m->src->table, m->hdr, mnl_nlmsg_get_payload_len(m->nlh));
	put(&o, '}');
	flush(&o);
}
