/* SPDX-License-Identifier: MIT */
/* Graph definitions: read from *.graph, and which objects of a host they can be drawn for. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph.h"

/* ---- reading ------------------------------------------------------------------------------- */

struct reader {
	struct definition *d;
	const char *path;
	unsigned number; /* of the line */
	int status;
};

static void wrong(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct reader *r, const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	r->status = fail(FAILED, "%s:%u: %s", r->path, r->number, why);
}

/* The next word of a line, cut off in place; NULL: no more. */
static char *word(char **s)
{
	char *w = *s + strspn(*s, " \t");

	if (!*w)
		return NULL;
	*s = w + strcspn(w, " \t");
	if (**s)
		*(*s)++ = 0;
	return w;
}

static void take_text(struct reader *r, char **to, const char *key, const char *rest)
{
	rest += strspn(rest, " \t");
	if (!*rest || *to)
		wrong(r, *to ? "%s: stands here twice" : "%s: a text is missing", key);
	else
		*to = need(strdup(rest));
}

static void take_kind(struct reader *r, const char *key, char *rest)
{
	take_text(r, &r->d->kind, key, rest);
}

static void take_title(struct reader *r, const char *key, char *rest)
{
	take_text(r, &r->d->title, key, rest);
}

static void take_unit(struct reader *r, const char *key, char *rest)
{
	take_text(r, &r->d->unit, key, rest);
}

static void take_mirror(struct reader *r, const char *key, char *rest)
{
	r->d->mirror = true;
	if (rest[strspn(rest, " \t")])
		take_text(r, &r->d->sides, key, rest);
}

/* Those of rrdgraph that say how something looks. */
static void take_option(struct reader *r, const char *key, char *rest)
{
	static const struct {
		const char *name;
		bool value;
	} known[] = {
		{"--lower-limit", true},
		{"--upper-limit", true},
		{"--rigid", false},
		{"--base", true},
		{"--logarithmic", false},
		{"--alt-autoscale", false},
		{"--alt-autoscale-max", false},
		{"--alt-autoscale-min", false},
		{"--units-exponent", true},
		{"--units", true},
		{"--y-grid", true},
		{"--alt-y-grid", false},
		{"--left-axis-format", true},
		{"--left-axis-formatter", true},
		{"--allow-shrink", false},
	};
	char *name = word(&rest), *value = word(&rest);

	for (size_t i = 0; name && i < NM_COUNT(known); i++)
		if (!strcmp(known[i].name, name)) {
			if (known[i].value != !!value || word(&rest))
				wrong(r, "%s %s: %s is accepted", key, name,
				      known[i].value ? "one value" : "no value");
			add_word(&r->d->options, need(strdup(name)));
			if (value)
				add_word(&r->d->options, need(strdup(value)));
			return;
		}
	wrong(r,
	      "%s %s: accepted are rrdgraph's --lower-limit, --upper-limit, --base and their like",
	      key, name ? name : "");
}

/* "eth0/x" has one "/", and a path without "*" or "@" would be every object's. */
static bool path_good(const char *path, bool each)
{
	const char *slash = strchr(path, '/'), *star = strpbrk(path, "*@"), *part;

	part = strchr(path, '%');
	return slash && slash != path && slash[1] && !strchr(slash + 1, '/') && path[0] != '.' &&
	       star && !strpbrk(star + 1, "*@") && each == !!part &&
	       (!part || !strchr(part + 1, '%'));
}

static void take_file(struct reader *r, const char *key, char *rest)
{
	struct definition *d = r->d;
	struct input in = {.how = *key == 'f' ? FILE_NEEDED : *key == 'm' ? FILE_MAYBE : FILE_EACH};
	char *name = word(&rest), *path;

	for (size_t i = 0; i < d->inputs; i++)
		if (name && (!strcmp(d->input[i].name, name) ||
			     (in.how == FILE_EACH && d->input[i].how == FILE_EACH)))
			return wrong(r, "%s %s: %s", key, name,
				     in.how == FILE_EACH ? "only one is accepted" :
							   "the name is taken");
	while (name && (path = word(&rest))) {
		if (!path_good(path, in.how == FILE_EACH)) {
			words_free(&in.paths);
			return wrong(r, "%s %s %s: accepted are paths like %s", key, name, path,
				     in.how == FILE_EACH ? "netmon_route-*/routes-%" :
							   "netmon_link-*/if_octets");
		}
		add_word(&in.paths, need(strdup(path)));
	}
	if (!in.paths.n)
		return wrong(r, "%s: a name and a path are needed", key);
	in.name = need(strdup(name));
	d->input = need(realloc(d->input, (d->inputs + 1) * sizeof(in)));
	d->input[d->inputs++] = in;
}

