/* SPDX-License-Identifier: MIT */
/* What can be shown, what of it is counted and listed, and by what it can be narrowed. */
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "cli.h"

static const char *const addresses_only[] = {"addresses", NULL};

static const struct count link_counts[] = {
	{"links", "up", .path = "flags", .bit = "lower_up"},
	{"links", "admin_up", .path = "flags", .bit = "up"},
	{"links", "by_operstate", .path = "operstate"},
	{"links", "by_kind", .path = "linkinfo.kind"},
	{"addresses", "by_family", .path = "family"},
	{"addresses", "by_scope", .path = "scope"},
	{0},
};
static const struct count route_counts[] = {
	{NULL, "by_table", .path = "table"},
	{NULL, "by_type", .path = "type"},
	{NULL, "by_protocol", .path = "protocol"},
	{NULL, "by_scope", .path = "scope"},
	{0},
};
static const struct count neighbor_counts[] = {
	{"neighbors", "by_family", .path = "family"},
	{NULL, "by_state", .path = "state"},
	{NULL, "by_interface", .path = "ifindex"},
	{0},
};
static const struct count mdb_counts[] = {
	{"bridges", "up", .path = "flags", .bit = "lower_up"},
	{"ports", "by_state", .path = "protinfo.state"},
	{"mdb", "entries_by_port", .path = "mdb.*.*.ifindex", .each = true},
	{"mdb", "entries_by_state", .path = "mdb.*.*.state", .each = true},
	{"mdb", "entries_by_vid", .path = "mdb.*.*.vid", .each = true},
	{0},
};
static const struct count rule_counts[] = {
	{NULL, "by_action", .path = "action"},
	{NULL, "by_table", .path = "table"},
	{NULL, "by_protocol", .path = "protocol"},
	{0},
};
static const struct nm_name switch_names[] = {{0, "off"}, {1, "on"}};
static const struct nm_names switches = {NM_ARRAY(switch_names)};
static const struct count forward_counts[] = {
	{"netconf", "by_family", .path = "family"},
	{"netconf", "by_forwarding", .path = "forwarding", .names = &switches},
	{0},
};

/*
 * A session of WireGuard's ends after three minutes (REJECT_AFTER_TIME) and is
 * renewed after two, so a peer whose last handshake is older is not there.
 */
enum { NEVER, ONLINE, STALE };
static const struct nm_name peer_state_names[] = {
	{NEVER, "never"}, {ONLINE, "online"}, {STALE, "stale"}};
static const struct nm_names peer_states = {NM_ARRAY(peer_state_names)};

bool is_online(int64_t handshake, int64_t at)
{
	return handshake > 0 && at - handshake < 180;
}

static uint32_t peer_state(const struct nm_view *v, const void *p, size_t len)
{
	int64_t handshake = 0;

	memcpy(&handshake, p, len < sizeof(handshake) ? len : sizeof(handshake));
	if (!handshake)
		return NEVER;
	return is_online(handshake, arg.replay ? (int64_t)(v->now / 1000000000u) : time(NULL)) ?
		       ONLINE :
		       STALE;
}

static const struct count wireguard_counts[] = {
	{"devices", "peers", .path = "peers.*.last_handshake_time.tv_sec", .each = true,
	 .sum = true},
	{"devices", "peers_by_state", .path = "peers.*.last_handshake_time.tv_sec", .each = true,
	 .as = peer_state, .names = &peer_states},
	{0},
};
static const struct count dpll_counts[] = {
	{"devices", "by_lock_status", .path = "lock_status"},
	{"devices", "by_type", .path = "type"},
	{"pins", "by_type", .path = "type"},
	{"pins", "by_state", .path = "parent_device.*.state", .each = true},
	{"pins", "by_state_on_pin", .path = "parent_pin.*.state", .each = true},
	{0},
};
static const struct count no_counts[] = {{0}};

