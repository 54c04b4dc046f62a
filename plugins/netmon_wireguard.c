/* SPDX-License-Identifier: MIT */
/* netmon_wireguard: tunnels and their peers: traffic, handshakes, who is there and from where. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "uapi.h"
#include "wireguard.h"

/* ---- what the kernel's bytes mean ----------------------------------------------- */

static const struct nm_field allowed_rows[] = {
	NM_A(WGALLOWEDIP_A_FAMILY, ENUM, .names = &nm_AF),
	NM_A(WGALLOWEDIP_A_IPADDR, ADDR),
	NM_A(WGALLOWEDIP_A_CIDR_MASK, UINT),
};
static const struct nm_table allowed = NM_ATTRS("WGALLOWEDIP_A_", allowed_rows, &nm_WGALLOWEDIP);
static const struct nm_field alloweds_rows[] = {{.name = "", .kind = NM_NEST, .table = &allowed}};
static const struct nm_table alloweds = NM_ATTRS("", alloweds_rows, NULL);

static const struct nm_field time_rows[] = {
	NM_M(__kernel_timespec, tv_sec, SINT),
	NM_M(__kernel_timespec, tv_nsec, SINT),
};
static const struct nm_table timespec = NM_STRUCT_OF(__kernel_timespec, "", time_rows, NULL);

static const struct nm_field peer_rows[] = {
	NM_A(WGPEER_A_PUBLIC_KEY, BASE64),
	NM_A(WGPEER_A_PRESHARED_KEY, SECRET),
	NM_A(WGPEER_A_ENDPOINT, SOCKADDR),
	NM_A(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, UINT),
	NM_A(WGPEER_A_LAST_HANDSHAKE_TIME, STRUCT, .table = &timespec),
	NM_A(WGPEER_A_RX_BYTES, UINT),
	NM_A(WGPEER_A_TX_BYTES, UINT),
	NM_A(WGPEER_A_ALLOWEDIPS, LIST, .table = &alloweds),
	NM_A(WGPEER_A_PROTOCOL_VERSION, UINT),
};
static const struct nm_table peer = NM_ATTRS("WGPEER_A_", peer_rows, &nm_WGPEER);
static const struct nm_field peers_rows[] = {{.name = "", .kind = NM_NEST, .table = &peer}};
static const struct nm_table peers = NM_ATTRS("", peers_rows, NULL);

static const struct nm_field device_rows[] = {
	NM_A(WGDEVICE_A_IFINDEX, UINT),
	NM_A(WGDEVICE_A_IFNAME, STR),
	NM_A(WGDEVICE_A_PRIVATE_KEY, SECRET),
	NM_A(WGDEVICE_A_PUBLIC_KEY, BASE64),
	NM_A(WGDEVICE_A_LISTEN_PORT, UINT),
	NM_A(WGDEVICE_A_FWMARK, UINT),
	NM_A(WGDEVICE_A_PEERS, LIST, .table = &peers),
};
static const struct nm_table device_attrs = NM_ATTRS("WGDEVICE_A_", device_rows, &nm_WGDEVICE);
static const struct nm_field genl_rows[] = {
	{0},
};
static const struct nm_table device = NM_STRUCT_OF(genlmsghdr, "", genl_rows, &device_attrs);

/* ---- what is configured -------------------------------------------------------------- */

static const struct nm_name notice_names[] = {
	{BACK, "online"}, {OFFLINE, "offline"}, {ROAMED, "roamed"},
	{NEW, "new"},     {REMOVED, "removed"}, {NAMES, "names"},
};
const struct nm_names nm_wireguard_notices = {NM_ARRAY(notice_names)};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.report = NM_SUMMARY,
	.notify = BACK | OFFLINE | NEW | REMOVED | NAMES,
	.online_timeout = 180,
};

static bool is_key(const char *text)
{
	return nm_key_read(text, strlen(text), NULL);
}

