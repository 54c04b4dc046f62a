/* SPDX-License-Identifier: MIT */
/* The options of a plugin, set, explained and freed by their table. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netmon.h"

static const struct nm_name detail_names[] = {
	{NM_NO, "No"},
	{NM_SUMMARY, "Summary"},
	{NM_DETAIL, "Detail"},
};
const struct nm_names nm_details = {NM_ARRAY(detail_names)};

/* What every plugin understands. */
static const struct nm_option every[] = {
	NM_OPTION(
		nm_config, "Namespace", NM_OPT_SELECT, netns, .def = "\".\"",
		.help = "Network namespaces to read: names below /run/netns or regular expressions; "
			"\".\" is collectd's own. They are followed as they appear and vanish. "
			"Instances in another namespace are named like eth0@blue. Entering one needs "
			"CAP_SYS_ADMIN. Without this option only collectd's own is read."),
	NM_OPTION(
		nm_config, "NamespaceIgnoreSelected", NM_OPT_BOOL, netns.invert,
		.help = "Read all namespaces, collectd's own among them, but those of Namespace."),
	NM_OPTION(
		nm_config, "SlowInterval", NM_OPT_NUMBER, slow_interval, .max = 86400,
		.def = "6 times the interval",
		.help = "Seconds between two values of what seldom changes, at least the interval. A change "
			"is sent with the next reading."),
	NM_OPTION(
		nm_config, "AuditInterval", NM_OPT_NUMBER, audit_interval, .max = 604800,
		.help = "Seconds after which what is kept by events is read again as a whole, for "
			"the few changes that the kernel does not tell. 0 is never."),
	NM_OPTION(
		nm_config, "ReceiveBuffer", NM_OPT_NUMBER, receive_buffer, .min = 4096,
		.max = 1 << 30,
		.help = "Bytes of events that may wait; a link's event is charged 2,304. What does not "
			"fit is lost, counted and repaired by the next reading. More than "
			"net.core.rmem_max needs CAP_NET_ADMIN."),
	NM_OPTION(
		nm_config, "ReportSelf", NM_OPT_BOOL, report_self,
		.help = "Report under the instance \"self\" what reading costs: seconds, messages, bytes, "
			"dumps, dumps that were interrupted, events and losses of events."),
};

const struct nm_option *nm_option(const struct nm_plugin *p, size_t i)
{
	if (i < p->noption)
		return &p->option[i];
	i -= p->noption;
	return i < NM_COUNT(every) ? &every[i] : NULL;
}

int nm_config_new(const struct nm_plugin *p, void **config)
{
	*config = malloc(p->config_size);
	if (!*config)
		return -ENOMEM;
	memcpy(*config, p->defaults, p->config_size);
	return 0;
}

static void free_pair(struct nm_pair *p)
{
	free(p->name);
	free(p->text);
	free(p);
}

void nm_config_free(const struct nm_plugin *p, void *config)
{
	const struct nm_option *o;

	for (size_t i = 0; config && (o = nm_option(p, i)); i++) {
		void *to = (char *)config + o->off;

		if (o->type == NM_OPT_SELECT) {
			nm_select_free(to);
		} else if (o->type == NM_OPT_PLUGIN || o->type == NM_OPT_PATH) {
			free(*(char **)to);
		} else if (o->type == NM_OPT_SETTING || o->type == NM_OPT_LIST) {
			struct nm_setting *s = *(struct nm_setting **)to, *next;

			for (; s; s = next) {
				next = s->next;
				free(s->name);
				free(s);
			}
		} else if (o->type == NM_OPT_PAIR) {
			struct nm_pair *s = *(struct nm_pair **)to, *next;

			for (; s; s = next) {
				next = s->next;
				free_pair(s);
			}
		}
	}
	free(config);
}

/* ---- the forms of options in words ------------------------------------------- */

static void join(char *buf, size_t size, const struct nm_names *words, const char *sep)
{
	size_t used = 0;

	*buf = 0;
	for (size_t i = 0; i < words->n && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? sep : "",
					 words->v[i].name);
}

