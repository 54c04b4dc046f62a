/* SPDX-License-Identifier: MIT */
/* Attributes of nexthop objects and routes that older headers lack (Debian 12: 6.1). */
#ifndef NM_UAPI_NEXTHOP_H
#define NM_UAPI_NEXTHOP_H

#ifndef HAVE_NHA_GROUP_STATS /* 6.9 */
enum {
	NHA_OP_FLAGS = NHA_RES_BUCKET + 1,
	NHA_GROUP_STATS,
	NHA_HW_STATS_ENABLE,
	NHA_HW_STATS_USED,
};

enum {
	NHA_GROUP_STATS_UNSPEC,
	NHA_GROUP_STATS_ENTRY,
};

enum {
	NHA_GROUP_STATS_ENTRY_UNSPEC,
	NHA_GROUP_STATS_ENTRY_ID,
	NHA_GROUP_STATS_ENTRY_PACKETS,
	NHA_GROUP_STATS_ENTRY_PACKETS_HW,
};

#define NHA_OP_FLAG_DUMP_STATS 1
#endif

#ifndef HAVE_RTA_FLOWLABEL /* 6.13 */
enum {
	RTA_FLOWLABEL = RTA_NH_ID + 1,
};
#endif

#endif