static bool is_path(const char *text)
{
	return *text == '/';
}

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Interface", NM_OPT_SELECT, interfaces, .def = "all",
		.help = "WireGuard interfaces to report: names or POSIX extended regular expressions "
			"between slashes, not anchored. May stand several times. An empty list is all."),
	NM_OPTION(config, "IgnoreSelected", NM_OPT_BOOL, interfaces.invert,
		  .help = "Report all interfaces but those of Interface."),
	NM_OPTION(
		config, "Report", NM_OPT_WORD, report, .words = &nm_details,
		.help = "What is reported of each peer. No: nothing, only what is counted of the "
			"interface. Summary: traffic, the age of the handshake and whether it is online. "
			"Detail: also how often it roamed, its allowed IPs and its keepalive interval."),
	NM_OPTION(
		config, "OnlineTimeout", NM_OPT_NUMBER, online_timeout, .min = 1, .max = 31536000,
		.help = "Seconds since the last handshake within which a peer counts as online. "
			"While there is traffic WireGuard makes a new handshake every 120 seconds, and "
			"gives a session up after 180."),
	NM_OPTION(config, "PeerName", NM_OPT_PAIR, peer_name, .form = "PUBLIC KEY",
		  .accept = is_key, .def = "none",
		  .help = "What a peer is called. May stand several times."),
	NM_OPTION(
		config, "PeerNames", NM_OPT_LIST, peer_names, .form = "/PATH", .accept = is_path,
		.def = "none",
		.help = "Files as wg(8) and wg-quick(8) read them, in which a comment names a peer: above "
			"[Peer] or below it \"# friendly_name = alice\" or \"# Name = alice\", or above it "
			"just \"# alice\". They are read again when they have changed."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &nm_wireguard_notices,
		  .help = "Which changes are told by a notification."),
};

/* ---- what is asked ---------------------------------------------------------------- */

#define KIND "wireguard"

/* A kernel that does not know the kind, or does not filter, tells of all links. */
static void ask_links(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	struct nlattr *nest;

	(void)v;
	(void)key;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_str(nlh, IFLA_INFO_KIND, KIND);
	mnl_attr_nest_end(nlh, nest);
}

static bool want_link(const void *config, const char *ifname)
{
	return nm_selected(&((const struct config *)config)->interfaces, ifname);
}

enum { LINKS, DEVICES };

static const struct nm_source sources[] = {
	[LINKS] = {"links", .get = RTM_GETLINK, .add = RTM_NEWLINK, .del = RTM_DELLINK,
		   .kept = true, .aid = true, .group = {RTNLGRP_LINK}, .table = &nm_link_table,
		   .ask = ask_links},
	[DEVICES] = {"devices", .family = WG_GENL_NAME, .get = WG_CMD_GET_DEVICE,
		     .add = WG_CMD_GET_DEVICE, .table = &device, .each = KIND,
		     .each_by = WGDEVICE_A_IFINDEX, .of = want_link,
		     .join = {WGDEVICE_A_PEERS, WGPEER_A_PUBLIC_KEY, WGPEER_A_ALLOWEDIPS},
		     .without = "WireGuard"},
};

/* ---- what is kept ----------------------------------------------------------------------- */

#define NAME_SIZE 64
#define HOLD      3 /* readings for which collectd may still remember a name that was given up */
#define TOTAL     "total"
#define NS        1000000000ll

enum state_of_peer { UNKNOWN, NEVER, STALE, ONLINE };

struct peer {
	uint8_t key[WG_KEY_LEN];
	char name[NAME_SIZE]; /* "": none yet */
	uint64_t wish;        /* a hash of what it is to be called; 0: whatever its key says */
	uint64_t seen;        /* number of the dump that had it last */
	bool fresh;           /* no complete dump had it yet */
	bool changed;         /* slow values are due */

	/* As the kernel tells it, and at the reading before. */
	uint64_t octets[2], octets_were[2], base[2]; /* rx, tx; base: see take_name() */
	struct __kernel_timespec handshake, handshake_was;
	struct sockaddr_in6 endpoint, endpoint_was; /* or a sockaddr_in; family 0: none */
	uint32_t allowed, allowed_were, keepalive, keepalive_was;

	enum state_of_peer state, told;
	int64_t shook; /* ns, monotonic: the last handshake */
	uint64_t roamed;
};

struct iface {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	uint64_t links;  /* number of the dump of links that had it last */
	uint64_t dump;   /* number of the dump of its peers that runs or ran last */
	bool complete;   /* that one is */
	bool known;      /* a complete one was submitted: what differs now is news */
	bool changed;    /* slow values are due */
	int64_t read_at; /* ns, monotonic: the last submitted */
	uint16_t port, port_was;
	uint32_t fwmark, fwmark_was;
	uint64_t octets[2], roamed, base[2];
	uint64_t allowed;
	struct nm_map peers; /* key -> struct peer * */
};

