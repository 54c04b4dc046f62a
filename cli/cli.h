/* SPDX-License-Identifier: MIT */
/* What the files of the command know of each other. */
#ifndef CLI_H
#define CLI_H

#include "netmon.h"

enum { OK = 0, FAILED = 1, DIFFERENT = 1, USAGE = 2, INCOMPLETE = 3, NOT_PERMITTED = 4 };
enum { MAX_SOURCES = 16 };

/* ---- netmon.c: the command line ---------------------------------------------------- */

/* What a noun can be narrowed to: bits of struct args.only. */
enum only {
	ONLY_ADDRESSES = 1 << 0,
	ONLY_EXTENDED = 1 << 1,
	ONLY_WIREGUARD = 1 << 2,
	ONLY_IPV4 = 1 << 3,
	ONLY_IPV6 = 1 << 4,
	ONLY_ARP = 1 << 5,
	ONLY_NDP = 1 << 6,
	ONLY_BRIDGE = 1 << 7,
};
enum format { FORMAT_AUTO, FORMAT_JSON, FORMAT_PRETTY, FORMAT_NDJSON };

extern struct args {
	const struct noun *noun; /* NULL: the command has none */
	bool toolkit;            /* called as netmon-device, netmon-route ... */
	const char *record, *replay, *netns, *config_file, *sort, *filter;
	const char *interface, *table;
	unsigned only, print; /* print: of struct nm_json */
	enum format format;
	bool summary, man, openmetrics, since_start, once, color, help, counted, counters;
	unsigned long count;
	const char *from, *iif; /* of explain */
	double mark;
	const char *option[64]; /* --option */
	size_t options;
	double interval; /* s; 0: not given */
	char **word;     /* what is no option */
	size_t words;
} arg;

/* Says why in one line and returns the status. */
int fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t now(void); /* ns, monotonic */
const char *short_name(const struct nm_plugin *p);
const struct nm_plugin *plugin_at(size_t i); /* NULL: no more */
const struct nm_plugin *plugin_named(const char *name);
int no_memory(void);

/* ---- view.c: opening and closing what is read ---------------------------------------- */

int open_view(struct nm_view **v, const struct nm_plugin *p, const void *config, unsigned flags);
bool can_be_had(const struct nm_plugin *p); /* false: this kernel has none of it */
int open_file(FILE **f, const char *path, const char *mode);
int close_file(FILE *f, const char *path);
/* The names of interfaces, before what refers to them. */
int read_names(struct nm_view *v, FILE *record);
int replay_all(struct nm_view *v, FILE *from, nm_tap *tap, void *user);
int replay_whole(const struct nm_view *v);
/* Why a dump failed; the sentence, and the status.  some: others came. */
int why_incomplete(const struct nm_view *v, const struct nm_source *s, int err, bool some,
		   char *why, size_t size);

/* ---- noun.c: what can be shown, and what is known of it beyond the tables ------------- */

struct count {              /* a total, or how many there are of each value */
	const char *source; /* NULL: every one that has such a value */
	const char *name;   /* "by_state" */
	const char *path;
	const char *bit; /* only those that have this bit, as one number */
	bool each;       /* a message may have several such values */
	bool sum;        /* how many there are, as one number */
	/* What is counted instead of the value, and its names.  Optional. */
	uint32_t (*as)(const struct nm_view *v, const void *p, size_t len);
	const struct nm_names *names;
};

struct column { /* of the table for people */
	const char *title, *path;
	enum { TEXT, BYTES } how;
};

struct noun {
	const char *name, *toolkit, *help;
	const char *plugin;           /* NULL: the one that is called so */
	const char *const *sources;   /* those that are shown; NULL: all */
	unsigned only;                /* options that it takes */
	bool interface, table, rates; /* likewise */
	const struct count *count;
	const char *listed; /* the source whose entries people see one by one; NULL: only counts */
	const struct column *column;
};

struct flat;

struct identity { /* what makes two entries of two times the same one */
	const char *source;
	const char *has;  /* only entries that have this: some plugins' sources share a name */
	const char *only; /* the others are no such thing: "linkinfo.kind" is "\"bridge\"" */
	const char *is;
	bool skip;               /* nothing but counters */
	const char *key[8];      /* none: all of it */
	const char *moves[12];   /* what differs all the time, and everything below it */
	const char *unsaid[2];   /* what events do not tell; "*": all that did not change */
	const char *undumped[2]; /* what only events tell */
};

/* A list within an entry whose elements are compared one by one. */
struct part {
	const char *source, *list, *what;
	const char *of, *as; /* what of the entry stands in each element, and its name there */
	bool alone;          /* the rest of the entry is nothing */
};

