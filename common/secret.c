/* SPDX-License-Identifier: MIT */
/*
 * Secrets: zeroed where they were received, before a message is recorded,
 * printed or handed to a plugin.  What nobody has, nobody can tell.
 */
#include <string.h>

#include "internal.h"

#define DEPTH 8 /* of nests; what is deeper counts as a secret's */

static bool below(const struct nm_table *t, unsigned depth)
{
	if (!t)
		return false;
	if (depth == DEPTH)
		return true;
	for (size_t i = 0; i < t->n; i++)
		if (t->row[i].name && (t->row[i].kind == NM_SECRET ||
				       ((t->row[i].kind == NM_NEST || t->row[i].kind == NM_LIST) &&
					below(t->row[i].table, depth + 1))))
			return true;
	return below(t->attrs, depth + 1);
}

bool nm_has_secret(const struct nm_source *s)
{
	return below(s->table, 0);
}

/* list: every attribute is an element, see list() in json.c. */
static void wipe(const struct nm_table *t, bool list, const void *from, const void *end)
{
	for (const struct nlattr *a = nm_attr_first(from, end); a; a = nm_attr_next(a, end)) {
		const struct nm_field *d = list ? t->row : NULL;
		uint16_t type = nm_type(a);
		void *p = mnl_attr_get_payload(a);

		if (t->row && type < t->n && t->row[type].name)
			d = &t->row[type];
		if (d && d->kind == NM_SECRET)
			explicit_bzero(p, mnl_attr_get_payload_len(a));
		else if (d && (d->kind == NM_NEST || d->kind == NM_LIST) && below(d->table, 0))
			wipe(d->table, d->kind == NM_LIST, p, nm_attr_end(a));
	}
}

void nm_wipe(const struct view *w, enum nm_bus bus, void *buf, size_t len)
{
	const char *end = (const char *)buf + len;

	for (size_t i = 0; i < w->pub.plugin->nsource; i++) {
		const struct nm_source *s = &w->pub.plugin->source[i];

		if (!w->src[i].secret || nm_bus_of(s) != bus)
			continue;
		for (const struct nlmsghdr *h = nm_msg_first(buf, len); h; h = nm_msg_next(h, end))
			if (bus != NM_GENERIC || h->nlmsg_type == w->src[i].family)
				wipe(s->table->attrs, false,
				     mnl_nlmsg_get_payload_offset(h, s->table->size),
				     mnl_nlmsg_get_payload_tail(h));
	}
}
