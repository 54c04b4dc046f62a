/* SPDX-License-Identifier: MIT */
/*
 * Entries that were printed as JSON, read again: each as a sorted list of
 * "mtu" and "1500", "linkinfo.kind" and "\"veth\"", so that two of them can be
 * compared attribute by attribute.  Whole snapshots are read as a stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "cli.h"

enum { MAX_DEPTH = 64, CHUNK = 1 << 16 };

struct node {      /* of the entry that is being read */
	char kind; /* '{', '[' or 0: a value */
	char *key, *text;
	struct node *child, *last, *next;
};

struct reader {
	yajl_handle yajl;
	flat_entry *entry;
	void *arg;
	char command[32];      /* of the metadata */
	char *name[MAX_DEPTH]; /* keys on the way to where the reader is, NULL in an array */
	char kind[MAX_DEPTH];
	size_t depth, started; /* depth at which the entry began, 0: none */
	struct node *stack[MAX_DEPTH];
	char *key;
	char what[128];
	bool failed;
};

/* ---- a tree of one entry -------------------------------------------------------------- */

static void free_node(struct node *n)
{
	struct node *next;

	for (; n; n = next) {
		next = n->next;
		free_node(n->child);
		free(n->key);
		free(n->text);
		free(n);
	}
}

static struct node *add_node(struct reader *r, char kind, char *text)
{
	struct node *n = calloc(1, sizeof(*n));
	struct node *in = r->started && r->depth >= r->started ? r->stack[r->depth] : NULL;

	if (!n) {
		free(text);
		return NULL;
	}
	n->kind = kind;
	n->text = text;
	n->key = r->key;
	r->key = NULL;
	if (in && in->last)
		in->last->next = n;
	else if (in)
		in->child = n;
	if (in)
		in->last = n;
	return n;
}

static void append(struct flat *f, const char *path, const char *value)
{
	struct pair *more;

	if (f->n == f->room) {
		more = reallocarray(f->v, f->room ? 2 * f->room : 32, sizeof(*more));
		if (!more)
			return;
		f->v = more;
		f->room = f->room ? 2 * f->room : 32;
	}
	f->v[f->n].path = strdup(path);
	f->v[f->n].value = strdup(value);
	f->n += f->v[f->n].path && f->v[f->n].value;
}

/* Elements of a list have no order that means something: what they are names them. */
static void element_name(const struct node *n, size_t i, char *buf, size_t size)
{
	static const char *const key[] = {"addr", "vid",        "ifindex", "id",
					  "dst",  "public_key", "gateway", "parent_id"};
	size_t used = 0;

	*buf = 0;
	for (size_t k = 0; k < NM_COUNT(key) && n->kind == '{'; k++)
		for (const struct node *c = n->child; c; c = c->next)
			if (c->key && c->text && !strcmp(c->key, key[k]) && used < size)
				used += (size_t)snprintf(buf + used, size - used, "%s%s",
							 used ? " " : "", c->text);
	if (!used)
		snprintf(buf, size, "%zu", i);
}

static bool only_values(const struct node *n)
{
	for (const struct node *c = n->child; c; c = c->next)
		if (c->kind)
			return false;
	return true;
}

static void flatten(struct flat *f, const struct node *n, const char *path)
{
	char deeper[512], name[160];
	size_t i = 0;

	if (!n->kind) {
		append(f, path, n->text);
		return;
	}
	if (n->kind == '[' && only_values(n)) {
		size_t used = 1;

		snprintf(deeper, sizeof(deeper), "[");
		for (const struct node *c = n->child; c && used < sizeof(deeper) - 1; c = c->next)
			used += (size_t)snprintf(deeper + used, sizeof(deeper) - used, "%s%s",
						 c == n->child ? "" : ",", c->text);
		if (used > sizeof(deeper) - 2)
			used = sizeof(deeper) - 2;
		snprintf(deeper + used, sizeof(deeper) - used, "]");
		append(f, path, deeper);
		return;
	}
	for (const struct node *c = n->child; c; c = c->next, i++) {
		if (n->kind == '[') {
			element_name(c, i, name, sizeof(name));
			snprintf(deeper, sizeof(deeper), "%s[%s]", path, name);
		} else {
			snprintf(deeper, sizeof(deeper), "%s%s%s", path, *path ? "." : "", c->key);
		}
		flatten(f, c, deeper);
	}
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->path, ((const struct pair *)b)->path);
}