static const struct column link_columns[] = {
	{"interface", "ifname", TEXT},
	{"state", "operstate", TEXT},
	{"kind", "linkinfo.kind", TEXT},
	{"mtu", "mtu", TEXT},
	{"rx", "stats64.rx_bytes", BYTES},
	{"tx", "stats64.tx_bytes", BYTES},
	{"master", "master", TEXT},
	{"address", "address", TEXT},
	{0},
};
static const struct column address_columns[] = {
	{"interface", "index", TEXT},
	{"family", "family", TEXT},
	{"address", "address", TEXT},
	{"/", "prefixlen", TEXT},
	{"scope", "scope", TEXT},
	{"flags", "flags", TEXT},
	{0},
};

#define LINK_ONLY (ONLY_ADDRESSES | ONLY_EXTENDED | ONLY_WIREGUARD)
#define IP_ONLY   (ONLY_IPV4 | ONLY_IPV6)

const struct noun nouns[] = {
	{.name = "link",
	 .toolkit = "netmon-device",
	 .help = "interfaces, with addresses and speed",
	 .only = LINK_ONLY,
	 .interface = true,
	 .count = link_counts,
	 .listed = "links",
	 .column = link_columns},
	{.name = "address",
	 .help = "addresses of interfaces",
	 .plugin = "link",
	 .sources = addresses_only,
	 .only = IP_ONLY,
	 .interface = true,
	 .count = link_counts,
	 .listed = "addresses",
	 .column = address_columns},
	{.name = "route",
	 .toolkit = "netmon-route",
	 .help = "routes and nexthop objects",
	 .only = IP_ONLY,
	 .table = true,
	 .count = route_counts},
	{.name = "neighbor",
	 .toolkit = "netmon-neighbor",
	 .help = "ARP, NDP and bridge forwarding entries, and their tables",
	 .only = ONLY_ARP | ONLY_NDP | ONLY_BRIDGE,
	 .interface = true,
	 .count = neighbor_counts},
	{.name = "mdb",
	 .toolkit = "netmon-mdb",
	 .help = "bridges, their ports and multicast groups",
	 .interface = true,
	 .count = mdb_counts},
	{.name = "rule",
	 .toolkit = "netmon-rule",
	 .help = "policy rules",
	 .only = IP_ONLY,
	 .table = true,
	 .count = rule_counts},
	{.name = "forward",
	 .help = "forwarding switches and counters of IPv4 and IPv6",
	 .rates = true,
	 .count = forward_counts},
	{.name = "wireguard",
	 .help = "tunnels of WireGuard and their peers",
	 .count = wireguard_counts},
	{.name = "dpll", .help = "clocks of networks (DPLL) and their pins", .count = dpll_counts},
	{0},
};

const struct noun *noun_named(const char *name)
{
	static struct noun other; /* a plugin of which nothing more is known than its tables */
	const struct nm_plugin *p = plugin_named(name);

	for (const struct noun *n = nouns; n->name; n++)
		if (!strcmp(n->name, name))
			return noun_plugin(n) ? n : NULL;
	if (!p)
		return NULL;
	other = (struct noun){
		.name = short_name(p), .help = "everything that it reads", .count = no_counts};
	return &other;
}

const struct nm_plugin *noun_plugin(const struct noun *n)
{
	return plugin_named(n->plugin ? n->plugin : n->name);
}

/* ---- what identifies an entry --------------------------------------------------------- */

