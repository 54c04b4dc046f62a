/* SPDX-License-Identifier: MIT */
/*
 * The whole interface between a plugin, the common code and a host.
 *
 *   plugin   tables, sources and callbacks             plugins/netmon_*.c
 *   common   asks the kernel, decodes by table,        common/
 *            calls the plugin, collects its reading
 *   host     runs plugins, logs and hands values on    common/collectd.c, cli/
 *
 * Every function that can fail returns 0 or a negative errno value.  Nothing
 * below a host logs.  Nothing in a struct nm_msg is copied: its pointers live
 * until message() returns.  A view and everything reached through it belong
 * to one thread at a time; the host holds a lock where it has more than one.
 */
#ifndef NETMON_H
#define NETMON_H

#include <limits.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NM_VERSION  "0.1.0"
#define NM_COUNT(a) (sizeof(a) / sizeof(*(a)))
#define NM_ARRAY(a) (a), NM_COUNT(a)

/* ---- names of constants: generated at build time from <linux/...> -------- */

struct nm_name {
	uint32_t value;
	const char *name; /* "NLM_F_ACK" of names.list's NLM_F_ is "ack" */
};

struct nm_names {
	const struct nm_name *v;
	size_t n;
};

/* The name of a value, NULL when the headers have none. */
const char *nm_name(const struct nm_names *t, uint32_t value);

/* ---- tables: what the kernel's bytes mean -------------------------------- */

enum nm_kind {
	NM_UINT = 1, /* 1, 2, 4 or 8 bytes: the payload says which */
	NM_SINT,
	NM_BE, /* big-endian, like ports and protocols */
	NM_STR,
	NM_FLAG, /* presence is the value */
	NM_ENUM, /* .names */
	NM_BITS, /* .names, one bit each */
	/* printed with the interface's name, unless .by tells of another namespace; .names: of others */
	NM_IFINDEX,
	NM_TABLE, /* a routing table: printed with its name */
	NM_LLADDR,
	NM_ADDR,  /* IPv4 or IPv6 by length */
	NM_GROUP, /* 16 bytes, and the ethertype that tells what they are: struct br_mdb_entry */
	NM_HEX,
	NM_ARRAY_OF, /* elements of .len bytes, the i-th named by .names of i + .by, or not named */
	NM_STRUCT,   /* .table with a size; attributes may follow the struct */
	NM_NEST,     /* .table */
	NM_STRUCTS, /* structs of .table one behind another; .by: the first 16 bits are the length */
	NM_LABELS,  /* MPLS: an array of numbers */
	NM_VIA,     /* 16 bits of address family, then an address */
	NM_SOCKADDR, /* struct sockaddr_in or sockaddr_in6 */
	NM_BASE64,   /* as keys are written */
	/* Zeroed where it is received: never printed, recorded or delivered.  In nests and lists. */
	NM_SECRET,
	NM_LIST,   /* a nest in which every child is an element like .table's first row */
	NM_CHOICE, /* a nest by one of .cases: the string in the sibling attribute .by */
};

struct nm_table;

struct nm_case {
	const char *is; /* NULL: end */
	const struct nm_table *table;
};

struct nm_field {
	const char *name; /* the kernel's own symbol; NULL: no row */
	enum nm_kind kind;
	uint16_t off, len; /* struct members; .len of NM_ARRAY_OF */
	uint16_t by;
	bool many; /* an attribute that may stand several times: a list in JSON */
	union {
		const struct nm_names *names;
		const struct nm_table *table;
		const struct nm_case *cases;
	};
};

struct nm_table {
	const struct nm_field *row; /* attributes: indexed by attribute type */
	size_t n;
	size_t prefix;                 /* characters that every symbol starts with */
	const struct nm_names *others; /* symbols of attributes without a row; may be NULL */
	size_t size;                   /* of the struct; 0: attributes only */
	const struct nm_table *attrs;  /* attributes behind the struct */
};

/* A row for an attribute, a row for a member of a struct, and the tables of such rows. */
#define NM_A(sym, k, ...) [sym] = {.name = #sym, .kind = NM_##k, ##__VA_ARGS__}
#define NM_M(type, member, k, ...)                                                                 \
	{                                                                                          \
		.name = #member, .kind = NM_##k, .off = offsetof(struct type, member),             \
		.len = sizeof(((struct type *)0)->member), ##__VA_ARGS__                           \
	}
