/* SPDX-License-Identifier: MIT */
/* Preloaded, a kernel without IPv4 multicast rules: asked for them, it is asked for what none has. */
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { NO_FAMILY = 77 };

/* The parameters' names are the C library's, for clang-tidy. */
ssize_t sendto(int __fd, const void *__buf, size_t __n, int __flags, const struct sockaddr *__addr,
	       socklen_t __addr_len)
{
	_Alignas(struct nlmsghdr) char copy[256];
	struct nlmsghdr *h = (void *)copy;
	struct iovec iov = {copy, __n};
	struct msghdr msg = {.msg_name = (void *)(size_t)__addr,
			     .msg_namelen = __addr_len,
			     .msg_iov = &iov,
			     .msg_iovlen = 1};

	if (__n <= sizeof(*h) || __n > sizeof(copy)) {
		iov.iov_base = (void *)(size_t)__buf;
		return sendmsg(__fd, &msg, __flags);
	}
	memcpy(copy, __buf, __n);
	if (h->nlmsg_type == RTM_GETRULE && *(unsigned char *)(h + 1) == RTNL_FAMILY_IPMR)
		*(unsigned char *)(h + 1) = NO_FAMILY;
	return sendmsg(__fd, &msg, __flags);
}
