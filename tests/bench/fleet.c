/* SPDX-License-Identifier: MIT */
/*
 * A fleet of hosts for one collectd: what their network plugins would send, from one process.
 *
 *	fleet send ADDRESS HOSTS LISTS INTERVAL READINGS none|encrypt [SPREAD]
 *	fleet count PORT
 *	fleet users HOSTS
 *
 * send: each host is a user of its own (h0, with its name as password) and sends so many value lists
 * of interfaces, ten of each, at every interval.  The hosts' turns are spread over the interval, or
 * over SPREAD seconds of it.  Prints a line of JSON when it is over.
 * count: takes lines by TCP, as carbon does, and counts them; prints the number at the end of input.
 * users: prints the file that AuthFile of the server wants.
 */
#include <arpa/inet.h>
#include <collectd/network_buffer.h>
#include <errno.h>
#include <gcrypt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What an interface tells.  The first five are counters. */
static const struct {
	const char *type, *instance;
	size_t n; /* numbers */
	int kind;
} lists[] = {
	{"if_octets", "", 2, LCC_TYPE_DERIVE},
	{"if_packets", "", 2, LCC_TYPE_DERIVE},
	{"if_errors", "", 2, LCC_TYPE_DERIVE},
	{"if_dropped", "", 2, LCC_TYPE_DERIVE},
	{"if_multicast", "", 1, LCC_TYPE_DERIVE},
	{"gauge", "link_state", 1, LCC_TYPE_GAUGE},
	{"percent", "utilization_rx", 1, LCC_TYPE_GAUGE},
	{"percent", "utilization_tx", 1, LCC_TYPE_GAUGE},
	{"bool", "carrier", 1, LCC_TYPE_GAUGE},
	{"gauge", "mtu", 1, LCC_TYPE_GAUGE},
};
#define LISTS (sizeof(lists) / sizeof(*lists))

/* Around what is sent encrypted, of collectd's network protocol: all but the name. */
#define PART_ENCR_AES256 0x0210
#define IV_SIZE          16
#define SHA1_SIZE        20
#define NAME_SIZE        16
#define ENCRYPTION_SIZE  (3 * sizeof(uint16_t) + NAME_SIZE + IV_SIZE + SHA1_SIZE)

struct host {
	char name[NAME_SIZE];
	gcry_cipher_hd_t cipher;
	lcc_network_buffer_t *buffer;
};

struct fleet {
	int fd;
	bool encrypted;
	unsigned hosts, lists;
	double interval;
	struct host *host;
	uint64_t packets, octets, sent;
	double late; /* the worst, s */
};

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Noreturn void fail(const char *what, int error)
{
	fprintf(stderr, "fleet: %s: %s\n", what, strerror(error));
	exit(1);
}

static size_t put(char *to, size_t at, const void *from, size_t size)
{
	memcpy(to + at, from, size);
	return at + size;
}

/* libcollectdclient 5.12 could, but takes the success of GCRYCTL_INIT_SECMEM for a failure. */
static size_t encrypt(const struct host *h, char *to, const char *from, size_t size)
{
	uint16_t name_size = (uint16_t)strlen(h->name), type = htons(PART_ENCR_AES256);
	uint16_t name_be = htons(name_size), whole;
	char iv[IV_SIZE];
	size_t at, start;

	gcry_create_nonce(iv, sizeof(iv));
	at = put(to, 2 * sizeof(type), &name_be, sizeof(name_be));
	at = put(to, at, h->name, name_size);
	start = put(to, at, iv, sizeof(iv));
	gcry_md_hash_buffer(GCRY_MD_SHA1, to + start, from, size);
	at = put(to, start + SHA1_SIZE, from, size);
	whole = htons((uint16_t)at);
	put(to, put(to, 0, &type, sizeof(type)), &whole, sizeof(whole));
	gcry_cipher_reset(h->cipher);
	gcry_cipher_setiv(h->cipher, iv, sizeof(iv));
	gcry_cipher_encrypt(h->cipher, to + start, at - start, NULL, 0);
	return at;
}

static void send_packet(struct fleet *f, struct host *h)
{
	char text[LCC_NETWORK_BUFFER_SIZE_DEFAULT], packet[LCC_NETWORK_BUFFER_SIZE_DEFAULT];
	size_t size = sizeof(text);
	const char *from = text;

	lcc_network_buffer_finalize(h->buffer);
	lcc_network_buffer_get(h->buffer, text, &size);
	lcc_network_buffer_initialize(h->buffer);
	if (f->encrypted) {
		size = encrypt(h, packet, text, size);
		from = packet;
	}
	/* Whoever listens may be away: that is his loss, as it is with collectd. */
	if (send(f->fd, from, size, 0) < 0 && errno != ECONNREFUSED)
		fail("send", errno);
	f->packets++;
	f->octets += size;
}

static void add(struct fleet *f, struct host *h, lcc_value_list_t *vl)
{
	if (lcc_network_buffer_add_value(h->buffer, vl)) { /* full */
		send_packet(f, h);
		if (lcc_network_buffer_add_value(h->buffer, vl))
			fail("a value that fits into no packet", E2BIG);
	}
	f->sent++;
}

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

static double seconds(const char *text)
{
	return strtod(text, NULL);
}

static void name(char *to, const char *text)
{
	snprintf(to, LCC_NAME_LEN, "%s", text);
}