void flat_free(struct flat *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].path);
		free(f->v[i].value);
	}
	free(f->v);
	*f = (struct flat){0};
}

const char *flat_get(const struct flat *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].path, path))
			return f->v[i].value;
	return NULL;
}

/* ---- the stream ------------------------------------------------------------------------- */

static const struct node *child_of(const struct node *n, const char *key)
{
	const struct node *c = n->child;

	while (c && (!c->key || strcmp(c->key, key) != 0))
		c = c->next;
	return c;
}

/* A string without its quotes. */
static void string_of(const struct node *n, char *buf, size_t size)
{
	if (n && n->text && *n->text == '"')
		snprintf(buf, size, "%.*s", (int)strlen(n->text) - 2, n->text + 1);
}

/* n: an entry or a part of one; of, as: what else stands in it. */
static int hand_over(struct reader *r, const struct node *n, const char *what, const char *as,
		     const struct node *of)
{
	struct flat f = {0};
	int go_on;

	flatten(&f, n, "");
	if (of && of->text)
		append(&f, as, of->text);
	if (f.n)
		qsort(f.v, f.n, sizeof(*f.v), by_path);
	go_on = r->entry(r->arg, what, &f);
	flat_free(&f);
	return go_on;
}

static int hand_over_parts(struct reader *r, const struct node *list, const struct part *p,
			   const struct node *of)
{
	for (const struct node *c = list->child; c; c = c->next)
		if (c->kind == '[' ? !hand_over_parts(r, c, p, of) :
				     c->kind == '{' && !hand_over(r, c, p->what, p->as, of))
			return 0;
	return 1;
}

/* 0: no more is wanted.  *rest: something is left besides. */
static int take_apart(struct reader *r, struct node *n, bool *rest)
{
	const struct part *p;

	*rest = true;
	for (size_t i = 0; (p = part_at(i)); i++) {
		struct node **at = &n->child, *list;
		int go_on;

		if (strcmp(p->source, r->what) != 0)
			continue;
		*rest &= !p->alone;
		while (*at && (!(*at)->key || strcmp((*at)->key, p->list) != 0))
			at = &(*at)->next;
		list = *at;
		if (!list || list->kind != '[')
			continue;
		*at = list->next;
		list->next = NULL;
		go_on = hand_over_parts(r, list, p, child_of(n, p->of));
		free_node(list);
		if (!go_on)
			return 0;
	}
	return 1;
}

/* The entry has ended: an array's element, or a line of --ndjson. */
static int deliver(struct reader *r, struct node *n)
{
	bool rest;

	if (r->started == 1)
		string_of(child_of(n, "what"), r->what, sizeof(r->what));
	if (!strcmp(r->what, "metadata"))
		string_of(child_of(n, "command"), r->command, sizeof(r->command));
	if (!strcmp(r->what, "metadata") || !strcmp(r->what, "summary"))
		return 1;
	if (!take_apart(r, n, &rest))
		return 0;
	return rest ? hand_over(r, n, r->what, NULL, NULL) : 1;
}

static int take_value(struct reader *r, const char *text, size_t len)
{
	char *copy;

	if (!r->started) {
		free(r->key);
		r->key = NULL;
		return 1;
	}
	copy = strndup(text, len);
	if (!copy || !add_node(r, 0, copy))
		r->failed = true;
	return !r->failed;
}

static int on_null(void *arg_)
{
	return take_value(arg_, "null", 4);
}

static int on_boolean(void *arg_, int is)
{
	return take_value(arg_, is ? "true" : "false", is ? 4 : 5);
}

static int on_number(void *arg_, const char *text, size_t len)
{
	return take_value(arg_, text, len);
}

/* Kept as it would stand in JSON. */
static int on_string(void *arg_, const unsigned char *text, size_t len)
{
	char *buf = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&buf, &size);
	struct nm_json *j = f ? nm_json_new(f, NM_ONE_LINE) : NULL;
	char *s = j ? strndup((const char *)text, len) : NULL;
	int ok = 0;

	if (s) {
		nm_json_string(j, NULL, s);
		nm_json_flush(j);
	}
	nm_json_free(j);
	if (f)
		fclose(f);
	if (s)
		ok = take_value(arg_, buf, size);
	free(s);
	free(buf);
	return ok;
}

