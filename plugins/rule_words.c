/* SPDX-License-Identifier: MIT */
/* The words of `ip rule` for netmon_rule: a rule written in them, and one read from them. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rule.h"
#include "uapi.h"

/* ---- a rule in words ------------------------------------------------------------------ */

const char *const nm_rule_name_files[DICTIONARIES - 1] = {"rt_tables", "rt_protos", "rt_dsfield",
							  "group", "rt_realms"};

void nm_rule_names_free(struct nm_map d[static DICTIONARIES])
{
	for (size_t i = 0; i < DICTIONARIES; i++)
		nm_map_free(&d[i]);
}

int nm_rule_names_load(struct nm_map d[static DICTIONARIES])
{
	int err = 0;

	memset(d, 0, DICTIONARIES * sizeof(*d));
	for (size_t i = NO_NAMES + 1; !err && i < DICTIONARIES; i++)
		err = nm_rtnames_load(&d[i], nm_rule_name_files[i - 1]);
	if (err)
		nm_rule_names_free(d);
	return err;
}

const struct action nm_rule_actions[] = {
	{FR_ACT_TO_TBL, "lookup", "rules_lookup"},
	{FR_ACT_GOTO, "goto", "rules_goto"},
	{FR_ACT_NOP, "nop", "rules_nop"},
	{FR_ACT_BLACKHOLE, "blackhole", "rules_blackhole"},
	{FR_ACT_UNREACHABLE, "unreachable", "rules_unreachable"},
	{FR_ACT_PROHIBIT, "prohibit", "rules_prohibit"},
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (t->used < sizeof(t->s))
		t->used += (size_t)vsnprintf(t->s + t->used, sizeof(t->s) - t->used, fmt, ap);
	va_end(ap);
}

static bool is_ipv6(uint8_t family)
{
	return family == AF_INET6 || family == RTNL_FAMILY_IP6MR;
}

static void add_prefix(struct text *t, const char *word, const struct id *id, const uint8_t *addr,
		       uint8_t len)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	inet_ntop(is_ipv6(id->family) ? AF_INET6 : AF_INET, addr, ip, sizeof(ip));
	add(t, " %s %s", word, ip);
	if (len != (is_ipv6(id->family) ? 128 : 32))
		add(t, "/%u", len);
}

static void add_range(struct text *t, const char *word, uint32_t from, uint32_t to)
{
	add(t, from == to ? " %s %u" : " %s %u-%u", word, from, to);
}

static void add_ports(struct text *t, const char *word, const uint16_t port[static 2],
		      uint16_t mask)
{
	if (!port[0] && !port[1])
		return;
	add_range(t, word, port[0], port[1]);
	if (mask)
		add(t, "/0x%x", mask);
}

static void add_device(struct text *t, const char *word, const char *name, bool detached)
{
	if (*name)
		add(t, " %s %s%s", word, name, detached ? " [detached]" : "");
}

static void add_name(struct text *t, const char *word, const struct nm_map *names, uint32_t id)
{
	char buf[16];

	add(t, " %s %s", word, nm_rtname(names, id, buf));
}

static void add_hex(struct text *t, const char *word, uint32_t value, uint32_t mask, uint32_t whole)
{
	add(t, " %s 0x%x", word, value);
	if (mask != whole)
		add(t, "/0x%x", mask);
}

/* In the order of `ip rule show`. */
static void add_selectors(struct text *t, const struct nm_map *d, const struct id *id,
			  uint32_t detached)
{
	uint32_t tos = id->tos;
	const char *name = nm_map_get(&d[DSFIELDS], &tos);

	if (id->src_len)
		add_prefix(t, "from", id, id->src, id->src_len);
	else
		add(t, " from all");
	if (id->dst_len)
		add_prefix(t, "to", id, id->dst, id->dst_len);
	if (id->tos && name)
		add(t, " tos %s", name);
	else if (id->tos)
		add(t, " tos 0x%02x", id->tos);
	if (id->fwmark || id->fwmask)
		add_hex(t, "fwmark", id->fwmark, id->fwmask, UINT32_MAX);
	add_device(t, "iif", id->iif, detached & FIB_RULE_IIF_DETACHED);
	add_device(t, "oif", id->oif, detached & FIB_RULE_OIF_DETACHED);
	if (id->l3mdev)
		add(t, " lookup [l3mdev-table]");
	if (id->has_uid)
		add(t, " uidrange %u-%u", id->uid[0], id->uid[1]);
	if (id->ipproto && nm_name(&nm_rule_ipprotos, id->ipproto))
		add(t, " ipproto %s", nm_name(&nm_rule_ipprotos, id->ipproto));
	else if (id->ipproto)
		add(t, " ipproto %u", id->ipproto);
	add_ports(t, "sport", id->sport, id->sport_mask);
	add_ports(t, "dport", id->dport, id->dport_mask);
	if (id->has_dscp)
		add_hex(t, "dscp", id->dscp, id->dscp_mask, 0);
	if (id->flowlabel || id->flowlabel_mask)
		add_hex(t, "flowlabel", id->flowlabel, id->flowlabel_mask, 0xfffff);
	if (id->tun_id)
		add(t, " tun_id %llu", (unsigned long long)id->tun_id);
}

