/* SPDX-License-Identifier: MIT */
/*
 * Makes many objects, and changes them fast: the scales of the benchmark.
 *
 *	load KIND DEVICES FIRST COUNT add|del
 *	load KIND DEVICES FIRST COUNT toggle RATE SECONDS
 *	load frames DEVICES RATE SECONDS
 *
 * DEVICES is an interface, or NAME:N for NAME0 to NAME<N-1>, which the objects take in turns.
 * toggle adds and deletes the objects, RATE changes a second in all.  Messages are sent by the
 * hundred in one call, which the kernel works off before it returns.  frames sends broadcasts out
 * of the devices in turns, so that counters move.
 *
 * Prints a line of JSON: how many changes were made, and when (seconds since 1970) the first began.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

extern unsigned int if_nametoindex(const char *name); /* <net/if.h> clashes with <linux/if.h> */

#define BATCH 100

static char buf[BATCH * 256] __attribute__((aligned(8)));
static int fd;
static uint32_t dev[8192];
static size_t ndev;
static bool adding;

static int fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	return -1;
}

/* ---- what the objects are ------------------------------------------------------------- */

static void *put_header(struct nlmsghdr *h, size_t size)
{
	h->nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
	return memset(NLMSG_DATA(h), 0, size);
}

static void put(struct nlmsghdr *h, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));

	*a = (struct rtattr){.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(len)};
	memcpy(RTA_DATA(a), data, len);
	h->nlmsg_len = (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void put_u32(struct nlmsghdr *h, uint16_t type, uint32_t value)
{
	put(h, type, &value, sizeof(value));
}

static void put_mac(struct nlmsghdr *h, uint16_t type, uint32_t i)
{
	put(h, type,
	    (uint8_t[]){2, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
			(uint8_t)i},
	    6);
}

/* 16.0.0.0/24 and so on, via 192.0.2.2: a million of them end at 31.66.64.0. */
static void route4(struct nlmsghdr *h, uint32_t i)
{
	struct rtmsg *m = put_header(h, sizeof(*m));

	*m = (struct rtmsg){.rtm_family = AF_INET,
			    .rtm_dst_len = 24,
			    .rtm_table = RT_TABLE_MAIN,
			    .rtm_protocol = RTPROT_BGP,
			    .rtm_type = RTN_UNICAST};
	put_u32(h, RTA_DST, htonl((16u << 24) + (i << 8)));
	put_u32(h, RTA_GATEWAY, inet_addr("192.0.2.2"));
	put_u32(h, RTA_OIF, dev[i % ndev]);
}

/* 3000::/48, 3000:0:1::/48 ... via fe80::2 */
static void route6(struct nlmsghdr *h, uint32_t i)
{
	struct rtmsg *m = put_header(h, sizeof(*m));
	struct in6_addr to = {
		{{0x30, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}}};
	struct in6_addr via = {{{0xfe, 0x80, [15] = 2}}};

	*m = (struct rtmsg){.rtm_family = AF_INET6,
			    .rtm_dst_len = 48,
			    .rtm_table = RT_TABLE_MAIN,
			    .rtm_protocol = RTPROT_BGP,
			    .rtm_type = RTN_UNICAST};
	put(h, RTA_DST, &to, sizeof(to));
	put(h, RTA_GATEWAY, &via, sizeof(via));
	put_u32(h, RTA_OIF, dev[i % ndev]);
}

static void default4(struct nlmsghdr *h, uint32_t i)
{
	struct rtmsg *m = put_header(h, sizeof(*m));

	*m = (struct rtmsg){.rtm_family = AF_INET,
			    .rtm_table = RT_TABLE_MAIN,
			    .rtm_protocol = RTPROT_STATIC,
			    .rtm_type = RTN_UNICAST};
	put_u32(h, RTA_GATEWAY, inet_addr("192.0.2.2"));
	put_u32(h, RTA_OIF, dev[i % ndev]);
}

/* 10.0.0.0 and so on; permanent ones are not limited by gc_thresh3. */
static void neighbour(struct nlmsghdr *h, uint32_t i)
{
	struct ndmsg *m = put_header(h, sizeof(*m));

	*m = (struct ndmsg){.ndm_family = AF_INET,
			    .ndm_ifindex = (int)dev[i % ndev],
			    .ndm_state = NUD_PERMANENT};
	put_u32(h, NDA_DST, htonl((10u << 24) + i));
	put_mac(h, NDA_LLADDR, i);
}

/* One that was learned from the wire as far as anybody can see. */
static void station(struct nlmsghdr *h, uint32_t i)
{
	neighbour(h, i);
	((struct ndmsg *)NLMSG_DATA(h))->ndm_state = NUD_REACHABLE;
}

static void fdb(struct nlmsghdr *h, uint32_t i)
{
	struct ndmsg *m = put_header(h, sizeof(*m));

	*m = (struct ndmsg){.ndm_family = AF_BRIDGE,
			    .ndm_ifindex = (int)dev[i % ndev],
			    .ndm_state = NUD_NOARP,
			    .ndm_flags = NTF_MASTER};
	put_mac(h, NDA_LLADDR, i);
}

/* Groups 239.0.0.0 and so on; the first device is the bridge. */
static void mdb(struct nlmsghdr *h, uint32_t i)
{
	struct br_port_msg *m = put_header(h, sizeof(*m));
	struct br_mdb_entry e = {.ifindex = dev[1 + i % (ndev - 1)], .state = MDB_PERMANENT};

	*m = (struct br_port_msg){.family = AF_BRIDGE, .ifindex = dev[0]};
	e.addr.u.ip4 = htonl((239u << 24) + 256 + i);
	e.addr.proto = htons(0x0800);
	put(h, MDBA_SET_ENTRY, &e, sizeof(e));
}

static void rule(struct nlmsghdr *h, uint32_t i)
{
	struct fib_rule_hdr *m = put_header(h, sizeof(*m));

	*m = (struct fib_rule_hdr){
		.family = AF_INET, .src_len = 32, .table = 100, .action = FR_ACT_TO_TBL};
	put_u32(h, FRA_SRC, htonl((10u << 24) + i));
	put_u32(h, FRA_PRIORITY, 1000 + i);
}

static void address(struct nlmsghdr *h, uint32_t i)
{
	struct ifaddrmsg *m = put_header(h, sizeof(*m));

	*m = (struct ifaddrmsg){
		.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = dev[i % ndev]};
	put_u32(h, IFA_LOCAL, htonl((10u << 24) + i));
	put_u32(h, IFA_ADDRESS, htonl((10u << 24) + i));
}

static void up(struct nlmsghdr *h, uint32_t i)
{
	struct ifinfomsg *m = put_header(h, sizeof(*m));

	*m = (struct ifinfomsg){.ifi_index = (int)dev[i % ndev],
				.ifi_flags = adding ? IFF_UP : 0,
				.ifi_change = IFF_UP};
}

static const struct kind {
	const char *name;
	uint16_t add, del;
	void (*fill)(struct nlmsghdr *h, uint32_t i);
} kinds[] = {
	{"route", RTM_NEWROUTE, RTM_DELROUTE, route4},
	{"route6", RTM_NEWROUTE, RTM_DELROUTE, route6},
	{"default", RTM_NEWROUTE, RTM_DELROUTE, default4},
	{"neighbour", RTM_NEWNEIGH, RTM_DELNEIGH, neighbour},
	{"station", RTM_NEWNEIGH, RTM_DELNEIGH, station},
	{"fdb", RTM_NEWNEIGH, RTM_DELNEIGH, fdb},
	{"mdb", RTM_NEWMDB, RTM_DELMDB, mdb},
	{"rule", RTM_NEWRULE, RTM_DELRULE, rule},
	{"address", RTM_NEWADDR, RTM_DELADDR, address},
	{"up", RTM_NEWLINK, RTM_NEWLINK, up},
};

/* ---- sending --------------------------------------------------------------------------- */

/* Of a batch only the last message asks for an acknowledgement; errors come anyway. */
static int flush(size_t len, uint32_t last)
{
	char answer[8192] __attribute__((aligned(8)));

	if (send(fd, buf, len, 0) < 0)
		return fail("send");
	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		int left = (int)n;

		if (n < 0)
			return fail("recv");
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, (unsigned)left);
		     h = NLMSG_NEXT(h, left)) {
			errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (errno)
				return fail("the kernel answers");
			if (h->nlmsg_seq == last)
				return 0;
		}
	}
}