static const struct identity identities[] = {
	{.source = "links",
	 .key = {"index"},
	 .moves = {"stats64", "stats", "af_spec.inet6.stats", "af_spec.inet6.icmp6stats",
		   "af_spec.inet6.cacheinfo", "event", "vfinfo_list[].stats",
		   "linkinfo.data.*_timer", "linkinfo.slave_data.*_timer",
		   "linkinfo.data.mcast_querier_state", "linkinfo.data.fdb_n_learned"},
	 .unsaid = {"num_vf", "vfinfo_list"}},
	{.source = "addresses",
	 .key = {"index", "family", "address", "local", "prefixlen"},
	 .moves = {"cacheinfo"}},
	{.source = "linkmodes", .key = {"header.dev_index"}},
	{.source = "ipv4", .has = "action", .moves = {"flags"}},
	{.source = "ipv6", .has = "action", .moves = {"flags"}},
	{.source = "ipmr", .has = "action", .moves = {"flags"}},
	{.source = "ip6mr", .has = "action", .moves = {"flags"}},
	{.source = "ipv6",
	 .has = "ifname",
	 .key = {"index"},
	 .moves = {"protinfo.stats", "protinfo.icmp6stats", "protinfo.cacheinfo"}},
	{.source = "ipv4",
	 .key = {"dst", "dst_len", "table", "tos", "priority", "type"},
	 .moves = {"cacheinfo"}},
	{.source = "ipv6",
	 .key = {"dst", "dst_len", "src", "src_len", "table", "priority", "type", "oif"},
	 .moves = {"cacheinfo", "expires"}},
	{.source = "mpls", .key = {"dst"}},
	{.source = "nexthops", .key = {"id"}, .moves = {"group_stats"}},
	{.source = "buckets", .key = {"id", "res_bucket.index"}, .moves = {"res_bucket.idle_time"}},
	{.source = "neighbors",
	 .key = {"family", "ifindex", "dst", "flags"},
	 .moves = {"cacheinfo", "probes"}},
	{.source = "fdb",
	 .key = {"ifindex", "lladdr", "vlan", "dst", "vni", "master"},
	 .moves = {"cacheinfo"}},
	{.source = "tables",
	 .key = {"family", "name", "parms.ifindex"},
	 .moves = {"stats", "config", "parms.refcnt", "parms.reachable_time"}},
	{.source = "devices", .key = {"id", "ifindex"}, .moves = {"temp"}},
	{.source = "peers",
	 .key = {"device", "public_key"},
	 .moves = {"rx_bytes", "tx_bytes", "last_handshake_time"}},
	{.source = "pins",
	 .key = {"id"},
	 .moves = {"fractional_frequency_offset", "parent_device[].phase_offset",
		   "parent_device[].fractional_frequency_offset"}},
	{.source = "bridges", /* events tell of all links */
	 .only = "linkinfo.kind",
	 .is = "\"bridge\"",
	 .key = {"index"},
	 .moves = {"stats64", "stats", "linkinfo.data", "af_spec", "event"}},
	{.source = "ports",
	 .key = {"index"},
	 .moves = {"protinfo.*_timer"},
	 .undumped = {"af_spec.vlan_info"}},
	{.source = "mdb",
	 .key = {"bridge", "ifindex", "addr", "vid", "source", "src_vni", "dst", "vni"},
	 .moves = {"timer", "src_list[].timer"}},
	{.source = "routers", .key = {"bridge", "ifindex", "vid"}, .moves = {"*timer"}},
	{.source = "vlans",
	 .key = {"bridge", "id"},
	 .moves = {"mcast_querier_state", "mcast_router_ports"}},
	{.source = "netconf", .key = {"family", "ifindex"}, .unsaid = {"*"}},
	{.source = "counters", .skip = true, .key = {"ifindex"}},
	{.source = "statistics", .skip = true, .key = {"ifindex"}},
	{.source = "snmp", .skip = true, .key = {"of one"}},
	{.source = "snmp6", .skip = true, .key = {"of one"}},
	{.source = "netstat", .skip = true, .key = {"of one"}},
	{.source = "softnet", .skip = true, .key = {"of one"}},
};

const struct identity *identity_of(const char *source, const struct flat *f)
{
	static const struct identity other = {.moves = {"stats", "cacheinfo"}};

	for (size_t i = 0; i < NM_COUNT(identities); i++)
		if (!strcmp(identities[i].source, source) &&
		    (!identities[i].has || (f && flat_get(f, identities[i].has))))
			return &identities[i];
	return &other;
}

static const struct part parts[] = {
	{"devices", "peers", "peers", .of = "ifname", .as = "device"},
	{"mdb", "mdb", "mdb", .of = "ifindex_name", .as = "bridge", .alone = true},
	{"mdb", "router", "routers", .of = "ifindex_name", .as = "bridge", .alone = true},
	{"vlans", "global_options", "vlans", .of = "ifindex_name", .as = "bridge", .alone = true},
};

const struct part *part_at(size_t i)
{
	return i < NM_COUNT(parts) ? &parts[i] : NULL;
}

/* ---- which sources ------------------------------------------------------------------ */

