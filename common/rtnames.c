/* SPDX-License-Identifier: MIT */
/* Names of routing tables and protocols as the administrator wrote them for iproute2. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "netmon.h"

#define NAME_SIZE 64

/* "254 main" or "0xfe main"; "#" starts a comment. */
static int load_file(struct nm_map *names, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[256], *end, *name;
	int err = 0;

	while (f && !err && fgets(line, sizeof(line), f)) {
		unsigned long id = strtoul(line, &end, 0);
		uint32_t key = (uint32_t)id;
		size_t len;
		char *to;

		for (name = end; isblank((unsigned char)*name); name++)
			;
		len = strcspn(name, " \t\n#");
		if (end == line || name == end || !len || len >= NAME_SIZE || id > UINT32_MAX)
			continue;
		to = nm_map_put(names, &key, NULL);
		if (!to)
			err = -ENOMEM;
		else
			snprintf(to, NAME_SIZE, "%.*s", (int)len, name);
	}
	if (f)
		fclose(f);
	return err;
}

static int load_directory(struct nm_map *names, const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int err = 0;

	while (d && !err && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		char file[2 * NAME_MAX];

		if (len < 6 || strcmp(e->d_name + len - 5, ".conf"))
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		err = load_file(names, file);
	}
	if (d)
		closedir(d);
	return err;
}

int nm_rtnames_load(struct nm_map *names, const char *file)
{
	/* The later ones are the administrator's. */
	static const char *const dirs[] = {"/usr/lib/iproute2", "/usr/share/iproute2",
					   "/etc/iproute2"};
	char path[NAME_MAX];
	int err = 0;

	*names = (struct nm_map){.key = sizeof(uint32_t), .val = NAME_SIZE};
	for (size_t i = 0; !err && i < NM_COUNT(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], file);
		err = load_file(names, path);
		snprintf(path, sizeof(path), "%s/%s.d", dirs[i], file);
		if (!err)
			err = load_directory(names, path);
	}
	if (err)
		nm_map_free(names);
	return err;
}

/* The administrator's file, or the directory beside it; 0: it is not there. */
static uint64_t stamp(const char *file, bool directory)
{
	char path[NAME_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "/etc/iproute2/%s%s", file, directory ? ".d" : "");
	if (stat(path, &st))
		return 0;
	return (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec +
	       ((uint64_t)st.st_ino << 40) + ((uint64_t)st.st_size << 20);
}

bool nm_rtnames_written(struct nm_rtwatch *w, const char *const *file, size_t n)
{
	bool written = false;

	do {
		size_t i = w->turn++ % (2 * n);
		uint64_t is = stamp(file[i / 2], i % 2);

		written |= w->stamp[i] != is;
		w->stamp[i] = is;
	} while (w->turn < 2 * n);
	return written;
}

const char *nm_rtname(const struct nm_map *names, uint32_t id, char buf[static 16])
{
	const char *name = nm_map_get(names, &id);

	if (name)
		return name;
	snprintf(buf, 16, "%u", id);
	return buf;
}