struct series { /* of values: one peer's at a time */
	char ifname[IFNAMSIZ], name[NAME_SIZE];
};

struct owner {
	uint8_t key[WG_KEY_LEN];
	uint32_t ifindex;
	uint64_t left; /* one more than the readings when it was given up; 0: in use */
};

struct state {
	struct nm_map ifaces; /* ifindex -> struct iface * */
	struct nm_map owners; /* struct series -> struct owner */
	struct wishes wishes;
	uint64_t links;
};

static struct iface *find(const struct state *s, uint32_t ifindex)
{
	struct iface **i = nm_map_get(&s->ifaces, &ifindex);

	return i ? *i : NULL;
}

static int open_wireguard(struct nm_view *v)
{
	struct state *s = v->state;

	s->ifaces = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct iface *)};
	s->owners = (struct nm_map){.key = sizeof(struct series), .val = sizeof(struct owner)};
	return nm_wishes_open(&s->wishes, v->config);
}

static void free_iface(struct iface *i)
{
	const void *key;
	struct peer **p;

	for (size_t k = 0; (p = nm_map_next(&i->peers, &key, &k));)
		free(*p);
	nm_map_free(&i->peers);
	free(i);
}

static void close_wireguard(struct nm_view *v)
{
	struct state *s = v->state;
	const void *key;
	struct iface **i;

	for (size_t k = 0; (i = nm_map_next(&s->ifaces, &key, &k));)
		free_iface(*i);
	nm_map_free(&s->ifaces);
	nm_map_free(&s->owners);
	nm_wishes_close(&s->wishes);
}

/* ---- who is told ------------------------------------------------------------------------ */

/* A notice about a peer, NULL when nobody wants it. */
static struct nm_notice *tell(struct nm_view *v, const struct iface *i, const struct peer *p,
			      unsigned what, enum nm_severity severity)
{
	const struct config *c = v->config;
	char key[KEY_TEXT + 1];
	struct nm_notice *n;

	if (!(c->notify & what))
		return NULL;
	n = nm_notify(v, severity, nm_name(&nm_wireguard_notices, what), i->name);
	if (!n)
		return NULL;
	nm_key_text(p->key, key);
	nm_meta(n, "peer", "%s", p->name);
	nm_meta(n, "public_key", "%s", key);
	return n;
}

static void endpoint_text(const struct sockaddr_in6 *e, char to[static 64])
{
	char ip[INET6_ADDRSTRLEN] = "?", scope[16] = "";

	if (e->sin6_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)e)->sin_addr, ip,
			  sizeof(ip));
		snprintf(to, 64, "%s:%u", ip, ntohs(e->sin6_port));
	} else {
		inet_ntop(AF_INET6, &e->sin6_addr, ip, sizeof(ip));
		if (e->sin6_scope_id)
			snprintf(scope, sizeof(scope), "%%%u", e->sin6_scope_id);
		snprintf(to, 64, "[%s%s]:%u", ip, scope, ntohs(e->sin6_port));
	}
}

static void tell_roamed(struct nm_view *v, const struct iface *i, const struct peer *p)
{
	struct nm_notice *n = tell(v, i, p, ROAMED, NM_OKAY);
	char old[64], new[64];

	if (!n)
		return;
	endpoint_text(&p->endpoint_was, old);
	endpoint_text(&p->endpoint, new);
	nm_change(n, old, new);
	nm_say(n, "peer %s of %s is at %s now, it was at %s", p->name, i->name, new, old);
}

/*
 * A peer that has nothing to say makes no handshake.  Only one that we keep alive
 * would have to answer: its silence is a failure.  false: too many notices wait.
 */
static bool tell_state(struct nm_view *v, const struct iface *i, const struct peer *p)
{
	uint64_t unsent = v->cost.unsent;
	struct nm_notice *n;
	char text[64];

	if (p->state == ONLINE) {
		n = tell(v, i, p, BACK, NM_OKAY);
		nm_say(n, "peer %s of %s is online", p->name, i->name);
	} else {
		n = tell(v, i, p, OFFLINE, p->keepalive ? NM_FAILURE : NM_WARNING);
		nm_say(n, "peer %s of %s is offline: no handshake for %.0f s%s", p->name, i->name,
		       ((const struct config *)v->config)->online_timeout,
		       p->keepalive ? ", though it is kept alive" : "");
	}
	if (n && p->endpoint.sin6_family) {
		endpoint_text(&p->endpoint, text);
		nm_meta(n, "endpoint", "%s", text);
	}
	return v->cost.unsent == unsent;
}

