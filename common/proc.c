/* SPDX-License-Identifier: MIT */
/*
 * Files of /proc as sources: what the kernel tells nowhere else.
 *
 * A file is opened once, by a thread that is inside the namespace, and stays
 * open: it keeps showing that namespace, and reading it again costs no path
 * lookup.  Its text is read behind a message header and the file's name, so
 * that what is delivered, recorded and replayed are the same bytes:
 *
 *   struct nlmsghdr (NLMSG_MIN_TYPE), "net/snmp", 0, the text, 0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define FILE_MAX (16 << 20)

const char *nm_word(const char **s, size_t *len)
{
	const char *w = *s + strspn(*s, " \t");

	*len = strcspn(w, " \t\n");
	*s = w + *len;
	return *len ? w : NULL;
}

int nm_file_open(struct view *w, const struct nm_source *s)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/thread-self/%s", s->file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	w->src[s - w->pub.plugin->source].fd = fd;
	return fd < 0 ? -errno : 0;
}

/* One file is one answer: the plugin sees it begin and end as it does a dump. */
static int deliver(struct view *w, const struct nm_source *s, const struct nlmsghdr *h,
		   const char *text)
{
	struct nm_msg m = {
		.src = s,
		.nlh = h,
		.hdr = mnl_nlmsg_get_payload(h),
		.attr = w->attr,
		.text = text,
		.text_len = strlen(text),
	};

	nm_answer_starts(w, s, w->seq, true);
	w->pub.cost.messages++;
	w->pub.cost.bytes += m.text_len;
	w->interrupted = nm_hand_on(w, &m) != 0;
	return nm_answer_ends(w);
}

/* Bytes of the whole text, read to behind the first `head` bytes of w->buf, or an error. */
static ssize_t slurp(struct view *w, int fd, size_t head)
{
	size_t have = 0;
	ssize_t n;

	while ((n = pread(fd, w->buf + head + have, w->room - head - have - 1, (off_t)have)) > 0) {
		have += (size_t)n;
		if (w->room - head - have > 1)
			continue;
		char *more = w->room < FILE_MAX ? realloc(w->buf, 2 * w->room) : NULL;

		if (!more)
			return -ENOMEM;
		w->buf = more;
		w->room *= 2;
	}
	return n < 0 ? -errno : (ssize_t)have;
}

int nm_file_read(struct view *w, const struct nm_source *s)
{
	size_t name = strlen(s->file) + 1, head = NLMSG_HDRLEN + name;
	ssize_t n = slurp(w, w->src[s - w->pub.plugin->source].fd, head);
	struct nlmsghdr *h = (void *)w->buf;

	if (n < 0) {
		nm_answer_starts(w, s, w->seq, true);
		w->answer = (int)n;
		return nm_answer_ends(w);
	}
	w->pub.now = nm_clock(CLOCK_MONOTONIC);
	w->wall = nm_clock(CLOCK_REALTIME);
	*h = (struct nlmsghdr){.nlmsg_len = (uint32_t)(head + (size_t)n + 1),
			       .nlmsg_type = NLMSG_MIN_TYPE};
	memcpy(mnl_nlmsg_get_payload(h), s->file, name);
	w->buf[head + (size_t)n] = 0;
	if (w->record)
		nm_record_packet(w, NM_FILE, NM_ANSWER, h, h->nlmsg_len);
	return deliver(w, s, h, w->buf + head);
}

void nm_file_replay(struct view *w, const struct nlmsghdr *h)
{
	const char *name = mnl_nlmsg_get_payload(h);
	size_t len = mnl_nlmsg_get_payload_len(h), used = strnlen(name, len) + 1;

	if (used >= len || name[len - 1])
		return;
	for (size_t i = 0; i < w->pub.plugin->nsource; i++)
		if (w->pub.plugin->source[i].file && !strcmp(w->pub.plugin->source[i].file, name)) {
			deliver(w, &w->pub.plugin->source[i], h, name + used);
			return;
		}
}
