/* SPDX-License-Identifier: MIT */
/* Preloaded, a kernel whose answers take long: each full part of a dump is waited for. */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FULL = 3000 };

/* The parameters' names are the C library's, for clang-tidy. */
ssize_t recvmsg(int __fd, struct msghdr *__message, int __flags)
{
	ssize_t n = syscall(SYS_recvmsg, __fd, __message, __flags);

	if (n > FULL)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	return n;
}