static void take_state(struct reader *r, const char *key, char *rest)
{
	struct definition *d = r->d;
	char *of = word(&rest), *w, *end;

	if (!of || d->state_of)
		return wrong(r, "%s: one variable is needed", key);
	end = of + strcspn(of, ":");
	d->state_of = text("%.*s", (int)(end - of), of);
	d->state_ds = text("%s", *end ? end + 1 : "value");
	while ((w = word(&rest))) {
		struct state s = {.value = strtod(w, &end)};
		char *colour = *end == ':' ? end + 1 : NULL;

		end = colour ? strchr(colour, ':') : NULL;
		if (!end || !end[1])
			return wrong(r, "%s: \"%s\" is not accepted; accepted is 0:bad:down", key,
				     w);
		s.colour = text("%.*s", (int)(end - colour), colour);
		s.word = need(strdup(end + 1));
		d->state = need(realloc(d->state, (d->states + 1) * sizeof(s)));
		d->state[d->states++] = s;
	}
}

static const struct {
	const char *key;
	void (*take)(struct reader *r, const char *key,
		     char *rest); /* NULL: rrdgraph's, for later */
} keys[] = {
	{"for", take_kind},      {"title", take_title},   {"unit", take_unit},
	{"mirror", take_mirror}, {"option", take_option}, {"file", take_file},
	{"maybe", take_file},    {"each", take_file},     {"state", take_state},
	{"stats", NULL},         {"DEF", NULL},           {"CDEF", NULL},
	{"VDEF", NULL},          {"AREA", NULL},          {"HRULE", NULL},
	{"TICK", NULL},          {"COMMENT", NULL},       {"GPRINT", NULL},
	{"SHIFT", NULL},
};

