/* SPDX-License-Identifier: MIT */
/*
 * The one container: open addressing with linear probing, keys compared as
 * bytes.  A slot is 8 bytes (used or not), the key, the value, each rounded up
 * to 8 bytes so that both can be read in place.
 */
#include <stdlib.h>
#include <string.h>

#include "netmon.h"

#define MIN_SIZE 16

static size_t round8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static size_t step(const struct nm_map *m)
{
	return 8 + round8(m->key) + round8(m->val);
}

static unsigned char *at(const struct nm_map *m, size_t i)
{
	return m->slot + i * step(m);
}

static size_t home(const struct nm_map *m, const unsigned char *key)
{
	uint64_t h = 0, part;

	for (size_t i = 0; i < m->key; i += sizeof(part)) {
		part = 0;
		memcpy(&part, key + i, m->key - i < sizeof(part) ? m->key - i : sizeof(part));
		h = (h ^ part) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	return h & (m->size - 1);
}

/* The slot that holds the key, or the free one where it belongs. */
static size_t find(const struct nm_map *m, const void *key)
{
	size_t i = home(m, key);

	while (*at(m, i) && memcmp(at(m, i) + 8, key, m->key))
		i = (i + 1) & (m->size - 1);
	return i;
}

static bool grow(struct nm_map *m)
{
	struct nm_map big = *m;

	big.size = m->size ? m->size * 2 : MIN_SIZE;
	big.slot = calloc(big.size, step(m));
	if (!big.slot)
		return false;
	for (size_t i = 0; i < m->size; i++)
		if (*at(m, i))
			memcpy(at(&big, find(&big, at(m, i) + 8)), at(m, i), step(m));
	free(m->slot);
	*m = big;
	return true;
}

void *nm_map_put(struct nm_map *m, const void *key, bool *fresh)
{
	unsigned char *s = m->size ? at(m, find(m, key)) : NULL;

	if (fresh)
		*fresh = !s || !*s;
	if (!s || !*s) {
		if ((m->used + 1) * 4 > m->size * 3 && !grow(m))
			return NULL;
		s = at(m, find(m, key));
		*s = 1;
		memcpy(s + 8, key, m->key);
		m->used++;
	}
	return s + 8 + round8(m->key);
}

void *nm_map_get(const struct nm_map *m, const void *key)
{
	unsigned char *s = m->size ? at(m, find(m, key)) : NULL;

	return s && *s ? s + 8 + round8(m->key) : NULL;
}

/* What was pushed on by the removed key moves back, so that no probe ends too early. */
void nm_map_del(struct nm_map *m, const void *key)
{
	size_t mask = m->size - 1, hole, i;

	if (!m->size || !*at(m, hole = find(m, key)))
		return;
	for (i = (hole + 1) & mask; *at(m, i); i = (i + 1) & mask)
		if (((i - home(m, at(m, i) + 8)) & mask) >= ((i - hole) & mask)) {
			memcpy(at(m, hole), at(m, i), step(m));
			hole = i;
		}
	memset(at(m, hole), 0, step(m));
	m->used--;
}

void *nm_map_next(const struct nm_map *m, const void **key, size_t *i)
{
	for (; *i < m->size; ++*i)
		if (*at(m, *i)) {
			*key = at(m, *i) + 8;
			return at(m, (*i)++) + 8 + round8(m->key);
		}
	return NULL;
}

void nm_map_free(struct nm_map *m)
{
	free(m->slot);
	m->slot = NULL;
	m->size = m->used = 0;
}
