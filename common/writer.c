/* SPDX-License-Identifier: MIT */
/*
 * Text that is valid JSON, whatever is written: names of interfaces may hold
 * any byte but '/', white space and 0.  What is written waits in one buffer.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define INDENT 2

/* "00" to "99": a number is written by two digits at once. */
static const char digits[] = "00010203040506070809101112131415161718192021222324"
			     "25262728293031323334353637383940414243444546474849"
			     "50515253545556575859606162636465666768697071727374"
			     "75767778798081828384858687888990919293949596979899";

/* The bytes of IPv4 addresses with the point behind them. */
static void make_octets(struct nm_json *j)
{
	for (size_t i = 0; i < 256; i++) {
		char *to = j->octet[i].text;

		if (i > 99)
			*to++ = (char)('0' + i / 100);
		if (i > 9)
			*to++ = digits[i % 100 * 2];
		*to++ = digits[i % 100 * 2 + 1];
		*to++ = '.';
		j->octet[i].len = (uint32_t)(to - j->octet[i].text);
	}
}

struct nm_json *nm_json_new(FILE *to, unsigned flags)
{
	struct nm_json *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->at = j->buf;
	j->end = j->buf + sizeof(j->buf);
	j->first = true;
	j->unknown = !(flags & NM_NO_UNKNOWN);
	make_octets(j);
	nm_json_to(j, to, flags);
	return j;
}

void nm_json_to(struct nm_json *j, FILE *to, unsigned flags)
{
	nm_json_flush(j);
	j->f = to;
	j->lines = flags & NM_PRETTY ? UINT_MAX : flags & NM_ONE_LINE ? 0 : 2;
}

void nm_json_free(struct nm_json *j)
{
	if (!j)
		return;
	nm_shapes_free(j);
	free(j);
}

int nm_json_flush(struct nm_json *j)
{
	size_t n = (size_t)(j->at - j->buf);

	if (n && j->f && fwrite_unlocked(j->buf, 1, n, j->f) != n)
		j->failed = true;
	j->at = j->buf;
	j->flushes++;
	return j->failed || (j->f && ferror(j->f)) ? -EIO : 0;
}

void nm_put_text(struct nm_json *j, const char *s, size_t len)
{
	while (len) {
		size_t n = len < NM_JSON_PIECE ? len : NM_JSON_PIECE;

		memcpy(nm_room(j, n), s, n);
		j->at += n;
		s += n;
		len -= n;
	}
}

static unsigned digits_of(uint64_t u)
{
	unsigned n = 1;

	for (; u >= 10000; u /= 10000)
		n += 4;
	return n + (u > 9) + (u > 99) + (u > 999);
}

void nm_put_digits(struct nm_json *j, uint64_t u, bool negative)
{
	char *to = nm_room(j, 24), *p;

	if (negative)
		*to++ = '-';
	j->at = p = to + digits_of(u);
	for (; u >= 100; u /= 100)
		memcpy(p -= 2, digits + u % 100 * 2, 2);
	if (u >= 10)
		memcpy(p - 2, digits + u * 2, 2);
	else
		*to = (char)('0' + u);
}

/* Eight digits of four bytes at once: each half byte in a byte of its own, the higher one first. */
static void put_hex4(char to[static 8], const uint8_t *p)
{
	const uint64_t each = 0x0101010101010101;
	uint32_t bytes;
	uint64_t u;

	memcpy(&bytes, p, 4);
	u = le32toh(bytes);
	u = (u | u << 16) & 0x0000ffff0000ffff;
	u = (u | u << 8) & 0x00ff00ff00ff00ff;
	u = (u >> 4 & 0x0f * each) | (u << 8 & 0x0f00 * each);
	u = u + '0' * each + ('a' - '9' - 1) * ((u + 6 * each) >> 4 & each);
	u = htole64(u);
	memcpy(to, &u, 8);
}

static char *put_hex(char *to, uint8_t u)
{
	static const char digit[] = "0123456789abcdef";

	*to++ = digit[u >> 4];
	*to++ = digit[u & 15];
	return to;
}

