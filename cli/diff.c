/* SPDX-License-Identifier: MIT */
/* netmon diff: what differs between two snapshots, or between one and now. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

struct item {
	char *what, *who; /* array, identity */
	size_t nth;       /* of those that have both in common, as link's ports and mdb's */
	const struct identity *id;
	struct flat flat;
};

struct snapshot {
	struct item *v;
	size_t n, room;
	char command[32];
};

/* ---- saying a change: of diff and watch --------------------------------------------------- */

struct saying {
	struct nm_json *j;
	size_t n;
};

/* Texts lose their quotes, and nothing else that could command a terminal is in JSON. */
static void put_value(const char *v)
{
	size_t n = strlen(v);

	if (*v == '"' && n >= 2) {
		printf("%.*s", (int)n - 2, v + 1);
	} else if (*v == '[' && n > 2) {
		for (; *v; v++)
			if (!strchr("[]\"", *v))
				putchar(*v);
	} else {
		fputs(strcmp(v, "[]") != 0 ? v : "(none)", stdout);
	}
}

static void say_attribute(void *user, const char *path, const char *old, const char *new)
{
	struct saying *s = user;

	if (s->j) {
		nm_json_begin(s->j, path, '{');
		nm_json_raw(s->j, "old", old ? old : "null", strlen(old ? old : "null"));
		nm_json_raw(s->j, "new", new ? new : "null", strlen(new ? new : "null"));
		nm_json_end(s->j, '}');
		return;
	}
	printf("%s %s ", s->n++ ? "," : ":", path);
	if (old)
		put_value(old);
	else
		fputs("(none)", stdout);
	fputs(" -> ", stdout);
	if (new)
		put_value(new);
	else
		fputs("(none)", stdout);
}

static const char *name_in(const struct flat *f)
{
	static const char *const names[] = {"ifname", "ifindex_name", "index_name",
					    "header.dev_name"};
	const char *name = NULL;

	for (size_t i = 0; f && !name && i < NM_COUNT(names); i++)
		name = flat_get(f, names[i]);
	return name;
}

/* What identifies it, with names of interfaces for their numbers. */
static void say_who(const struct flat *f, const struct identity *id)
{
	const char *name = name_in(f);
	bool whole = !id->key[0];

	if (name && !whole) {
		putchar(' ');
		put_value(name);
	}
	for (size_t i = 0; i < f->n; i++) {
		const char *path = f->v[i].path;
		bool is_key = whole;

		for (size_t k = 0; k < NM_COUNT(id->key) && id->key[k]; k++)
			is_key |= !strcmp(path, id->key[k]);
		if (!is_key || (name && (!strcmp(path, "index") || !strcmp(path, "ifindex") ||
					 !strcmp(path, "header.dev_index"))))
			continue;
		if (!strcmp(f->v[i].value, "[]") || !strcmp(path, "what") ||
		    !strcmp(path, "change") || !strcmp(path, "command"))
			continue;
		printf(" %s ", path);
		put_value(f->v[i].value);
	}
}

/* What of a new or vanished entry is worth a word besides. */
static void say_rest(const struct flat *f, const struct identity *id)
{
	static const char *const rest[] = {"gateway",   "oif_name", "lladdr",      "state",
					   "protocol",  "mtu",      "operstate",   "table_name",
					   "endpoint",  "online",   "listen_port", "lock_status",
					   "forwarding"};

	for (size_t i = 0; id->key[0] && i < NM_COUNT(rest); i++) {
		const char *v = flat_get(f, rest[i]);

		if (v) {
			printf(" %s ", rest[i]);
			put_value(v);
		}
	}
}

void say_change(struct nm_json *j, const char *what, const char *who, const struct identity *id,
		const struct flat *old, const struct flat *new)
{
	static const struct flat none;
	const struct flat *is = new ? new : old;
	struct saying s = {.j = j};

	if (j) {
		nm_json_string(j, "change", !old ? "added" : !new ? "removed" : "changed");
		nm_json_string(j, "what", what);
		nm_json_begin(j, "identity", '{');
		for (size_t i = 0; i < is->n; i++)
			for (size_t k = 0; k < NM_COUNT(id->key) && id->key[k]; k++)
				if (!strcmp(is->v[i].path, id->key[k]))
					nm_json_raw(j, is->v[i].path, is->v[i].value,
						    strlen(is->v[i].value));
		nm_json_end(j, '}');
		if (name_in(is))
			nm_json_raw(j, "name", name_in(is), strlen(name_in(is)));
		nm_json_begin(j, "attributes", '{');
		flat_compare(id, old ? old : &none, new ? new : &none, say_attribute, &s);
		nm_json_end(j, '}');
		return;
	}
	(void)who;
	paint(!old ? GREEN : !new ? RED : YELLOW);
	printf("%c %s", !old ? '+' : !new ? '-' : '~', what);
	paint(PLAIN);
	say_who(is, id);
	if (old && new)
		flat_compare(id, old, new, say_attribute, &s);
	else
		say_rest(is, id);
}

/* ---- reading ---------------------------------------------------------------------------- */

