/* SPDX-License-Identifier: MIT */
/* The state file of netmon_neighbor: stations are read from it, also arpwatch's, and written. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "neighbor.h"

#define MAGIC    "netmon stations 1"
#define ANYWHERE "/" /* no interface can be named so */

struct save {
	char path[PATH_MAX], new[PATH_MAX], original[PATH_MAX];
	char *text;
	size_t size;
	bool imported;
	int err;
};

static void file_path(const struct nm_view *v, char path[static PATH_MAX], const char *suffix)
{
	const struct config *c = v->config;

	snprintf(path, PATH_MAX, "%s%s%s%s", c->state_file, v->netns ? "@" : "",
		 v->netns ? v->netns : "", suffix);
}

static void tell_file(struct nm_view *v, enum nm_severity severity, const char *reason,
		      const char *text)
{
	const struct config *c = v->config;
	struct nm_notice *n = c->notify & STATE_FILE ?
				      nm_notify(v, severity,
						nm_name(&nm_neighbor_notices, STATE_FILE),
						"stations") :
				      NULL;

	nm_meta(n, "file", "%.63s", c->state_file);
	nm_meta(n, "reason", "%.63s", reason);
	nm_say(n, "state file %.100s: %s", c->state_file, text);
}

/* "2:0:0:0:0:1", "20/0:0:...": what nm_lladdr_text() writes, and arpwatch without leading zeros. */
static bool read_lladdr(const char *s, uint64_t *at)
{
	unsigned long len = 0;
	uint8_t byte[7];
	size_t n = 0;
	char *end;

	if (strchr(s, '/')) {
		len = strtoul(s, &end, 10);
		if (*end != '/' || len < 8 || len > 255)
			return false;
		s = end + 1;
	}
	for (;; s = end + 1) {
		unsigned long b = strtoul(s, &end, 16);

		if (n == sizeof(byte) || !isxdigit((unsigned char)*s) || b > 255)
			return false;
		byte[n++] = (uint8_t)b;
		if (*end != ':')
			break;
	}
	if (*end || (len && n != sizeof(byte)))
		return false;
	*at = nm_lladdr_pack(byte, n);
	if (len)
		*at = (*at & ~(0xffull << 56)) | (uint64_t)len << 56;
	return true;
}

static bool read_name(const char *s, char name[static IFNAMSIZ])
{
	if (!*s || strlen(s) >= IFNAMSIZ)
		return false;
	if (strcmp(s, ANYWHERE))
		snprintf(name, IFNAMSIZ, "%s", s);
	return true;
}

/* An IP address, a link layer address, or that and a VLAN. */
static bool read_address(char *s, struct station_key *k)
{
	char *slash = strchr(s, '/');
	uint64_t at;

	k->family = inet_pton(AF_INET, s, k->addr) == 1  ? AF_INET :
		    inet_pton(AF_INET6, s, k->addr) == 1 ? AF_INET6 :
							   AF_BRIDGE;
	if (k->family != AF_BRIDGE)
		return true;
	if (slash) {
		char *end;
		unsigned long vlan = strtoul(slash + 1, &end, 10);

		if (*end || !vlan || vlan > 4095)
			return false;
		k->vlan = (uint16_t)vlan;
		*slash = 0;
	}
	if (!read_lladdr(s, &at) || at >> 56 != 6)
		return false;
	for (int i = 0; i < 6; i++)
		k->addr[i] = (uint8_t)(at >> 8 * (5 - i));
	return true;
}

static bool read_time(const struct nm_view *v, const char *s, int64_t *seen)
{
	int64_t now = time(NULL), then;
	char *end;

	errno = 0;
	then = strtoll(s, &end, 10);
	if (*end || end == s || errno || then < 0)
		return false;
	*seen = seconds(v) - (then < now ? now - then : 0);
	return true;
}

