/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a recording, and any words as an option, through every plugin.
 *
 * `make fuzz` links it with libFuzzer.  Without that it has a main() of its own
 * that feeds the files it is given and mutations of them, the same ones every
 * time: `replay MUTATIONS FILE...`
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netmon.h"

#define NM_PLUGIN(p) extern const struct nm_plugin p;
#include "plugins.h"
#undef NM_PLUGIN
#define NM_PLUGIN(p) &(p),
static const struct nm_plugin *const plugins[] = {
#include "plugins.h"
};

static FILE *sink;
static struct nm_json *json; /* as long as the program: what it remembers meets other messages */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int print(const struct nm_msg *m, void *arg)
{
	static bool open;

	if (open && !m->goes_on) {
		nm_print_end(json);
		nm_json_end(json, '}');
		open = false;
	}
	if (!open)
		nm_json_begin(json, NULL, '{');
	nm_print(json, arg, m);
	open = true;
	return 0;
}

static void replay(struct nm_view *v, const uint8_t *data, size_t size)
{
	FILE *f = fmemopen((void *)(uintptr_t)data, size, "r");
	struct nm_reading r = {0};
	struct nm_notice *n;
	char err[256];
	int more = 1;

	for (; f && more == 1; fprintf(sink, "%zu\n", r.n)) {
		more = nm_replay(v, f, &r, err, sizeof(err));
		while ((n = nm_take_notice(v))) {
			fputs(n->message, sink);
			free(n);
		}
	}
	if (f)
		fclose(f);
	nm_reading_free(&r);
}

/* "Key\0word\0word...": what a configuration file may hold. */
static void configure(const struct nm_plugin *p, const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *key, *end, err[768];
	struct nm_arg arg[8];
	size_t n = 0;
	void *config;

	if (!text || nm_config_new(p, &config)) {
		free(text);
		return;
	}
	memcpy(text, data, size);
	text[size] = 0;
	key = text;
	end = text + size;
	for (char *s = key + strlen(key) + 1; s <= end && n < NM_COUNT(arg); s += strlen(s) + 1)
		arg[n++] = (struct nm_arg){.type = NM_ARG_STRING, .string = s};
	nm_config_set(p, config, key, arg, n, err, sizeof(err));
	nm_config_free(p, config);
	free(text);
}

static void try_plugin(const struct nm_plugin *p, const uint8_t *data, size_t size)
{
	static const struct nm_arg all = {.type = NM_ARG_STRING, .string = "all"};
	static const struct nm_arg detail = {.type = NM_ARG_STRING, .string = "Detail"};
	static const struct nm_arg yes = {.type = NM_ARG_BOOL, .boolean = true};
	char err[768];
	struct nm_view *v;
	void *config;

	if (!nm_open(&v, p, NULL, NULL, NM_REPLAY)) {
		nm_set_tap(v, print, v);
		replay(v, data, size);
		nm_close(v);
	}
	if (nm_config_new(p, &config))
		return;
	nm_config_set(p, config, "Notify", &all, 1, err, sizeof(err));
	nm_config_set(p, config, "Report", &detail, 1, err, sizeof(err));
	nm_config_set(p, config, "Verbose", &yes, 1, err, sizeof(err));
	nm_config_set(p, config, "ReportTotal", &yes, 1, err, sizeof(err));
	if (!nm_open(&v, p, config, NULL, NM_REPLAY)) {
		replay(v, data, size);
		nm_close(v);
	}
	nm_config_free(p, config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!sink)
		sink = fopen("/dev/null", "w");
	if (sink && !json)
		json = nm_json_new(sink, 0);
	for (size_t i = 0; json && i < NM_COUNT(plugins); i++) {
		try_plugin(plugins[i], data, size);
		configure(plugins[i], data, size);
	}
	return 0;
}

#ifndef NM_LIBFUZZER
static uint64_t seed = 1;

static uint32_t any(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

/* A few bytes changed, or two places swapped, or the end cut off. */
static size_t mutate(uint8_t *p, size_t size)
{
	static const uint8_t edges[] = {0, 1, 3, 4, 5, 0x7f, 0x80, 0xff};

	for (uint32_t n = 1 + any() % 8; n && size; n--) {
		uint8_t *at = p + any() % size, *other = p + any() % size, was = *at;

		switch (any() % 4) {
		case 0:
			*at = (uint8_t)any();
			break;
		case 1:
			*at = edges[any() % NM_COUNT(edges)];
			break;
		case 2:
			*at = *other;
			*other = was;
			break;
		default:
			*at ^= (uint8_t)(1u << any() % 8);
		}
	}
	return any() % 8 ? size : any() % (uint32_t)(size + 1);
}

static int feed(const char *path, unsigned long mutations)
{
	FILE *f = fopen(path, "r");
	uint8_t *data = NULL, *copy;
	size_t size = 0;

	if (!f || fseek(f, 0, SEEK_END) || !(data = malloc((size_t)ftell(f) + 1))) {
		perror(path);
		return 1;
	}
	size = (size_t)ftell(f);
	rewind(f);
	size = fread(data, 1, size, f);
	fclose(f);
	copy = malloc(size + 1);
	LLVMFuzzerTestOneInput(data, size);
	for (unsigned long i = 0; copy && i < mutations; i++) {
		memcpy(copy, data, size);
		LLVMFuzzerTestOneInput(copy, mutate(copy, size));
	}
	free(data);
	free(copy);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 3;

	for (int i = 2; i < argc; i++)
		failed |= feed(argv[i], strtoul(argv[1], NULL, 10));
	if (!failed)
		printf("%d files, %s mutations of each\n", argc - 2, argv[1]);
	return failed;
}
#endif
