/* SPDX-License-Identifier: MIT */
/* netmon schema: the JSON schema of what a command prints, from the tables that print it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Tables in the order in which they were met: each is one definition. */
struct tables {
	const struct nm_table *v[512];
	size_t n;
};

static size_t number_of(struct tables *t, const struct nm_table *of)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i] == of)
			return i;
	if (t->n < NM_COUNT(t->v))
		t->v[t->n++] = of;
	return t->n - 1;
}

static void type(struct nm_json *j, const char *key, const char *is)
{
	nm_json_begin(j, key, '{');
	nm_json_string(j, "type", is);
	nm_json_end(j, '}');
}

/* b: NULL for a list of one */
static void strings(struct nm_json *j, const char *key, const char *a, const char *b)
{
	nm_json_begin(j, key, '[');
	nm_json_string(j, NULL, a);
	if (b)
		nm_json_string(j, NULL, b);
	nm_json_end(j, ']');
}

static void ref(struct nm_json *j, const char *key, struct tables *t, const struct nm_table *of)
{
	char to[32];

	snprintf(to, sizeof(to), "#/$defs/t%zu", number_of(t, of));
	nm_json_begin(j, key, '{');
	nm_json_string(j, "$ref", to);
	nm_json_end(j, '}');
}

static void hex(struct nm_json *j, const char *key)
{
	nm_json_begin(j, key, '{');
	nm_json_string(j, "type", "string");
	nm_json_string(j, "pattern", "^([0-9a-f]{2})*$");
	nm_json_end(j, '}');
}

/* Names that the headers have, or a number, or what the administrator calls it. */
static void enumeration(struct nm_json *j, const char *key, const struct nm_names *names)
{
	nm_json_begin(j, key, '{');
	strings(j, "type", "string", "integer");
	nm_json_begin(j, "examples", '[');
	for (size_t i = 0; names && i < names->n; i++)
		nm_json_string(j, NULL, names->v[i].name);
	nm_json_end(j, ']');
	nm_json_end(j, '}');
}

static void flags(struct nm_json *j, const char *key, const struct nm_names *names)
{
	nm_json_begin(j, key, '{');
	nm_json_string(j, "type", "array");
	nm_json_begin(j, "items", '{');
	nm_json_begin(j, "anyOf", '[');
	nm_json_begin(j, NULL, '{');
	nm_json_begin(j, "enum", '[');
	for (size_t i = 0; names && i < names->n; i++)
		nm_json_string(j, NULL, names->v[i].name);
	if (!names || !names->n)
		nm_json_string(j, NULL, "");
	nm_json_end(j, ']');
	nm_json_end(j, '}');
	nm_json_begin(j, NULL, '{'); /* bits that the headers do not know */
	nm_json_string(j, "type", "string");
	nm_json_string(j, "pattern", "^0x[0-9a-f]+$");
	nm_json_end(j, '}');
	nm_json_end(j, ']');
	nm_json_end(j, '}');
	nm_json_end(j, '}');
}

static void value(struct nm_json *j, const char *key, struct tables *t, const struct nm_field *d);

static void list(struct nm_json *j, const char *key, struct tables *t, const struct nm_table *of)
{
	nm_json_begin(j, key, '{');
	nm_json_string(j, "type", "array");
	nm_json_begin(j, "items", '{');
	nm_json_begin(j, "anyOf", '[');
	for (size_t i = 0; i < of->n; i++)
		if (of->row[i].name)
			value(j, NULL, t, &of->row[i]);
	nm_json_end(j, ']');
	nm_json_end(j, '}');
	nm_json_end(j, '}');
}

