/* SPDX-License-Identifier: MIT */
/* libnl answers one question: which numbers does this kernel use for a family and its group? */
#include <errno.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>

#include "internal.h"

int nm_genl_resolve(const char *family, const char *mcast, uint16_t *id, uint32_t *group)
{
	struct nl_sock *sk = nl_socket_alloc();
	int n = sk ? genl_connect(sk) : -NLE_NOMEM;

	*group = 0;
	if (n >= 0)
		n = genl_ctrl_resolve(sk, family);
	if (n >= 0) {
		int g = mcast ? genl_ctrl_resolve_grp(sk, family, mcast) : 0;

		*id = (uint16_t)n;
		*group = g > 0 ? (uint32_t)g : 0;
	}
	nl_socket_free(sk);
	return n >= 0 ? 0 : n == -NLE_NOMEM ? -ENOMEM : -ENOENT;
}