extern const struct noun nouns[];
bool is_online(int64_t handshake, int64_t at);   /* a peer of WireGuard's; s since 1970 */
const struct noun *noun_named(const char *name); /* also of plugins that have no row */
const struct nm_plugin *noun_plugin(const struct noun *n);
/* Whether the i-th source is to be shown, by the noun and the options. */
bool noun_shows(const struct noun *n, const struct nm_source *s);
const struct identity *identity_of(const char *source, const struct flat *f);
const struct part *part_at(size_t i); /* NULL: no more */

/* Filters of the options for one view: given to the kernel and, as old ones ignore some, checked. */
struct filters {
	struct filter {
		const struct nm_source *source;
		struct nm_path path, ask; /* ask.n == 0: the kernel cannot filter */
		uint32_t value[2];
		size_t values;
	} v[MAX_SOURCES];
	size_t n;
};
int filters_make(struct filters *f, struct nm_view *v, const struct noun *n);
void filters_ask(const struct nm_source *s, struct nlmsghdr *nlh, void *filters); /* nm_adds */
bool filters_pass(const struct filters *f, const struct nm_msg *m);

/* ---- count.c: the summary, counted on the way ------------------------------------------ */

struct counter;
struct counter *counter_new(const struct nm_view *v, const struct noun *n); /* NULL: no memory */
void counter_take(struct counter *c, const struct nm_msg *m);
void counter_print(struct counter *c, struct nm_json *j);
void counter_table(struct counter *c, struct nm_json *j);
void counter_free(struct counter *c);

/* ---- table.c: for people ----------------------------------------------------------------- */

enum { PLAIN = 0, RED = 31, GREEN = 32, YELLOW = 33, BOLD = 1, DIM = 2 };
void paint(int color); /* until paint(PLAIN); nothing where colours are not wanted */
/* 1234567 -> "1.23 M"; at most 7 characters, base 1000 */
const char *humane(double number, const char *unit, char buf[static 32]);
size_t columns(void); /* of the terminal, 80 where there is none */
/* Columns on a terminal that a text takes. */
size_t width(const char *s);
/* Writes a text that takes exactly so many columns, cut or filled; right: numbers. */
void put_cell(const char *s, size_t cells, bool right);

/* One line for each entry of the noun's listed source. */
struct rows;
struct rows *rows_new(const struct noun *n, const struct nm_view *v); /* NULL: no memory */
int rows_add(struct rows *r, struct nm_json *j, const struct nm_view *v, const struct nm_msg *m);
void rows_print(const struct rows *r);
void rows_free(struct rows *r);

/* ---- flat.c: JSON that is read again, to be compared ------------------------------------- */

struct flat {
	struct pair {
		char *path, *value; /* "linkinfo.kind", "\"veth\"" */
	} * v;
	size_t n, room;
};

/* 0: no more is wanted.  What f holds may be taken: the rest is freed. */
typedef int flat_entry(void *arg, const char *what, struct flat *f);
/* A snapshot: every entry of every array.  -EILSEQ: no JSON, or not whole. */
int flat_read(FILE *f, flat_entry *entry, void *user, char command[static 32]);
int flat_one(const char *json, size_t len, flat_entry *entry, void *user); /* a line of --ndjson */
bool flat_wanted(const struct flat *f, const struct identity *id);
const char *flat_get(const struct flat *f, const char *path); /* NULL: not there */
/* The caller frees the text. NULL: no memory */
const struct identity *flat_identity(const char *what, const struct flat *f, char **text);
/* How many attributes differ. */
size_t flat_compare(const struct identity *id, const struct flat *a, const struct flat *b,
		    void (*differs)(void *arg, const char *path, const char *old, const char *new),
		    void *user);
void flat_free(struct flat *f);
void flat_add(struct flat *f, const char *path, const char *value);
/* Whether it has one of these paths; and those that it has not, as they were. */
bool flat_has(const struct flat *f, const char *const paths[2]);
void flat_keep(struct flat *f, const struct flat *was, const char *const paths[2]);
/* "mtu 1500 -> 1400, ..." of one change, or as JSON; either may be NULL. */
void say_change(struct nm_json *j, const char *what, const char *who, const struct identity *id,
		const struct flat *old, const struct flat *new);

/* ---- commands ------------------------------------------------------------------------------ */

struct command {
	const char *name;
	int (*run)(void);
	unsigned group;    /* which options it takes */
	const char *words; /* what stands behind it: "PLUGIN" */
	size_t max;        /* words */
	const char *help;
};

int show(void);
int show_all(void);
int show_metrics(void);
int show_options(void);
int show_schema(void);
int show_diff(void);
int show_watch(void);
int show_top(void);
int show_explain(void);
int show_rates(void);                 /* netmon forward --interval */
int run_graph(char **word, size_t n); /* netmon-graph, which is a program of its own */

#endif
