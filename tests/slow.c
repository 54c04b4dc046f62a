/* SPDX-License-Identifier: MIT */
/* Preloaded, a kernel whose answers take long: each full part of a dump is waited for. */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FULL = 3000 };

/* The parameters' names are the C library's, for clang-tidy. */
ssize_t recvfrom(int __fd, void *__restrict __buf, size_t __n, int __flags, __SOCKADDR_ARG __addr,
		 socklen_t *__restrict __addr_len)
{
	ssize_t n =
		syscall(SYS_recvfrom, __fd, __buf, __n, __flags, __addr.__sockaddr__, __addr_len);

	if (n > FULL)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	return n;
}