static int keep(void *user, const char *what, struct flat *f)
{
	struct snapshot *s = user;
	struct item *more;
	char *who;
	const struct identity *id = flat_identity(what, f, &who);

	if (!id)
		return 0;
	if (!flat_wanted(f, id)) {
		free(who);
		return 1;
	}
	if (s->n == s->room) {
		more = reallocarray(s->v, s->room ? 2 * s->room : 256, sizeof(*more));
		if (!more) {
			free(who);
			return 0;
		}
		s->v = more;
		s->room = s->room ? 2 * s->room : 256;
	}
	s->v[s->n] = (struct item){strdup(what), who, s->n, id, *f};
	s->n++;
	*f = (struct flat){0};
	return 1;
}

static int by_identity(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = strcmp(x->what, y->what);

	if (!order)
		order = strcmp(x->who, y->who);
	return order ? order : (x->nth > y->nth) - (x->nth < y->nth);
}

/* First in the order in which they were read, then each by how many like it went before. */
static void sort(struct snapshot *s)
{
	if (!s->n)
		return;
	qsort(s->v, s->n, sizeof(*s->v), by_identity);
	s->v[0].nth = 0;
	for (size_t i = 1, nth; i < s->n; i++) {
		nth = !strcmp(s->v[i].what, s->v[i - 1].what) &&
				      !strcmp(s->v[i].who, s->v[i - 1].who) ?
			      s->v[i - 1].nth + 1 :
			      0;
		s->v[i].nth = nth;
	}
}

static int read_file(struct snapshot *s, const char *path)
{
	FILE *f = strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
	int err;

	if (!f)
		return fail(USAGE, "diff %s: %s", path, strerror(errno));
	err = flat_read(f, keep, s, s->command);
	if (f != stdin)
		fclose(f);
	if (err)
		return fail(USAGE,
			    "diff %s: no snapshot: whole JSON as `netmon link` prints it is needed",
			    path);
	return OK;
}

/* What is now is what a command of our own prints into a pipe. */
static int read_now(struct snapshot *s, const char *command)
{
	const struct noun *n = noun_named(command);
	int fd[2], status, child_status = 0;
	pid_t child;
	FILE *f;

	if (!n && strcmp(command, "all") != 0)
		return fail(USAGE,
			    "diff: the snapshot does not say of what it is; two files are needed");
	fflush(stdout);
	if (pipe(fd))
		return fail(FAILED, "%s", strerror(errno));
	child = fork();
	if (!child) {
		close(fd[0]);
		dup2(fd[1], STDOUT_FILENO);
		close(fd[1]);
		arg.noun = n;
		arg.print = 0;
		arg.format = FORMAT_JSON;
		status = n ? show() : show_all();
		fflush(stdout);
		_exit(status);
	}
	close(fd[1]);
	f = child > 0 ? fdopen(fd[0], "r") : NULL;
	status = f && !flat_read(f, keep, s, s->command) ? OK : FAILED;
	if (f)
		fclose(f);
	if (child > 0)
		waitpid(child, &child_status, 0);
	if (WIFEXITED(child_status) && WEXITSTATUS(child_status))
		return WEXITSTATUS(child_status); /* it has said why */
	return status ? fail(FAILED, "diff: what is now cannot be read") : OK;
}

static void free_snapshot(struct snapshot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].what);
		free(s->v[i].who);
		flat_free(&s->v[i].flat);
	}
	free(s->v);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static size_t say(struct nm_json *j, const struct item *old, const struct item *new)
{
	const struct item *is = new ? new : old;

	if (old && new && !flat_compare(is->id, &old->flat, &new->flat, NULL, NULL))
		return 0;
	if (j)
		nm_json_begin(j, NULL, '{');
	say_change(j, is->what, is->who, is->id, old ? &old->flat : NULL, new ? &new->flat : NULL);
	if (!j) {
		putchar('\n');
		return 1;
	}
	nm_json_end(j, '}');
	if (arg.format == FORMAT_NDJSON)
		nm_json_line(j);
	return 1;
}

static size_t compare(struct nm_json *j, struct snapshot *a, struct snapshot *b)
{
	size_t i = 0, k = 0, n = 0;

	sort(a);
	sort(b);
	while (i < a->n || k < b->n) {
		int order = i == a->n ? 1 : k == b->n ? -1 : by_identity(&a->v[i], &b->v[k]);

		n += say(j, order <= 0 ? &a->v[i] : NULL, order >= 0 ? &b->v[k] : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return n;
}

int show_diff(void)
{
	struct snapshot a = {0}, b = {0};
	struct nm_json *j = NULL;
	size_t n = 0;
	int status;

	if (!arg.words)
		return fail(USAGE, "diff: a snapshot is needed: what `netmon link` has printed");
	status = read_file(&a, arg.word[0]);
	if (!status)
		status = arg.words == 2 ? read_file(&b, arg.word[1]) : read_now(&b, a.command);
	if (!status && arg.format != FORMAT_AUTO && !(j = nm_json_new(stdout, arg.print)))
		status = no_memory();
	if (!status) {
		if (j && arg.format != FORMAT_NDJSON)
			nm_json_begin(j, NULL, '[');
		n = compare(j, &a, &b);
		if (j && arg.format != FORMAT_NDJSON) {
			nm_json_end(j, ']');
			nm_json_line(j);
		}
		if (j)
			nm_json_flush(j);
	}
	nm_json_free(j);
	free_snapshot(&a);
	free_snapshot(&b);
	return status ? status : n ? DIFFERENT : OK;
}
