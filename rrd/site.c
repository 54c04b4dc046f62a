/* SPDX-License-Identifier: MIT */
/* Pages with all graphs: plain files that link to each other, without a script or a server. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph.h"

enum { WIDTH = 520, HEIGHT = 240, SMALL_WIDTH = 320, SMALL_HEIGHT = 120 };

static const struct {
	const char *name;
	time_t seconds;
} periods[] = {
	{"hour", 3600}, {"day", 86400}, {"week", 604800}, {"month", 2678400}, {"year", 31622400},
};

static const struct {
	const char *kind, *heading;
} headings[] = {
	{"link", "Interfaces"},           {"forward", "Forwarding"}, {"route", "Routing tables"},
	{"neighbor", "Neighbour tables"}, {"rule", "Policy rules"},  {"dpll", "Clocks"},
	{"self", "netmon itself"},
};

struct site {
	const struct definitions *defs;
	const struct store *store;
	const char *directory;
	time_t now, program; /* when the program was changed */
	bool svg;
	int status;
	FILE *index;
};

struct page {
	struct site *site;
	const char *kind, *object;
	char *name; /* clean */
	char *base; /* HOST/KIND-OBJECT */
	FILE *f;
	const struct state *state;
};

/* ---- text ----------------------------------------------------------------------------------- */

static void put_html(FILE *f, const char *s)
{
	static const char special[] = "&<>\"'";
	static const char *const entity[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

	for (; *s; s++) {
		const char *at = strchr(special, *s);

		if (at)
			fputs(entity[at - special], f);
		else
			fputc(*s, f);
	}
}

/* A name for a file and its address that is the same in both, whatever bytes are in it. */
static char *file_name(const char *s)
{
	char *out = need(malloc(3 * strlen(s) + 1)), *to = out;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' ||
		    c == '_' || c == '@' || (c == '.' && to > out))
			*to++ = *s;
		else
			to += sprintf(to, "=%02x", c);
	}
	*to = 0;
	return out;
}

static const char *heading(const char *kind)
{
	for (size_t i = 0; i < NM_COUNT(headings); i++)
		if (!strcmp(headings[i].kind, kind))
			return headings[i].heading;
	return kind;
}

/* The host-wide object of a kind is called as the kind is. */
static char *object_name(const char *kind, const char *object)
{
	return *object && *object != '@' ?
		       clean(object) :
		       text("%s%s%s", heading(kind), *object ? " " : "", object);
}

static void head(FILE *f, const char *title, const char *up)
{
	fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n"
	      "<meta http-equiv=\"refresh\" content=\"300\">\n<title>",
	      f);
	put_html(f, title);
	fprintf(f,
		"</title>\n<link rel=\"stylesheet\" href=\"%scolours.css\">\n"
		"<link rel=\"stylesheet\" href=\"%sstyle.css\">\n</head>\n<body>\n",
		up, up);
}

static void put_time(FILE *f, time_t t)
{
	char buf[64];
	struct tm tm;

	strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M %Z", localtime_r(&t, &tm));
	put_html(f, buf);
}

static void put_state(FILE *f, const struct state *s)
{
	if (!s)
		return;
	fputs("<span class=\"state\"><i style=\"background:var(--c-", f);
	put_html(f, s->colour);
	fputs(")\"></i>", f);
	put_html(f, s->word);
	fputs("</span>", f);
}