static const struct choice {
	const char *noun;
	unsigned only;
	const char *source;
} choices[] = {
	{"link", ONLY_ADDRESSES, "addresses"}, {"link", ONLY_EXTENDED, "linkmodes"},
	{"link", ONLY_EXTENDED, "counters"},   {"route", ONLY_IPV4, "ipv4"},
	{"route", ONLY_IPV6, "ipv6"},          {"rule", ONLY_IPV4, "ipv4"},
	{"rule", ONLY_IPV6, "ipv6"},           {"neighbor", ONLY_ARP, "neighbors"},
	{"neighbor", ONLY_NDP, "neighbors"},   {"neighbor", ONLY_BRIDGE, "fdb"},
};

/*
 * The counters that the plugin asks for are those that the interfaces tell with everything else:
 * they are shown with --extended, and of recordings, which are made for the plugin too.
 */
static bool told_twice(const struct noun *n, const char *source)
{
	return n == arg.noun && !strcmp(n->name, "link") && !strcmp(source, "counters") &&
	       !arg.record && !arg.replay;
}

static bool chosen(const struct noun *n, const char *source)
{
	bool any = n->only && (arg.only & n->only);

	/* the toolkit's netmon-device shows interfaces alone unless more is asked for */
	if (!strcmp(n->name, "link") && (any || arg.toolkit) && !strcmp(source, "links"))
		return true;
	if (!any && !(arg.toolkit && !strcmp(n->name, "link")))
		return !told_twice(n, source) &&
		       (!arg.table || strcmp(n->name, "route") != 0 || !strncmp(source, "ip", 2));
	if (!strcmp(n->name, "address"))
		return true;
	for (size_t i = 0; i < NM_COUNT(choices); i++)
		if (!strcmp(choices[i].noun, n->name) && (arg.only & choices[i].only) &&
		    !strcmp(choices[i].source, source))
			return true;
	return false;
}

bool noun_shows(const struct noun *n, const struct nm_source *s)
{
	if (s->aid || s->passive)
		return false;
	for (size_t i = 0; n->sources && n->sources[i]; i++)
		if (!strcmp(n->sources[i], s->what))
			return chosen(n, s->what);
	return !n->sources && chosen(n, s->what);
}

/* ---- which entries ------------------------------------------------------------------- */

/* What an option compares; ask: where the kernel filters by it (NETLINK_GET_STRICT_CHK). */
static const struct filter_row {
	enum { BY_INTERFACE, BY_TABLE, BY_FAMILY } by;
	const char *noun, *source, *path, *ask;
} filter_rows[] = {
	{BY_INTERFACE, "link", "links", "index", NULL},
	{BY_INTERFACE, "link", "ports", "index", NULL},
	{BY_INTERFACE, "link", "addresses", "index", "index"},
	{BY_INTERFACE, "link", "linkmodes", "header.dev_index", NULL},
	{BY_INTERFACE, "link", "counters", "ifindex", NULL},
	{BY_INTERFACE, "address", "addresses", "index", "index"},
	{BY_INTERFACE, "neighbor", "neighbors", "ifindex", "via_ifindex"},
	{BY_INTERFACE, "neighbor", "fdb", "ifindex", "ifindex"},
	{BY_INTERFACE, "neighbor", "tables", "parms.ifindex", NULL},
	{BY_INTERFACE, "mdb", "bridges", "index", NULL},
	{BY_INTERFACE, "mdb", "ports", "master", NULL},
	{BY_INTERFACE, "mdb", "mdb", "ifindex", NULL},
	{BY_INTERFACE, "mdb", "statistics", "ifindex", NULL},
	{BY_TABLE, "route", NULL, "table", "@table"},
	{BY_TABLE, "rule", NULL, "table", NULL},
	{BY_FAMILY, "neighbor", "neighbors", "family", "family"},
	{BY_FAMILY, "address", "addresses", "family", "family"},
};

