/* SPDX-License-Identifier: MIT */
/*
 * What the files of netmon-graph share.
 *
 *   store.c       RRD files as collectd's rrdtool and rrdcached plugins leave them
 *   definition.c  what a graph shows: one small file each, read at run time
 *   draw.c        a definition and an object become a picture and its numbers
 *   site.c        all pictures as pages
 *   history.c     traffic, availability and flaps as numbers
 *   main.c        the command line
 *
 * Functions that can fail return one of the exit statuses below and have said why.  Memory that
 * cannot be had ends the program.
 */
#ifndef NETMON_GRAPH_H
#define NETMON_GRAPH_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include <rrd.h>

#include "netmon.h"

enum { OK, FAILED, USAGE };

/* Says "netmon-graph: ..." and returns the status. */
int fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *need(void *p); /* ends the program where malloc() and its like returned NULL */
char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* the caller frees */

struct words {
	char **v;
	size_t n;
};
void add_word(struct words *w, char *word); /* which words_free() will free */
void sort_words(struct words *w);
void unique_words(struct words *w); /* sorted, each once */
void words_free(struct words *w);

/* Valid UTF-8 without control characters, whatever the bytes were.  The caller frees. */
char *clean(const char *s);
/* With a prefix: "85.1 M", or " 85.05 M" where numbers stand in columns; NaN is a dash. */
void put_number(char *buf, size_t size, double x, const char *unit, bool columns);
/* What stands between a prefix and a unit: 4 Mbit/s, 4 M routes. */
const char *unit_gap(const char *unit);

/* ---- store.c ------------------------------------------------------------------------------- */

struct store {               /* what one host has sent */
	const char *root;    /* DataDir */
	const char *host;    /* a directory below it */
	const char *cached;  /* address of rrdcached, or NULL */
	struct words series; /* "netmon_link-eth0/if_octets", sorted */
};

struct file { /* one RRD file, open and checked */
	int fd;
	char path[32]; /* for librrd; has no byte of a name that somebody chose */
	time_t last;   /* when it was written last */
	unsigned long step;
	struct words ds;
	struct rra {
		char cf[20];
		unsigned long step, rows;
	} * rra;
	size_t rras;
};

int hosts_below(const char *root, struct words *hosts);
int store_open(struct store *s, const char *root, const char *host, const char *cached);
void store_close(struct store *s);
/* The place of the first series that is not before this in the order. */
size_t store_find(const struct store *s, const char *series);
int file_open(struct file *f, const struct store *s, const char *series);
void file_close(struct file *f);
/* The first of the data sources "rx|rx_bytes" that is in it, NULL: none. */
const char *file_ds(const struct file *f, const char *names);

/*
 * Rows of one data source, oldest first, each from the finest archive that has its time: the
 * caller frees.  A row that is cut by from, to or a finer archive is as long as its rest.
 */
struct row {
	time_t from, to;
	double v; /* NaN: not known */
};
int file_rows(const struct file *f, const char *ds, const char *cf, time_t from, time_t to,
	      struct row **rows, size_t *n);

/* ---- definition.c -------------------------------------------------------------------------- */

struct input { /* "file o netmon_link-*" "/if_octets": an RRD file, or several */
	enum { FILE_NEEDED, FILE_MAYBE, FILE_EACH } how;
	char *name;
	struct words paths; /* the first that exists is it */
};

struct line {
	unsigned number;
	char *s;
};

struct state { /* what a value means to a person */
	double value;
	char *colour, *word;
};

struct definition {
	char *file, *id;
	time_t changed;
	char *kind, *title, *unit;
	bool mirror; /* what is drawn below the axis is not negative */
	char *sides; /* what is below and above: "out | in" */
	struct words options;
	struct input *input;
	size_t inputs;
	struct line *line;
	size_t lines;
	char *state_of; /* the name of an input */
	char *state_ds; /* its data sources, as in DEF */
	struct state *state;
	size_t states;
};

struct definitions {
	struct definition *v; /* in the order of their files' names */
	size_t n;
	char *style; /* the last style.css that was found */
};

/*
 * Files *.graph of the directories; one of a later directory replaces its namesake.  FAILED: some
 * are wrong and are left out.  The last ones must be there: so many were given by the user.
 */
int definitions_read(struct definitions *all, const struct words *directories, size_t given);
void definitions_free(struct definitions *all);

/*
 * In a path "*" is the object's name, "@" its network namespace or nothing, "%" the part that
 * differs in a FILE_EACH.  The series that is the file of this input, NULL: there is none.
 */
const char *input_series(const struct input *in, const struct store *s, const char *object);
/* The series of a FILE_EACH, and the part of each that differs; both to be freed. */
void input_each(const struct input *in, const struct store *s, const char *object,
		struct words *series, struct words *parts);
/* Whether this host has what it shows of the object. */
bool definition_applies(const struct definition *d, const struct store *s, const char *object);
/* The names of all objects of a kind, "" where a kind has one only. */
void objects(const struct definitions *all, const struct store *s, const char *kind,
	     struct words *names);

/* ---- draw.c -------------------------------------------------------------------------------- */

struct look {
	bool dark, svg;
	bool legend; /* with heading and legend, else only the picture in exactly width x height */
	unsigned width, height;
	double zoom;
	time_t start, end;
	const char *span; /* "last 24 hours", for the heading */
};

enum { STATS = 6 };
extern const char *const stat_names[STATS]; /* as one writes them in a definition */
extern const char *const stat_heads[STATS]; /* as one reads them */

struct legend {
	char *colour; /* its name, NULL: none */
	char *label;
	struct number {
		bool given;
		double v;
		char unit[16];
	} number[STATS];
	bool numbers;
};

struct drawing {
	const struct definition *def;
	const struct store *store;
	const char *object;
	struct file *file; /* those that are used */
	size_t files;
	struct words arguments; /* of rrdgraph; PRINTs of the numbers come last */
	struct legend *legend;
	size_t legends;
	const struct state *state; /* at the end; NULL: not known */
	time_t last;               /* when the youngest of its files was written */
	char *remark;              /* what is not in the picture, NULL: nothing */
	bool incomplete;           /* a file could not be read, which was said */
};

/* Opens the files and gets the numbers.  Always to be freed. */
int drawing_open(struct drawing *d, const struct definition *def, const struct store *s,
		 const char *object, const struct look *look);
int drawing_write(struct drawing *d, const struct look *look, const char *to); /* "-": stdout */
void drawing_free(struct drawing *d);
/* Writes `--name:#rrggbb;` for each colour: the same in pages as in pictures. */
void put_colours(FILE *f, bool dark);
/* Replaces a file by another at once; "-" is standard output. */
int write_file(const char *to, const void *p, size_t n);

/* ---- site.c ------------------------------------------------------------------------------- */

int site_write(const struct definitions *defs, const char *root, const struct words *hosts,
	       const char *cached, const char *directory, bool svg);

/* ---- history.c ----------------------------------------------------------------------------- */

enum form { FORM_TEXT, FORM_JSON, FORM_CSV };
int history(const struct store *s, const char *object, time_t from, time_t to, enum form form);
int summary(const struct store *s, time_t from, time_t to, enum form form);

#endif
