/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces that have a name, as `ip netns` makes them.
 *
 * setns() changes the calling thread only.  A thread that is made for it and
 * ends afterwards never has to find the way back; sockets opened in it stay in
 * the namespace.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "internal.h"

#define NETNS_DIR "/run/netns"
#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

struct visit {
	int fd;
	int (*fn)(void *arg);
	void *arg;
	int err;
};

static void *visit(void *arg)
{
	struct visit *v = arg;

	v->err = setns(v->fd, CLONE_NEWNET) < 0 ? -errno : v->fn(v->arg);
	return NULL;
}

int nm_in_netns(const char *netns, int (*fn)(void *arg), void *arg)
{
	struct visit v = {.fn = fn, .arg = arg};
	char path[sizeof(NETNS_DIR) + NAME_MAX + 2];
	sigset_t all, was;
	pthread_t thread;
	int err;

	if (!netns)
		return fn(arg);
	if (strchr(netns, '/') ||
	    (size_t)snprintf(path, sizeof(path), NETNS_DIR "/%s", netns) >= sizeof(path))
		return -EINVAL;
	v.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (v.fd < 0)
		return -errno;
	/* Signals are for the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	err = -pthread_create(&thread, NULL, visit, &v);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (!err) {
		pthread_join(thread, NULL);
		err = v.err;
	}
	close(v.fd);
	return err;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct nm_netns *)a)->name, ((const struct nm_netns *)b)->name);
}

/* `ip netns add` makes the file first and mounts the namespace on it then. */
static bool is_namespace(int dir, const char *name, struct nm_netns *to)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct statfs fs;
	struct stat st;
	bool ok = fd >= 0 && !fstatfs(fd, &fs) && fs.f_type == NSFS_MAGIC && !fstat(fd, &st);

	if (ok) {
		snprintf(to->name, sizeof(to->name), "%s", name);
		to->dev = st.st_dev;
		to->ino = st.st_ino;
	}
	if (fd >= 0)
		close(fd);
	return ok;
}

int nm_netns_list(struct nm_netns **list, size_t *n)
{
	DIR *d = opendir(NETNS_DIR);
	size_t room = 0;
	struct dirent *e;
	int err = 0;

	*list = NULL;
	*n = 0;
	if (!d) /* none was ever made */
		return errno == ENOENT ? 0 : -errno;
	while (!err && (e = readdir(d))) {
		if (*n == room) {
			struct nm_netns *more = reallocarray(*list, room += 16, sizeof(*more));

			if (!more) {
				err = -ENOMEM;
				break;
			}
			*list = more;
		}
		if (e->d_name[0] != '.' && is_namespace(dirfd(d), e->d_name, &(*list)[*n]))
			++*n;
	}
	closedir(d);
	if (err) {
		free(*list);
		*list = NULL;
		*n = 0;
	} else if (*n) {
		qsort(*list, *n, sizeof(**list), by_name);
	}
	return err;
}