static int table_number(const char *text, uint32_t *id)
{
	static const struct nm_name kernel[] = {
		{RT_TABLE_DEFAULT, "default"}, {RT_TABLE_MAIN, "main"}, {RT_TABLE_LOCAL, "local"}};
	struct nm_map names;
	const void *key;
	const char *name;
	char *end;
	unsigned long number = strtoul(text, &end, 0);
	bool found = *text && !*end && number <= UINT32_MAX;

	*id = (uint32_t)number;
	for (size_t i = 0; !found && i < NM_COUNT(kernel); i++)
		if (!strcmp(kernel[i].name, text)) {
			*id = kernel[i].value;
			found = true;
		}
	if (found)
		return OK;
	if (nm_rtnames_load(&names, "rt_tables"))
		return no_memory();
	for (size_t i = 0; !found && (name = nm_map_next(&names, &key, &i));)
		if (!strcmp(name, text)) {
			*id = *(const uint32_t *)key;
			found = true;
		}
	nm_map_free(&names);
	return found ? OK :
		       fail(USAGE,
			    "--table %s: neither a number nor a name in /etc/iproute2/rt_tables",
			    text);
}

static int value_of(struct filter *f, const struct filter_row *r, struct nm_view *v)
{
	switch (r->by) {
	case BY_INTERFACE:
		if (!arg.interface)
			return OK;
		f->value[0] = nm_ifindex(v, arg.interface);
		if (!f->value[0])
			return fail(FAILED, "--interface %s: there is no such interface",
				    arg.interface);
		f->values = 1;
		return OK;
	case BY_TABLE:
		if (!arg.table)
			return OK;
		f->values = 1;
		return table_number(arg.table, &f->value[0]);
	default:
		if (arg.only & (ONLY_IPV4 | ONLY_ARP))
			f->value[f->values++] = AF_INET;
		if (arg.only & (ONLY_IPV6 | ONLY_NDP))
			f->value[f->values++] = AF_INET6;
		return OK;
	}
}

int filters_make(struct filters *f, struct nm_view *v, const struct noun *n)
{
	f->n = 0;
	for (const struct nm_source *s = v->plugin->source;
	     s < v->plugin->source + v->plugin->nsource; s++)
		for (size_t i = 0; i < NM_COUNT(filter_rows) && f->n < MAX_SOURCES; i++) {
			const struct filter_row *r = &filter_rows[i];
			struct filter *x = &f->v[f->n];
			int status;

			if (strcmp(r->noun, n->name) != 0 || s->aid || s->passive ||
			    (r->source && strcmp(r->source, s->what) != 0))
				continue;
			*x = (struct filter){.source = s};
			if (nm_path(&x->path, s->table, r->path))
				continue;
			if (r->ask && nm_path(&x->ask, s->table, r->ask))
				x->ask.n = 0;
			status = value_of(x, r, v);
			if (status)
				return status;
			f->n += x->values != 0;
		}
	return OK;
}

static bool has_attr(struct nlmsghdr *nlh, const struct nm_source *s, uint16_t type)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, (unsigned)s->table->size)
		if (nm_type(a) == type)
			return true;
	return false;
}

void filters_ask(const struct nm_source *s, struct nlmsghdr *nlh, void *filters)
{
	const struct filters *f = filters;

	for (const struct filter *x = f->v; x < f->v + f->n; x++) {
		const struct nm_step *step = &x->ask.step[0];

		if (x->source != s || x->ask.n != 1 || x->values != 1)
			continue;
		if (!step->member) {
			if (!has_attr(nlh, s, step->type))
				mnl_attr_put_u32(nlh, step->type, x->value[0]);
		} else if (step->member->len == 1) {
			*((uint8_t *)mnl_nlmsg_get_payload(nlh) + step->member->off) =
				(uint8_t)x->value[0];
		} else if (step->member->len == 4) {
			memcpy((uint8_t *)mnl_nlmsg_get_payload(nlh) + step->member->off,
			       &x->value[0], 4);
		}
	}
}

bool filters_pass(const struct filters *f, const struct nm_msg *m)
{
	for (const struct filter *x = f->v; x < f->v + f->n; x++) {
		size_t len;
		const void *p;
		bool pass = false;

		if (x->source != m->src)
			continue;
		p = nm_path_get(&x->path, m, &len);
		if (!p)
			return false;
		for (size_t i = 0; i < x->values; i++)
			pass |= len == 1 ? *(const uint8_t *)p == x->value[i] :
					   len == 4 && !memcmp(p, &x->value[i], 4);
		if (!pass)
			return false;
	}
	return true;
}