#define NM_ATTRS(pfx, rows, names)                                                                 \
	{                                                                                          \
		rows, NM_COUNT(rows), sizeof(pfx) - 1, names, 0, NULL                              \
	}
#define NM_STRUCT_OF(type, pfx, rows, attrs)                                                       \
	{                                                                                          \
		rows, NM_COUNT(rows), sizeof(pfx) - 1, NULL, sizeof(struct type), attrs            \
	}

/* Of messages that more than one plugin reads (linux/if_link.h). */
extern const struct nm_table nm_link_table;      /* RTM_NEWLINK */
extern const struct nm_table nm_stats64_table;   /* struct rtnl_link_stats64 */
extern const struct nm_table nm_port_table;      /* of a bridge: IFLA_BRPORT_* */
extern const struct nm_table nm_inet6_table;     /* IFLA_PROTINFO of AF_INET6 */
extern const struct nm_table nm_port_link_table; /* RTM_NEWLINK of AF_BRIDGE */
extern const struct nm_table nm_querier_table;   /* BRIDGE_QUERIER_* */
extern const struct nm_table nm_if_stats_table;  /* RTM_NEWSTATS */

/* A source of links: for nm_ifname(), where a plugin needs no more of them than that. */
#define NM_LINK_NAMES                                                                              \
	{                                                                                          \
		"links", .get = RTM_GETLINK, .add = RTM_NEWLINK, .del = RTM_DELLINK, .kept = true, \
			 .aid = true, .group = {RTNLGRP_LINK}, .table = &nm_link_table             \
	}

/* ---- sources and messages ------------------------------------------------ */

struct nm_view;
struct nm_reading;
struct nm_json;

/* An answer in several messages that is one object, see nm_msg.goes_on. */
struct nm_join {
	uint16_t list;    /* the attribute that goes on in the next message */
	uint16_t key;     /* its last element goes on too, if the next one's is the same ... */
	uint16_t sublist; /* ... and this is where */
};

/* One question to the kernel and the answers and events that belong to it. */
struct nm_source {
	const char *what;    /* the array in JSON output */
	const char *family;  /* generic netlink family; NULL: rtnetlink */
	const char *file;    /* or a text below /proc/thread-self: "net/snmp"; not kept */
	uint16_t get, add;   /* message types, or generic netlink commands: request, answer */
	uint16_t del;        /* deleted */
	uint16_t ntf[2];     /* notifications with other numbers than the answer's */
	uint16_t each_by;    /* see .each */
	struct nm_join join; /* list 0: every message is an object */
	uint8_t af;          /* address family asked for */
	bool any_af;         /* answers come with other families than .af */
	bool kept;           /* dumped at start, after a loss and as an audit; events do the rest */
	bool torn;           /* a dump misses entries that did not change, if others do meanwhile */
	bool partial;        /* a dump may end early with an error: what came before it is true */
	bool aid;            /* asked for what it tells of the other sources; not printed */
	bool passive;        /* never dumped: listened to, or asked by nm_ask(); not printed */
	uint8_t group[3];    /* rtnetlink multicast groups, 0: none */
	const char *mcast;   /* generic netlink multicast group */
	const char *without; /* what is absent where the kernel lacks this; NULL: everything */
	const struct nm_table *table; /* of a file: names of its columns, if lines have such */
	/* Adds to a request; key NULL: a dump, else what nm_ask() was given.  Optional. */
	void (*ask)(const struct nm_view *v, struct nlmsghdr *nlh, const void *key);
	bool (*wanted)(const void *config); /* false: not read for the values.  Optional. */
	/*
	 * A number that is another one after a dump during which the kernel lost entries without a
	 * flag; such a dump is interrupted.  Optional.
	 */
	uint64_t (*shape)(void);
	/*
	 * Asked once for each link of this kind, which nm_view.link names, by its ifindex in
	 * the attribute .each_by.  The first source must tell of links.  A generic netlink family is
	 * looked up when there is such a link, not earlier: that alone would load its module.
	 */
	const char *each;
	bool (*of)(const void *config, const char *ifname); /* as .wanted, of a link */
};

#define NM_ATTR_MAX 127