static void take_line(struct reader *r, char *s)
{
	size_t len;

	s[strcspn(s, "\r\n")] = 0;
	for (len = strlen(s); len && isspace((unsigned char)s[len - 1]);)
		s[--len] = 0;
	s += strspn(s, " \t");
	if (!*s || *s == '#')
		return;
	for (const char *c = s; *c; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			return wrong(r, "there is a control character");
	len = strcspn(s, " \t:");
	for (size_t i = 0; i < NM_COUNT(keys); i++) {
		bool own = !isupper((unsigned char)*keys[i].key);

		if (strncmp(s, keys[i].key, len) || keys[i].key[len] || own != (s[len] != ':'))
			continue;
		if (keys[i].take)
			return keys[i].take(r, keys[i].key, s + len);
		len = 0;
		break;
	}
	if (len && strncmp(s, "LINE", 4))
		return wrong(r, "\"%.*s\" is not known here; netmon-graph(1) says what is",
			     (int)(len < 40 ? len : 40), s);
	r->d->line = need(realloc(r->d->line, (r->d->lines + 1) * sizeof(*r->d->line)));
	r->d->line[r->d->lines++] = (struct line){r->number, need(strdup(s))};
}

static void definition_free(struct definition *d)
{
	for (size_t i = 0; i < d->inputs; i++) {
		free(d->input[i].name);
		words_free(&d->input[i].paths);
	}
	for (size_t i = 0; i < d->lines; i++)
		free(d->line[i].s);
	for (size_t i = 0; i < d->states; i++) {
		free(d->state[i].colour);
		free(d->state[i].word);
	}
	words_free(&d->options);
	free(d->file);
	free(d->id);
	free(d->kind);
	free(d->title);
	free(d->unit);
	free(d->sides);
	free(d->input);
	free(d->line);
	free(d->state_of);
	free(d->state_ds);
	free(d->state);
	*d = (struct definition){0};
}

static int read_file(struct definition *d, const char *path)
{
	struct reader r = {.d = d, .path = path};
	FILE *f = fopen(path, "re");
	struct stat st;
	char *s = NULL;
	size_t size = 0;

	if (!f)
		return fail(FAILED, "%s: %s", path, strerror(errno));
	if (!fstat(fileno(f), &st))
		d->changed = st.st_mtime;
	while (getline(&s, &size, f) >= 0 && r.number < 10000) {
		r.number++;
		take_line(&r, s);
	}
	if (ferror(f))
		r.status = fail(FAILED, "%s: %s", path, strerror(errno));
	free(s);
	fclose(f);
	for (size_t i = 0; d->state_of && i <= d->inputs; i++) {
		if (i < d->inputs && !strcmp(d->input[i].name, d->state_of))
			break;
		if (i == d->inputs)
			r.status = fail(FAILED, "%s: state %s: there is no file of this name", path,
					d->state_of);
	}
	if (!r.status && (!d->kind || !d->title || !d->inputs || !d->lines))
		r.status = fail(FAILED, "%s: \"%s\" is missing", path,
				!d->kind   ? "for" :
				!d->title  ? "title" :
				!d->inputs ? "file" :
					     "DEF:");
	return r.status;
}

/* 10-traffic.graph is "traffic". */
static char *id_of(const char *file)
{
	size_t digits = strspn(file, "0123456789");

	if (digits && file[digits] == '-')
		file += digits + 1;
	return text("%.*s", (int)(strlen(file) - strlen(".graph")), file);
}

static void add_definition(struct definitions *all, struct definition *d)
{
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->v[i].id, d->id)) {
			definition_free(&all->v[i]);
			all->v[i] = *d;
			return;
		}
	all->v = need(realloc(all->v, (all->n + 1) * sizeof(*d)));
	all->v[all->n++] = *d;
}

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct definition *)a)->file, ((const struct definition *)b)->file);
}

static void find_style(struct definitions *all, const char *directory)
{
	char *path = text("%s/style.css", directory);

	if (!access(path, R_OK)) {
		free(all->style);
		all->style = path;
	} else {
		free(path);
	}
}

int definitions_read(struct definitions *all, const struct words *directories, size_t given)
{
	int status = OK;

	*all = (struct definitions){0};
	for (size_t i = 0; i < directories->n; i++) {
		DIR *dir = opendir(directories->v[i]);

		if (!dir && (errno != ENOENT || i >= directories->n - given))
			status = fail(FAILED, "%s: %s", directories->v[i], strerror(errno));
		for (struct dirent *e; dir && (e = readdir(dir));) {
			struct definition d = {0};
			size_t len = strlen(e->d_name);
			char *path;

			if (e->d_name[0] == '.' || len <= 6 ||
			    strcmp(e->d_name + len - 6, ".graph"))
				continue;
			path = text("%s/%s", directories->v[i], e->d_name);
			d.file = need(strdup(e->d_name));
			d.id = id_of(e->d_name);
			if (read_file(&d, path)) {
				status = FAILED;
				definition_free(&d);
			} else {
				add_definition(all, &d);
			}
			free(path);
		}
		if (dir)
			closedir(dir);
		find_style(all, directories->v[i]);
	}
	if (all->n)
		qsort(all->v, all->n, sizeof(*all->v), by_file);
	else if (!status)
		status = fail(FAILED, "no graph definitions in %s",
			      directories->n ? directories->v[0] : "any place");
	return status;
}

void definitions_free(struct definitions *all)
{
	for (size_t i = 0; i < all->n; i++)
		definition_free(&all->v[i]);
	free(all->v);
	free(all->style);
}

/* ---- objects ------------------------------------------------------------------------------- */

struct span {
	const char *s;
	size_t n;
};