/* ---- what a peer is called ---------------------------------------------------------------- */

static uint64_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	while (s && *s)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3u;
	return s ? h : 0;
}

static struct series series_of(const struct iface *i, const char *name)
{
	struct series k = {0};

	memcpy(k.ifname, i->name, sizeof(k.ifname));
	snprintf(k.name, sizeof(k.name), "%s", name);
	return k;
}

/*
 * A series that another peer or interface had a moment ago must not jump to this
 * one's counters: they count from here.
 */
static int take_name(const struct nm_view *v, const struct iface *i, const char *name,
		     const uint8_t key[WG_KEY_LEN], const uint64_t octets[2], uint64_t base[2])
{
	struct series k = series_of(i, name);
	struct state *s = v->state;
	bool fresh, lately;
	struct owner *o = nm_map_put(&s->owners, &k, &fresh);

	if (!o)
		return -ENOMEM;
	lately = !fresh && v->readings + 1 - o->left < HOLD &&
		 (memcmp(o->key, key, sizeof(o->key)) || o->ifindex != i->ifindex);
	memset(base, 0, 2 * sizeof(*base));
	if (lately)
		memcpy(base, octets, 2 * sizeof(*base));
	o->ifindex = i->ifindex;
	o->left = 0;
	memcpy(o->key, key, sizeof(o->key));
	return 0;
}

static void give_up_name(const struct nm_view *v, const struct iface *i, const char *name)
{
	struct series k = series_of(i, name);
	const struct state *s = v->state;
	struct owner *o = *name ? nm_map_get(&s->owners, &k) : NULL;

	if (o)
		o->left = v->readings + 1;
}

static bool taken(const struct state *s, const struct iface *i, const char *name)
{
	struct series k = series_of(i, name);
	const struct owner *o = nm_map_get(&s->owners, &k);

	return !strcmp(name, TOTAL) || (o && !o->left);
}

/*
 * What it is wished to be called, if nobody else is; else as many characters of
 * its key as it takes to be unique.  Who has a name keeps it.
 */
static int name_peer(const struct nm_view *v, const struct iface *i, struct peer *p)
{
	struct state *s = v->state;
	const char *wish = nm_map_get(&s->wishes.text, p->key);
	char key[KEY_TEXT + 1], name[NAME_SIZE];

	nm_key_text(p->key, key);
	for (char *c = key; *c; c++)
		*c = *c == '/' ? '_' : *c;
	snprintf(name, sizeof(name), "%s", wish ? wish : "");
	for (int n = 8; !*name || taken(s, i, name); n++)
		if (n <= KEY_TEXT)
			snprintf(name, sizeof(name), "%s%s%.*s", wish && *wish ? wish : "",
				 wish && *wish ? "_" : "", n, key);
		else /* somebody has named others so that this one gets no name */
			snprintf(name, sizeof(name), "%.43s_%d", key, n - KEY_TEXT);
	memcpy(p->name, name, sizeof(name));
	p->changed = true;
	return take_name(v, i, p->name, p->key, p->octets, p->base);
}

static int by_wish_and_key(const void *a, const void *b)
{
	const struct peer *p = *(struct peer *const *)a, *q = *(struct peer *const *)b;

	return !p->wish == !q->wish ? memcmp(p->key, q->key, WG_KEY_LEN) : !p->wish ? 1 : -1;
}

/*
 * Those that are named by the user first, each in the order of their keys: after a
 * restart they are called the same.
 */
static int name_peers(const struct nm_view *v, struct iface *i)
{
	const struct state *s = v->state;
	struct peer **nameless = NULL, **p;
	const void *key;
	size_t n = 0;
	int err = 0;

	for (size_t k = 0; (p = nm_map_next(&i->peers, &key, &k));)
		n += !*(*p)->name;
	if (!n)
		return 0;
	nameless = reallocarray(NULL, n, sizeof(struct peer *));
	if (!nameless)
		return -ENOMEM;
	n = 0;
	for (size_t k = 0; (p = nm_map_next(&i->peers, &key, &k));)
		if (!*(*p)->name) {
			(*p)->wish = hash(nm_map_get(&s->wishes.text, key));
			nameless[n++] = *p;
		}
	qsort(nameless, n, sizeof(struct peer *), by_wish_and_key);
	for (size_t k = 0; !err && k < n; k++)
		err = name_peer(v, i, nameless[k]);
	free(nameless);
	return err;
}