/* From what it was in memory to the file, at once. */
static void save(struct site *site, FILE *f, char **p, const size_t *size, const char *name)
{
	char *path = text("%s/%s", site->directory, name);

	fclose(f);
	if (write_file(path, need(*p), *size))
		site->status = FAILED;
	free(*p);
	free(path);
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* A picture in which nothing would have moved by a pixel is left as it is. */
static bool due(const struct site *site, const char *path, const struct definition *def,
		time_t seconds)
{
	struct stat st;

	if (stat(path, &st))
		return true;
	return st.st_mtime > site->now || site->now - st.st_mtime >= seconds / WIDTH ||
	       st.st_mtime <= def->changed || st.st_mtime <= site->program;
}

/* Both for light and for dark. */
static int put_pictures(struct page *p, struct drawing *d, const char *name, struct look *look,
			time_t seconds)
{
	int status = OK;

	for (int dark = 0; dark < 2 && !status; dark++) {
		char *path = text("%s/%s/%s%s.%s", p->site->directory, p->base, name,
				  dark ? "-dark" : "", p->site->svg ? "svg" : "png");

		look->dark = dark;
		if (due(p->site, path, d->def, seconds))
			status = drawing_write(d, look, path);
		free(path);
	}
	return status;
}

static void put_picture(FILE *f, const char *base, const char *name, const char *what,
			const char *title, const char *period, const struct look *look)
{
	const char *suffix = look->svg ? "svg" : "png";

	fprintf(f,
		"<picture><source srcset=\"%s/%s-dark.%s\" "
		"media=\"(prefers-color-scheme: dark)\"><img src=\"%s/%s.%s\" width=\"%u\" "
		"height=\"%u\" loading=\"lazy\" alt=\"",
		base, name, suffix, base, name, suffix, look->width, look->height);
	put_html(f, what);
	fputs(" ", f);
	put_html(f, title);
	fprintf(f, ", last %s\"></picture>", period);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static void put_key(FILE *f, const struct legend *l)
{
	if (l->colour && *l->colour) {
		fputs("<i class=\"key\" style=\"background:var(--c-", f);
		put_html(f, l->colour);
		fputs(")\"></i>", f);
	}
	put_html(f, l->label);
}

static void put_value(FILE *f, const struct number *n, const char *unit)
{
	char buf[32];

	put_number(buf, sizeof(buf), n->v, n->unit, false);
	fputs(buf, f);
	/* The graph's own unit stands above the picture. */
	if (!isnan(n->v) && strcmp(n->unit, unit) != 0) {
		fputs(strchr(buf, ' ') ? unit_gap(n->unit) : " ", f);
		put_html(f, n->unit);
	}
}

static void put_table(FILE *f, const struct drawing *d)
{
	const char *unit = d->def->unit ? d->def->unit : "";
	bool used[STATS] = {false}, any = false;

	for (size_t i = 0; i < d->legends; i++)
		for (size_t k = 0; k < STATS; k++)
			any |= used[k] |= d->legend[i].number[k].given;
	if (!any)
		return;
	fputs("<div class=\"numbers\"><table><tr><th></th>", f);
	for (size_t k = 0; k < STATS; k++)
		if (used[k])
			fprintf(f, "<th>%s</th>", stat_heads[k]);
	fputs("</tr>\n", f);
	for (size_t i = 0; i < d->legends; i++) {
		const struct legend *l = &d->legend[i];

		if (!l->numbers)
			continue;
		fputs("<tr><td>", f);
		put_key(f, l);
		fputs("</td>", f);
		for (size_t k = 0; k < STATS; k++) {
			fputs(used[k] ? "<td>" : "", f);
			if (l->number[k].given)
				put_value(f, &l->number[k], unit);
			fputs(used[k] ? "</td>" : "", f);
		}
		fputs("</tr>\n", f);
	}
	fputs("</table></div>\n", f);
}

static void put_keys(FILE *f, const struct drawing *d)
{
	bool any = false;

	for (size_t i = 0; i < d->legends; i++) {
		if (d->legend[i].numbers)
			continue;
		fputs(any ? "<span>" : "<p class=\"keys\"><span>", f);
		put_key(f, &d->legend[i]);
		fputs("</span>\n", f);
		any = true;
	}
	if (d->remark) {
		fputs(any ? "<span>" : "<p class=\"keys\"><span>", f);
		put_html(f, d->remark);
		fputs("</span>", f);
		any = true;
	}
	fputs(any ? "</p>\n" : "", f);
}

/* ---- the page of an object --------------------------------------------------------------------- */

static void put_graph(struct page *p, const struct definition *def, size_t period)
{
	struct look look = {.svg = p->site->svg,
			    .width = WIDTH,
			    .height = HEIGHT,
			    .zoom = 2,
			    .start = p->site->now - periods[period].seconds,
			    .end = p->site->now};
	char *name = text("%s-%s", def->id, periods[period].name);
	struct drawing d;
	int status = drawing_open(&d, def, p->site->store, p->object, &look);

	if (!status)
		status = put_pictures(p, &d, name, &look, periods[period].seconds);
	fputs("<figure class=\"card\"><figcaption>", p->f);
	put_html(p->f, def->title);
	fputs(" <small>", p->f);
	put_html(p->f, def->unit ? def->unit : "");
	fputs("</small></figcaption>\n", p->f);
	if (status) {
		fputs("<p class=\"bad\">This graph cannot be drawn; netmon-graph has said why."
		      "</p>\n",
		      p->f);
	} else {
		const char *base = strchr(p->base, '/') + 1;

		fprintf(p->f, "<a href=\"%s/%s.%s\">", base, name, p->site->svg ? "svg" : "png");
		put_picture(p->f, base, name, p->name, def->title, periods[period].name, &look);
		fputs("</a>\n", p->f);
		put_table(p->f, &d);
		put_keys(p->f, &d);
	}
	fputs("</figure>\n", p->f);
	if (status || d.incomplete)
		p->site->status = FAILED;
	drawing_free(&d);
	free(name);
}

static void put_page(struct page *p)
{
	const struct site *site = p->site;
	char *title = text("%s on %s", p->name, site->store->host),
	     *host = clean(site->store->host);

	head(p->f, title, "../");
	fputs("<header><a href=\"../index.html\">", p->f);
	put_html(p->f, host);
	fputs("</a><h1>", p->f);
	put_html(p->f, p->name);
	fputs("</h1>", p->f);
	put_state(p->f, p->state);
	fputs("<small>", p->f);
	put_time(p->f, site->now);
	fputs("</small></header>\n<nav>", p->f);
	for (size_t i = 0; i < NM_COUNT(periods); i++)
		fprintf(p->f, "<a href=\"#%s\">%s</a>", periods[i].name, periods[i].name);
	fputs("</nav>\n<main>\n", p->f);
	for (size_t i = 0; i < NM_COUNT(periods); i++) {
		fprintf(p->f,
			"<section class=\"period\" id=\"%s\"><h2>%s</h2>\n<div class=\"grid\">\n",
			periods[i].name, periods[i].name);
		for (size_t k = 0; k < site->defs->n; k++)
			if (!strcmp(site->defs->v[k].kind, p->kind) &&
			    definition_applies(&site->defs->v[k], site->store, p->object))
				put_graph(p, &site->defs->v[k], i);
		fputs("</div></section>\n", p->f);
	}
	fputs("</main>\n</body>\n</html>\n", p->f);
	free(title);
	free(host);
}

/* ---- the overview ------------------------------------------------------------------------------ */

/* What it was last, where a graph has few of them. */
static void put_now(FILE *f, const struct drawing *d, time_t now)
{
	size_t shown = 0;

	fputs("<div class=\"now\">", f);
	if (now - d->last > 3600) {
		fputs("<small>last value ", f);
		put_time(f, d->last);
		fputs("</small></div>", f);
		return;
	}
	for (size_t i = 0; i < d->legends && shown < 3; i++) {
		const struct legend *l = &d->legend[i];

		if (!l->number[0].given)
			continue;
		fputs("<span>", f);
		put_key(f, l);
		fputs(" ", f);
		put_value(f, &l->number[0], "");
		fputs("</span>", f);
		shown++;
	}
	fputs("</div>", f);
}

static void put_card(struct page *p, const struct definition *def)
{
	struct look look = {.svg = p->site->svg,
			    .width = SMALL_WIDTH,
			    .height = SMALL_HEIGHT,
			    .zoom = 2,
			    .start = p->site->now - 86400,
			    .end = p->site->now};
	FILE *f = p->site->index;
	struct drawing d;
	int status = drawing_open(&d, def, p->site->store, p->object, &look);

	if (!status)
		status = put_pictures(p, &d, "small", &look, 86400);
	if (!status && p->site->now - d.last <= 3600)
		p->state = d.state;
	fprintf(f, "<a class=\"card\" href=\"%s.html\"><span class=\"name\"><b>", p->base);
	put_html(f, p->name);
	fputs("</b><small>", f);
	put_html(f, def->title);
	fputs("</small>", f);
	put_state(f, p->state);
	fputs("</span>", f);
	if (status) {
		fputs("<span class=\"bad\">cannot be drawn</span>", f);
		p->site->status = FAILED;
	} else {
		put_picture(f, p->base, "small", p->name, def->title, "day", &look);
		put_now(f, &d, p->site->now);
	}
	fputs("</a>\n", f);
	drawing_free(&d);
}

static int make_directory(const char *path)
{
	if (!mkdir(path, 0777) || errno == EEXIST)
		return OK;
	return fail(FAILED, "%s: %s", path, strerror(errno));
}

static void put_object(struct site *site, const char *kind, const char *object)
{
	char *host = file_name(site->store->host), *name = file_name(object), *p = NULL, *path;
	struct page page = {
		.site = site, .kind = kind, .object = object, .name = object_name(kind, object)};
	size_t size;

	page.base = text("%s/%s%s%s", host, kind, *name ? "-" : "", name);
	path = text("%s/%s", site->directory, page.base);
	if (make_directory(path)) {
		site->status = FAILED;
	} else {
		for (size_t i = 0; i < site->defs->n; i++)
			if (!strcmp(site->defs->v[i].kind, kind) &&
			    definition_applies(&site->defs->v[i], site->store, object)) {
				put_card(&page, &site->defs->v[i]);
				break;
			}
		free(path);
		path = text("%s.html", page.base);
		page.f = need(open_memstream(&p, &size));
		put_page(&page);
		save(site, page.f, &p, &size, path);
	}
	free(path);
	free(host);
	free(name);
	free(page.name);
	free(page.base);
}

static void put_host(struct site *site)
{
	char *host = file_name(site->store->host), *path = text("%s/%s", site->directory, host);

	if (make_directory(path))
		site->status = FAILED;
	for (size_t i = 0; i < site->defs->n; i++) {
		const char *kind = site->defs->v[i].kind;
		struct words names = {0};
		size_t first = 0;

		while (strcmp(site->defs->v[first].kind, kind) != 0)
			first++;
		if (first == i)
			objects(site->defs, site->store, kind, &names);
		if (names.n) {
			fputs("<section><h2>", site->index);
			put_html(site->index, heading(kind));
			fputs("</h2>\n<div class=\"grid small\">\n", site->index);
			for (size_t k = 0; k < names.n; k++)
				put_object(site, kind, names.v[k]);
			fputs("</div></section>\n", site->index);
		}
		words_free(&names);
	}
	free(path);
	free(host);
}

/* ---- all ---------------------------------------------------------------------------------------- */

static void put_styles(struct site *site)
{
	char *p = NULL, line[4096];
	size_t size, n;
	FILE *f = need(open_memstream(&p, &size));
	FILE *from = site->defs->style ? fopen(site->defs->style, "re") : NULL;

	fputs(":root{color-scheme:light dark;", f);
	put_colours(f, false);
	fputs("}\n@media (prefers-color-scheme:dark){:root{", f);
	put_colours(f, true);
	fputs("}}\n", f);
	save(site, f, &p, &size, "colours.css");
	if (!from) {
		site->status = fail(FAILED, "style.css is missing beside the graph definitions");
		return;
	}
	p = NULL;
	f = need(open_memstream(&p, &size));
	while ((n = fread(line, 1, sizeof(line), from)))
		fwrite(line, 1, n, f);
	fclose(from);
	save(site, f, &p, &size, "style.css");
}

int site_write(const struct definitions *defs, const char *root, const struct words *hosts,
	       const char *cached, const char *directory, bool svg)
{
	struct site site = {.defs = defs, .directory = directory, .now = time(NULL), .svg = svg};
	char *p = NULL;
	struct stat st;
	size_t size;

	if (make_directory(directory))
		return FAILED;
	if (access(directory, W_OK | X_OK))
		return fail(FAILED, "%s: %s", directory, strerror(errno));
	if (!stat("/proc/self/exe", &st))
		site.program = st.st_mtime;
	put_styles(&site);
	site.index = need(open_memstream(&p, &size));
	head(site.index, hosts->n == 1 ? hosts->v[0] : "netmon", "");
	for (size_t i = 0; i < hosts->n; i++) {
		char *name = clean(hosts->v[i]);
		struct store store;

		fputs("<header><h1>", site.index);
		put_html(site.index, name);
		fputs("</h1><small>", site.index);
		put_time(site.index, site.now);
		fputs("</small></header>\n<main>\n", site.index);
		if (store_open(&store, root, hosts->v[i], cached))
			site.status = FAILED;
		site.store = &store;
		put_host(&site);
		store_close(&store);
		fputs("</main>\n", site.index);
		free(name);
	}
	fputs("</body>\n</html>\n", site.index);
	save(&site, site.index, &p, &size, "index.html");
	return site.status;
}
