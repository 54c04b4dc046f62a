/* SPDX-License-Identifier: MIT */
/*
 * The floor: asks the kernel a question, receives the answer and looks at nothing in it.
 *
 *	floor QUESTION [TIMES]		floor wireguard [TIMES]		floor /proc/net/... [TIMES]
 *
 * Prints what one answer cost as a line of JSON: processor time that was charged to us, wall clock
 * time, messages and bytes.  Nobody who learns the same from the kernel can be cheaper.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUF_SIZE 32768 /* the kernel fills no more in one go */

static const struct question {
	const char *name;
	uint16_t type;
	uint8_t family;
	uint8_t header; /* bytes */
	uint32_t last;  /* the header's last four bytes */
} questions[] = {
	{"counters", RTM_GETSTATS, 0, sizeof(struct if_stats_msg),
	 IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64)},
	{"links", RTM_GETLINK, 0, sizeof(struct ifinfomsg), 0},
	{"links6", RTM_GETLINK, AF_INET6, sizeof(struct ifinfomsg), 0},
	{"addresses", RTM_GETADDR, 0, sizeof(struct ifaddrmsg), 0},
	{"neighbours", RTM_GETNEIGH, 0, sizeof(struct ndmsg), 0},
	{"fdb", RTM_GETNEIGH, AF_BRIDGE, sizeof(struct ndmsg), 0},
	{"mdb", RTM_GETMDB, AF_BRIDGE, sizeof(struct br_port_msg), 0},
	{"rules", RTM_GETRULE, AF_INET, sizeof(struct rtmsg), 0},
	{"routes", RTM_GETROUTE, AF_INET, sizeof(struct rtmsg), 0},
	{"routes6", RTM_GETROUTE, AF_INET6, sizeof(struct rtmsg), 0},
};

static char buf[BUF_SIZE] __attribute__((aligned(8)));
static unsigned long messages, bytes;

static int fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	return 1;
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/*
 * Where netmon rests for 99 times what a dump took (tests/bench/reader.c), because it holds the
 * kernel's lock, so do we: caches are as cold for both.  took: ms.
 */
static void rest(const struct question *q, double took)
{
	bool rests = q->type == RTM_GETMDB || q->type == RTM_GETRULE ||
		     (q->type == RTM_GETNEIGH && q->family == AF_BRIDGE);
	uint64_t ms = 99 * took < 5000 ? (uint64_t)(99 * took) : 5000;

	if (rests)
		nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)},
			  NULL);
}

static int open_socket(int protocol)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), one = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	return fd >= 0 && !bind(fd, (struct sockaddr *)&any, sizeof(any)) ? fd : -1;
}

static int receive(int fd)
{
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		int left = (int)n;

		if (n < 0)
			return fail("recv");
		bytes += (unsigned long)n;
		for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (unsigned)left);
		     h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR) {
				errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
				return errno ? fail("the kernel answers") : 0;
			}
			messages++;
		}
	}
}

static int ask(int fd, const struct question *q)
{
	struct nlmsghdr *h = memset(buf, 0, NLMSG_SPACE(64));
	uint8_t *p = NLMSG_DATA(h);

	*h = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(q->header),
			       .nlmsg_type = q->type,
			       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			       .nlmsg_seq = 1};
	*p = q->family;
	if (q->last)
		memcpy(p + q->header - 4, &q->last, 4);
	return send(fd, h, h->nlmsg_len, 0) < 0 ? fail("send") : receive(fd);
}

/* ---- generic netlink --------------------------------------------------------------- */

