/* SPDX-License-Identifier: MIT */
/*
 * A collectd plugin for the benchmark: counts the value lists that are handed to writers.
 *
 *	<Plugin count>
 *	  File "/path"
 *	</Plugin>
 *
 * The file has one number of 64 bits, which whoever wants may read at any time.
 */
#include "collectd.h"

#include "plugin.h"
#include "utils/common/common.h"

#include <fcntl.h>
#include <sys/mman.h>

static uint64_t *lists; /* in the file */

static int count_write(__attribute__((unused)) const data_set_t *ds,
		       __attribute__((unused)) const value_list_t *vl,
		       __attribute__((unused)) user_data_t *user)
{
	__atomic_fetch_add(lists, 1, __ATOMIC_RELAXED);
	return 0;
}

static int count_config(oconfig_item_t *ci)
{
	char *path = NULL;
	void *map = MAP_FAILED;
	int i, fd = -1;

	for (i = 0; i < ci->children_num; i++)
		if (!strcasecmp(ci->children[i].key, "File"))
			cf_util_get_string(&ci->children[i], &path);
	if (path)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && !ftruncate(fd, sizeof(*lists)))
		map = mmap(NULL, sizeof(*lists), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED)
		ERROR("count: cannot write to \"%s\".", path ? path : "(no File)");
	else
		lists = map;
	free(path);
	return lists ? 0 : -1;
}

void module_register(void)
{
	plugin_register_complex_config("count", count_config);
	plugin_register_write("count", count_write, NULL);
}
