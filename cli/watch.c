/* SPDX-License-Identifier: MIT */
/* netmon watch: changes as they happen, and what changed from what to what. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

struct known { /* an entry as it was told last */
	struct flat flat;
	char *what, *who;
	const struct identity *id;
	const struct nm_source *source;
	uint64_t seen;    /* number of the dump */
	uint64_t changes; /* since the start */
};

struct watch {
	const struct noun *noun;
	const char *const *name; /* all that are watched */
	size_t names;
	struct nm_view *v;
	struct nm_json *scratch; /* where an entry becomes JSON */
	FILE *to;
	char *text;
	size_t size;
	struct nm_map known; /* hash of what and who -> struct known * */
	uint64_t dump;
	bool quiet;                  /* the first dump: nothing is news */
	bool polled;                 /* some of it no event tells of */
	const struct nm_source *now; /* of the entry that is read, NULL: none is open */
	bool gone, event;            /* likewise */
	uint64_t added, removed, changed;
};

enum { MAX_WATCHED = 16 };
static volatile sig_atomic_t ended;

static void end_it(int number)
{
	(void)number;
	ended = 1;
}

/* Two sums of different start: that both are the same for two entries does not happen. */
static void hash(const char *what, const char *who, uint64_t key[2])
{
	key[0] = 0xcbf29ce484222325u;
	key[1] = 0x84222325cbf29ce4u;
	for (const char *part = what; part; part = part == what ? who : NULL)
		for (const char *s = part; *s || s == part; s++) {
			key[0] = (key[0] ^ (uint8_t)*s) * 0x100000001b3u;
			key[1] = (key[1] ^ (uint8_t)*s ^ 0x5a) * 0x9e3779b97f4a7c15u;
			if (!*s)
				break;
		}
}

/* ---- telling --------------------------------------------------------------------------- */

static void tell(struct watch *w, const struct known *k, const struct flat *old,
		 const struct flat *new)
{
	struct timespec t;
	struct tm tm;
	char clock[32];

	clock_gettime(CLOCK_REALTIME, &t);
	if (arg.format == FORMAT_NDJSON) {
		struct nm_json *j = nm_json_new(stdout, NM_ONE_LINE);

		if (!j)
			return;
		nm_json_begin(j, NULL, '{');
		nm_json_number(j, "time", (double)t.tv_sec + (double)t.tv_nsec / 1e9);
		say_change(j, k->what, k->who, k->id, old, new);
		if (arg.since_start)
			nm_json_uint(j, "changes", k->changes);
		nm_json_end(j, '}');
		nm_json_line(j);
		nm_json_flush(j);
		nm_json_free(j);
	} else {
		localtime_r(&t.tv_sec, &tm);
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
		paint(DIM);
		printf("%s.%06ld ", clock, t.tv_nsec / 1000);
		paint(PLAIN);
		say_change(NULL, k->what, k->who, k->id, old, new);
		if (arg.since_start)
			printf(" (%" PRIu64 ". change)", k->changes);
		putchar('\n');
	}
	w->added += !old;
	w->removed += !new;
	w->changed += old && new;
}

static void forget(struct watch *w, const uint64_t key[2], struct known *k)
{
	nm_map_del(&w->known, key);
	flat_free(&k->flat);
	free(k->what);
	free(k->who);
	free(k);
}

static struct known *learn(struct watch *w, const uint64_t key[2], const char *what, char *who,
			   const struct identity *id)
{
	struct known *k = calloc(1, sizeof(*k)), **at;

	at = k ? nm_map_put(&w->known, key, NULL) : NULL;
	if (!at) {
		free(k);
		return NULL;
	}
	k->what = strdup(what);
	k->who = who;
	k->id = id;
	k->source = w->now;
	*at = k;
	return k;
}

/* A peer of WireGuard's comes and goes without a word: the age of its handshake tells. */
static void add_online(struct flat *f, const char *what)
{
	const char *shook = flat_get(f, "last_handshake_time.tv_sec");

	if (shook && !strcmp(what, "peers"))
		flat_add(f, "online",
			 is_online(strtoll(shook, NULL, 10), time(NULL)) ? "true" : "false");
}

/* One entry as it is now, or as it was when it vanished. */
static int compare(void *user, const char *what, struct flat *f)
{
	struct watch *w = user;
	bool gone = w->gone;
	struct known **at, *k;
	uint64_t key[2];
	char *who;
	const struct identity *id = flat_identity(what, f, &who);

	if (!id)
		return 0;
	if (!flat_wanted(f, id)) {
		free(who);
		return 1;
	}
	add_online(f, what);
	hash(what, who, key);
	at = nm_map_get(&w->known, key);
	k = at ? *at : NULL;
	if (k && w->event) {
		flat_keep(f, &k->flat, id->unsaid);
		if (id->undumped[0] && !flat_has(&k->flat, id->undumped))
			flat_keep(&k->flat, f, id->undumped);
	}
	if (gone && k) {
		k->changes++;
		tell(w, k, &k->flat, NULL);
		forget(w, key, k);
	}
	if (gone || (k && !flat_compare(id, &k->flat, f, NULL, NULL))) {
		if (!gone)
			k->seen = w->dump;
		free(who);
		return 1;
	}
	if (!k) {
		k = learn(w, key, what, who, id);
		if (!k) {
			free(who);
			return 0;
		}
		if (!w->quiet) {
			k->changes++;
			tell(w, k, NULL, f);
		}
	} else {
		k->changes++;
		tell(w, k, &k->flat, f);
		free(who);
	}
	k->seen = w->dump;
	flat_free(&k->flat);
	k->flat = *f;
	*f = (struct flat){0};
	return 1;
}

