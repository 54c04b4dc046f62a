/* SPDX-License-Identifier: MIT */
/* Choosing objects by name or regular expression, as collectd's Interface and IgnoreSelected. */
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "netmon.h"

struct nm_pattern {
	char *text;
	bool is_regex, used;
	regex_t regex;
};

int nm_select_add(struct nm_select *s, const char *pattern, char *err, size_t size)
{
	size_t len = strlen(pattern);
	bool is_regex = len > 1 && pattern[0] == '/' && pattern[len - 1] == '/';
	struct nm_pattern p = {.text = strdup(pattern), .is_regex = is_regex}, *v;
	int bad = 0;

	if (!p.text)
		return -ENOMEM;
	if (!len || (is_regex && len == 2)) {
		snprintf(err, size, "is empty; a name or a /regular expression/ is needed");
		bad = -EINVAL;
	} else if (!is_regex && strchr(pattern, '/')) {
		snprintf(
			err, size,
			"is no name, for it has a \"/\"; a regular expression starts and ends with one");
		bad = -EINVAL;
	} else if (is_regex) {
		p.text[len - 1] = 0;
		bad = regcomp(&p.regex, p.text + 1, REG_EXTENDED | REG_NOSUB);
		p.text[len - 1] = '/';
		if (bad) {
			char why[128];

			regerror(bad, &p.regex, why, sizeof(why));
			snprintf(err, size, "is no POSIX extended regular expression: %s", why);
			bad = -EINVAL;
		}
	}
	v = bad ? NULL : reallocarray(s->v, s->n + 1, sizeof(*v));
	if (!v) {
		if (!bad && is_regex)
			regfree(&p.regex);
		free(p.text);
		return bad ? bad : -ENOMEM;
	}
	s->v = v;
	s->v[s->n++] = p;
	return 0;
}

bool nm_selected(const struct nm_select *s, const char *name)
{
	bool hit = false;

	for (size_t i = 0; i < s->n; i++) {
		struct nm_pattern *p = &s->v[i];

		if (p->is_regex ? !regexec(&p->regex, name, 0, NULL, 0) : !strcmp(p->text, name))
			hit = p->used = true;
	}
	return !s->n || hit != s->invert;
}

const char *nm_select_pattern(const struct nm_select *s, size_t i, bool *used)
{
	if (i >= s->n)
		return NULL;
	*used = s->v[i].used;
	return s->v[i].text;
}

void nm_select_free(struct nm_select *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].is_regex)
			regfree(&s->v[i].regex);
		free(s->v[i].text);
	}
	free(s->v);
	s->v = NULL;
	s->n = 0;
}
