/* SPDX-License-Identifier: MIT */
/*
 * Changes the network so many times a second: routes, neighbours, forwarding
 * entries or rules come and go.
 *
 *   storm route|neighbor|fdb|rule IFINDEX CHANGES-PER-SECOND SECONDS
 *
 * Objects are added one after another and deleted in the same order, again and
 * again; what is there at the end stays.  Prints how many changes were made.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "netmon.h"

enum { OBJECTS = 5000, BATCH = 8, ROOM = BATCH * 128 };

static uint32_t ifindex;

static void *put(struct nlmsghdr *h, uint16_t type, size_t size)
{
	h->nlmsg_type = type;
	return mnl_nlmsg_put_extra_header(h, size);
}

static void route(struct nlmsghdr *h, uint32_t i, bool del)
{
	struct rtmsg *r = put(h, del ? RTM_DELROUTE : RTM_NEWROUTE, sizeof(*r));

	*r = (struct rtmsg){.rtm_family = AF_INET,
			    .rtm_dst_len = 24,
			    .rtm_table = RT_TABLE_MAIN,
			    .rtm_protocol = RTPROT_BGP,
			    .rtm_scope = RT_SCOPE_LINK,
			    .rtm_type = RTN_UNICAST};
	mnl_attr_put_u32(h, RTA_DST, htonl(0x0a000000 | i << 8));
	mnl_attr_put_u32(h, RTA_OIF, ifindex);
}

static void neighbor(struct nlmsghdr *h, uint32_t i, bool del)
{
	struct ndmsg *n = put(h, del ? RTM_DELNEIGH : RTM_NEWNEIGH, sizeof(*n));
	const uint8_t mac[6] = {2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};

	*n = (struct ndmsg){
		.ndm_family = AF_INET, .ndm_ifindex = (int)ifindex, .ndm_state = NUD_PERMANENT};
	mnl_attr_put_u32(h, NDA_DST, htonl(0x0a000000 | i));
	mnl_attr_put(h, NDA_LLADDR, sizeof(mac), mac);
}

static void fdb(struct nlmsghdr *h, uint32_t i, bool del)
{
	struct ndmsg *n = put(h, del ? RTM_DELNEIGH : RTM_NEWNEIGH, sizeof(*n));
	const uint8_t mac[6] = {6, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};

	*n = (struct ndmsg){.ndm_family = AF_BRIDGE,
			    .ndm_ifindex = (int)ifindex,
			    .ndm_state = NUD_NOARP,
			    .ndm_flags = NTF_MASTER};
	mnl_attr_put(h, NDA_LLADDR, sizeof(mac), mac);
}

/* A rule's header and its first attributes are laid out as a route's. */
static void rule(struct nlmsghdr *h, uint32_t i, bool del)
{
	struct rtmsg *r = put(h, del ? RTM_DELRULE : RTM_NEWRULE, sizeof(*r));

	*r = (struct rtmsg){.rtm_family = AF_INET, .rtm_table = 100, .rtm_type = RTN_UNICAST};
	mnl_attr_put_u32(h, RTA_PRIORITY, 20000 + i);
}

static const struct {
	const char *name;
	void (*change)(struct nlmsghdr *h, uint32_t i, bool del);
} kinds[] = {{"route", route}, {"neighbor", neighbor}, {"fdb", fdb}, {"rule", rule}};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Changes number from up to to, in one message to the kernel; returns how many that were. */
static unsigned long make(const struct mnl_socket *nl, size_t kind, unsigned long from,
			  unsigned long to)
{
	_Alignas(struct nlmsghdr) char buf[ROOM];
	size_t used = 0;
	unsigned long i = from;

	for (; i < to && i < from + BATCH; i++) {
		bool del = i / OBJECTS % 2;
		struct nlmsghdr *h = mnl_nlmsg_put_header(buf + used);

		h->nlmsg_flags = NLM_F_REQUEST | (del ? 0 : NLM_F_CREATE | NLM_F_EXCL);
		kinds[kind].change(h, (uint32_t)(i % OBJECTS), del);
		used += NLMSG_ALIGN(h->nlmsg_len);
	}
	if (mnl_socket_sendto(nl, buf, used) < 0)
		perror("storm");
	return i - from;
}

int main(int argc, char **argv)
{
	struct mnl_socket *nl = mnl_socket_open(NETLINK_ROUTE);
	double start = now(), rate, seconds, at;
	unsigned long made = 0;
	size_t kind = 0;

	while (argc == 5 && kind < NM_COUNT(kinds) && strcmp(kinds[kind].name, argv[1]))
		kind++;
	if (argc != 5 || kind == NM_COUNT(kinds) || !nl ||
	    mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		fprintf(stderr,
			"storm route|neighbor|fdb|rule IFINDEX CHANGES-PER-SECOND SECONDS\n");
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 1);
	ifindex = (uint32_t)strtoul(argv[2], NULL, 10);
	rate = strtod(argv[3], NULL);
	seconds = strtod(argv[4], NULL);
	while ((at = now() - start) < seconds) {
		unsigned long due = (unsigned long)(at * rate);

		while (made < due && now() - start < seconds)
			made += make(nl, kind, made, due);
		nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
	}
	printf("%lu\n", made);
	mnl_socket_close(nl);
	return 0;
}
