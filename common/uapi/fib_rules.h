/* SPDX-License-Identifier: MIT */
/* Attributes of rules that Linux has and the headers of older systems lack (Debian 12: 6.1). */
#ifndef NM_UAPI_FIB_RULES_H
#define NM_UAPI_FIB_RULES_H

/* Each stands behind the one before it, as the kernel appended them. */
enum {
#ifndef HAVE_FRA_DSCP /* 6.12 */
	FRA_DSCP = FRA_DPORT_RANGE + 1,
#endif
#ifndef HAVE_FRA_FLOWLABEL /* 6.14 */
	FRA_FLOWLABEL = FRA_DSCP + 1,
	FRA_FLOWLABEL_MASK,
#endif
#ifndef HAVE_FRA_SPORT_MASK /* 6.15 */
	FRA_SPORT_MASK = FRA_FLOWLABEL_MASK + 1,
	FRA_DPORT_MASK,
#endif
#ifndef HAVE_FRA_DSCP_MASK /* 6.15 */
	FRA_DSCP_MASK = FRA_DPORT_MASK + 1,
#endif
	NM_UAPI_FIB_RULES, /* an enum must not be empty */
};

#endif