static void add_action(struct text *t, const struct nm_map *d, const struct id *id, bool unresolved)
{
	size_t i = 0;

	while (i < NM_RULE_ACTIONS && nm_rule_actions[i].value != id->action)
		i++;
	if (i == NM_RULE_ACTIONS)
		add(t, " action %u", id->action);
	else if (id->action == FR_ACT_GOTO)
		add(t, " goto %u%s", id->target, unresolved ? " [unresolved]" : "");
	else if (id->action != FR_ACT_TO_TBL)
		add(t, " %s", nm_rule_actions[i].word);
	else if (!id->l3mdev)
		add_name(t, "lookup", &d[TABLES], id->table);
	if (id->suppress_prefixlen != -1)
		add(t, " suppress_prefixlength %d", id->suppress_prefixlen);
	if (id->suppress_ifgroup != -1)
		add_name(t, "suppress_ifgroup", &d[GROUPS], (uint32_t)id->suppress_ifgroup);
	if (id->flow >> 16) {
		add_name(t, "realms", &d[REALMS], id->flow >> 16);
		add(t, "/%u", id->flow & UINT16_MAX);
	} else if (id->flow) {
		add_name(t, "realms", &d[REALMS], id->flow);
	}
	if (id->protocol && id->protocol != RTPROT_KERNEL)
		add_name(t, "proto", &d[PROTOCOLS], id->protocol);
}

const char *nm_rule_write(struct text *t, const struct nm_map *d, const struct id *id,
			  uint32_t detached, bool unresolved)
{
	t->used = 0;
	add(t, "%u:%s", id->priority, id->flags & FIB_RULE_INVERT ? " not" : "");
	add_selectors(t, d, id, detached);
	add_action(t, d, id, unresolved);
	return t->s;
}

/* ---- a rule from words ----------------------------------------------------------------- */

struct parser {
	struct pattern *to;
	struct nm_map names[DICTIONARIES];
	bool table, action;
};

struct keyword {
	const char *word;
	/* -EINVAL: what does not need an argument, and what does. */
	int (*say)(struct parser *p, const struct keyword *k);
	int (*take)(struct parser *p, const struct keyword *k, char *arg);
	uint16_t off;   /* in struct id */
	uint32_t value; /* the family, the action or the dictionary */
	uint64_t max;   /* of a number; tells its width too */
};

static int to_number(const char *s, int base, uint64_t max, uint64_t *to)
{
	char *end;

	errno = 0;
	*to = strtoull(s, &end, base);
	return *s < '0' || *s > '9' || *end || errno || *to > max ? -EINVAL : 0;
}

/* "VALUE/MASK"; without a mask it is as it was. */
static int to_masked(char *s, uint64_t max, uint64_t *value, uint64_t *mask)
{
	char *slash = strchr(s, '/');

	if (slash)
		*slash = 0;
	if (slash && to_number(slash + 1, 0, max, mask))
		return -EINVAL;
	return to_number(s, 0, max, value);
}

static int to_range(char *s, uint64_t max, uint64_t range[static 2])
{
	char *dash = strchr(s, '-');

	if (dash)
		*dash = 0;
	if (to_number(s, 0, max, &range[0]) || to_number(dash ? dash + 1 : s, 0, max, &range[1]))
		return -EINVAL;
	return range[0] <= range[1] ? 0 : -EINVAL;
}

/* A name or a number, as iproute2 reads them: DS fields are hexadecimal. */
static int to_id(const struct parser *p, size_t dictionary, const char *s, uint64_t max,
		 uint64_t *to)
{
	const char *name;
	const void *key;

	for (size_t i = 0; (name = nm_map_next(&p->names[dictionary], &key, &i));)
		if (!strcmp(name, s)) {
			*to = *(const uint32_t *)key;
			return *to <= max ? 0 : -EINVAL;
		}
	return to_number(s, dictionary == DSFIELDS ? 16 : 0, max, to);
}

