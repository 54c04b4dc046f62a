/* SPDX-License-Identifier: MIT */
/*
 * The one container: entries one behind another in the order in which they
 * came, and an index of their hashes with linear probing.
 *
 * A dump tells of the same objects in the same order as the one before.  So the
 * entry behind the one that was found last is looked at first: a dump of what
 * did not change is read along with memory, without a hash and a cache miss for
 * each of its objects.
 */
#include <stdlib.h>
#include <string.h>

#include "netmon.h"

#define MIN_SIZE 16 /* of the index, a power of two; three quarters of it are used at most */

struct nm_slot {
	uint32_t hash;
	uint32_t n; /* of the entry, from 1; 0: free */
};

static size_t round8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* Both parts can be read in place. */
static size_t step(const struct nm_map *m)
{
	return round8(m->key) + round8(m->val);
}

static unsigned char *at(const struct nm_map *m, size_t n)
{
	return m->entry + n * step(m);
}

/* Less than 8 bytes, which are nearly always 4. */
static inline uint64_t rest(const unsigned char *p, size_t len)
{
	uint64_t u = 0;

	if (len == 4)
		memcpy(&u, p, 4);
	else
		memcpy(&u, p, len);
	return u;
}

static inline uint64_t mix(uint64_t h, uint64_t u)
{
	h = (h ^ u) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

static inline uint32_t hash_of(const struct nm_map *m, const unsigned char *key)
{
	const unsigned char *end = key + m->key;
	uint64_t h = 0, u;

	for (; end - key >= 8; key += 8) {
		memcpy(&u, key, 8);
		h = mix(h, u);
	}
	return (uint32_t)(key < end ? mix(h, rest(key, (size_t)(end - key))) : h);
}

/* Most keys are told apart, or are a number, without a call. */
static inline bool same(const struct nm_map *m, const unsigned char *a, const unsigned char *b)
{
	uint64_t u, v;

	if (m->key < 8)
		return rest(a, m->key) == rest(b, m->key);
	memcpy(&u, a, 8);
	memcpy(&v, b, 8);
	return u == v && (m->key == 8 || !memcmp(a + 8, b + 8, m->key - 8));
}

/* The slot of the key, or the free one where it belongs. */
static size_t find(const struct nm_map *m, const void *key, uint32_t hash)
{
	size_t i = hash & (m->size - 1);

	while (m->slot[i].n && (m->slot[i].hash != hash || !same(m, at(m, m->slot[i].n - 1), key)))
		i = (i + 1) & (m->size - 1);
	return i;
}

static void *found(const struct nm_map *m, size_t n)
{
	((struct nm_map *)(uintptr_t)m)->last = n; /* a hint: the map is what it was */
	return at(m, n) + round8(m->key);
}

/* The value behind the one that was found last, if it has this key. */
static void *follow(const struct nm_map *m, const void *key)
{
	size_t n = m->last + 1 < m->used ? m->last + 1 : 0;

	return m->used && same(m, at(m, n), key) ? found(m, n) : NULL;
}

static bool grow(struct nm_map *m)
{
	struct nm_map big = *m;

	big.size = m->size ? m->size * 2 : MIN_SIZE;
	big.entry = reallocarray(m->entry, big.size / 4 * 3, step(m));
	if (!big.entry)
		return false;
	m->entry = big.entry;
	big.slot = calloc(big.size, sizeof(*big.slot));
	if (!big.slot)
		return false;
	for (size_t i = 0, to; i < m->size; i++) {
		if (!m->slot[i].n)
			continue;
		for (to = m->slot[i].hash & (big.size - 1); big.slot[to].n;)
			to = (to + 1) & (big.size - 1);
		big.slot[to] = m->slot[i];
	}
	free(m->slot);
	*m = big;
	return true;
}

void *nm_map_put(struct nm_map *m, const void *key, bool *fresh)
{
	void *val = follow(m, key);
	uint32_t hash;
	size_t i;

	if (fresh)
		*fresh = false;
	if (val)
		return val;
	hash = hash_of(m, key);
	i = m->size ? find(m, key, hash) : 0;
	if (m->size && m->slot[i].n)
		return found(m, m->slot[i].n - 1);
	if (m->used == m->size / 4 * 3) {
		if (m->used == UINT32_MAX / 4 * 3 || !grow(m))
			return NULL;
		i = find(m, key, hash);
	}
	memset(at(m, m->used), 0, step(m));
	memcpy(at(m, m->used), key, m->key);
	m->slot[i] = (struct nm_slot){hash, (uint32_t)++m->used};
	if (fresh)
		*fresh = true;
	return found(m, m->used - 1);
}

void *nm_map_get(const struct nm_map *m, const void *key)
{
	void *val = follow(m, key);
	size_t i;

	if (val || !m->used)
		return val;
	i = find(m, key, hash_of(m, key));
	return m->slot[i].n ? found(m, m->slot[i].n - 1) : NULL;
}

/* What was pushed on by the removed slot moves back, so that no probe ends too early. */
static void free_slot(struct nm_map *m, size_t hole)
{
	size_t mask = m->size - 1;

	for (size_t i = (hole + 1) & mask; m->slot[i].n; i = (i + 1) & mask)
		if (((i - m->slot[i].hash) & mask) >= ((i - hole) & mask)) {
			m->slot[hole] = m->slot[i];
			hole = i;
		}
	m->slot[hole].n = 0;
}

/* The last entry takes the place of the removed one. */
void nm_map_del(struct nm_map *m, const void *key)
{
	size_t i = m->used ? find(m, key, hash_of(m, key)) : 0, n, last = m->used - 1;

	if (!m->used || !m->slot[i].n)
		return;
	n = m->slot[i].n - 1;
	free_slot(m, i);
	if (n != last) {
		i = find(m, at(m, last), hash_of(m, at(m, last)));
		m->slot[i].n = (uint32_t)n + 1;
		memcpy(at(m, n), at(m, last), step(m));
	}
	m->used--;
	m->last = n ? n - 1 : m->used;
}

void *nm_map_next(const struct nm_map *m, const void **key, size_t *i)
{
	if (*i >= m->used)
		return NULL;
	*key = at(m, *i);
	return at(m, (*i)++) + round8(m->key);
}

void nm_map_free(struct nm_map *m)
{
	free(m->slot);
	free(m->entry);
	*m = (struct nm_map){.key = m->key, .val = m->val};
}