/* What two commands show is told once, where both are watched. */
static bool told_elsewhere(const struct watch *w, const struct nm_source *s)
{
	static const char *const twice[][3] = {{"mdb", "ports", "link"},
					       {"mdb", "bridges", "link"}};

	for (size_t i = 0; i < NM_COUNT(twice); i++)
		if (!strcmp(w->noun->name, twice[i][0]) && !strcmp(s->what, twice[i][1]))
			for (size_t k = 0; k < w->names; k++)
				if (!strcmp(w->name[k], twice[i][2]))
					return true;
	return false;
}

/* Events tell of it, or it is asked for link by link, which is done again and again. */
static bool watched(const struct watch *w, const struct nm_source *s)
{
	return !told_elsewhere(w, s) && noun_shows(w->noun, s) &&
	       (s->group[0] || s->mcast || s->each) && !identity_of(s->what, NULL)->skip;
}

/* Through the same JSON as everything else: what a snapshot shows is what is compared. */
static void end_entry(struct watch *w)
{
	if (!w->now)
		return;
	nm_print_end(w->scratch);
	nm_json_end(w->scratch, '}');
	nm_json_line(w->scratch);
	nm_json_flush(w->scratch);
	fflush(w->to);
	flat_one(w->text, (size_t)ftell(w->to), compare, w);
	w->now = NULL;
}

static int on_message(const struct nm_msg *m, void *user)
{
	struct watch *w = user;

	if (!watched(w, m->src))
		return 0;
	if (!m->goes_on || !w->now) {
		end_entry(w);
		rewind(w->to);
		nm_json_begin(w->scratch, NULL, '{');
		nm_json_string(w->scratch, "what", m->src->what);
		w->now = m->src;
		w->gone = m->gone;
		w->event = m->event;
	}
	nm_print(w->scratch, w->v, m);
	if (m->event) /* is whole */
		end_entry(w);
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* What the dump did not have is gone. */
static void sweep(struct watch *w, const struct nm_source *s)
{
	const void *key;
	struct known **at;

	for (size_t i = 0; (at = nm_map_next(&w->known, &key, &i));) {
		struct known *k = *at;
		uint64_t copy[2];

		if (k->source != s || k->seen == w->dump)
			continue;
		memcpy(copy, key, sizeof(copy));
		k->changes++;
		tell(w, k, &k->flat, NULL);
		forget(w, copy, k);
		i--;
	}
}

static int dump_one(struct watch *w, size_t i)
{
	int err;

	w->dump++;
	for (int tries = 0; (err = nm_dump(w->v, i)) == -EINTR && tries < 5; tries++) {
		end_entry(w);
		nm_events(w->v);
	}
	end_entry(w);
	if (!err && !w->quiet)
		sweep(w, &w->v->plugin->source[i]);
	return err;
}

/* polled: only what no event tells of. */
static int dump_all(struct watch *w, bool polled)
{
	int status = OK;

	for (size_t i = 0; i < w->v->plugin->nsource; i++) {
		const struct nm_source *s = &w->v->plugin->source[i];
		char why[256];
		int err;

		if (!watched(w, s) || (polled && !s->each))
			continue;
		w->polled |= s->each != NULL;
		err = dump_one(w, i);
		if (err && w->quiet)
			status = fail(why_incomplete(w->v, s, err, true, why, sizeof(why)), "%s",
				      why);
	}
	w->quiet = false;
	return status;
}

static int open_watch(struct watch *w, const char *name, const char *const *all, size_t n_all)
{
	const struct noun *n = noun_named(name);
	int status;

	if (!n)
		return fail(USAGE, "watch %s: no such thing; `netmon --help` lists what is shown",
			    name);
	*w = (struct watch){.noun = n,
			    .name = all,
			    .names = n_all,
			    .known = {.key = 16, .val = sizeof(struct known *)},
			    .quiet = true};
	status = open_view(&w->v, noun_plugin(n), NULL, NM_EVENTS);
	if (status)
		return status;
	w->to = open_memstream(&w->text, &w->size);
	w->scratch = w->to ? nm_json_new(w->to, NM_ONE_LINE | (arg.print & NM_NO_UNKNOWN)) : NULL;
	if (!w->scratch)
		return no_memory();
	status = read_names(w->v, NULL);
	nm_set_tap(w->v, on_message, w);
	return status ? status : dump_all(w, false);
}

static void close_watch(struct watch *w)
{
	const void *key;
	struct known **at;

	for (size_t i = 0; (at = nm_map_next(&w->known, &key, &i));) {
		flat_free(&(*at)->flat);
		free((*at)->what);
		free((*at)->who);
		free(*at);
	}
	nm_map_free(&w->known);
	nm_json_free(w->scratch);
	if (w->to)
		fclose(w->to);
	free(w->text);
	nm_close(w->v);
}

static void lost(struct watch *w)
{
	if (arg.format == FORMAT_NDJSON)
		printf("{\"change\":\"lost\",\"what\":\"%s\"}\n", w->noun->name);
	else
		printf("! %s: events were lost; what follows is the difference\n", w->noun->name);
	dump_all(w, false);
}

/* ms until what no event tells of is looked at again; -1: there is nothing such. */
static int patience(const struct watch *w, size_t n, uint64_t next)
{
	uint64_t t = now();

	for (size_t i = 0; i < n; i++)
		if (w[i].polled)
			return t < next ? (int)((next - t + 999999) / 1000000) : 0;
	return -1;
}

static int follow(struct watch *w, size_t n)
{
	struct pollfd fds[2 * MAX_WATCHED];
	int fd[2 * MAX_WATCHED], err = 0, wait;
	struct timespec t;
	sigset_t ends, awake;
	uint64_t next = now() + (uint64_t)(arg.interval * 1e9);
	size_t nfds = 0;

	for (size_t i = 0; i < n; i++)
		nfds += nm_fds(w[i].v, fd + nfds, NM_COUNT(fd) - nfds);
	for (size_t i = 0; i < nfds; i++)
		fds[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
	fflush(stdout);
	/* A signal comes while it waits, not between a look at what it has set and that. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, &awake);
	while (!ended && !err && !ferror(stdout)) {
		for (size_t i = 0; i < n; i++) { /* lets a signal in, however many events wait */
			t = (struct timespec){.tv_nsec = nm_rest(w[i].v) * 1000000L};
			ppoll(NULL, 0, &t, &awake);
		}
		if (ended)
			break;
		wait = patience(w, n, next);
		t = (struct timespec){wait / 1000, wait % 1000 * 1000000L};
		if (ppoll(fds, nfds, wait < 0 ? NULL : &t, &awake) < 0)
			continue; /* a signal */
		for (size_t i = 0; now() >= next && i < n; i++)
			if (w[i].polled)
				dump_all(&w[i], true);
		if (now() >= next)
			next = now() + (uint64_t)(arg.interval * 1e9);
		for (size_t i = 0; !err && i < n; i++) {
			err = nm_events(w[i].v);
			if (err == -ENOBUFS) {
				lost(&w[i]);
				err = 0;
			}
		}
		fflush(stdout);
	}
	return err ? fail(FAILED, "events cannot be read: %s", strerror(-err)) : OK;
}

