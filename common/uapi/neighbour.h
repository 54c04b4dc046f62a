/* SPDX-License-Identifier: MIT */
/* Flags of neighbours that Linux has and the headers of older systems lack (Debian 12: 6.1). */
#ifndef NM_UAPI_NEIGHBOUR_H
#define NM_UAPI_NEIGHBOUR_H

#ifndef NTF_EXT_LOCKED /* 6.2 */
#define NTF_EXT_LOCKED (1 << 1)
#endif
#ifndef NTF_EXT_EXT_VALIDATED /* 6.18 */
#define NTF_EXT_EXT_VALIDATED (1 << 2)
#endif

#endif