static void lose_name(const struct nm_view *v, const struct iface *i, struct peer *p)
{
	give_up_name(v, i, p->name);
	*p->name = 0;
}

/* Those that are to be called otherwise than they were; all give up their names first. */
static void lose_old_names(const struct nm_view *v)
{
	struct state *s = v->state;
	const void *key, *peer_key;
	struct iface **i;
	struct peer **p;

	for (size_t k = 0; (i = nm_map_next(&s->ifaces, &key, &k));)
		for (size_t n = 0; (p = nm_map_next(&(*i)->peers, &peer_key, &n));)
			if (hash(nm_map_get(&s->wishes.text, peer_key)) != (*p)->wish)
				lose_name(v, *i, *p);
}

/* Series that nobody has any more, once they are more than those in use. */
static int forget_series(struct nm_view *v)
{
	struct state *s = v->state;
	struct nm_map keep = {.key = s->owners.key, .val = s->owners.val};
	const void *key;
	struct owner *o, *to;
	struct iface **i;
	size_t used = 64;

	for (size_t k = 0; (i = nm_map_next(&s->ifaces, &key, &k));)
		used += 2 * ((*i)->peers.used + 1);
	if (s->owners.used < used)
		return 0;
	for (size_t k = 0; (o = nm_map_next(&s->owners, &key, &k));)
		if (!o->left || v->readings + 1 - o->left < HOLD) {
			to = nm_map_put(&keep, key, NULL);
			if (!to) {
				nm_map_free(&keep);
				return -ENOMEM;
			}
			*to = *o;
		}
	nm_map_free(&s->owners);
	s->owners = keep;
	return 0;
}

/* ---- interfaces --------------------------------------------------------------------------- */

static void name_iface(const struct nm_view *v, struct iface *i, const char *name)
{
	const void *key;
	struct peer **p;

	if (!strcmp(i->name, name))
		return;
	for (size_t k = 0; (p = nm_map_next(&i->peers, &key, &k));)
		lose_name(v, i, *p);
	if (*i->name)
		give_up_name(v, i, TOTAL);
	memset(i->name, 0, sizeof(i->name)); /* it is part of a key: all bytes count */
	snprintf(i->name, sizeof(i->name), "%s", name);
	i->changed = true;
}

static void remove_iface(struct nm_view *v, struct iface *i)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	struct nm_notice *n;
	uint32_t ifindex = i->ifindex;

	if (i->known && c->notify & REMOVED && want_link(c, i->name)) {
		n = nm_notify(v, NM_WARNING, nm_name(&nm_wireguard_notices, REMOVED), i->name);
		nm_meta(n, "peers", "%zu", i->peers.used);
		nm_say(n, "interface %s is gone, and its %zu peers with it", i->name,
		       i->peers.used);
	}
	name_iface(v, i, "");
	nm_map_del(&s->ifaces, &ifindex);
	free_iface(i);
}

static int add_iface(struct nm_view *v, uint32_t ifindex, struct iface **out)
{
	struct state *s = v->state;
	struct iface *i = calloc(1, sizeof(*i)), **slot;

	slot = i ? nm_map_put(&s->ifaces, &ifindex, NULL) : NULL;
	if (!slot) {
		free(i);
		return -ENOMEM;
	}
	i->ifindex = ifindex;
	i->peers = (struct nm_map){.key = WG_KEY_LEN, .val = sizeof(struct peer *)};
	*out = *slot = i;
	return 0;
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	const char *kind = nm_str(nm_in(m->attr[IFLA_LINKINFO], IFLA_INFO_KIND));
	const char *name = nm_str(m->attr[IFLA_IFNAME]);
	struct state *s = v->state;
	struct iface *i = find(s, (uint32_t)h->ifi_index);
	int err = 0;

	if (m->gone && i)
		remove_iface(v, i);
	if (m->gone || h->ifi_index <= 0 || !kind || strcmp(kind, KIND) || !name || !*name)
		return 0;
	if (!i)
		err = add_iface(v, (uint32_t)h->ifi_index, &i);
	if (err)
		return err;
	i->links = s->links;
	name_iface(v, i, name);
	return 0;
}

