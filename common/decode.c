/* SPDX-License-Identifier: MIT */
/*
 * Reading attributes.  A number's width is the payload's own length, so a
 * table cannot disagree with a getter, and nothing is read past the payload.
 */
#include <string.h>

#include "internal.h"

uint64_t nm_load(const void *p, size_t len)
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

uint64_t nm_uint(const struct nlattr *a)
{
	return a ? nm_load(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) : 0;
}

int64_t nm_sint(const struct nlattr *a)
{
	uint64_t u = nm_uint(a);
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	return len == 1 ? (int8_t)u : len == 2 ? (int16_t)u : len == 4 ? (int32_t)u : (int64_t)u;
}

const char *nm_str(const struct nlattr *a)
{
	const char *s = a ? mnl_attr_get_payload(a) : NULL;

	return s && memchr(s, 0, mnl_attr_get_payload_len(a)) ? s : NULL;
}

size_t nm_bytes(const struct nlattr *a, void *to, size_t max)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len > max)
		len = max;
	if (len)
		memcpy(to, mnl_attr_get_payload(a), len);
	return len;
}

/* mnl_attr_ok() takes an int: what is left must be compared as a size first. */
const struct nlattr *nm_attr_first(const void *from, const void *end)
{
	const struct nlattr *a = from;
	size_t left =
		(const char *)from < (const char *)end ? (const char *)end - (const char *)from : 0;

	return left >= sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= left ? a : NULL;
}

const struct nlattr *nm_attr_next(const struct nlattr *a, const void *end)
{
	size_t step = NLA_ALIGN(a->nla_len), left = (const char *)end - (const char *)a;

	return step < left ? nm_attr_first((const char *)a + step, end) : NULL;
}

const struct nlattr *nm_child(const struct nlattr *nest, const struct nlattr *last)
{
	if (!nest)
		return NULL;
	return last ? nm_attr_next(last, nm_attr_end(nest)) :
		      nm_attr_first(mnl_attr_get_payload(nest), nm_attr_end(nest));
}

const struct nlattr *nm_attr(const struct nm_msg *m, const struct nlattr *last)
{
	const void *end = mnl_nlmsg_get_payload_tail(m->nlh);

	return last ? nm_attr_next(last, end) :
		      nm_attr_first(mnl_nlmsg_get_payload_offset(m->nlh, m->src->table->size), end);
}

const struct nlattr *nm_in(const struct nlattr *nest, uint16_t type)
{
	for (const struct nlattr *a = nm_child(nest, NULL); a; a = nm_child(nest, a))
		if (mnl_attr_get_type(a) == type)
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
