/* SPDX-License-Identifier: MIT */
/*
 * A collectd plugin for the tests: one JSON line for each value list and notification.
 *
 * collectd's own writers are no witnesses for us: csv knows no notifications, write_http and
 * unixsock give rates or rounded numbers, write_log cuts a line at 1,024 bytes, and none shows a
 * notification's meta data.  This one writes what the daemon handed over, counters as the integers
 * that they are, and when it was handed over.
 *
 *	<Plugin sink>
 *	  File "/path/of/a/file/or/fifo"
 *	</Plugin>
 */
#include "collectd.h"

#include "plugin.h"
#include "utils/common/common.h"

static FILE *out; /* never closed: a notification may come as late as at shutdown */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* collectd writes from several threads */

/* Bytes above 127 go out as they are: what an interface is called need not be UTF-8. */
static void put_string(const char *s)
{
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			fprintf(out, "\\u%04x", (unsigned char)*s);
		else
			fputc(*s, out);
	}
	fputc('"', out);
}

static void put_text(const char *key, const char *s)
{
	fprintf(out, ",\"%s\":", key);
	put_string(s);
}

/* JSON has no word for NaN and infinity. */
static void put_double(double d)
{
	if (isfinite(d))
		fprintf(out, "%.17g", d);
	else
		fputs("null", out);
}

static void put_time(const char *key, cdtime_t t)
{
	uint64_t ns = CDTIME_T_TO_NS(t);

	fprintf(out, ",\"%s\":%" PRIu64 ".%09" PRIu64, key, ns / 1000000000, ns % 1000000000);
}

static void begin(const char *record)
{
	pthread_mutex_lock(&lock);
	fprintf(out, "{\"record\":\"%s\"", record);
	put_time("arrived", cdtime());
}

static void end(void)
{
	fputs("}\n", out);
	fflush(out);
	pthread_mutex_unlock(&lock);
}

static void put_value(const data_source_t *ds, value_t v)
{
	put_string(ds->name);
	fputc(':', out);
	switch (ds->type) {
	case DS_TYPE_GAUGE:
		put_double(v.gauge);
		break;
	case DS_TYPE_DERIVE:
		fprintf(out, "%" PRIi64, v.derive);
		break;
	case DS_TYPE_COUNTER:
		fprintf(out, "%llu", v.counter);
		break;
	default:
		fprintf(out, "%" PRIu64, v.absolute);
	}
}

static void put_value_meta(meta_data_t *meta)
{
	char **key = NULL, *s;
	int i, n = meta ? meta_data_toc(meta, &key) : 0;

	fputs(",\"meta\":{", out);
	for (i = 0; i < n; i++) {
		s = NULL;
		meta_data_as_string(meta, key[i], &s);
		fputs(i ? "," : "", out);
		put_string(key[i]);
		fputc(':', out);
		put_string(s ? s : "");
		free(s);
		free(key[i]);
	}
	free(key);
	fputc('}', out);
}

static int sink_write(const data_set_t *ds, const value_list_t *vl,
		      __attribute__((unused)) user_data_t *user)
{
	size_t i;

	begin("value");
	put_text("host", vl->host);
	put_text("plugin", vl->plugin);
	put_text("plugin_instance", vl->plugin_instance);
	put_text("type", vl->type);
	put_text("type_instance", vl->type_instance);
	put_time("time", vl->time);
	put_time("interval", vl->interval);
	fputs(",\"values\":{", out);
	for (i = 0; i < ds->ds_num; i++) {
		fputs(i ? "," : "", out);
		put_value(&ds->ds[i], vl->values[i]);
	}
	fputc('}', out);
	put_value_meta(vl->meta);
	end();
	return 0;
}

static void put_notification_meta(const notification_meta_t *m)
{
	put_string(m->name);
	fputc(':', out);
	switch (m->type) {
	case NM_TYPE_STRING:
		put_string(m->nm_value.nm_string);
		break;
	case NM_TYPE_SIGNED_INT:
		fprintf(out, "%" PRIi64, m->nm_value.nm_signed_int);
		break;
	case NM_TYPE_UNSIGNED_INT:
		fprintf(out, "%" PRIu64, m->nm_value.nm_unsigned_int);
		break;
	case NM_TYPE_DOUBLE:
		put_double(m->nm_value.nm_double);
		break;
	case NM_TYPE_BOOLEAN:
		fputs(m->nm_value.nm_boolean ? "true" : "false", out);
	}
}

static int sink_notification(const notification_t *n, __attribute__((unused)) user_data_t *user)
{
	const notification_meta_t *m;

	begin("notification");
	put_text("severity", n->severity == NOTIF_FAILURE ? "failure" :
			     n->severity == NOTIF_WARNING ? "warning" :
							    "okay");
	put_text("host", n->host);
	put_text("plugin", n->plugin);
	put_text("plugin_instance", n->plugin_instance);
	put_text("type", n->type);
	put_text("type_instance", n->type_instance);
	put_text("message", n->message);
	put_time("time", n->time);
	fputs(",\"meta\":{", out);
	for (m = n->meta; m; m = m->next) {
		put_notification_meta(m);
		fputs(m->next ? "," : "", out);
	}
	fputc('}', out);
	end();
	return 0;
}

static int sink_config(oconfig_item_t *ci)
{
	char *path = NULL;
	int i;

	for (i = 0; i < ci->children_num; i++)
		if (!strcasecmp(ci->children[i].key, "File"))
			cf_util_get_string(&ci->children[i], &path);
	out = path ? fopen(path, "w") : NULL;
	if (!out)
		ERROR("sink: cannot write to \"%s\".", path ? path : "(no File)");
	free(path);
	return out ? 0 : -1;
}

void module_register(void)
{
	plugin_register_complex_config("sink", sink_config);
	plugin_register_write("sink", sink_write, NULL);
	plugin_register_notification("sink", sink_notification, NULL);
}