void nm_option_form(const struct nm_option *o, char *buf, size_t size)
{
	char words[256];

	switch (o->type) {
	case NM_OPT_BOOL:
		snprintf(buf, size, "true|false");
		break;
	case NM_OPT_NUMBER:
		snprintf(buf, size, "NUMBER");
		break;
	case NM_OPT_PLUGIN:
		snprintf(buf, size, "\"PLUGIN\"");
		break;
	case NM_OPT_PATH:
		snprintf(buf, size, "\"/PATH\"");
		break;
	case NM_OPT_SELECT:
		snprintf(buf, size, "\"NAME\"|\"/REGEX/\" ...");
		break;
	case NM_OPT_WORD:
		join(words, sizeof(words), o->words, "\"|\"");
		snprintf(buf, size, "\"%s\"", words);
		break;
	case NM_OPT_WORDS:
		join(words, sizeof(words), o->words, "\"|\"");
		snprintf(buf, size, "\"all\"|\"none\"|\"%s\" ...", words);
		break;
	case NM_OPT_SETTING:
		snprintf(buf, size, "\"NAME\" NUMBER");
		break;
	case NM_OPT_PAIR:
		if (o->form)
			snprintf(buf, size, "\"%s\" \"TEXT\"", o->form);
		else
			snprintf(buf, size, "[\"NAME\"] \"TEXT\"");
		break;
	case NM_OPT_LIST:
		snprintf(buf, size, "\"%s\" ...", o->form);
		break;
	}
}

void nm_option_default(const struct nm_plugin *p, const struct nm_option *o, char *buf, size_t size)
{
	const void *from = (const char *)p->defaults + o->off;
	size_t used = 0;

	*buf = 0;
	if (o->def) {
		snprintf(buf, size, "%s", o->def);
	} else if (o->type == NM_OPT_BOOL) {
		snprintf(buf, size, "%s", *(const bool *)from ? "true" : "false");
	} else if (o->type == NM_OPT_NUMBER) {
		snprintf(buf, size, "%.15g", *(const double *)from);
	} else if (o->type == NM_OPT_WORD || o->type == NM_OPT_WORDS) {
		unsigned set = *(const unsigned *)from;

		for (size_t i = 0; i < o->words->n && used < size; i++)
			if (o->type == NM_OPT_WORD ? set == o->words->v[i].value :
						     set & o->words->v[i].value)
				used += (size_t)snprintf(buf + used, size - used, "%s\"%s\"",
							 used ? " " : "", o->words->v[i].name);
	}
}

/* ---- setting ------------------------------------------------------------------ */

/* The arguments as they may have been written. */
static void show(const struct nm_arg *a, size_t n, char *buf, size_t size)
{
	size_t used = 0;

	for (snprintf(buf, size, "nothing"); n-- && used < size; a++) {
		const char *sep = used ? " " : "";

		if (a->type == NM_ARG_STRING)
			used += (size_t)snprintf(buf + used, size - used, "%s\"%s\"", sep,
						 a->string);
		else if (a->type == NM_ARG_NUMBER)
			used += (size_t)snprintf(buf + used, size - used, "%s%.15g", sep,
						 a->number);
		else
			used += (size_t)snprintf(buf + used, size - used, "%s%s", sep,
						 a->boolean ? "true" : "false");
	}
}

static bool number_ok(const struct nm_option *o, const struct nm_arg *a)
{
	return a->type == NM_ARG_NUMBER && isfinite(a->number) && a->number >= o->min &&
	       a->number <= o->max;
}

/* Starts from what earlier lines have set. */
static int set_words(const struct nm_option *o, unsigned *to, const struct nm_arg *arg, size_t n,
		     size_t *bad)
{
	unsigned set = *to;

	for (size_t i = 0; i < n; i++) {
		size_t w = 0;

		*bad = i;
		if (arg[i].type != NM_ARG_STRING)
			return -EINVAL;
		if (!strcasecmp(arg[i].string, "all"))
			set = ~0u;
		if (!strcasecmp(arg[i].string, "none"))
			set = 0;
		if (!strcasecmp(arg[i].string, "all") || !strcasecmp(arg[i].string, "none"))
			continue;
		while (w < o->words->n && strcasecmp(o->words->v[w].name, arg[i].string))
			w++;
		if (w == o->words->n)
			return -EINVAL;
		set |= o->words->v[w].value;
	}
	*to = set;
	return 0;
}