struct nm_msg {
	const struct nm_source *src;
	const struct nlmsghdr *nlh;
	const void *hdr;                  /* src->table->size bytes at least */
	const struct nlattr *const *attr; /* [type], NULL: absent; up to the table's last row */
	bool event;                       /* told by the kernel, not asked for */
	bool gone;                        /* the object was deleted */
	bool goes_on;                     /* with the object of the message before: nm_join */
	const char *text;                 /* of a file instead of hdr and attr; ends with a 0 */
	size_t text_len;
};

/* Getters never read past the attribute; an absent one gives 0, NULL or nothing. */
uint64_t nm_uint(const struct nlattr *a);
int64_t nm_sint(const struct nlattr *a);
const char *nm_str(const struct nlattr *a);                    /* NULL also when unterminated */
size_t nm_bytes(const struct nlattr *a, void *to, size_t max); /* copied length */
/* The number of an attribute, without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
static inline uint16_t nm_type(const struct nlattr *a)
{
	return a->nla_type & NLA_TYPE_MASK;
}
const struct nlattr *nm_in(const struct nlattr *nest, uint16_t type); /* first of a type */
/* for (c = nm_child(nest, NULL); c; c = nm_child(nest, c)) */
const struct nlattr *nm_child(const struct nlattr *nest, const struct nlattr *last);

/* for (a = nm_attr(m, NULL); a; a = nm_attr(m, a)): all of a message, also those that repeat */
const struct nlattr *nm_attr(const struct nm_msg *m, const struct nlattr *last);

/* The next word of a line of m->text, moving *s behind it; NULL: the line has no more. */
const char *nm_word(const char **s, size_t *len);

/* ---- choosing by name ----------------------------------------------------- */

/* A list of names and POSIX extended regular expressions ("/.../"). */
struct nm_select {
	struct nm_pattern *v;
	size_t n;
	bool invert; /* IgnoreSelected */
};

/* -EINVAL: err says why. */
int nm_select_add(struct nm_select *s, const char *pattern, char *err, size_t size);
/* An empty list selects everything.  Notes which patterns were of use. */
bool nm_selected(const struct nm_select *s, const char *name);
/* The i-th pattern, and whether it ever matched; NULL: no more. */
const char *nm_select_pattern(const struct nm_select *s, size_t i, bool *used);
void nm_select_free(struct nm_select *s);

/* ---- options -------------------------------------------------------------- */

/* What every plugin can be configured with; the first member of a plugin's own configuration. */
struct nm_config {
	struct nm_select netns;
	double slow_interval;  /* s; 0: 6 times the interval */
	double audit_interval; /* s; 0: never */
	double receive_buffer; /* bytes */
	bool report_self;
	uint64_t given; /* options that were set, by their number: lists replace the default once */
};

#define NM_CONFIG_DEFAULTS                                                                         \
	{                                                                                          \
		.audit_interval = 300, .receive_buffer = 8 << 20, .report_self = true              \
	}

struct nm_setting { /* one line of an option that has a name and a number: Speed "eth0" 1e8 */
	char *name;
	double value;
	struct nm_setting *next;
};

struct nm_pair {    /* one line of an option that has a text and perhaps a name before it */
	char *name; /* the text itself where none was given */
	char *text;
	struct nm_pair *next; /* in the order in which they were written */
};

struct nm_option { /* one line of a <Plugin> block */
	const char *key;
	enum nm_option_type {
		NM_OPT_BOOL,   /* bool */
		NM_OPT_NUMBER, /* double, from .min to .max */
		NM_OPT_PLUGIN, /* char *: a collectd plugin whose name is used while it is not loaded */
		NM_OPT_PATH,    /* char *: a file, absolute */
		NM_OPT_SELECT,  /* struct nm_select: adds patterns */
		NM_OPT_WORD,    /* unsigned: one value of .words */
		NM_OPT_WORDS,   /* unsigned: some bits of .words, or "all" or "none" */
		NM_OPT_SETTING, /* struct nm_setting *: adds one; number from .min to .max */
		NM_OPT_LIST, /* struct nm_setting *: adds names that .accept takes; .form tells which */
		NM_OPT_PAIR, /* struct nm_pair *: adds one whose text .check takes */
	} type;
	size_t off; /* in the plugin's configuration */
	double min, max;
	const struct nm_names *words;
	/* NM_OPT_PAIR: -EINVAL and in why the end of the sentence "the value X ...". */
	int (*check)(const char *text, char *why, size_t size);
	const char *def;  /* the default in words, where the type cannot say it */
	const char *help; /* sentences for the manual page */
	const char *form; /* of NM_OPT_LIST, and of NM_OPT_PAIR with .accept: what a name is */
	bool (*accept)(const char *name);
};

