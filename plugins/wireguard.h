/* SPDX-License-Identifier: MIT */
/* What the files of netmon_wireguard know of each other: options, and what peers are called. */
#ifndef WIREGUARD_H
#define WIREGUARD_H

#include "netmon.h"
#include "uapi.h"

/* Words of the option Notify. */
enum {
	BACK = 1 << 0,
	OFFLINE = 1 << 1,
	ROAMED = 1 << 2,
	NEW = 1 << 3,
	REMOVED = 1 << 4,
	NAMES = 1 << 5,
};
extern const struct nm_names nm_wireguard_notices;

struct config {
	struct nm_config common;
	struct nm_select interfaces;
	struct nm_pair *peer_name;
	struct nm_setting *peer_names;
	unsigned report, notify;
	double online_timeout;
};

#define KEY_TEXT  44 /* characters of a key in base64, the last one is "=" */
#define WISH_SIZE 49 /* leaves room for "_" and characters of a key */

struct wishes {             /* what PeerName and PeerNames call peers */
	struct nm_map text; /* key -> WISH_SIZE bytes */
	struct file *files;
	bool read;
};

/* false: no key.  to may be NULL. */
bool nm_key_read(const char *text, size_t len, uint8_t to[WG_KEY_LEN]);
void nm_key_text(const uint8_t key[WG_KEY_LEN], char to[static KEY_TEXT + 1]);

/* -ENOMEM */
int nm_wishes_open(struct wishes *w, const struct config *c);
void nm_wishes_close(struct wishes *w);
/* Reads what has changed; while a file cannot be, they stay.  1: they are others now.  -ENOMEM */
int nm_wishes_read(struct nm_view *v, struct wishes *w);

#endif