static void value(struct nm_json *j, const char *key, struct tables *t, const struct nm_field *d)
{
	switch (d->kind) {
	case NM_UINT:
	case NM_SINT:
	case NM_BE:
	case NM_IFINDEX:
	case NM_TABLE:
		type(j, key, "integer");
		break;
	case NM_FLAG:
		type(j, key, "boolean");
		break;
	case NM_ENUM:
		enumeration(j, key, d->names);
		break;
	case NM_BITS:
		flags(j, key, d->names);
		break;
	case NM_ARRAY_OF:
		nm_json_begin(j, key, '{');
		nm_json_string(j, "type", d->names ? "object" : "array");
		type(j, d->names ? "additionalProperties" : "items", "integer");
		nm_json_end(j, '}');
		break;
	case NM_STRUCT:
	case NM_NEST:
		ref(j, key, t, d->table);
		break;
	case NM_LIST:
		list(j, key, t, d->table);
		break;
	case NM_CHOICE:
		nm_json_begin(j, key, '{');
		nm_json_begin(j, "anyOf", '[');
		for (const struct nm_case *c = d->cases; c->is; c++)
			ref(j, NULL, t, c->table);
		hex(j, NULL);
		nm_json_end(j, ']');
		nm_json_end(j, '}');
		break;
	case NM_STRUCTS:
		nm_json_begin(j, key, '{');
		nm_json_string(j, "type", "array");
		ref(j, "items", t, d->table);
		nm_json_end(j, '}');
		break;
	case NM_LABELS:
		nm_json_begin(j, key, '{');
		nm_json_string(j, "type", "array");
		type(j, "items", "integer");
		nm_json_end(j, '}');
		break;
	case NM_HEX:
		hex(j, key);
		break;
	default:
		type(j, key, "string");
	}
}

/* As json.c writes it: without the prefix, in small letters. */
static const char *key_of(const struct nm_field *d, size_t prefix, const char *suffix,
			  char buf[static 96])
{
	size_t n = (size_t)snprintf(buf, 96, "%s%s",
				    d->name + (strlen(d->name) > prefix ? prefix : 0), suffix);

	for (size_t i = 0; i < n && i < 95; i++)
		buf[i] = (char)tolower((unsigned char)buf[i]);
	return buf;
}

static void rows(struct nm_json *j, struct tables *t, const struct nm_table *of)
{
	char key[96];

	for (size_t i = 0; i < of->n; i++) {
		const struct nm_field *d = &of->row[i];

		if (!d->name)
			continue;
		if (d->kind == NM_SECRET)
			continue;
		key_of(d, of->prefix, "", key);
		if (d->many) {
			nm_json_begin(j, key, '{');
			nm_json_string(j, "type", "array");
			value(j, "items", t, d);
			nm_json_end(j, '}');
		} else {
			value(j, key, t, d);
		}
		if (d->kind == NM_IFINDEX || d->kind == NM_TABLE)
			type(j, key_of(d, of->prefix, "_name", key), "string");
	}
	for (size_t i = 0; of->others && i < of->others->n; i++) {
		uint32_t n = of->others->v[i].value;

		if (n >= of->n || !of->row[n].name) /* attributes that have a name and no row */
			hex(j, of->others->v[i].name);
	}
}

static void definition(struct nm_json *j, struct tables *t, const struct nm_table *of)
{
	char key[32];

	snprintf(key, sizeof(key), "t%zu", number_of(t, of));
	nm_json_begin(j, key, '{');
	nm_json_string(j, "type", "object");
	nm_json_begin(j, "properties", '{');
	nm_json_begin(j, "change", '{');
	strings(j, "enum", "new", "del");
	nm_json_end(j, '}');
	if (of->size || !of->attrs)
		rows(j, t, of);
	if (of->size && of->attrs)
		rows(j, t, of->attrs);
	nm_json_end(j, '}');
	nm_json_begin(j, "patternProperties", '{'); /* attributes that have no name either */
	hex(j, "^[0-9]+$");
	nm_json_end(j, '}');
	nm_json_bool(j, "additionalProperties", false);
	nm_json_end(j, '}');
}

static void array(struct nm_json *j, struct tables *t, const struct nm_source *s)
{
	nm_json_begin(j, s->what, '{');
	nm_json_string(j, "type", "array");
	if (s->file)
		type(j, "items", "object");
	else
		ref(j, "items", t, s->table);
	nm_json_end(j, '}');
}