static void *at(const struct parser *p, const struct keyword *k)
{
	return (char *)&p->to->id + k->off;
}

static int say_nothing(struct parser *p, const struct keyword *k)
{
	(void)p;
	(void)k;
	return 0;
}

static int say_family(struct parser *p, const struct keyword *k)
{
	if (p->to->id.family && p->to->id.family != k->value)
		return -EINVAL;
	p->to->id.family = (uint8_t)k->value;
	return 0;
}

static int say_not(struct parser *p, const struct keyword *k)
{
	(void)k;
	p->to->id.flags |= FIB_RULE_INVERT;
	return 0;
}

static int say_action(struct parser *p, const struct keyword *k)
{
	if (p->action)
		return -EINVAL;
	p->action = true;
	p->to->id.action = (uint8_t)k->value;
	return 0;
}

static int say_l3mdev(struct parser *p, const struct keyword *k)
{
	(void)k;
	p->to->id.l3mdev = 1;
	p->table = true;
	return 0;
}

static int take_table(struct parser *p, const struct keyword *k, char *arg)
{
	uint64_t n;

	if (!strcmp(arg, "[l3mdev-table]"))
		return say_l3mdev(p, k);
	if (to_id(p, TABLES, arg, UINT32_MAX, &n))
		return -EINVAL;
	p->to->id.table = (uint32_t)n;
	p->table = true;
	return 0;
}

/* A member of struct id that has no two sides. */
static int take_number(struct parser *p, const struct keyword *k, char *arg)
{
	uint64_t n;

	if (to_id(p, k->value, arg, k->max, &n))
		return -EINVAL;
	if (k->max > UINT32_MAX)
		*(uint64_t *)at(p, k) = n;
	else if (k->max > UINT8_MAX)
		*(uint32_t *)at(p, k) = (uint32_t)n;
	else
		*(uint8_t *)at(p, k) = (uint8_t)n;
	p->to->any_priority &= k->off != offsetof(struct id, priority);
	p->to->any_protocol &= k->off != offsetof(struct id, protocol);
	return 0;
}

static int take_goto(struct parser *p, const struct keyword *k, char *arg)
{
	uint64_t n;

	if (to_number(arg, 0, UINT32_MAX, &n))
		return -EINVAL;
	p->to->id.target = (uint32_t)n;
	return say_action(p, k);
}

/* "10/8" is 10.0.0.0/8. */
static bool to_ipv4(const char *s, uint8_t to[static 16])
{
	static const char *const rest[] = {".0.0.0", ".0.0", ".0", ""};
	char whole[INET6_ADDRSTRLEN];
	size_t dots = 0;

	for (const char *c = s; *c; c++)
		dots += *c == '.';
	if (dots >= NM_COUNT(rest))
		return false;
	snprintf(whole, sizeof(whole), "%.24s%s", s, rest[dots]);
	return inet_pton(AF_INET, whole, to) == 1;
}

static int take_prefix(struct parser *p, const struct keyword *k, char *arg)
{
	bool from = k->off == offsetof(struct id, src);
	uint8_t *addr = at(p, k), *len = from ? &p->to->id.src_len : &p->to->id.dst_len;
	char *slash = strchr(arg, '/');
	bool ipv6 = strchr(arg, ':');
	uint64_t n = ipv6 ? 128 : 32;

	if (!strcmp(arg, "all") || !strcmp(arg, "any") || !strcmp(arg, "default"))
		return 0;
	if (slash)
		*slash = 0;
	if (slash && to_number(slash + 1, 10, n, &n))
		return -EINVAL;
	if (ipv6 ? inet_pton(AF_INET6, arg, addr) != 1 : !to_ipv4(arg, addr))
		return -EINVAL;
	*len = (uint8_t)n;
	return say_family(p, &(struct keyword){.value = ipv6 ? AF_INET6 : AF_INET});
}

static int take_device(struct parser *p, const struct keyword *k, char *arg)
{
	size_t len = strlen(arg);

	if (len >= IFNAMSIZ)
		return -EINVAL;
	memcpy(at(p, k), arg, len);
	return 0;
}

static int take_dscp(struct parser *p, const struct keyword *k, char *arg)
{
	uint64_t n, mask = 0;

	(void)k;
	if (to_masked(arg, UINT8_MAX >> 2, &n, &mask))
		return -EINVAL;
	p->to->id.dscp = (uint8_t)n;
	p->to->id.dscp_mask = mask == UINT8_MAX >> 2 ? 0 : (uint8_t)mask;
	p->to->id.has_dscp = true;
	return 0;
}