static int set_word(const struct nm_option *o, unsigned *to, const struct nm_arg *arg)
{
	for (size_t w = 0; arg->type == NM_ARG_STRING && w < o->words->n; w++)
		if (!strcasecmp(o->words->v[w].name, arg->string)) {
			*to = o->words->v[w].value;
			return 0;
		}
	return -EINVAL;
}

static int set_copy(char **to, const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int set_plugin(char **to, const struct nm_arg *arg, char *why, size_t size)
{
	if (arg->type != NM_ARG_STRING || !*arg->string)
		return -EINVAL;
	/* collectd divides an identifier by them */
	if (strpbrk(arg->string, "-/")) {
		snprintf(why, size, "is no name of a plugin, for it has a \"-\" or \"/\"");
		return -EINVAL;
	}
	return set_copy(to, arg->string);
}

static int set_path(char **to, const struct nm_arg *arg, char *why, size_t size)
{
	if (arg->type != NM_ARG_STRING)
		return -EINVAL;
	/* the daemon's working directory is not the user's; suffixes and a namespace may follow */
	if (*arg->string != '/' || strlen(arg->string) > PATH_MAX - NAME_MAX - 32) {
		snprintf(why, size, "is no path that starts with a \"/\", or it is too long");
		return -EINVAL;
	}
	return set_copy(to, arg->string);
}

static int set_setting(struct nm_setting **list, const char *name, double value)
{
	struct nm_setting *s;

	for (s = *list; s && strcmp(s->name, name); s = s->next)
		;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s || !(s->name = strdup(name))) {
			free(s);
			return -ENOMEM;
		}
		s->next = *list;
		*list = s;
	}
	s->value = value;
	return 0;
}

static int set_pair(const struct nm_option *o, struct nm_pair **list, const struct nm_arg *arg,
		    size_t n, size_t *bad, char *why, size_t size)
{
	struct nm_pair *p;
	int err;

	for (*bad = 0; *bad < n; ++*bad)
		if (arg[*bad].type != NM_ARG_STRING || !*arg[*bad].string)
			return -EINVAL;
	*bad = 0;
	if (o->accept && (n != 2 || !o->accept(arg[0].string)))
		return -EINVAL;
	*bad = n - 1;
	err = o->check ? o->check(arg[n - 1].string, why, size) : 0;
	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p || !(p->name = strdup(arg[0].string)) || !(p->text = strdup(arg[n - 1].string))) {
		if (p)
			free_pair(p);
		return -ENOMEM;
	}
	while (*list)
		list = &(*list)->next;
	*list = p;
	return 0;
}

/* -EINVAL: argument *bad is wrong; why is filled where the form alone does not tell. */
static int set(const struct nm_option *o, void *to, const struct nm_arg *arg, size_t n, size_t *bad,
	       char *why, size_t size)
{
	bool many = o->type == NM_OPT_SELECT || o->type == NM_OPT_WORDS || o->type == NM_OPT_LIST;
	size_t least = o->type == NM_OPT_SETTING ? 2 : 1;
	size_t most = many ? n : o->type == NM_OPT_PAIR ? 2 : least;
	int err = 0;

	*bad = 0;
	if (n < least || n > most) {
		*bad = n;
		return -EINVAL;
	}
	switch (o->type) {
	case NM_OPT_BOOL:
		if (arg->type != NM_ARG_BOOL)
			return -EINVAL;
		*(bool *)to = arg->boolean;
		return 0;
	case NM_OPT_NUMBER:
		if (!number_ok(o, arg))
			return -EINVAL;
		*(double *)to = arg->number;
		return 0;
	case NM_OPT_PLUGIN:
		return set_plugin(to, arg, why, size);
	case NM_OPT_PATH:
		return set_path(to, arg, why, size);
	case NM_OPT_SELECT:
		for (; !err && *bad < n; ++*bad)
			err = arg[*bad].type != NM_ARG_STRING ?
				      -EINVAL :
				      nm_select_add(to, arg[*bad].string, why, size);
		--*bad;
		return err;
	case NM_OPT_WORD:
		return set_word(o, to, arg);
	case NM_OPT_WORDS:
		return set_words(o, to, arg, n, bad);
	case NM_OPT_SETTING:
		if (arg[0].type != NM_ARG_STRING || !*arg[0].string)
			return -EINVAL;
		*bad = 1;
		return number_ok(o, &arg[1]) ? set_setting(to, arg->string, arg[1].number) :
					       -EINVAL;
	case NM_OPT_PAIR:
		return set_pair(o, to, arg, n, bad, why, size);
	case NM_OPT_LIST:
		for (; !err && *bad < n; ++*bad)
			err = arg[*bad].type == NM_ARG_STRING && o->accept(arg[*bad].string) ?
				      set_setting(to, arg[*bad].string, 0) :
				      -EINVAL;
		--*bad;
		return err;
	}
	return -EINVAL;
}