/* ---- peers ---------------------------------------------------------------------------------- */

static int peer_of(struct iface *i, const struct nlattr *key, struct peer **out)
{
	uint8_t k[WG_KEY_LEN];
	struct peer *p, **slot;
	bool fresh;

	*out = NULL;
	if (nm_bytes(key, k, sizeof(k)) != sizeof(k))
		return 0;
	slot = nm_map_put(&i->peers, k, &fresh);
	if (!slot)
		return -ENOMEM;
	if (fresh) {
		p = calloc(1, sizeof(*p));
		if (!p) {
			nm_map_del(&i->peers, k);
			return -ENOMEM;
		}
		memcpy(p->key, k, sizeof(k));
		p->fresh = true;
		*slot = p;
	}
	*out = *slot;
	return 0;
}

/* Only what tells one endpoint from another. */
static void take_endpoint(struct peer *p, const struct nlattr *a)
{
	struct sockaddr_in6 e = {0};

	nm_bytes(a, &e, sizeof(e));
	memset(&p->endpoint, 0, sizeof(p->endpoint));
	if (e.sin6_family == AF_INET)
		nm_bytes(a, &p->endpoint, offsetof(struct sockaddr_in, sin_zero));
	if (e.sin6_family != AF_INET6)
		return;
	p->endpoint = e;
	p->endpoint.sin6_flowinfo = 0;
}

/* One peer, or the allowed IPs for which the message before had no room. */
static int take_peer(struct iface *i, const struct nlattr *a)
{
	struct peer *p;
	int err = peer_of(i, nm_in(a, WGPEER_A_PUBLIC_KEY), &p);

	if (!p)
		return err;
	if (p->seen != i->dump) { /* one without an endpoint tells of none */
		p->allowed = 0;
		memset(&p->endpoint, 0, sizeof(p->endpoint));
	}
	p->seen = i->dump;
	for (const struct nlattr *c = nm_child(a, NULL); c; c = nm_child(a, c))
		switch (nm_type(c)) {
		case WGPEER_A_ENDPOINT:
			take_endpoint(p, c);
			break;
		case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
			p->keepalive = (uint32_t)nm_uint(c);
			break;
		case WGPEER_A_LAST_HANDSHAKE_TIME:
			nm_bytes(c, &p->handshake, sizeof(p->handshake));
			break;
		case WGPEER_A_RX_BYTES:
			p->octets[0] = nm_uint(c);
			break;
		case WGPEER_A_TX_BYTES:
			p->octets[1] = nm_uint(c);
			break;
		case WGPEER_A_ALLOWEDIPS:
			for (const struct nlattr *ip = nm_child(c, NULL); ip; ip = nm_child(c, ip))
				p->allowed++;
			break;
		}
	return 0;
}

static int on_device(struct nm_view *v, const struct nm_msg *m)
{
	struct iface *i = find(v->state, v->link);
	const struct nlattr *list = m->attr[WGDEVICE_A_PEERS];
	int err = 0;

	if (!i || m->event)
		return 0;
	if (m->attr[WGDEVICE_A_LISTEN_PORT]) /* only the first message tells of the device */
		i->port = (uint16_t)nm_uint(m->attr[WGDEVICE_A_LISTEN_PORT]);
	if (m->attr[WGDEVICE_A_FWMARK])
		i->fwmark = (uint32_t)nm_uint(m->attr[WGDEVICE_A_FWMARK]);
	for (const struct nlattr *a = nm_child(list, NULL); !err && a; a = nm_child(list, a))
		err = take_peer(i, a);
	return err;
}

static int message_wireguard(struct nm_view *v, const struct nm_msg *m)
{
	return m->src == &sources[LINKS] ? on_link(v, m) : on_device(v, m);
}

static void begin_wireguard(struct nm_view *v, const struct nm_source *src)
{
	struct state *s = v->state;
	struct iface *i = src == &sources[DEVICES] ? find(s, v->link) : NULL;

	if (src == &sources[LINKS])
		s->links++;
	if (i) {
		i->dump++;
		i->complete = false;
	}
}