static int send_batch(const struct kind *k, uint32_t first, uint32_t n)
{
	static uint32_t seq;
	uint16_t create = adding && k->add != k->del ? NLM_F_CREATE | NLM_F_EXCL : 0;
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct nlmsghdr *h = (void *)(buf + len);

		h->nlmsg_type = adding ? k->add : k->del;
		h->nlmsg_seq = ++seq;
		h->nlmsg_pid = 0;
		h->nlmsg_flags = NLM_F_REQUEST | create;
		if (i + 1 == n)
			h->nlmsg_flags |= NLM_F_ACK;
		k->fill(h, first + i);
		len += NLMSG_ALIGN(h->nlmsg_len);
	}
	return flush(len, seq);
}

static int change(const struct kind *k, bool add, uint32_t first, uint32_t count)
{
	int err = 0;

	adding = add;
	for (uint32_t done = 0; !err && done < count; done += BATCH)
		err = send_batch(k, first + done, count - done < BATCH ? count - done : BATCH);
	return err;
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* In steps of a batch; one that is late does not wait. */
static int toggle(const struct kind *k, uint32_t first, uint32_t count, double rate, double seconds,
		  unsigned long *made)
{
	double start = now(CLOCK_MONOTONIC), ahead;
	bool add = true;
	int err = 0;

	while (!err && (now(CLOCK_MONOTONIC) < start + seconds || !add)) {
		err = change(k, add, first, count);
		add = !add;
		*made += count;
		ahead = start + (double)*made / rate - now(CLOCK_MONOTONIC);
		if (ahead > 0)
			usleep((useconds_t)(1e6 * ahead));
	}
	return err;
}

static int find_devices(char *words)
{
	for (char *name = strtok(words, ","); name; name = strtok(NULL, ",")) {
		char *colon = strchr(name, ':'), full[64];
		int n = colon ? (int)strtol(colon + 1, NULL, 10) : 1;

		for (int i = 0; i < n && ndev < sizeof(dev) / sizeof(*dev); i++) {
			if (colon)
				snprintf(full, sizeof(full), "%.*s%d", (int)(colon - name), name,
					 i);
			dev[ndev] = if_nametoindex(colon ? full : name);
			if (!dev[ndev++])
				return fail(name);
		}
	}
	return 0;
}

static int send_frames(double rate, double seconds)
{
	char frame[60] = {-1, -1, -1, -1, -1, -1, 2, [12] = (char)0x88, (char)0xb5};
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	double start = now(CLOCK_MONOTONIC);

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail("packet socket");
	for (unsigned long n = 0; now(CLOCK_MONOTONIC) < start + seconds; n++) {
		double ahead = start + (double)n / rate - now(CLOCK_MONOTONIC);

		if (ahead > 0.01)
			usleep((useconds_t)(1e6 * ahead));
		to.sll_ifindex = (int)dev[n % ndev];
		if (sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0 &&
		    errno != ENOBUFS && errno != ENETDOWN)
			return fail("sendto");
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct kind *k = kinds, *end = k + sizeof(kinds) / sizeof(*kinds);
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	unsigned long made = 0;
	double began;
	int err;

	if (argc == 5 && !strcmp(argv[1], "frames"))
		return find_devices(argv[2]) ||
		       send_frames(strtod(argv[3], NULL), strtod(argv[4], NULL));
	while (k < end && argc > 5 && strcmp(k->name, argv[1]))
		k++;
	if (k == end || argc < 6) {
		fputs("usage: load KIND DEVICES FIRST COUNT add|del|toggle [RATE SECONDS]\n",
		      stderr);
		return 2;
	}
	uint32_t first = (uint32_t)strtoul(argv[3], NULL, 10);
	uint32_t count = (uint32_t)strtoul(argv[4], NULL, 10);

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)))
		return fail("netlink"), 1;
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &(int){1}, sizeof(int));
	if (find_devices(argv[2]))
		return 1;
	began = now(CLOCK_REALTIME);
	if (!strcmp(argv[5], "toggle") && argc == 8) {
		err = toggle(k, first, count, strtod(argv[6], NULL), strtod(argv[7], NULL), &made);
	} else {
		err = change(k, !strcmp(argv[5], "add"), first, count);
		made = count;
	}
	printf("{\"changes\":%lu,\"began\":%.6f,\"seconds\":%.6f}\n", made, began,
	       now(CLOCK_REALTIME) - began);
	return err ? 1 : 0;
}