/* What "all" is: every plugin's that this kernel has. */
static size_t name_all(const char **name)
{
	const struct nm_plugin *p;
	size_t n = 0;

	for (size_t i = 0; (p = plugin_at(i)) && n < MAX_WATCHED; i++)
		if (can_be_had(p))
			name[n++] = short_name(p);
	return n;
}

static void print_sums(const struct watch *w, size_t n)
{
	if (isatty(STDOUT_FILENO)) /* which shows ^C */
		putchar('\n');
	for (size_t i = 0; i < n && w[i].noun; i++)
		printf("%s: %" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " changed\n",
		       w[i].noun->name, w[i].added, w[i].removed, w[i].changed);
}

static size_t names_of(const char **name)
{
	static const char *const some[] = {"link", "route", "neighbor", "mdb", "rule"};
	size_t n = arg.words ? arg.words : NM_COUNT(some);

	if (arg.words == 1 && !strcmp(arg.word[0], "all"))
		return name_all(name);
	for (size_t i = 0; i < n && i < MAX_WATCHED; i++)
		name[i] = arg.words ? arg.word[i] : some[i];
	return n;
}

int show_watch(void)
{
	struct sigaction end = {.sa_handler = end_it};
	const char *name[MAX_WATCHED];
	struct watch *w;
	size_t n = 0, wanted = names_of(name);
	int status = OK, one = OK;

	if (!arg.interval)
		arg.interval = 1;
	w = calloc(MAX_WATCHED, sizeof(*w));
	if (!w)
		return no_memory();
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	for (; one != USAGE && one != FAILED && n < wanted; n++) {
		one = open_watch(&w[n], name[n], name, wanted);
		status = one ? one : status;
	}
	/* What cannot be had does not hide the rest. */
	if (!status || status == INCOMPLETE || (status == NOT_PERMITTED && wanted > 1))
		one = follow(w, n);
	status = one ? one : status;
	if (arg.since_start && arg.format != FORMAT_NDJSON && status != USAGE && status != FAILED)
		print_sums(w, n);
	for (size_t i = 0; i < n; i++)
		close_watch(&w[i]);
	free(w);
	return status;
}
