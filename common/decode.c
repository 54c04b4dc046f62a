/* SPDX-License-Identifier: MIT */
/*
 * Reading attributes.  A number's width is the payload's own length, so a
 * table cannot disagree with a getter, and nothing is read past the payload.
 */
#include <string.h>

#include "internal.h"

uint64_t nm_uint(const struct nlattr *a)
{
	return a ? nm_load(nm_payload(a), nm_payload_len(a)) : 0;
}

int64_t nm_sint(const struct nlattr *a)
{
	uint64_t u = nm_uint(a);
	size_t len = a ? nm_payload_len(a) : 0;

	return len == 1 ? (int8_t)u : len == 2 ? (int16_t)u : len == 4 ? (int32_t)u : (int64_t)u;
}

const char *nm_str(const struct nlattr *a)
{
	const char *s = a ? nm_payload(a) : NULL;

	return s && memchr(s, 0, nm_payload_len(a)) ? s : NULL;
}

size_t nm_bytes(const struct nlattr *a, void *to, size_t max)
{
	size_t len = a ? nm_payload_len(a) : 0;

	if (len > max)
		len = max;
	if (len)
		memcpy(to, nm_payload(a), len);
	return len;
}

const struct nlattr *nm_child(const struct nlattr *nest, const struct nlattr *last)
{
	if (!nest)
		return NULL;
	return last ? nm_attr_next(last, nm_attr_end(nest)) :
		      nm_attr_first(nm_payload(nest), nm_attr_end(nest));
}

const struct nlattr *nm_attr(const struct nm_msg *m, const struct nlattr *last)
{
	const void *end = nm_msg_end(m->nlh);

	return last ? nm_attr_next(last, end) :
		      nm_attr_first(nm_msg_attrs(m->nlh, m->src->table->size), end);
}

const struct nlattr *nm_in(const struct nlattr *nest, uint16_t type)
{
	for (const struct nlattr *a = nm_child(nest, NULL); a; a = nm_child(nest, a))
		if (nm_type(a) == type)
			return a;
	return NULL;
}

/* Most tables count from 0: the name is where the value says. */
const char *nm_name(const struct nm_names *t, uint32_t value)
{
	if (value < t->n && t->v[value].value == value)
		return t->v[value].name;
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].value == value)
			return t->v[i].name;
	return NULL;
}
