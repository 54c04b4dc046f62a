/* SPDX-License-Identifier: MIT */
/* SR-IOV virtual functions for netmon_link: what each has moved, as its device tells. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "uapi.h"

#define COUNTERS (IFLA_VF_STATS_TX_DROPPED + 1) /* attributes count from 0 here */

struct vfs {
	uint32_t n;
	uint64_t at; /* ns: when they were told */
	struct vf {
		uint32_t number;
		uint64_t c[COUNTERS];
		bool has[COUNTERS];
	} v[];
};

static const struct counter {
	uint16_t type;
	const char *name;
} counters[] = {
	{IFLA_VF_STATS_RX_BYTES, "if_rx_octets"},    {IFLA_VF_STATS_TX_BYTES, "if_tx_octets"},
	{IFLA_VF_STATS_RX_PACKETS, "if_rx_packets"}, {IFLA_VF_STATS_TX_PACKETS, "if_tx_packets"},
	{IFLA_VF_STATS_RX_DROPPED, "if_rx_dropped"}, {IFLA_VF_STATS_TX_DROPPED, "if_tx_dropped"},
};

/* false: it does not say which function it is. */
static bool read_vf(struct vf *f, const struct nlattr *info)
{
	const struct nlattr *stats = nm_in(info, IFLA_VF_STATS);

	/* every setting starts with the function's number */
	if (nm_bytes(nm_in(info, IFLA_VF_MAC), &f->number, sizeof(f->number)) < sizeof(f->number))
		return false;
	for (size_t i = 0; i < COUNTERS; i++) {
		const struct nlattr *a = nm_in(stats, (uint16_t)i);

		f->has[i] = a != NULL;
		f->c[i] = nm_uint(a);
	}
	return true;
}

/*
 * A device with a parent (PCI) may be given functions without a word: it is asked at every
 * reading.  Events and dumps have no list of them, which does not mean that there are none.
 */
int nm_vfs_read(struct nm_view *v, struct link *l, const struct nm_msg *m)
{
	const struct config *c = v->config;
	const struct nlattr *list = m->attr[IFLA_VFINFO_LIST], *info;
	uint32_t n = 0;
	struct vfs *vfs;

	if (!c->collect_vf || (l->vfs && !m->attr[IFLA_NUM_VF]) ||
	    (!l->vfs && !m->attr[IFLA_NUM_VF] && !m->attr[IFLA_PARENT_DEV_NAME]))
		return 0;
	for (info = nm_child(list, NULL); info; info = nm_child(list, info))
		n++;
	if (nm_link_is_special(v->state, l))
		return -ENOMEM;
	vfs = realloc(l->vfs, sizeof(*vfs) + n * sizeof(*vfs->v));
	if (!vfs)
		return -ENOMEM;
	l->vfs = vfs;
	memset(vfs, 0, sizeof(*vfs) + n * sizeof(*vfs->v));
	vfs->at = v->now;
	for (info = nm_child(list, NULL); info; info = nm_child(list, info))
		vfs->n += read_vf(&vfs->v[vfs->n], info);
	return 0;
}

void nm_vfs_submit(struct nm_reading *r, const struct link *l)
{
	const struct vfs *vfs = l->vfs;
	char buf[24];

	/* a list from before this reading's counters is old */
	if (!vfs || vfs->at < l->now_at)
		return;
	for (const struct vf *f = vfs->v; f < vfs->v + vfs->n; f++) {
		const char *name;

		snprintf(buf, sizeof(buf), "vf%u", f->number);
		name = nm_text(r, buf);
		for (size_t i = 0; i < NM_COUNT(counters); i++)
			if (f->has[counters[i].type])
				nm_derive(r, counters[i].name, name, f->c[counters[i].type]);
	}
}