/* "*", "@" and "%" stand for the shortest text with which the rest fits. */
static bool match(const char *p, const char *s, struct span *object, struct span *part)
{
	size_t least, most;

	for (; *p && !strchr("*@%", *p); p++, s++)
		if (*p != *s)
			return false;
	if (!*p)
		return !*s;
	most = strcspn(s, "/");
	least = *p != '@';
	if (*p == '@' && *s != '@')
		most = 0;
	for (size_t n = least; n <= most; n++) {
		if (*p == '@' && n == 1)
			continue;
		*(*p == '%' ? part : object) = (struct span){s, n};
		if (match(p + 1, s + n, object, part))
			return true;
	}
	return false;
}

/* With the object's name in it. */
static char *path_of(const char *path, const char *object)
{
	const char *at = strpbrk(path, "*@");

	return at ? text("%.*s%s%s", (int)(at - path), path, object, at + 1) : text("%s", path);
}

/* "@" stands for no name, or for that of a network namespace. */
static bool can_be(const char *path, const char *object)
{
	return strchr(path, '@') ? !*object || *object == '@' : *object != 0;
}

const char *input_series(const struct input *in, const struct store *s, const char *object)
{
	const char *found = NULL;

	for (size_t i = 0; !found && i < in->paths.n; i++) {
		char *whole = path_of(in->paths.v[i], object);
		size_t at = store_find(s, whole);

		if (can_be(in->paths.v[i], object) && at < s->series.n &&
		    !strcmp(s->series.v[at], whole))
			found = s->series.v[at];
		free(whole);
	}
	return found;
}

void input_each(const struct input *in, const struct store *s, const char *object,
		struct words *series, struct words *parts)
{
	for (size_t i = 0; !series->n && i < in->paths.n; i++) {
		const char *path = in->paths.v[i];
		char *before = text("%.*s", (int)strcspn(path, "%"), path), *pre, *post;
		size_t len, end;

		/* The object's name may have a "%" in it. */
		pre = path_of(before, object);
		post = path_of(strchr(path, '%') + 1, object);
		len = strlen(pre);
		end = strlen(post);
		for (size_t k = store_find(s, pre); k < s->series.n && can_be(path, object); k++) {
			const char *name = s->series.v[k];
			size_t all = strlen(name);

			if (strncmp(name, pre, len) != 0)
				break;
			if (all <= len + end || strcmp(name + all - end, post) != 0 ||
			    memchr(name + len, '/', all - len - end))
				continue;
			add_word(series, need(strdup(name)));
			add_word(parts, text("%.*s", (int)(all - len - end), name + len));
		}
		free(before);
		free(pre);
		free(post);
	}
}

static bool has_each(const struct input *in, const struct store *s, const char *object)
{
	struct words series = {0}, parts = {0};
	bool any;

	input_each(in, s, object, &series, &parts);
	any = series.n > 0;
	words_free(&series);
	words_free(&parts);
	return any;
}

bool definition_applies(const struct definition *d, const struct store *s, const char *object)
{
	bool any = false, there;

	for (size_t i = 0; i < d->inputs; i++) {
		const struct input *in = &d->input[i];

		there = in->how == FILE_EACH ? has_each(in, s, object) :
					       input_series(in, s, object) != NULL;
		if (!there && in->how != FILE_MAYBE)
			return false;
		any |= there;
	}
	return any;
}

void objects(const struct definitions *all, const struct store *s, const char *kind,
	     struct words *names)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < all->v[i].inputs && !strcmp(all->v[i].kind, kind); k++) {
			const struct input *in = &all->v[i].input[k];

			for (size_t p = 0; p < in->paths.n; p++)
				for (size_t e = 0; e < s->series.n; e++) {
					struct span object = {"", 0}, part;

					if (match(in->paths.v[p], s->series.v[e], &object, &part))
						add_word(names,
							 text("%.*s", (int)object.n, object.s));
				}
		}
	unique_words(names);
	/* Only where a whole graph can be drawn. */
	size_t kept = 0;
	for (size_t i = 0; i < names->n; i++) {
		bool good = false;

		for (size_t k = 0; !good && k < all->n; k++)
			good = !strcmp(all->v[k].kind, kind) &&
			       definition_applies(&all->v[k], s, names->v[i]);
		if (good)
			names->v[kept++] = names->v[i];
		else
			free(names->v[i]);
	}
	names->n = kept;
}
