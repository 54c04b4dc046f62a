/* SPDX-License-Identifier: MIT */
/* RRD files below collectd's DataDir: which there are, whether they are whole, what is in them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph.h"

#define RRD_EXPORT_DEPRECATED /* structs of the file's head: it is checked before librrd trusts it */
#include <rrd_client.h>
#include <rrd_format.h>

/* ---- directories --------------------------------------------------------------------------- */

static int list(const char *path, struct words *names)
{
	DIR *dir = opendir(path);

	if (!dir)
		return errno;
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.')
			add_word(names, need(strdup(e->d_name)));
	closedir(dir);
	sort_words(names);
	return 0;
}

int hosts_below(const char *root, struct words *hosts)
{
	struct words all = {0}, inside;
	int err = list(root, &all);

	if (err)
		return fail(FAILED, "%s: %s; --rrd names the DataDir of collectd's rrdtool plugin",
			    root, strerror(err));
	for (size_t i = 0; i < all.n; i++) {
		char *path = text("%s/%s", root, all.v[i]);

		inside = (struct words){0};
		if (!list(path, &inside) && inside.n)
			add_word(hosts, need(strdup(all.v[i])));
		words_free(&inside);
		free(path);
	}
	words_free(&all);
	return hosts->n ? OK : fail(FAILED, "%s: there are no RRD files in it", root);
}

int store_open(struct store *s, const char *root, const char *host, const char *cached)
{
	struct words dirs = {0}, files;
	char *top;
	int err;

	*s = (struct store){.root = root, .host = host, .cached = cached};
	rrd_clear_error();
	if (cached && rrdc_connect(cached))
		return fail(FAILED, "rrdcached at %s: %s", cached, rrd_get_error());
	top = text("%s/%s", root, host);
	err = list(top, &dirs);
	for (size_t i = 0; i < dirs.n; i++) {
		char *path = text("%s/%s", top, dirs.v[i]);

		files = (struct words){0};
		list(path, &files);
		for (size_t k = 0; k < files.n; k++) {
			size_t len = strlen(files.v[k]);

			if (len > 4 && !strcmp(files.v[k] + len - 4, ".rrd"))
				add_word(&s->series,
					 text("%s/%.*s", dirs.v[i], (int)len - 4, files.v[k]));
		}
		words_free(&files);
		free(path);
	}
	words_free(&dirs);
	sort_words(&s->series);
	if (err)
		fail(FAILED, "%s: %s", top, strerror(err));
	free(top);
	return err ? FAILED : OK;
}

void store_close(struct store *s)
{
	words_free(&s->series);
}