static void explain(const struct nm_option *o, const struct nm_arg *arg, size_t n, size_t bad,
		    const char *why, char *err, size_t size)
{
	char value[96], form[320], range[64] = "";

	show(bad < n ? &arg[bad] : arg, bad < n ? 1 : n, value, sizeof(value));
	nm_option_form(o, form, sizeof(form));
	if (o->type == NM_OPT_NUMBER || o->type == NM_OPT_SETTING)
		snprintf(range, sizeof(range), ", from %.15g to %.15g", o->min, o->max);
	if (*why)
		snprintf(err, size, "option %s: the value %s %s", o->key, value, why);
	else
		snprintf(err, size, "option %s: the value %s is not accepted; accepted is: %s %s%s",
			 o->key, value, o->key, form, range);
}

/* The option's name that shares most with a misspelt one. */
static const char *nearest(const struct nm_plugin *p, const char *key)
{
	const struct nm_option *o;
	const char *best = NULL;
	size_t most = strlen(key) / 2;

	for (size_t i = 0; (o = nm_option(p, i)); i++) {
		size_t head = 0, tail = 0, k = strlen(key), n = strlen(o->key),
		       less = k < n ? k : n;

		while (head < less && !strncasecmp(key + head, o->key + head, 1))
			head++;
		while (tail < less - head &&
		       !strncasecmp(key + k - tail - 1, o->key + n - tail - 1, 1))
			tail++;
		if (head + tail > most) {
			most = head + tail;
			best = o->key;
		}
	}
	return best;
}

int nm_config_set(const struct nm_plugin *p, void *config, const char *key,
		  const struct nm_arg *arg, size_t n, char *err, size_t size)
{
	const struct nm_option *o;
	size_t bad, i = 0, used;
	char why[192] = "";
	int e;

	while ((o = nm_option(p, i)) && strcasecmp(o->key, key))
		i++;
	if (o) {
		uint64_t bit = 1ull << i, *given = &((struct nm_config *)config)->given;

		if (o->type == NM_OPT_WORDS && !(*given & bit))
			*(unsigned *)((char *)config + o->off) = 0; /* the default */
		*given |= bit;
		e = set(o, (char *)config + o->off, arg, n, &bad, why, sizeof(why));
		if (e == -EINVAL)
			explain(o, arg, n, bad, why, err, size);
		else if (e)
			snprintf(err, size, "option %s: %s", key, strerror(-e));
		return e;
	}
	used = (size_t)snprintf(err, size, "option %s is unknown; ", key);
	if (used < size && nearest(p, key))
		used += (size_t)snprintf(err + used, size - used, "perhaps %s is meant; ",
					 nearest(p, key));
	if (used < size)
		used += (size_t)snprintf(err + used, size - used, "accepted are:");
	for (i = 0; used < size && (o = nm_option(p, i)); i++)
		used += (size_t)snprintf(err + used, size - used, " %s", o->key);
	return -EINVAL;
}