/* One reading of one host: all counters of it have grown by the same. */
static void send_host(struct fleet *f, struct host *h, unsigned reading)
{
	lcc_value_list_t vl = {.time = now(CLOCK_REALTIME), .interval = f->interval};
	int kinds[2];
	value_t values[2];

	vl.values = values;
	vl.values_types = kinds;
	name(vl.identifier.host, h->name);
	name(vl.identifier.plugin, "netmon_link");
	for (unsigned i = 0; i < f->lists; i++) {
		size_t l = i % LISTS;

		snprintf(vl.identifier.plugin_instance, sizeof(vl.identifier.plugin_instance),
			 "eth%zu", i / LISTS);
		name(vl.identifier.type, lists[l].type);
		name(vl.identifier.type_instance, lists[l].instance);
		vl.values_len = lists[l].n;
		for (size_t j = 0; j < lists[l].n; j++) {
			kinds[j] = lists[l].kind;
			if (kinds[j] == LCC_TYPE_DERIVE)
				values[j].derive = 1000000ULL * (reading + 1) + i;
			else
				values[j].gauge = reading % 2;
		}
		add(f, h, &vl);
	}
	send_packet(f, h);
}

static void wait_until(double t)
{
	struct timespec until = {(time_t)t, (long)(1e9 * (t - (double)(time_t)t))};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static void make_hosts(struct fleet *f)
{
	size_t size = LCC_NETWORK_BUFFER_SIZE_DEFAULT - (f->encrypted ? ENCRYPTION_SIZE : 0);
	char key[32]; /* SHA-256 of the password */

	f->host = calloc(f->hosts, sizeof(*f->host));
	if (!f->host)
		fail("hosts", ENOMEM);
	for (unsigned i = 0; i < f->hosts; i++) {
		struct host *h = &f->host[i];

		snprintf(h->name, sizeof(h->name), "h%u", i);
		gcry_md_hash_buffer(GCRY_MD_SHA256, key, h->name, strlen(h->name));
		h->buffer = lcc_network_buffer_create(size);
		if (!h->buffer ||
		    gcry_cipher_open(&h->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_OFB, 0))
			fail("a host", ENOMEM);
		gcry_cipher_setkey(h->cipher, key, sizeof(key));
		lcc_network_buffer_initialize(h->buffer);
	}
}

static int send_all(char **arg)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25826)};
	struct fleet f = {.hosts = number(arg[1]),
			  .lists = number(arg[2]),
			  .interval = seconds(arg[3]),
			  .encrypted = !strcmp(arg[5], "encrypt"),
			  .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	unsigned readings = number(arg[4]);
	double spread = arg[6] ? seconds(arg[6]) : f.interval, start, late;

	if (inet_pton(AF_INET, arg[0], &to.sin_addr) != 1 ||
	    (!f.encrypted && strcmp(arg[5], "none")))
		return 2;
	if (f.fd < 0 || connect(f.fd, (struct sockaddr *)&to, sizeof(to)))
		fail("socket", errno);
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	make_hosts(&f);
	start = now(CLOCK_MONOTONIC);
	for (unsigned r = 0; r < readings; r++) {
		for (unsigned h = 0; h < f.hosts; h++) {
			double at = start + r * f.interval + h * spread / f.hosts;

			wait_until(at);
			send_host(&f, &f.host[h], r);
			late = now(CLOCK_MONOTONIC) - at;
			f.late = late > f.late ? late : f.late;
		}
	}
	wait_until(start + readings * f.interval);
	printf("{\"sent\":%lu,\"packets\":%lu,\"octets\":%lu,\"late\":%.3f,\"cpu_ms\":%.1f}\n",
	       f.sent, f.packets, f.octets, f.late, 1e3 * now(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}

/* Until its standard input ends. */
static int count(char **arg)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)number(arg[0])),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pollfd fds[3] = {{.fd = STDIN_FILENO, .events = POLLIN}};
	static char buf[1 << 16];
	uint64_t lines = 0;
	nfds_t n = 2;
	ssize_t got;

	fds[1] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
				 .events = POLLIN};
	setsockopt(fds[1].fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fds[1].fd, (struct sockaddr *)&at, sizeof(at)) || listen(fds[1].fd, 1))
		fail("listen", errno);
	while (poll(fds, n, -1) >= 0 && !fds[0].revents) {
		if (fds[1].revents && n == 2)
			fds[n++] = (struct pollfd){.fd = accept(fds[1].fd, NULL, NULL),
						   .events = POLLIN};
		if (n < 3 || !fds[2].revents)
			continue;
		got = read(fds[2].fd, buf, sizeof(buf));
		for (ssize_t i = 0; i < got; i++)
			lines += buf[i] == '\n';
		if (got <= 0) {
			close(fds[2].fd);
			n = 2;
		}
	}
	printf("{\"lines\":%lu}\n", lines);
	return 0;
}

static int users(char **arg)
{
	for (unsigned h = 0; h < number(arg[0]); h++)
		printf("h%u: h%u\n", h, h);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int least;
		int (*run)(char **arg);
	} commands[] = {{"send", 8, send_all}, {"count", 3, count}, {"users", 3, users}};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name) && argc >= commands[i].least)
			return commands[i].run(argv + 2);
	fputs("usage: fleet send ADDRESS HOSTS LISTS INTERVAL READINGS none|encrypt [SPREAD]\n"
	      "       fleet count PORT\n"
	      "       fleet users HOSTS\n",
	      stderr);
	return 2;
}