static void end_wireguard(struct nm_view *v, const struct nm_source *src, bool complete)
{
	struct state *s = v->state;
	struct iface **i, *of = find(s, v->link);
	const void *key;

	if (src == &sources[DEVICES] && of)
		of->complete = complete;
	for (size_t k = 0;
	     complete && src == &sources[LINKS] && (i = nm_map_next(&s->ifaces, &key, &k));)
		if ((*i)->links != s->links) {
			remove_iface(v, *i);
			k--;
		}
}

/* ---- what has changed -------------------------------------------------------------------- */

/* What a complete dump did not have is gone. */
static void sweep_peers(struct nm_view *v, struct iface *i)
{
	const void *key;
	struct peer **slot;

	for (size_t k = 0; (slot = nm_map_next(&i->peers, &key, &k));) {
		struct peer *p = *slot;

		if (p->seen == i->dump)
			continue;
		if (!p->fresh)
			nm_say(tell(v, i, p, REMOVED, NM_WARNING), "peer %s of %s was removed",
			       p->name, i->name);
		lose_name(v, i, p);
		nm_map_del(&i->peers, p->key);
		free(p);
		k--;
	}
}

/*
 * The kernel tells a handshake by the clock that can be set.  Once seen it is kept
 * by the one that cannot, so that nobody seems to come or go when a clock is set;
 * and one that was not there at the reading before is not older than that.
 */
static void date_handshake(const struct iface *i, struct peer *p, int64_t now, int64_t wall)
{
	const struct __kernel_timespec *t = &p->handshake, *was = &p->handshake_was;

	if (!t->tv_sec && !t->tv_nsec) {
		p->state = NEVER;
		return;
	}
	if (t->tv_sec == was->tv_sec && t->tv_nsec == was->tv_nsec)
		return;
	p->state = STALE;
	p->shook = t->tv_sec < INT64_MAX / NS / 2 && t->tv_sec > 0 ?
			   t->tv_sec * NS + t->tv_nsec % NS - wall + now :
			   INT64_MAX;
	if (i->known && p->shook > now)
		p->shook = now;
	if (i->known && p->shook < i->read_at)
		p->shook = i->read_at;
	if (p->shook > now) /* the clock was set back since: nobody knows when it was */
		p->state = UNKNOWN;
}

static void compare(struct nm_view *v, struct iface *i, struct peer *p, int64_t now, int64_t wall)
{
	double timeout = ((const struct config *)v->config)->online_timeout * NS;

	date_handshake(i, p, now, wall);
	if (p->state == STALE || p->state == ONLINE)
		p->state = (double)(now - p->shook) < timeout ? ONLINE : STALE;
	if (p->fresh && i->known) {
		nm_say(tell(v, i, p, NEW, NM_OKAY), "peer %s is new on %s", p->name, i->name);
		p->told = NEVER;
	}
	if (p->state != UNKNOWN &&
	    (p->told == UNKNOWN || (p->told == ONLINE) == (p->state == ONLINE) ||
	     tell_state(v, i, p))) /* else the next reading tells it */
		p->told = p->state;
	if (p->endpoint_was.sin6_family && p->endpoint.sin6_family &&
	    memcmp(&p->endpoint, &p->endpoint_was, sizeof(p->endpoint))) {
		p->roamed++;
		i->roamed++;
		p->changed = true;
		tell_roamed(v, i, p);
	}
	p->changed |= p->fresh || p->allowed != p->allowed_were || p->keepalive != p->keepalive_was;
}

/* A counter that is less than it was is a new peer's with the same key. */
static void remember(struct iface *i, struct peer *p)
{
	for (size_t n = 0; n < 2; n++) {
		bool again = p->octets[n] < p->octets_were[n];

		i->octets[n] += again ? p->octets[n] : p->octets[n] - p->octets_were[n];
		if (again)
			p->base[n] = 0;
		p->octets_were[n] = p->octets[n];
	}
	p->handshake_was = p->handshake;
	if (p->endpoint.sin6_family)
		p->endpoint_was = p->endpoint;
	p->allowed_were = p->allowed;
	p->keepalive_was = p->keepalive;
	p->fresh = false;
}

/* ---- what is submitted ---------------------------------------------------------------------- */

/* "online-alice" */
static const char *of_peer(struct nm_reading *r, const char *what, const struct peer *p)
{
	char text[NAME_SIZE + 32];

	stpcpy(stpcpy(text, what), p->name);
	return nm_text(r, text);
}

