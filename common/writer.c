/* SPDX-License-Identifier: MIT */
/*
 * Text that is valid JSON, whatever is written: names of interfaces may hold
 * any byte but '/', white space and 0.  What is written waits in one buffer.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define INDENT 2

struct nm_json *nm_json_new(FILE *to, unsigned flags)
{
	struct nm_json *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->at = j->buf;
	j->end = j->buf + sizeof(j->buf);
	j->first = true;
	j->unknown = !(flags & NM_NO_UNKNOWN);
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

/* "00" to "99": a number is written by two digits at once. */
static const char digits[] = "00010203040506070809101112131415161718192021222324"
			     "25262728293031323334353637383940414243444546474849"
			     "50515253545556575859606162636465666768697071727374"
			     "75767778798081828384858687888990919293949596979899";

void nm_put_number(struct nm_json *j, uint64_t u, bool negative)
{
	char buf[24], *p = buf + sizeof(buf);
	size_t n;

	for (; u >= 100; u /= 100)
		memcpy(p -= 2, digits + u % 100 * 2, 2);
	if (u >= 10)
		memcpy(p -= 2, digits + u * 2, 2);
	else
		*--p = (char)('0' + u);
	if (negative)
		*--p = '-';
	n = (size_t)(buf + sizeof(buf) - p);
	memcpy(nm_room(j, sizeof(buf)), p, n);
	j->at += n;
}

void nm_put_hex(struct nm_json *j, const uint8_t *p, size_t len, char between)
{
	static const char digit[] = "0123456789abcdef";

	nm_put(j, '"');
	for (size_t i = 0; i < len; i++) {
		char *to = nm_room(j, 3);

		if (i && between)
			*to++ = between;
		*to++ = digit[p[i] >> 4];
		*to++ = digit[p[i] & 15];
		j->at = to;
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

void nm_put_quoted(struct nm_json *j, const char *text, size_t max)
{
	const uint8_t *s = (const uint8_t *)text, *end = s + strnlen(text, max);

	nm_put(j, '"');
	while (s < end) {
		char *to = nm_room(j, 8);
		size_t n;

		if (*s >= 0x20 && *s < 0x7f && *s != '"' && *s != '\\') {
			*to = (char)*s++;
			j->at++;
			continue;
		}
		n = utf8(s, (size_t)(end - s));
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
		s += n ? n : 1;
	}
	nm_put(j, '"');
}

/* ---- structure ---------------------------------------------------------------------- */

/* Containers that are outside enough have each of their elements on a line of its own. */
static void new_line(struct nm_json *j)
{
	nm_put(j, '\n');
	for (unsigned i = 0; i < j->depth; i++)
		nm_put_text(j, "        ", INDENT);
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
