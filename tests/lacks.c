/* SPDX-License-Identifier: MIT */
/* Preloaded, a kernel without IPv4 multicast rules: asked for them, it is asked for what none has. */
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { NO_FAMILY = 77 };

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	       socklen_t tolen)
{
	unsigned char copy[256];
	struct nlmsghdr h = {0};
	struct iovec iov = {(void *)buf, len};
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = tolen, .msg_iov = &iov, .msg_iovlen = 1};

	if (len >= sizeof(h))
		memcpy(&h, buf, sizeof(h));
	if (h.nlmsg_type == RTM_GETRULE && len > sizeof(h) && len <= sizeof(copy)) {
		iov.iov_base = memcpy(copy, buf, len);
		if (copy[sizeof(h)] == RTNL_FAMILY_IPMR)
			copy[sizeof(h)] = NO_FAMILY;
	}
	return sendmsg(fd, &msg, flags);
}