static void submit_detail(struct nm_reading *r, const struct peer *p)
{
	nm_slow(r, true);
	nm_derive(r, "derive", of_peer(r, "roamed-", p), p->roamed);
	nm_gauge(r, "gauge", of_peer(r, "allowed_ips-", p), p->allowed);
	nm_gauge(r, "duration", of_peer(r, "keepalive-", p), p->keepalive);
	nm_slow(r, false);
}

static void submit_peer(const struct nm_view *v, struct nm_reading *r, struct peer *p, int64_t now)
{
	const struct config *c = v->config;
	uint32_t number;

	memcpy(&number, p->key, sizeof(number));
	nm_derive2(r, "if_octets", nm_text(r, p->name), p->octets[0] - p->base[0],
		   p->octets[1] - p->base[1]);
	if (p->state != UNKNOWN)
		nm_gauge(r, "bool", of_peer(r, "online-", p), p->state == ONLINE);
	if (p->state == STALE || p->state == ONLINE)
		nm_gauge(r, "duration", of_peer(r, "handshake_age-", p),
			 (double)(now - p->shook) / NS);
	if (c->report == NM_DETAIL && (p->changed || nm_slow_due(v, number)))
		submit_detail(r, p);
	p->changed = false;
}

static void submit_iface(const struct nm_view *v, struct nm_reading *r, struct iface *i,
			 const uint32_t count[ONLINE + 1])
{
	nm_derive2(r, "if_octets", TOTAL, i->octets[0] - i->base[0], i->octets[1] - i->base[1]);
	nm_gauge(r, "gauge", "peers", (double)i->peers.used);
	nm_gauge(r, "gauge", "peers_online", count[ONLINE]);
	nm_gauge(r, "gauge", "peers_stale", count[STALE]);
	nm_gauge(r, "gauge", "peers_never", count[NEVER]);
	nm_derive(r, "derive", "roamed", i->roamed);
	if (!i->changed && !nm_slow_due(v, i->ifindex))
		return;
	nm_slow(r, true);
	nm_gauge(r, "gauge", "allowed_ips", (double)i->allowed);
	nm_gauge(r, "gauge", "listen_port", i->port);
	nm_gauge(r, "gauge", "fwmark", i->fwmark);
	nm_slow(r, false);
}

static int read_iface(struct nm_view *v, struct nm_reading *r, struct iface *i)
{
	static const uint8_t no_key[WG_KEY_LEN];
	int64_t now = (int64_t)v->now, wall = (int64_t)r->time;
	uint32_t count[ONLINE + 1] = {0};
	uint64_t allowed_were = i->allowed;
	bool named = !i->known || i->changed;
	const void *key;
	struct peer **p;
	int err;

	sweep_peers(v, i);
	err = name_peers(v, i);
	if (err)
		return err;
	i->allowed = 0;
	nm_instance(r, i->name);
	for (size_t k = 0; (p = nm_map_next(&i->peers, &key, &k));) {
		compare(v, i, *p, now, wall);
		remember(i, *p);
		count[(*p)->state]++;
		i->allowed += (*p)->allowed;
		if (((const struct config *)v->config)->report != NM_NO)
			submit_peer(v, r, *p, now);
	}
	if (named)
		err = take_name(v, i, TOTAL, no_key, i->octets, i->base);
	i->changed |= i->allowed != allowed_were || i->port != i->port_was ||
		      i->fwmark != i->fwmark_was;
	submit_iface(v, r, i, count);
	i->port_was = i->port;
	i->fwmark_was = i->fwmark;
	i->changed = i->complete = false;
	i->known = true;
	i->read_at = now;
	return err;
}

static int submit_wireguard(struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	const void *key;
	struct iface **i;
	int err = nm_wishes_read(v, &s->wishes);

	if (err > 0)
		lose_old_names(v);
	for (size_t k = 0; err >= 0 && (i = nm_map_next(&s->ifaces, &key, &k));)
		if ((*i)->complete)
			err = read_iface(v, r, *i);
	return err < 0 ? err : forget_series(v);
}

const struct nm_plugin netmon_wireguard = {
	.name = "netmon_wireguard",
	.graph = "link",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_wireguard,
	.begin = begin_wireguard,
	.message = message_wireguard,
	.end = end_wireguard,
	.submit = submit_wireguard,
	.close = close_wireguard,
};