#define NM_OPTION(config, key_, type_, member, ...)                                                \
	{                                                                                          \
		.key = key_, .type = type_, .off = offsetof(struct config, member), ##__VA_ARGS__  \
	}

/* How much to report: the words of options like Collect. */
enum { NM_NO, NM_SUMMARY, NM_DETAIL };
extern const struct nm_names nm_details;

struct nm_arg { /* one argument as a host's parser understood it */
	enum { NM_ARG_STRING, NM_ARG_NUMBER, NM_ARG_BOOL } type;
	union {
		const char *string;
		double number;
		bool boolean;
	};
};

struct nm_plugin;

int nm_config_new(const struct nm_plugin *p, void **config); /* a copy of p->defaults */
/* -EINVAL: err names the option, the value and what is accepted. */
int nm_config_set(const struct nm_plugin *p, void *config, const char *key,
		  const struct nm_arg *arg, size_t n, char *err, size_t size);
void nm_config_free(const struct nm_plugin *p, void *config);
/* The i-th option of a plugin, its own before those common to all; NULL: no more. */
const struct nm_option *nm_option(const struct nm_plugin *p, size_t i);
/* Writes the default of an option as it would stand in the configuration. */
void nm_option_default(const struct nm_plugin *p, const struct nm_option *o, char *buf,
		       size_t size);
/* Writes the form of an option's arguments: "true|false", "NAME|/REGEX/ ...". */
void nm_option_form(const struct nm_option *o, char *buf, size_t size);

/* ---- a plugin ------------------------------------------------------------- */

struct nm_plugin {
	const char *name;
	const char *graph; /* netmon-graph's kind of the instances; NULL: of the whole host */
	const struct nm_source *source;
	size_t nsource;
	const struct nm_option *option;
	size_t noption;
	const struct nm_type *type; /* of its own */
	size_t ntype;
	const void *defaults; /* starts with NM_CONFIG_DEFAULTS */
	size_t config_size, state_size;
	/* All optional.  A callback that runs out of memory returns -ENOMEM; nothing else fails. */
	int (*open)(struct nm_view *v); /* state is zeroed */
	void (*begin)(struct nm_view *v,
		      const struct nm_source *s); /* a dump starts, perhaps again */
	int (*message)(struct nm_view *v, const struct nm_msg *m);
	/* A dump has ended.  complete: what was not in it does not exist. */
	void (*end)(struct nm_view *v, const struct nm_source *s, bool complete);
	int (*settle)(struct nm_view *v); /* after events: nm_ask() for what they left open */
	int (*submit)(struct nm_view *v, struct nm_reading *r);
	void (*close)(struct nm_view *v); /* free what state owns */
};

/* ---- a view: a plugin opened in one network namespace --------------------- */

struct nm_cost { /* what reading has cost since the view was opened */
	uint64_t messages, bytes, events, dumps;
	uint64_t interrupted; /* dumps that the kernel flagged or that could not be finished */
	uint64_t lost;        /* times that events were lost */
	uint64_t unsent;      /* notices dropped because nobody took them */
	double seconds;       /* of the last reading */
};

struct nm_view {
	const struct nm_plugin *plugin;
	const void *config;
	void *state;       /* plugin->state_size bytes, zero at first */
	const char *netns; /* name below /run/netns; NULL: the caller's own */
	double interval;   /* s between readings; the host sets it after nm_open() */
	uint64_t now;      /* ns, monotonic: when what is delivered was received */
	uint64_t readings; /* finished so far */
	bool news;         /* all kept sources were read once: what differs now is news */
	uint32_t link;     /* ifindex of the link that a source with .each is asked for */
	uint64_t due;      /* ns, as now: when settle() is wanted though nothing came; 0: not */
	struct nm_cost cost;
};

enum {
	NM_EVENTS = 1, /* listen */
	NM_REPLAY = 2  /* no kernel: nm_replay() supplies the messages */
};