void nm_put_hex(struct nm_json *j, const uint8_t *p, size_t len, char between)
{
	size_t i = 0;
	char *to;

	nm_put(j, '"');
	for (; !between && i + 4 <= len; i += 4) {
		put_hex4(nm_room(j, 8), p + i);
		j->at += 8;
	}
	to = nm_room(j, 4);
	for (; i < len; i++) {
		if (i && between)
			*to++ = between;
		j->at = put_hex(to, p[i]);
		to = nm_room(j, 4);
	}
	nm_put(j, '"');
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

static inline bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* What cannot stand in a string as it is; returns how much was read. */
static size_t escape(struct nm_json *j, const uint8_t *s, size_t len)
{
	size_t n = utf8(s, len);
	char *to = nm_room(j, 8);

	if (*s < 0x20 || *s == 0x7f) {
		j->at += snprintf(to, 8, "\\u%04x", *s);
	} else if (!n) {
		j->at += snprintf(to, 8, "\\ufffd");
	} else {
		if (n == 1)
			*to++ = '\\';
		memcpy(to, s, n);
		j->at = to + n;
	}
	return n ? n : 1;
}

void nm_put_quoted(struct nm_json *j, const char *text, size_t max)
{
	const uint8_t *s = (const uint8_t *)text, *end = s + strnlen(text, max);

	nm_put(j, '"');
	while (s < end) {
		size_t left = (size_t)(end - s);
		const uint8_t *until = left > NM_JSON_PIECE ? s + NM_JSON_PIECE : end;
		char *to = nm_room(j, (size_t)(until - s));

		while (s < until && is_plain(*s))
			*to++ = (char)*s++;
		j->at = to;
		if (s < until)
			s += escape(j, s, (size_t)(end - s));
	}
	nm_put(j, '"');
}

/* ---- structure ---------------------------------------------------------------------- */

/* Containers that are outside enough have each of their elements on a line of its own. */
static void new_line(struct nm_json *j)
{
	static const char blank[2 * NM_SLACK] = {[0 ... 2 * NM_SLACK - 1] = ' '};

	nm_put(j, '\n');
	for (size_t n = (size_t)INDENT * j->depth, step; n; n -= step) {
		step = n < NM_SLACK ? n : NM_SLACK;
		nm_put_short(j, blank, step);
	}
}

void nm_json_broken(struct nm_json *j)
{
	if (j->depth && j->depth <= j->lines)
		new_line(j);
}

static void start(struct nm_json *j, const char *key)
{
	nm_json_element(j);
	if (!key)
		return;
	nm_put_quoted(j, key, SIZE_MAX);
	nm_put(j, ':');
	if (j->depth <= j->lines)
		nm_put(j, ' ');
}

void nm_json_begin(struct nm_json *j, const char *key, char bracket)
{
	start(j, key);
	nm_json_open(j, bracket);
}

void nm_json_open(struct nm_json *j, char bracket)
{
	nm_put(j, bracket);
	j->depth++;
	j->first = true;
}

void nm_json_end(struct nm_json *j, char bracket)
{
	j->depth--;
	if (!j->first && j->depth < j->lines)
		new_line(j);
	nm_put(j, bracket);
	j->first = false;
}

void nm_json_line(struct nm_json *j)
{
	nm_put(j, '\n');
	j->first = true;
}

void nm_json_string(struct nm_json *j, const char *key, const char *s)
{
	start(j, key);
	if (s)
		nm_put_quoted(j, s, SIZE_MAX);
	else
		nm_put_text(j, "null", 4);
}

void nm_json_uint(struct nm_json *j, const char *key, uint64_t u)
{
	start(j, key);
	nm_put_number(j, u, false);
}

void nm_json_number(struct nm_json *j, const char *key, double number)
{
	start(j, key);
	if (isfinite(number))
		j->at += snprintf(nm_room(j, 40), 40, "%.15g", number);
	else
		nm_put_text(j, "null", 4);
}

void nm_json_bool(struct nm_json *j, const char *key, bool is)
{
	start(j, key);
	nm_put_text(j, is ? "true" : "false", is ? 4 : 5);
}

void nm_json_raw(struct nm_json *j, const char *key, const char *json, size_t len)
{
	start(j, key);
	nm_put_text(j, json, len);
}