size_t store_find(const struct store *s, const char *series)
{
	size_t low = 0, high = s->series.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(s->series.v[middle], series) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- one file ------------------------------------------------------------------------------ */

/* What rrdcached holds in memory is written.  The library keeps the connection. */
static int flush_cached(const struct store *s, const char *path)
{
	rrd_clear_error();
	if (!s->cached || !rrdc_flush(path))
		return OK;
	return fail(FAILED, "rrdcached at %s: %s: %s", s->cached, path,
		    rrd_test_error() ? rrd_get_error() : "is not written");
}

static bool ends(const char *s, size_t size)
{
	return memchr(s, 0, size) != NULL;
}

/* librrd believes what the head says of the file; NULL: it may. */
static const char *check_head(const stat_head_t *h, size_t size)
{
	if (size < sizeof(*h) || memcmp(h->cookie, RRD_COOKIE, sizeof(h->cookie)))
		return "is no RRD file";
	if (h->float_cookie != FLOAT_COOKIE)
		return "was written by a machine of another architecture";
	if (!ends(h->version, sizeof(h->version)) || strcmp(h->version, RRD_VERSION3) < 0 ||
	    strcmp(h->version, RRD_VERSION5) > 0)
		return "has a version that is not known";
	if (!h->ds_cnt || h->ds_cnt > 4096 || !h->rra_cnt || h->rra_cnt > 4096 || !h->pdp_step ||
	    h->pdp_step > INT_MAX)
		return "is damaged: its head makes no sense";
	return NULL;
}

static const char *check_body(struct file *f, const char *p, size_t size)
{
	static const char damaged[] = "is damaged: its head makes no sense";
	const stat_head_t *h = (const void *)p;
	const ds_def_t *ds = (const void *)(h + 1);
	const rra_def_t *rra = (const void *)(ds + h->ds_cnt);
	const live_head_t *live = (const void *)(rra + h->rra_cnt);
	const pdp_prep_t *pdp = (const void *)(live + 1);
	const cdp_prep_t *cdp = (const void *)(pdp + h->ds_cnt);
	const rra_ptr_t *ptr = (const void *)(cdp + h->ds_cnt * h->rra_cnt);
	size_t head = (size_t)((const char *)(ptr + h->rra_cnt) - p), rows = 0;

	if (size < head)
		return "is damaged: it is too short";
	for (size_t i = 0; i < h->ds_cnt; i++) {
		if (!ends(ds[i].ds_nam, DS_NAM_SIZE) || !ends(ds[i].dst, DST_SIZE) ||
		    !ends(pdp[i].last_ds, LAST_DS_LEN))
			return damaged;
		add_word(&f->ds, need(strdup(ds[i].ds_nam)));
	}
	f->rra = need(calloc(h->rra_cnt, sizeof(*f->rra)));
	f->rras = h->rra_cnt;
	for (size_t i = 0; i < h->rra_cnt; i++) {
		if (!ends(rra[i].cf_nam, CF_NAM_SIZE) || !rra[i].pdp_cnt ||
		    rra[i].pdp_cnt > INT_MAX / h->pdp_step || !rra[i].row_cnt ||
		    rra[i].row_cnt > size || ptr[i].cur_row >= rra[i].row_cnt)
			return damaged;
		rows += rra[i].row_cnt;
		f->rra[i] =
			(struct rra){.step = rra[i].pdp_cnt * h->pdp_step, .rows = rra[i].row_cnt};
		memcpy(f->rra[i].cf, rra[i].cf_nam, CF_NAM_SIZE);
	}
	if (size - head < rows * h->ds_cnt * sizeof(rrd_value_t))
		return "is damaged: it is too short";
	f->last = live->last_up;
	f->step = h->pdp_step;
	return f->last < 0 || f->last > (time_t)1 << 40 ? damaged : NULL;
}

/* The head's size is known when its beginning was read. */
static const char *read_head(struct file *f, size_t size)
{
	stat_head_t h;
	const char *wrong;
	size_t most;
	char *head;

	if (pread(f->fd, &h, sizeof(h), 0) != sizeof(h))
		size = 0;
	wrong = check_head(&h, size);
	if (wrong)
		return wrong;
	most = sizeof(h) + h.ds_cnt * (sizeof(ds_def_t) + sizeof(pdp_prep_t)) +
	       h.rra_cnt * (sizeof(rra_def_t) + sizeof(rra_ptr_t)) + sizeof(live_head_t) +
	       h.ds_cnt * h.rra_cnt * sizeof(cdp_prep_t);
	if (size < most)
		return "is damaged: it is too short";
	head = need(malloc(most));
	wrong = pread(f->fd, head, most, 0) == (ssize_t)most ? check_body(f, head, size) :
							       "cannot be read";
	free(head);
	return wrong;
}

int file_open(struct file *f, const struct store *s, const char *series)
{
	char *path = text("%s/%s/%s.rrd", s->root, s->host, series);
	int status = flush_cached(s, path);
	const char *wrong;
	struct stat st = {0};

	*f = (struct file){.fd = -1};
	if (!status) {
		f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (f->fd < 0 || fstat(f->fd, &st))
			status = fail(FAILED, "%s: %s", path, strerror(errno));
	}
	if (!status) {
		snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
		wrong = S_ISREG(st.st_mode) ? read_head(f, (size_t)st.st_size) : "is no file";
		if (wrong)
			status = fail(FAILED, "%s %s", path, wrong);
	}
	free(path);
	if (status)
		file_close(f);
	return status;
}

void file_close(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	words_free(&f->ds);
	free(f->rra);
	*f = (struct file){.fd = -1};
}

const char *file_ds(const struct file *f, const char *names)
{
	for (size_t len; *names; names += len + (names[len] != 0)) {
		len = strcspn(names, "|");
		for (size_t i = 0; i < f->ds.n; i++)
			if (strlen(f->ds.v[i]) == len && !memcmp(f->ds.v[i], names, len))
				return f->ds.v[i];
	}
	return NULL;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* The rows of one archive between two times, cut where they end. */
static int fetch(const struct file *f, const char *ds, const struct rra *a, time_t from, time_t to,
		 struct row **rows, size_t *n)
{
	time_t start = from, end = to;
	unsigned long step = a->step, count, which;
	rrd_value_t *data;
	char **names;

	rrd_clear_error();
	if (rrd_fetch_r(f->path, a->cf, &start, &end, &step, &count, &names, &data))
		return fail(FAILED, "an RRD file cannot be read: %s", rrd_get_error());
	for (which = 0; which < count && strcmp(names[which], ds); which++)
		;
	*rows = need(realloc(*rows, (*n + (size_t)(end - start) / step + 2) * sizeof(**rows)));
	for (time_t t = start; which < count && t < end; t += (time_t)step) {
		struct row r = {t, t + (time_t)step, data[(t - start) / step * count + which]};

		r.from = r.from < from ? from : r.from;
		r.to = r.to > to ? to : r.to;
		if (r.from < r.to)
			(*rows)[(*n)++] = r;
	}
	for (size_t i = 0; i < count; i++)
		rrd_freemem(names[i]);
	rrd_freemem(names);
	rrd_freemem(data);
	return OK;
}

static int by_time(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

int file_rows(const struct file *f, const char *ds, const char *cf, time_t from, time_t to,
	      struct row **rows, size_t *n)
{
	int status = OK;

	*rows = NULL;
	*n = 0;
	/* The archives from fine to coarse; each gives what is older than the one before has. */
	for (unsigned long finest = 0; !status && from < to;) {
		const struct rra *next = NULL;
		time_t first, last;

		for (size_t i = 0; i < f->rras; i++)
			if (!strcmp(f->rra[i].cf, cf) && f->rra[i].step > finest &&
			    (!next || f->rra[i].step < next->step))
				next = &f->rra[i];
		if (!next)
			break;
		finest = next->step;
		last = f->last - f->last % (time_t)next->step;
		first = last - (time_t)(next->step * next->rows);
		last = last < to ? last : to;
		first = first > from ? first : from;
		if (first >= last)
			continue;
		status = fetch(f, ds, next, first, last, rows, n);
		to = first;
	}
	if (*n)
		qsort(*rows, *n, sizeof(**rows), by_time);
	return status;
}
