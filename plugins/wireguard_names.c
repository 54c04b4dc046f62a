/* SPDX-License-Identifier: MIT */
/* What the administrator calls WireGuard's peers, in the configuration or in files of wg(8). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wireguard.h"

#define FILE_MAX (64 << 20)

struct file {
	const char *path;
	struct stat is; /* when it was read last */
	int err;        /* told last */
	struct file *next;
};

/* ---- keys ------------------------------------------------------------------------------ */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool nm_key_read(const char *text, size_t len, uint8_t to[WG_KEY_LEN])
{
	uint32_t bits = 0;
	size_t n = 0;

	if (len != KEY_TEXT || text[KEY_TEXT - 1] != '=')
		return false;
	for (size_t i = 0; i < KEY_TEXT - 1; i++) {
		const char *d = text[i] ? strchr(base64, text[i]) : NULL;

		if (!d)
			return false;
		bits = bits << 6 | (uint32_t)(d - base64);
		if (i % 4 && to) /* the first of four completes no byte */
			to[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return !(bits & 3);
}

void nm_key_text(const uint8_t key[WG_KEY_LEN], char to[static KEY_TEXT + 1])
{
	for (size_t i = 0; i < KEY_TEXT - 1; i++) {
		size_t at = i * 6 / 8, shift = i * 6 % 8;
		unsigned two = (unsigned)key[at] << 8 | (at + 1 < WG_KEY_LEN ? key[at + 1] : 0);

		to[i] = base64[two >> (10 - shift) & 63];
	}
	to[KEY_TEXT - 1] = '=';
	to[KEY_TEXT] = 0;
}

/* ---- a file of wg(8) ------------------------------------------------------------------- */

struct text { /* a part of a line */
	const char *s;
	size_t len;
};

static struct text strip(struct text t, const char *what)
{
	while (t.len && strchr(what, *t.s)) {
		t.s++;
		t.len--;
	}
	while (t.len && strchr(what, t.s[t.len - 1]))
		t.len--;
	return t;
}

/* "key = value"; false: it is no assignment. */
static bool assignment(struct text t, struct text *key, struct text *value)
{
	const char *eq = memchr(t.s, '=', t.len);

	if (!eq)
		return false;
	*key = strip((struct text){t.s, (size_t)(eq - t.s)}, " \t");
	*value = strip((struct text){eq + 1, t.len - (size_t)(eq + 1 - t.s)}, " \t");
	for (size_t i = 0; i < key->len; i++)
		if (strchr(" \t", key->s[i]))
			return false;
	return true;
}

static bool is(struct text t, const char *word)
{
	return t.len == strlen(word) && !strncasecmp(t.s, word, t.len);
}

/* A key that was commented out could be a secret. */
static bool may_be_key(struct text t)
{
	size_t run = 0;

	for (size_t i = 0; i < t.len && run < KEY_TEXT - 1; i++)
		run = t.s[i] && strchr(base64, t.s[i]) ? run + 1 : 0;
	return run >= KEY_TEXT - 1;
}

/* The name in a comment, empty when there is none.  given: it says that it is a name. */
static struct text name_in(struct text line, bool *given)
{
	struct text t = strip(line, "# \t\r"), key, value = t;
	const struct text none = {t.s, 0};

	*given = false;
	if (assignment(t, &key, &value)) {
		*given = is(key, "friendly_name") || is(key, "Name");
		if (!*given) /* a line of the configuration that was commented out */
			return none;
	} else {
		value = t;
	}
	return may_be_key(value) || (value.len && *value.s == '[') ? none : value;
}

/* Identifiers hold no "/", and a name that is cut must not end within a character. */
static void tidy(char to[static WISH_SIZE], struct text t)
{
	size_t n = t.len;

	memset(to, 0, WISH_SIZE);
	if (n >= WISH_SIZE)
		for (n = WISH_SIZE - 1; n && ((unsigned char)t.s[n] & 0xc0) == 0x80;)
			n--;
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)t.s[i] < ' ' || t.s[i] == '/' || t.s[i] == 0x7f ? '_' :
											 t.s[i];
}

/* The first one that names a key is right. */
static int add_name(struct nm_map *names, const uint8_t key[WG_KEY_LEN], struct text name)
{
	bool fresh;
	char *to = nm_map_put(names, key, &fresh);

	if (!to)
		return -ENOMEM;
	if (fresh)
		tidy(to, name);
	return 0;
}

struct section {
	struct text above; /* the name in the comment above; empty: none */
	struct text name;
	bool peer, has_key;
};

static int take_line(struct nm_map *names, struct section *at, struct text line)
{
	struct text t = strip(line, " \t\r"), key, value, name;
	uint8_t k[WG_KEY_LEN];
	bool given;

	if (t.len && *t.s == '#') {
		name = name_in(t, &given);
		if (given && at->peer && !at->has_key)
			at->name = name;
		else
			at->above = name;
		return 0;
	}
	if (t.len && *t.s == '[') {
		/* what follows "#" is a comment here too */
		const char *end = memchr(t.s, ']', t.len);

		*at = (struct section){
			.name = at->above,
			.peer = end && is((struct text){t.s, (size_t)(end + 1 - t.s)}, "[Peer]")};
		return 0;
	}
	at->above.len = 0;
	if (!at->peer || at->has_key || !assignment(t, &key, &value) || !is(key, "PublicKey"))
		return 0;
	if (value.len > KEY_TEXT && strchr(" \t#", value.s[KEY_TEXT]))
		value.len = KEY_TEXT;
	at->has_key = nm_key_read(value.s, value.len, k);
	return at->has_key && at->name.len ? add_name(names, k, at->name) : 0;
}

static int take_text(struct nm_map *names, const char *text, size_t len)
{
	struct section at = {0};
	int err = 0;

	for (const char *end = text + len, *next; !err && text < end; text = next) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));

		next = nl ? nl + 1 : end;
		err = take_line(names, &at, (struct text){text, (size_t)((nl ? nl : end) - text)});
	}
	return err;
}