static int take_fwmark(struct parser *p, const struct keyword *k, char *arg)
{
	bool masked = strchr(arg, '/');
	uint64_t n, mask = 0;

	(void)k;
	if (to_masked(arg, UINT32_MAX, &n, &mask))
		return -EINVAL;
	p->to->id.fwmark = (uint32_t)n;
	p->to->id.fwmask = masked ? (uint32_t)mask : n ? UINT32_MAX : 0;
	return 0;
}

static int take_flowlabel(struct parser *p, const struct keyword *k, char *arg)
{
	uint64_t n, mask = 0xfffff;

	(void)k;
	if (to_masked(arg, 0xfffff, &n, &mask))
		return -EINVAL;
	p->to->id.flowlabel = (uint32_t)n;
	p->to->id.flowlabel_mask = (uint32_t)mask;
	return 0;
}

static int take_uidrange(struct parser *p, const struct keyword *k, char *arg)
{
	uint64_t range[2];

	(void)k;
	if (to_range(arg, UINT32_MAX, range))
		return -EINVAL;
	p->to->id.uid[0] = (uint32_t)range[0];
	p->to->id.uid[1] = (uint32_t)range[1];
	p->to->id.has_uid = true;
	return 0;
}

static int take_ports(struct parser *p, const struct keyword *k, char *arg)
{
	bool source = k->off == offsetof(struct id, sport);
	uint16_t *port = at(p, k), *m = source ? &p->to->id.sport_mask : &p->to->id.dport_mask;
	uint64_t range[2], mask = 0;

	if (strchr(arg, '/')) {
		if (to_masked(arg, UINT16_MAX, range, &mask))
			return -EINVAL;
		range[1] = range[0];
	} else if (to_range(arg, UINT16_MAX, range)) {
		return -EINVAL;
	}
	port[0] = (uint16_t)range[0];
	port[1] = (uint16_t)range[1];
	*m = mask == UINT16_MAX ? 0 : (uint16_t)mask;
	return 0;
}

static int take_ipproto(struct parser *p, const struct keyword *k, char *arg)
{
	uint64_t n = 0;

	(void)k;
	for (size_t i = 0; i < nm_rule_ipprotos.n; i++)
		if (!strcmp(nm_rule_ipprotos.v[i].name, arg))
			n = nm_rule_ipprotos.v[i].value;
	if (!n && to_number(arg, 10, UINT8_MAX, &n))
		return -EINVAL;
	p->to->id.ipproto = (uint8_t)n;
	return 0;
}

static int take_realms(struct parser *p, const struct keyword *k, char *arg)
{
	char *slash = strchr(arg, '/');
	uint64_t from = 0, to;

	(void)k;
	if (slash)
		*slash = 0;
	if (to_id(p, REALMS, slash ? slash + 1 : arg, UINT16_MAX, &to) ||
	    (slash && to_id(p, REALMS, arg, UINT16_MAX, &from)))
		return -EINVAL;
	p->to->id.flow = (uint32_t)(from << 16 | to);
	return 0;
}

#define ID(member) offsetof(struct id, member)

/* What `ip rule` accepts and prints. */
enum { PRIORITY };
static const struct keyword keywords[] = {
	[PRIORITY] = {"priority", .take = take_number, .off = ID(priority), .max = UINT32_MAX},
	{"-4", .say = say_family, .value = AF_INET},
	{"-6", .say = say_family, .value = AF_INET6},
	{"not", .say = say_not},
	{"from", .take = take_prefix, .off = ID(src)},
	{"to", .take = take_prefix, .off = ID(dst)},
	{"preference", .take = take_number, .off = ID(priority), .max = UINT32_MAX},
	{"pref", .take = take_number, .off = ID(priority), .max = UINT32_MAX},
	{"order", .take = take_number, .off = ID(priority), .max = UINT32_MAX},
	{"iif", .take = take_device, .off = ID(iif)},
	{"dev", .take = take_device, .off = ID(iif)},
	{"oif", .take = take_device, .off = ID(oif)},
	{"[detached]", .say = say_nothing},
	{"tos", .take = take_number, .off = ID(tos), .value = DSFIELDS, .max = UINT8_MAX},
	{"dsfield", .take = take_number, .off = ID(tos), .value = DSFIELDS, .max = UINT8_MAX},
	{"dscp", .take = take_dscp},
	{"flowlabel", .take = take_flowlabel},
	{"fwmark", .take = take_fwmark},
	{"uidrange", .take = take_uidrange},
	{"ipproto", .take = take_ipproto},
	{"sport", .take = take_ports, .off = ID(sport)},
	{"dport", .take = take_ports, .off = ID(dport)},
	{"tun_id", .take = take_number, .off = ID(tun_id), .max = UINT64_MAX},
	{"lookup", .take = take_table},
	{"table", .take = take_table},
	{"l3mdev", .say = say_l3mdev},
	{"goto", .take = take_goto, .value = FR_ACT_GOTO},
	{"[unresolved]", .say = say_nothing},
	{"nop", .say = say_action, .value = FR_ACT_NOP},
	{"blackhole", .say = say_action, .value = FR_ACT_BLACKHOLE},
	{"unreachable", .say = say_action, .value = FR_ACT_UNREACHABLE},
	{"prohibit", .say = say_action, .value = FR_ACT_PROHIBIT},
	{"type", .say = say_nothing},
	{"suppress_prefixlength", .take = take_number, .off = ID(suppress_prefixlen),
	 .max = INT32_MAX},
	{"suppress_ifgroup", .take = take_number, .off = ID(suppress_ifgroup), .value = GROUPS,
	 .max = INT32_MAX},
	{"realms", .take = take_realms},
	{"protocol", .take = take_number, .off = ID(protocol), .value = PROTOCOLS,
	 .max = UINT8_MAX},
	{"proto", .take = take_number, .off = ID(protocol), .value = PROTOCOLS, .max = UINT8_MAX},
};