/* An element of an array that stands in objects only, or the metadata, or a line of its own. */
static bool starts_entry(const struct reader *r)
{
	for (size_t i = 1; i < r->depth; i++)
		if (r->kind[i] != '{')
			return false;
	if (r->depth == 1 && r->key)
		return !strcmp(r->key, "metadata");
	return r->depth > 1 && r->kind[r->depth] == '[';
}

static int on_open(struct reader *r, char kind)
{
	if (r->depth + 1 >= MAX_DEPTH)
		return 0;
	if (!r->started && kind == '{' && starts_entry(r)) {
		snprintf(r->what, sizeof(r->what), "%s",
			 r->depth == 1     ? "metadata" :
			 r->name[r->depth] ? r->name[r->depth] :
					     "");
		r->started = r->depth + 1;
		free(r->key);
		r->key = NULL;
	}
	r->depth++;
	r->kind[r->depth] = kind;
	r->stack[r->depth] = NULL;
	if (r->started) {
		struct node *n;

		r->depth--;
		n = add_node(r, kind, NULL);
		r->depth++;
		if (!n)
			return 0;
		r->stack[r->depth] = n;
		r->name[r->depth] = NULL;
	} else {
		r->name[r->depth] = r->key;
		r->key = NULL;
	}
	return 1;
}

static int on_close(struct reader *r)
{
	int go_on = 1;

	if (r->started == r->depth) {
		go_on = deliver(r, r->stack[r->depth]);
		free_node(r->stack[r->depth]);
		r->stack[r->depth] = NULL;
		r->started = 0;
	}
	free(r->name[r->depth]);
	r->name[r->depth] = NULL;
	r->depth--;
	return go_on;
}

static int on_map(void *arg_)
{
	return on_open(arg_, '{');
}

static int on_array(void *arg_)
{
	return on_open(arg_, '[');
}

static int on_end(void *arg_)
{
	return on_close(arg_);
}

/* A line of --ndjson is known by its first member. */
static int on_key(void *arg_, const unsigned char *text, size_t len)
{
	struct reader *r = arg_;

	free(r->key);
	r->key = strndup((const char *)text, len);
	if (r->key && !r->started && r->depth == 1 && !strcmp(r->key, "what")) {
		char *key = r->key;

		r->key = NULL;
		r->depth = 0;
		r->started = 1;
		r->stack[1] = add_node(r, '{', NULL);
		r->depth = 1;
		r->key = key;
	}
	return r->key != NULL;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_end,
};

static struct reader *reader_new(flat_entry *entry, void *user)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->entry = entry;
	r->arg = user;
	r->yajl = yajl_alloc(&callbacks, NULL, r);
	if (!r->yajl) {
		free(r);
		return NULL;
	}
	yajl_config(r->yajl, yajl_allow_multiple_values, 1);
	yajl_config(r->yajl, yajl_dont_validate_strings, 1);
	return r;
}

static void reader_free(struct reader *r)
{
	for (size_t i = 0; i < MAX_DEPTH; i++)
		free(r->name[i]);
	if (r->started)
		free_node(r->stack[r->started]);
	free(r->key);
	yajl_free(r->yajl);
	free(r);
}

int flat_read(FILE *f, flat_entry *entry, void *user, char command[static 32])
{
	struct reader *r = reader_new(entry, user);
	static unsigned char buf[CHUNK];
	yajl_status s = yajl_status_ok;
	size_t n, all = 0;

	if (!r)
		return -ENOMEM;
	while (s == yajl_status_ok && (n = fread(buf, 1, sizeof(buf), f)) > 0) {
		s = yajl_parse(r->yajl, buf, n);
		all += n;
	}
	if (s == yajl_status_ok)
		s = yajl_complete_parse(r->yajl);
	snprintf(command, 32, "%s", r->command);
	reader_free(r);
	return s == yajl_status_ok && all && !ferror(f) ? 0 : -EILSEQ;
}