/* Such files have private keys in them: what was read is zeroed, and stdio is not used. */
static int read_file(struct nm_map *names, struct file *f)
{
	size_t have = 0, room;
	char *text = NULL;
	int fd, err = 0;
	ssize_t n = 0;

	if (stat(f->path, &f->is) < 0)
		return -errno;
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &f->is) < 0)
		err = -errno;
	else if (!S_ISREG(f->is.st_mode))
		err = S_ISDIR(f->is.st_mode) ? -EISDIR : -EINVAL;
	else if (f->is.st_size > FILE_MAX)
		err = -EFBIG;
	room = err ? 0 : (size_t)f->is.st_size;
	if (!err && room && !(text = malloc(room)))
		err = -ENOMEM;
	while (!err && have < room && (n = read(fd, text + have, room - have)) > 0)
		have += (size_t)n;
	if (n < 0)
		err = -errno;
	if (!err)
		err = take_text(names, text, have);
	if (text)
		explicit_bzero(text, room);
	free(text);
	close(fd);
	return err;
}

/* ---- which files, and when ------------------------------------------------------------- */

static bool changed(const struct file *f)
{
	struct stat is;

	if (stat(f->path, &is) < 0)
		return f->err != -errno;
	return is.st_ino != f->is.st_ino || is.st_dev != f->is.st_dev ||
	       is.st_size != f->is.st_size || is.st_mtim.tv_sec != f->is.st_mtim.tv_sec ||
	       is.st_mtim.tv_nsec != f->is.st_mtim.tv_nsec ||
	       is.st_ctim.tv_sec != f->is.st_ctim.tv_sec ||
	       is.st_ctim.tv_nsec != f->is.st_ctim.tv_nsec;
}

static void tell_file(struct nm_view *v, struct file *f, int err)
{
	const struct config *c = v->config;
	struct nm_notice *n;

	if (err == f->err)
		return;
	f->err = err;
	n = c->notify & NAMES ? nm_notify(v, err ? NM_WARNING : NM_OKAY,
					  nm_name(&nm_wireguard_notices, NAMES), "self") :
				NULL;
	nm_meta(n, "file", "%.63s", f->path);
	nm_meta(n, "reason", "%s", err ? strerror(-err) : "read");
	if (err)
		nm_say(n, "names of peers in %.100s cannot be read: %s", f->path, strerror(-err));
	else
		nm_say(n, "names of peers in %.100s are read again", f->path);
}

static int read_all(struct nm_view *v, const struct wishes *w, struct nm_map *names, bool *whole)
{
	const struct config *c = v->config;
	uint8_t key[WG_KEY_LEN];
	int err = 0;

	for (const struct nm_pair *p = c->peer_name; !err && p; p = p->next)
		if (nm_key_read(p->name, strlen(p->name), key))
			err = add_name(names, key, (struct text){p->text, strlen(p->text)});
	for (struct file *f = w->files; err != -ENOMEM && f; f = f->next) {
		err = read_file(names, f);
		*whole &= !err;
		tell_file(v, f, err);
	}
	return err == -ENOMEM ? err : 0;
}

int nm_wishes_read(struct nm_view *v, struct wishes *w)
{
	struct nm_map names = {.key = w->text.key, .val = w->text.val};
	bool other = !w->read, whole = true;
	int err;

	for (const struct file *f = w->files; f && !other; f = f->next)
		other = changed(f);
	if (!other)
		return 0;
	err = read_all(v, w, &names, &whole);
	if (err || (w->read && !whole)) {
		nm_map_free(&names);
		return err;
	}
	nm_map_free(&w->text);
	w->text = names;
	w->read = true;
	return 1;
}

int nm_wishes_open(struct wishes *w, const struct config *c)
{
	w->text = (struct nm_map){.key = WG_KEY_LEN, .val = WISH_SIZE};
	for (const struct nm_setting *p = c->peer_names; p; p = p->next) {
		struct file *f = calloc(1, sizeof(*f));

		if (!f)
			return -ENOMEM;
		f->path = p->name;
		f->next = w->files;
		w->files = f;
	}
	return 0;
}

void nm_wishes_close(struct wishes *w)
{
	nm_map_free(&w->text);
	for (struct file *f = w->files, *next; f; f = next) {
		next = f->next;
		free(f);
	}
}