static void metadata(struct nm_json *j)
{
	static const char *const texts[] = {"timestamp", "hostname", "kernel",
					    "command",   "version",  "reason"};

	nm_json_begin(j, "metadata", '{');
	nm_json_string(j, "type", "object");
	nm_json_begin(j, "properties", '{');
	for (size_t i = 0; i < NM_COUNT(texts); i++)
		type(j, texts[i], "string");
	type(j, "collection_time_ms", "number");
	type(j, "complete", "boolean");
	nm_json_begin(j, "namespace", '{');
	strings(j, "type", "string", "null");
	nm_json_end(j, '}');
	nm_json_end(j, '}');
	strings(j, "required", "version", "complete");
	nm_json_bool(j, "additionalProperties", false);
	nm_json_end(j, '}');
}

/* {"links": {"total": 3, "by_kind": {"veth": 2}}} */
static void summary(struct nm_json *j)
{
	nm_json_begin(j, "summary", '{');
	nm_json_string(j, "type", "object");
	nm_json_begin(j, "additionalProperties", '{');
	nm_json_string(j, "type", "object");
	nm_json_begin(j, "additionalProperties", '{');
	nm_json_begin(j, "anyOf", '[');
	type(j, NULL, "integer");
	nm_json_begin(j, NULL, '{');
	nm_json_string(j, "type", "object");
	type(j, "additionalProperties", "integer");
	nm_json_end(j, '}');
	nm_json_end(j, ']');
	nm_json_end(j, '}');
	nm_json_end(j, '}');
	nm_json_end(j, '}');
}

static void arrays(struct nm_json *j, struct tables *t, const struct noun *n)
{
	const struct nm_plugin *p = noun_plugin(n);

	for (const struct nm_source *s = p->source; s < p->source + p->nsource; s++)
		if (noun_shows(n, s))
			array(j, t, s);
}

static void required(struct nm_json *j, const char *first)
{
	strings(j, "required", first, strcmp(first, "metadata") != 0 ? "metadata" : NULL);
	nm_json_bool(j, "additionalProperties", false);
}

/* One noun within another document: its arrays and their summary. */
static void inside(struct nm_json *j, struct tables *t, const struct noun *n)
{
	nm_json_begin(j, n->name, '{');
	nm_json_string(j, "type", "object");
	nm_json_begin(j, "properties", '{');
	arrays(j, t, n);
	summary(j);
	nm_json_end(j, '}');
	nm_json_bool(j, "additionalProperties", false);
	nm_json_end(j, '}');
}

/* n: NULL is all of them. */
static void schema(struct nm_json *j, struct tables *t, const struct noun *n)
{
	const struct nm_plugin *p;
	const struct noun *other;
	char title[64];

	snprintf(title, sizeof(title), "netmon %s", n ? n->name : "all");
	nm_json_begin(j, NULL, '{');
	nm_json_string(j, "$schema", "https://json-schema.org/draft/2020-12/schema");
	nm_json_string(j, "title", title);
	nm_json_string(j, "type", "object");
	nm_json_begin(j, "properties", '{');
	for (size_t i = 0; !n && (p = plugin_at(i)); i++)
		inside(j, t, noun_named(short_name(p)));
	if (n) {
		arrays(j, t, n);
		summary(j);
	}
	other = n && n->only & ONLY_WIREGUARD ? noun_named("wireguard") : NULL;
	if (other)
		inside(j, t, other);
	metadata(j);
	nm_json_end(j, '}');
	required(j, n ? "summary" : "metadata");
	nm_json_begin(j, "$defs", '{');
	for (size_t i = 0; i < t->n; i++) /* grows meanwhile */
		definition(j, t, t->v[i]);
	nm_json_end(j, '}');
	nm_json_end(j, '}');
	nm_json_line(j);
}

int show_schema(void)
{
	const char *name = arg.words ? arg.word[0] : "";
	const struct noun *n = noun_named(name);
	struct tables t = {.n = 0};
	struct nm_json *j;

	if (!n && strcmp(name, "all") != 0)
		return fail(USAGE,
			    "schema%s%s: what `netmon --help` lists under \"shows\" is needed",
			    *name ? " " : "", name);
	j = nm_json_new(stdout, NM_PRETTY);
	if (!j)
		return no_memory();
	schema(j, &t, n);
	nm_json_flush(j);
	nm_json_free(j);
	return OK;
}