typedef int nm_tap(const struct nm_msg *m, void *arg); /* an error ends the dump */

/*
 * netns: NULL or a name.  config: from nm_config_new(), outlives the view; NULL: the plugin's
 * callbacks are not called, a tap sees all.  -ENOENT: no such namespace.  -EPROTONOSUPPORT: the
 * kernel lacks a source that the plugin cannot do without.  -EPERM, -EACCES: the namespace needs
 * CAP_SYS_ADMIN.
 */
int nm_open(struct nm_view **v, const struct nm_plugin *p, const void *config, const char *netns,
	    unsigned flags);
void nm_close(struct nm_view *v);
/* 0, or why the i-th source cannot be had here. */
int nm_source_error(const struct nm_view *v, size_t i);
/* 0, or the error with which the last dump of the i-th source, a partial one, ended early. */
int nm_source_cut(const struct nm_view *v, size_t i);
/* Reads all kept sources that are not known to be true.  -EINTR: some changed all the time. */
int nm_sync(struct nm_view *v);
/* Events, repairs, dumps, then the plugin's values.  r is emptied first. */
int nm_read(struct nm_view *v, struct nm_reading *r);
/* Delivers queued events, never blocks.  -ENOBUFS: some were lost, the next reading repairs. */
int nm_events(struct nm_view *v);
/*
 * ms to rest before the next poll(): 0, unless events come so fast that each would wake the host
 * alone, which costs ten times what it takes to deliver it.
 */
int nm_rest(const struct nm_view *v);
/* For poll(): ms until nm_events() is wanted though nothing came; -1: not. */
int nm_timeout(const struct nm_view *v);
/* Descriptors to poll() for nm_events(); returns how many of max were written. */
size_t nm_fds(const struct nm_view *v, int *fd, size_t max);
/* A tapped view: dumps the i-th source.  0 also if the kernel lacks what can be done without. */
int nm_dump(struct nm_view *v, size_t i);
void nm_set_tap(struct nm_view *v, nm_tap *tap, void *arg);
/* A tapped view: what the host adds to the request of a dump, such as a filter. */
typedef void nm_adds(const struct nm_source *s, struct nlmsghdr *nlh, void *arg);
void nm_set_adds(struct nm_view *v, nm_adds *adds, void *arg);

/* For a plugin's callbacks: asks for one object; -ENODEV and the like come from the kernel. */
int nm_ask(struct nm_view *v, const struct nm_source *s, const void *key);
/* The kept source will be dumped at the next reading. */
void nm_distrust(struct nm_view *v, const struct nm_source *s);
/* The name of an interface of the view, NULL when unknown; and its index, 0 when unknown. */
const char *nm_ifname(const struct nm_view *v, uint32_t ifindex);
uint32_t nm_ifindex(const struct nm_view *v, const char *name);

/* ---- recordings: pcap files of LINKTYPE_NETLINK ---------------------------- */

int nm_record(struct nm_view *v, FILE *to); /* from now on; -EIO at nm_read() when it fails */
/*
 * Delivers up to the end of the next reading in the file.  1: r holds it, call again; 0: end.
 * -EILSEQ: no recording; -EPROTO: cut off or damaged.  err says where.
 */
int nm_replay(struct nm_view *v, FILE *from, struct nm_reading *r, char *err, size_t size);

/* ---- a reading ------------------------------------------------------------- */

union nm_number {
	double gauge;
	uint64_t derive;
};

#define NM_VALUES_MAX 32 /* data sources of one type */

/*
 * A type that no stock types.db has: many values in one list.  Hosts make it known to collectd,
 * conf/netmon.types.db has it for receivers.  Names have 19 characters at most (rrdtool).
 */
struct nm_type {
	const char *name;
	const struct nm_data_source {
		const char *name;
		bool gauge;
	} * source;
	size_t n;
};

struct nm_about { /* what stands beside a value */
	const char *key, *value;
	const struct nm_about *next;
};

struct nm_value {
	const char *instance, *type, *type_instance; /* type_instance may be NULL */
	const char *plugin;                          /* instead of the plugin's name; NULL: that */
	const struct nm_type *own;                   /* NULL: a stock type */
	const struct nm_about *about;                /* the same pointer: the same meta data */
	uint32_t first;                              /* in nm_reading.number */
	uint8_t n;
	bool gauge, slow; /* gauge: of a stock type, all are */
	bool before;      /* what it was in the reading before, at nm_reading.before */
};