/* 0, -EBADMSG: not one of our lines, -ENOMEM */
static int read_line(struct nm_view *v, char *line)
{
	struct station_key k = {0};
	struct station st = {0};
	char *save, *where = strtok_r(line, " ", &save), *address = strtok_r(NULL, " ", &save),
		    *seen = strtok_r(NULL, " ", &save), *at = strtok_r(NULL, " ", &save);
	size_t n = 0;

	if (!where || !address || !seen || !at || !read_name(where, k.where) ||
	    !read_address(address, &k) || !read_time(v, seen, &st.seen))
		return -EBADMSG;
	if (k.family == AF_BRIDGE) {
		if (!read_name(at, st.port) || strtok_r(NULL, " ", &save))
			return -EBADMSG;
	} else {
		for (; at; at = strtok_r(NULL, " ", &save))
			if (n == PAST || !read_lladdr(at, &st.at[n++]))
				return -EBADMSG;
	}
	st.changed = INT64_MIN / 2;
	return nm_station_add(v, &k, &st);
}

/* arpwatch's: link layer address, IP address, time, host name, interface; by tabs. */
static int read_arpwatch(struct nm_view *v, char *line)
{
	struct stations *s = nm_stations(v);
	struct station_key k = {0};
	struct station is = {.changed = INT64_MIN / 2}, *st;
	char *field[5] = {0};
	size_t n = 0, i = 1;

	for (char *f; n < NM_COUNT(field) && (f = strsep(&line, "\t"));)
		field[n++] = f;
	if (n < 3 || !read_lladdr(field[0], &is.at[0]) || !read_address(field[1], &k) ||
	    k.family == AF_BRIDGE || !read_time(v, field[2], &is.seen) ||
	    (field[4] && *field[4] && !read_name(field[4], k.where)))
		return -EBADMSG;
	st = nm_map_get(&s->known, &k);
	if (!st)
		return nm_station_add(v, &k, &is);
	if (is.seen > st->seen) { /* a later one stands in front */
		memmove(&st->at[1], &st->at[0], (PAST - 1) * sizeof(st->at[0]));
		st->at[0] = is.at[0];
		st->seen = is.seen;
		return 0;
	}
	while (i < PAST && st->at[i])
		i++;
	if (i < PAST)
		st->at[i] = is.at[0];
	return 0;
}

static bool read_end(const char *line, unsigned long *lines)
{
	char *end;

	if (strncmp(line, "end ", 4) != 0 || !isdigit((unsigned char)line[4]))
		return false;
	*lines = strtoul(line + 4, &end, 10);
	return !*end;
}

/*
 * An empty file is as good as none.  The last line counts the others: a file
 * that was cut off has none, or a wrong one.
 */
static int read_stations(struct nm_view *v, FILE *f)
{
	struct stations *s = nm_stations(v);
	unsigned long lines = 0, end = 0;
	bool ended = false;
	char line[512];
	int err = 0;

	for (; !err && fgets(line, sizeof(line), f); lines++) {
		size_t len = strlen(line);

		if (!len || line[len - 1] != '\n' || ended)
			return -EBADMSG;
		line[len - 1] = 0;
		if (!lines && strcmp(line, MAGIC))
			s->imported = true;
		ended = !s->imported && lines && read_end(line, &end);
		if (s->imported)
			err = read_arpwatch(v, line);
		else if (lines && !ended)
			err = read_line(v, line);
	}
	if (!err && ferror(f))
		err = -EIO;
	if (!err && lines && !s->imported && (!ended || end != lines - 2))
		err = -EBADMSG;
	return err ? err : lines ? 0 : -ENOENT;
}

static void forget_all(struct stations *s)
{
	nm_map_free(&s->known);
	s->forgotten = 0;
	s->imported = false;
}

void nm_stations_load(struct nm_view *v)
{
	const struct config *c = v->config;
	struct stations *s = nm_stations(v);
	char path[PATH_MAX], aside[PATH_MAX];
	FILE *f;
	int err;

	if (s->loaded)
		return;
	s->loaded = true;
	s->saved_at = v->now;
	if (!c->state_file || !c->track)
		return;
	file_path(v, path, "");
	file_path(v, aside, ".damaged");
	f = fopen(path, "re");
	err = f ? read_stations(v, f) : -errno;
	if (f)
		fclose(f);
	if (!err)
		s->remembers = true;
	s->unsaved = s->imported;
	if (!err || err == -ENOENT)
		return;
	forget_all(s);
	s->unsaved = false;
	if (err == -EBADMSG && !rename(path, aside)) {
		tell_file(
			v, NM_WARNING, "damaged",
			"it is damaged, and was renamed to end in .damaged; all stations are new");
		return;
	}
	s->frozen = true; /* what could not be read must not be replaced */
	tell_file(v, NM_WARNING, strerror(-err), "it cannot be read, and is left as it is");
}