static struct nlmsghdr *generic(uint16_t type, uint16_t flags, uint8_t cmd, uint16_t attr,
				const char *text)
{
	struct nlmsghdr *h = memset(buf, 0, NLMSG_SPACE(128));
	struct nlattr *a;

	*h = (struct nlmsghdr){.nlmsg_type = type,
			       .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
			       .nlmsg_seq = 1};
	*(struct genlmsghdr *)NLMSG_DATA(h) = (struct genlmsghdr){.cmd = cmd, .version = 1};
	a = (void *)((char *)NLMSG_DATA(h) + GENL_HDRLEN);
	a->nla_type = attr;
	a->nla_len = (uint16_t)(NLA_HDRLEN + strlen(text) + 1);
	memcpy((char *)a + NLA_HDRLEN, text, strlen(text) + 1);
	h->nlmsg_len = (uint32_t)(NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(a->nla_len));
	return h;
}

static uint16_t family_of(int fd, const char *name)
{
	struct nlmsghdr *h =
		generic(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, name);
	ssize_t n = send(fd, h, h->nlmsg_len, 0) < 0 ? -1 : recv(fd, buf, sizeof(buf), 0);
	char *end = buf + n, *p = (char *)NLMSG_DATA(h) + GENL_HDRLEN;

	for (struct nlattr *a = (void *)p; n > 0 && p < end;
	     a = (void *)(p += NLA_ALIGN(a->nla_len)))
		if (a->nla_type == CTRL_ATTR_FAMILY_ID)
			return *(uint16_t *)(void *)(p + NLA_HDRLEN);
	return 0;
}

/* One question for each interface; those of other kinds answer that they are not supported. */
static int ask_wireguard(int fd, uint16_t family)
{
	struct if_nameindex *all = if_nameindex();
	int err = 0;

	for (struct if_nameindex *i = all; !err && i && i->if_index; i++) {
		struct nlmsghdr *h = generic(family, NLM_F_DUMP, WG_CMD_GET_DEVICE,
					     WGDEVICE_A_IFNAME, i->if_name);

		if (strncmp(i->if_name, "wg", 2))
			continue;
		err = send(fd, h, h->nlmsg_len, 0) < 0 ? fail("send") : receive(fd);
	}
	if_freenameindex(all);
	return err;
}

/* ---- files --------------------------------------------------------------------------- */

static int read_file(int fd)
{
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0)
		at += n;
	bytes += (unsigned long)at;
	messages++;
	return n < 0 ? fail("pread") : 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	int times = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1, err = 0, fd;
	const struct question *q = questions, *end = q + sizeof(questions) / sizeof(*q);
	bool file = *name == '/', wireguard = !strcmp(name, "wireguard");
	uint16_t family = 0;
	double cpu = 0, wall = 0, took = 0;

	while (q < end && strcmp(q->name, name))
		q++;
	if ((q == end && !file && !wireguard) || times < 1) {
		fprintf(stderr, "usage: floor QUESTION|wireguard|/FILE [TIMES]\nquestions:");
		for (q = questions; q < end; q++)
			fprintf(stderr, " %s", q->name);
		fputc('\n', stderr);
		return 2;
	}
	fd = file ? open(name, O_RDONLY | O_CLOEXEC) :
		    open_socket(wireguard ? NETLINK_GENERIC : NETLINK_ROUTE);
	if (fd < 0)
		return fail(name);
	if (wireguard && !(family = family_of(fd, WG_GENL_NAME)))
		return fail("wireguard");
	for (int i = 0; !err && i < times; i++) {
		double c, w;

		if (q < end)
			rest(q, took);
		c = now(CLOCK_PROCESS_CPUTIME_ID);
		w = now(CLOCK_MONOTONIC);
		err = file ? read_file(fd) : wireguard ? ask_wireguard(fd, family) : ask(fd, q);
		cpu += now(CLOCK_PROCESS_CPUTIME_ID) - c;
		w = now(CLOCK_MONOTONIC) - w;
		wall += w;
		took = w;
	}
	printf("{\"cpu_ms\":%.4f,\"wall_ms\":%.4f,\"messages\":%lu,\"bytes\":%lu}\n", cpu / times,
	       wall / times, messages / (unsigned)times, bytes / (unsigned)times);
	return err;
}
