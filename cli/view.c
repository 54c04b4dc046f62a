/* SPDX-License-Identifier: MIT */
/* Opening what is read: the kernel, in a namespace, or a recording. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

int open_view(struct nm_view **v, const struct nm_plugin *p, const void *config, unsigned flags)
{
	int err = nm_open(v, p, config, arg.netns, flags | (arg.replay ? NM_REPLAY : 0));

	if (!err)
		return OK;
	if (err == -EINVAL && arg.netns)
		return fail(USAGE, "--namespace %s: the name of a file below /run/netns is needed",
			    arg.netns);
	if (err == -ENOENT && arg.netns)
		return fail(FAILED,
			    "no network namespace %s; `ip netns list` shows those that have a name",
			    arg.netns);
	if (err == -EPROTONOSUPPORT)
		return fail(FAILED,
			    "%s: this kernel has none of it, unless a module is yet to be loaded",
			    short_name(p));
	if (err == -EPERM && arg.netns)
		return fail(NOT_PERMITTED, "network namespace %s: entering it needs CAP_SYS_ADMIN",
			    arg.netns);
	return fail(FAILED, "%s cannot be read: %s", short_name(p), strerror(-err));
}

bool can_be_had(const struct nm_plugin *p)
{
	struct nm_view *v;
	int err = nm_open(&v, p, NULL, arg.netns, 0);

	if (!err)
		nm_close(v);
	return err != -EPROTONOSUPPORT;
}

int open_file(FILE **f, const char *path, const char *mode)
{
	*f = path ? fopen(path, mode) : NULL;
	return path && !*f ? fail(USAGE, "--%s %s: %s", *mode == 'r' ? "replay" : "record", path,
				  strerror(errno)) :
			     OK;
}

/* What stdio could not write must not go unnoticed. */
int close_file(FILE *f, const char *path)
{
	return f && fclose(f) ? fail(FAILED, "--record %s: %s", path, strerror(errno)) : OK;
}

static bool asks_links(const struct nm_plugin *p)
{
	for (size_t i = 0; i < p->nsource; i++)
		if (p->source[i].each)
			return true;
	return false;
}

int read_names(struct nm_view *v, FILE *record)
{
	bool aid = v->plugin->source[0].aid;
	int err = 0;

	if (!record && asks_links(v->plugin))
		nm_dump(v, 0);
	if (!record) /* nm_ifname() asks for what it does not know */
		return OK;
	/* Links come first, for their names: messages refer to interfaces that come later. */
	if (aid)
		err = nm_record(v, record);
	nm_dump(v, 0);
	if (!err && !aid)
		err = nm_record(v, record);
	return err ? fail(FAILED, "--record %s: %s", arg.record, strerror(-err)) : OK;
}

int replay_all(struct nm_view *v, FILE *from, nm_tap *tap, void *user)
{
	char err[256];
	int e;

	rewind(from);
	nm_set_tap(v, tap, user);
	while ((e = nm_replay(v, from, NULL, err, sizeof(err))) == 1)
		;
	return e ? fail(USAGE, "--replay %s: %s", arg.replay, err) : OK;
}

int replay_whole(const struct nm_view *v)
{
	if (!v->cost.interrupted)
		return OK;
	return fail(INCOMPLETE, "--replay %s: a dump in it is interrupted or has no end",
		    arg.replay);
}

int why_incomplete(const struct nm_view *v, const struct nm_source *s, int err, bool some,
		   char *why, size_t size)
{
	const char *name = short_name(v->plugin);

	if (err == -EINTR)
		snprintf(why, size, "%s: %s changed while they were read; try again", name,
			 s->what);
	else if (err == -EPERM || err == -EACCES)
		snprintf(why, size, "%s: %s are missing: they need CAP_NET_ADMIN", name, s->what);
	else
		snprintf(why, size, "%s: %s%s are missing: %s", name, some ? "some " : "", s->what,
			 strerror(-err));
	return err == -EPERM || err == -EACCES ? NOT_PERMITTED : INCOMPLETE;
}

/* Beside netmon itself, where both were built or installed. */
int run_graph(char **word, size_t n)
{
	char path[PATH_MAX], *slash, **argv = calloc(n + 2, sizeof(*argv));
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("netmon-graph"));

	if (!argv)
		return no_memory();
	path[len > 0 ? len : 0] = 0;
	slash = strrchr(path, '/');
	snprintf(slash ? slash + 1 : path, sizeof("netmon-graph"), "netmon-graph");
	argv[0] = path;
	memcpy(argv + 1, word, n * sizeof(*word));
	execv(path, argv);
	free(argv);
	if (errno != ENOENT)
		return fail(FAILED, "%s: %s", path, strerror(errno));
	return fail(FAILED, "%s needs netmon-graph, which is not installed beside netmon (%s)",
		    word[0], path);
}