static void print_stations(const struct nm_view *v, FILE *f)
{
	const struct stations *s = nm_stations(v);
	int64_t base = time(NULL) - seconds(v);
	const struct station *st;
	const void *key;
	char text[TEXT];
	size_t n = 0;

	fputs(MAGIC "\n", f);
	for (size_t i = 0; (st = nm_map_next(&s->known, &key, &i)); n++) {
		const struct station_key *k = key;

		fprintf(f, "%s %s %" PRId64, *k->where ? k->where : ANYWHERE,
			nm_station_text(k, text), base + st->seen);
		if (k->family == AF_BRIDGE)
			fprintf(f, " %s", st->port);
		else
			for (size_t p = 0; p < PAST && st->at[p]; p++)
				fprintf(f, " %s", nm_lladdr_text(st->at[p], text));
		putc('\n', f);
	}
	fprintf(f, "end %zu\n", n);
}

static int print_to(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) ? -errno : 0;
}

/* The file is always whole: the new one takes the old one's name when it is complete. */
static int write_file(const struct save *w)
{
	int fd, err;

	unlink(w->new);
	fd = open(w->new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = print_to(fd, w->text, w->size);
	if (close(fd) && !err)
		err = -errno;
	if (!err && w->imported && link(w->path, w->original) && errno != EEXIST)
		err = -errno;
	if (!err && rename(w->new, w->path))
		err = -errno;
	if (err)
		unlink(w->new);
	return err;
}

static void *write_aside(void *arg)
{
	struct save *w = arg;

	w->err = write_file(w);
	return NULL;
}

static struct save *prepare(const struct nm_view *v)
{
	const struct stations *s = nm_stations(v);
	struct save *w = calloc(1, sizeof(*w));
	FILE *f = w ? open_memstream(&w->text, &w->size) : NULL;
	bool bad = !f;

	if (f) {
		print_stations(v, f);
		bad = ferror(f);
		bad |= fclose(f) != 0;
	}
	if (bad) {
		if (w)
			free(w->text);
		free(w);
		return NULL;
	}
	w->imported = s->imported;
	file_path(v, w->path, "");
	file_path(v, w->new, ".new");
	file_path(v, w->original, ".arpwatch");
	return w;
}

static void saved(struct nm_view *v, struct save *w)
{
	struct stations *s = nm_stations(v);

	if (w->err && !s->failing)
		tell_file(v, NM_WARNING, strerror(-w->err), "it cannot be written");
	if (!w->err && s->failing)
		tell_file(v, NM_OKAY, "written", "it can be written again");
	s->failing = w->err != 0;
	s->unsaved |= w->err != 0;
	s->imported &= w->err != 0;
	free(w->text);
	free(w);
}

static bool saves(const struct nm_view *v)
{
	const struct config *c = v->config;
	const struct stations *s = nm_stations(v);

	return c->state_file && c->track && s->loaded && !s->frozen && s->unsaved;
}

/*
 * A disk can take seconds, and events wait for the reading: the stations are only printed
 * by it, and written by a thread that is made for it.
 */
int nm_stations_save(struct nm_view *v)
{
	struct stations *s = nm_stations(v);
	sigset_t all, was;
	int err;

	if (s->save && !pthread_tryjoin_np(s->saver, NULL)) {
		saved(v, s->save);
		s->save = NULL;
	}
	if (s->save || !saves(v) || v->now - s->saved_at < 60 * 1000000000ull)
		return 0;
	s->saved_at = v->now;
	s->save = prepare(v);
	if (!s->save)
		return -ENOMEM;
	s->unsaved = false;
	sigfillset(&all); /* signals are for the program's own threads */
	pthread_sigmask(SIG_SETMASK, &all, &was);
	err = pthread_create(&s->saver, NULL, write_aside, s->save);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (err) {
		s->save->err = -err;
		saved(v, s->save);
		s->save = NULL;
	}
	return 0;
}

void nm_stations_save_at_the_end(struct nm_view *v)
{
	struct stations *s = nm_stations(v);
	struct save *w;

	if (s->save) {
		pthread_join(s->saver, NULL);
		saved(v, s->save);
	}
	w = saves(v) ? prepare(v) : NULL;
	if (w) {
		write_aside(w);
		saved(v, w);
	}
}
