/* SPDX-License-Identifier: MIT */
/* What the files of netmon_rule share: a rule as the kernel keeps it, and its words. */
#ifndef NM_RULE_H
#define NM_RULE_H

#include <linux/fib_rules.h>
#include <net/if.h>

#include "netmon.h"

/* What the kernel tells of a rule but does not keep in it. */
#define VOLATILE (FIB_RULE_UNRESOLVED | FIB_RULE_IIF_DETACHED | FIB_RULE_OIF_DETACHED)
#define DETACHED (FIB_RULE_IIF_DETACHED | FIB_RULE_OIF_DETACHED)

struct id { /* everything that makes two rules two; compared and hashed as bytes */
	uint8_t family, action, dst_len, src_len, tos, l3mdev, ipproto, protocol;
	uint32_t table, priority;
	uint32_t flags, target; /* of goto */
	uint32_t fwmark, fwmask;
	uint32_t flow;
	int32_t suppress_ifgroup, suppress_prefixlen; /* -1: none */
	uint32_t flowlabel, flowlabel_mask;
	uint8_t dscp, dscp_mask, has_dscp, has_uid;
	uint32_t uid[2];
	uint16_t sport[2], dport[2], sport_mask, dport_mask;
	uint32_t zero;
	uint64_t tun_id, unknown; /* attributes that this version has no name for, hashed */
	uint8_t src[16], dst[16];
	char iif[IFNAMSIZ], oif[IFNAMSIZ];
};

/* Numbers that have names in files of iproute2. */
enum { NO_NAMES, TABLES, PROTOCOLS, DSFIELDS, GROUPS, REALMS, DICTIONARIES };
extern const char *const nm_rule_name_files[DICTIONARIES - 1];
/* -ENOMEM: none is loaded.  A file that is missing has no names. */
int nm_rule_names_load(struct nm_map d[static DICTIONARIES]);
void nm_rule_names_free(struct nm_map d[static DICTIONARIES]);

extern const struct nm_names nm_rule_ipprotos; /* as `ip rule` names them */

struct action {
	uint8_t value;
	const char *word, *type_instance;
};
#define NM_RULE_ACTIONS 6
extern const struct action nm_rule_actions[NM_RULE_ACTIONS];

#define TEXT_SIZE 512

struct text {
	char s[TEXT_SIZE];
	size_t used;
};

/* The rule as `ip rule` prints it; detached: FIB_RULE_*_DETACHED, as told with it.  Returns t->s. */
const char *nm_rule_write(struct text *t, const struct nm_map *d, const struct id *id,
			  uint32_t detached, bool unresolved);

struct pattern { /* what the words did not say has its default, but for these */
	struct id id;
	bool any_priority, any_protocol;
};

/* -EINVAL: why says from which word on it is none; -ENOMEM. */
int nm_rule_parse(const char *text, struct pattern *to, char *why, size_t size);
int nm_rule_check(const char *text, char *why, size_t size);
bool nm_rule_matches(const struct pattern *p, const struct id *id);

#endif