static void mask_address(uint8_t addr[static 16], unsigned len)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned bits = len > 8 * i ? len - 8 * i : 0;

		addr[i] &= (uint8_t)(bits < 8 ? ~(0xffu >> bits) : 0xff);
	}
}

/* What `ip rule add` puts where nothing is said. */
static void complete(struct parser *p)
{
	struct id *id = &p->to->id;

	if (!p->action)
		id->action = FR_ACT_TO_TBL;
	if (id->action != FR_ACT_TO_TBL)
		id->table = 0;
	else if (!p->table)
		id->table = RT_TABLE_MAIN;
	if (!id->family)
		id->family = AF_INET;
	mask_address(id->src, id->src_len);
	mask_address(id->dst, id->dst_len);
}

/* The words that belong together: "WORD", "WORD ARGUMENT", or "PRIORITY:" as the kernel's are shown. */
static int parse_word(struct parser *p, char *w, char **save)
{
	const struct keyword *k = keywords, *end = keywords + NM_COUNT(keywords);
	size_t last = strlen(w) - 1;
	char *arg;

	if (w[last] == ':') {
		w[last] = 0;
		return take_number(p, &keywords[PRIORITY], w);
	}
	while (k < end && strcmp(k->word, w))
		k++;
	if (k == end)
		return -EINVAL;
	if (k->say)
		return k->say(p, k);
	arg = strtok_r(NULL, " \t", save);
	return arg ? k->take(p, k, arg) : -EINVAL;
}

static int parse_words(struct parser *p, const char *text, char *words, char *why, size_t size)
{
	char *save, *w = strtok_r(words, " \t", &save);

	if (!w) {
		snprintf(why, size, "is empty; a rule in the words of `ip rule` is needed");
		return -EINVAL;
	}
	for (; w; w = strtok_r(NULL, " \t", &save))
		if (parse_word(p, w, &save)) {
			snprintf(why, size,
				 "is no rule in the words of `ip rule` from \"%.60s\" on",
				 text + (w - words));
			return -EINVAL;
		}
	complete(p);
	return 0;
}

int nm_rule_parse(const char *text, struct pattern *to, char *why, size_t size)
{
	struct parser p = {.to = to};
	char *words = strdup(text);
	int err = words ? nm_rule_names_load(p.names) : -ENOMEM;

	*to = (struct pattern){.any_priority = true, .any_protocol = true};
	to->id.suppress_ifgroup = to->id.suppress_prefixlen = -1;
	if (!err) {
		err = parse_words(&p, text, words, why, size);
		nm_rule_names_free(p.names);
	}
	free(words);
	return err;
}

int nm_rule_check(const char *text, char *why, size_t size)
{
	struct pattern ignored;

	return nm_rule_parse(text, &ignored, why, size);
}

bool nm_rule_matches(const struct pattern *p, const struct id *id)
{
	struct id is = *id;

	is.flags &= FIB_RULE_INVERT;
	if (is.action != FR_ACT_TO_TBL)
		is.table = 0;
	if (p->any_priority)
		is.priority = 0;
	if (p->any_protocol)
		is.protocol = 0;
	mask_address(is.src, is.src_len);
	mask_address(is.dst, is.dst_len);
	return !memcmp(&is, &p->id, sizeof(is));
}
