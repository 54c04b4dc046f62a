/* SPDX-License-Identifier: MIT */
/* Attributes of bridges that Linux has and the headers of older systems lack (Debian 12: 6.1). */
#ifndef NM_UAPI_IF_BRIDGE_H
#define NM_UAPI_IF_BRIDGE_H

#ifndef HAVE_MDBA_MDB_EATTR_DST /* 6.4 */
enum {
	MDBA_MDB_EATTR_DST = MDBA_MDB_EATTR_RTPROT + 1,
	MDBA_MDB_EATTR_DST_PORT,
	MDBA_MDB_EATTR_VNI,
	MDBA_MDB_EATTR_IFINDEX,
	MDBA_MDB_EATTR_SRC_VNI,
};
#endif

#endif