struct nm_reading {
	uint64_t time;      /* ns since 1970: of all values */
	uint64_t before;    /* of the reading before; 0: there was none */
	double slow;        /* s: interval of the slow values */
	const char *plugin; /* of the values that follow; NULL: the plugin's name */
	struct nm_value *value;
	size_t n;
	union nm_number *number;
	size_t numbers;
	/* private */
	size_t room, number_room;
	const char *instance;
	const struct nm_about *about;
	struct nm_text *text;
	struct view *view;
	uint64_t took; /* the instance, if its series were another's */
	bool slow_now, before_now;
	int err;
};

/* Values that follow belong to this instance (copied). */
void nm_instance(struct nm_reading *r, const char *instance);
/*
 * After nm_instance(): what the number of the object is (its ifindex).  If another had the name a
 * moment ago, counters that follow count from now on, for as long as this one has the name.
 */
void nm_owner(struct nm_reading *r, uint32_t number);
/* Meta data of the values that follow of this instance; key is kept as a pointer. */
void nm_about(struct nm_reading *r, const char *key, const char *value);
/* Values that follow are slow: collectd is told to expect them at SlowInterval. */
void nm_slow(struct nm_reading *r, bool slow);
/*
 * Values that follow are those of the reading before, which did not send them because they were as
 * they had been.  Hosts hand them on first: what changed then did so within one interval.
 */
void nm_before(struct nm_reading *r, bool before);
/* Whether the slow values of the object with this number are due in this reading. */
bool nm_slow_due(const struct nm_view *v, uint32_t number);
/* type and type_instance are kept as pointers; nm_text() copies one that does not live on. */
void nm_gauge(struct nm_reading *r, const char *type, const char *type_instance, double v);
void nm_derive(struct nm_reading *r, const char *type, const char *type_instance, uint64_t v);
/* One number for each data source of a type of our own; an unknown gauge is NAN. */
void nm_wide(struct nm_reading *r, const struct nm_type *type, const union nm_number *number);
/* Whether the i-th number of a value is a gauge. */
static inline bool nm_is_gauge(const struct nm_value *v, size_t i)
{
	return v->own ? v->own->source[i].gauge : v->gauge;
}
void nm_derive2(struct nm_reading *r, const char *type, const char *type_instance, uint64_t rx,
		uint64_t tx);
const char *nm_text(struct nm_reading *r, const char *s);
void nm_reading_free(struct nm_reading *r);

/* ---- notices ---------------------------------------------------------------- */

enum nm_severity { NM_FAILURE, NM_WARNING, NM_OKAY };

struct nm_meta {
	const char *key;
	char value[64];
};

struct nm_notice {
	enum nm_severity severity;
	uint64_t time; /* ns since 1970: when the message was received */
	char instance[128];
	const char *what;   /* a word of the plugin's Notify option */
	const char *plugin; /* instead of the plugin's name; NULL: that */
	struct nm_meta meta[8];
	size_t nmeta;
	char message[256];
	struct nm_notice *next;
};

/* A notice to be completed by the caller; NULL: no memory or too many wait (counted). */
struct nm_notice *nm_notify(struct nm_view *v, enum nm_severity severity, const char *what,
			    const char *instance);