int flat_one(const char *json, size_t len, flat_entry *entry, void *user)
{
	struct reader *r = reader_new(entry, user);
	bool ok;

	if (!r)
		return -ENOMEM;
	ok = yajl_parse(r->yajl, (const unsigned char *)json, len) == yajl_status_ok;
	reader_free(r);
	return ok ? 0 : -EILSEQ;
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* of: "stats" and what is below it; [] is every element of a list, * the start of a name. */
static bool below(const char *path, const char *of)
{
	for (; *of; of++) {
		if (*of == '*') {
			size_t name = strcspn(path, ".["), rest = strcspn(of + 1, ".[");

			if (name < rest)
				return false;
			path += name - rest;
		} else if (*of == '[') {
			path = *path == '[' ? strchr(path, ']') : NULL;
			of++;
			if (!path)
				return false;
			path++;
		} else if (*path++ != *of) {
			return false;
		}
	}
	return !*path || *path == '.' || *path == '[';
}

static bool among(const char *const list[], size_t n, const char *path)
{
	for (size_t i = 0; i < n && list[i]; i++)
		if (below(path, list[i]))
			return true;
	return false;
}

static bool ignored(const struct identity *id, const char *path)
{
	return (!arg.counters && among(NM_ARRAY(id->moves), path)) || !strcmp(path, "what") ||
	       !strcmp(path, "change") || !strcmp(path, "command");
}

bool flat_wanted(const struct flat *f, const struct identity *id)
{
	const char *is = id->only ? flat_get(f, id->only) : NULL;

	return (!id->skip || arg.counters) && (!id->only || (is && !strcmp(is, id->is)));
}

static bool any_of(const char *const paths[2], const char *path)
{
	return (paths[0] && !strcmp(paths[0], "*")) || among(paths, 2, path);
}

bool flat_has(const struct flat *f, const char *const paths[2])
{
	size_t i = 0;

	while (i < f->n && !any_of(paths, f->v[i].path))
		i++;
	return i < f->n;
}

void flat_keep(struct flat *f, const struct flat *was, const char *const paths[2])
{
	size_t n = f->n;

	for (size_t i = 0; i < was->n; i++)
		if (any_of(paths, was->v[i].path) && !flat_get(f, was->v[i].path))
			append(f, was->v[i].path, was->v[i].value);
	if (f->n != n)
		qsort(f->v, f->n, sizeof(*f->v), by_path);
}

void flat_add(struct flat *f, const char *path, const char *value)
{
	append(f, path, value);
	if (f->n)
		qsort(f->v, f->n, sizeof(*f->v), by_path);
}

static bool is_key(const struct identity *id, const char *path)
{
	for (size_t i = 0; i < NM_COUNT(id->key) && id->key[i]; i++)
		if (!strcmp(path, id->key[i]))
			return true;
	return !id->key[0]; /* nothing but itself identifies it */
}

const struct identity *flat_identity(const char *what, const struct flat *f, char **text)
{
	const struct identity *id = identity_of(what, f);
	size_t size = 0;
	FILE *to = open_memstream(text, &size);
	const char *separator = "";

	*text = NULL;
	if (!to)
		return NULL;
	for (size_t i = 0; i < f->n; i++)
		if (is_key(id, f->v[i].path) && !ignored(id, f->v[i].path)) {
			fprintf(to, "%s%s %s", separator, f->v[i].path, f->v[i].value);
			separator = ", ";
		}
	return fclose(to) ? NULL : id;
}

size_t flat_compare(const struct identity *id, const struct flat *a, const struct flat *b,
		    void (*differs)(void *arg, const char *path, const char *old, const char *new),
		    void *user)
{
	size_t i = 0, k = 0, n = 0;

	while (i < a->n || k < b->n) {
		int order = i == a->n ? 1 : k == b->n ? -1 : strcmp(a->v[i].path, b->v[k].path);
		const char *path = order > 0 ? b->v[k].path : a->v[i].path;
		const char *old = order <= 0 ? a->v[i].value : NULL;
		const char *new = order >= 0 ? b->v[k].value : NULL;

		i += order <= 0;
		k += order >= 0;
		/* an empty list is as good as none */
		if (ignored(id, path) || !strcmp(old ? old : "[]", new ? new : "[]"))
			continue;
		n++;
		if (differs)
			differs(user, path, old, new);
	}
	return n;
}