/* The sentence, and what stands beside it.  n may be NULL. */
void nm_say(struct nm_notice *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nm_meta(struct nm_notice *n, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The meta data "old" and "new", of which either may be NULL. */
void nm_change(struct nm_notice *n, const char *old, const char *new);
/* The host takes the oldest notice and frees it with free(). */
struct nm_notice *nm_take_notice(struct nm_view *v);

/* ---- JSON -------------------------------------------------------------------- */

enum {
	NM_NO_UNKNOWN = 1, /* leave out attributes without a row */
	NM_PRETTY = 2,     /* every element on a line of its own; else those that are outermost */
	NM_ONE_LINE = 4
};

/* Writes to a stream through a buffer of its own; the stream is not closed. */
struct nm_json *nm_json_new(FILE *to, unsigned flags);        /* NULL: no memory */
void nm_json_to(struct nm_json *j, FILE *to, unsigned flags); /* from now on, at the top */
int nm_json_flush(struct nm_json *j); /* -EIO: this or an earlier one could not be written */
void nm_json_free(struct nm_json *j);
/* An object '{' or an array '['; key: NULL in an array and at the top. */
void nm_json_begin(struct nm_json *j, const char *key, char bracket);
void nm_json_end(struct nm_json *j, char bracket);
void nm_json_line(struct nm_json *j);                                   /* at the top: \n */
void nm_json_string(struct nm_json *j, const char *key, const char *s); /* NULL: null */
void nm_json_uint(struct nm_json *j, const char *key, uint64_t u);
void nm_json_number(struct nm_json *j, const char *key, double number); /* NAN: null */
void nm_json_bool(struct nm_json *j, const char *key, bool is);
void nm_json_raw(struct nm_json *j, const char *key, const char *json, size_t len);

/*
 * What is in a message, into an object that the caller begins: every attribute by its table, unknown
 * ones as hex.  A message that goes on with the object of the last one adds to it; nm_print_end()
 * before the object's end closes what the last one has left open.
 */
void nm_print(struct nm_json *j, const struct nm_view *v, const struct nm_msg *m);
void nm_print_end(struct nm_json *j);

/* ---- single values of messages ------------------------------------------------- */

/*
 * Where a value stands, named as in JSON: "stats64.rx_bytes"; "@ifindex" is the
 * attribute where a member of the struct has the same name, and "*" is every
 * element of a list, "mdb.*.*.vid", or everyone of an attribute that stands
 * several times, "parent_device.*.state".
 */
struct nm_path {
	const struct nm_field *field;
	struct nm_step {
		const struct nm_field *member; /* of a struct; NULL: an attribute */
		uint16_t type;                 /* its type */
		bool any;                      /* whatever its type */
	} step[4];
	size_t n;
};

int nm_path(struct nm_path *p, const struct nm_table *t, const char *name); /* -ENOENT */
/* NULL: the message does not have it. */
const void *nm_path_get(const struct nm_path *p, const struct nm_msg *m, size_t *len);
void nm_path_each(const struct nm_path *p, const struct nm_msg *m,
		  void (*fn)(void *arg, const void *p, size_t len), void *arg);
/* As text: a name rather than its number, else as nm_print() writes it, without the quotes. */
void nm_value_text(struct nm_json *j, const struct nm_view *v, const struct nm_field *d,
		   const void *p, size_t len, char *buf, size_t size);

/* ---- network namespaces ------------------------------------------------------- */

struct nm_netns {
	char name[NAME_MAX + 1];
	uint64_t dev, ino;
};

/* All namespaces named below /run/netns, by name.  The caller frees. */
int nm_netns_list(struct nm_netns **list, size_t *n);

/* ---- a map of fixed-size keys to fixed-size values ---------------------------- */

struct nm_map { /* start: { .key = sizeof(k), .val = sizeof(v) } */
	uint32_t key, val;
	size_t used;
	/* private */
	size_t size, last;
	unsigned char *entry;
	struct nm_slot *slot;
};

/* Pointers into the map live until the next put or del. */
void *nm_map_put(struct nm_map *m, const void *key, bool *fresh); /* zeroed; NULL: no memory */
void *nm_map_get(const struct nm_map *m, const void *key);        /* NULL: not there */
void nm_map_del(struct nm_map *m, const void *key);
/* i = 0 to start; after deleting the one that was just returned: i-- */
void *nm_map_next(const struct nm_map *m, const void **key, size_t *i);
void nm_map_free(struct nm_map *m);

/* ---- names that the administrator gives: /etc/iproute2/rt_tables and its like ---- */

/* file: "rt_tables", "rt_protos" ...; files that are not there are empty.  -ENOMEM */
int nm_rtnames_load(struct nm_map *names, const char *file);
/*
 * Whether one of the n files, 8 at most, was written since the last call that said so: then
 * their names are to be loaded again.  Each call looks at one file or directory, the first at all.
 */
struct nm_rtwatch {
	uint64_t stamp[16], turn;
};
bool nm_rtnames_written(struct nm_rtwatch *w, const char *const *file, size_t n);
/* The name, else the number in buf.  It lives as long as the map, which nm_map_free() frees. */
const char *nm_rtname(const struct nm_map *names, uint32_t id, char buf[static 16]);

#endif
