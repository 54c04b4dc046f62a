/* SPDX-License-Identifier: MIT */
/* What the files of netmon_neighbor know of each other: the stations, and what is configured. */
#ifndef NEIGHBOR_H
#define NEIGHBOR_H

#include <net/if.h>
#include <pthread.h>

#include "netmon.h"

/* Words of the option Notify. */
enum {
	NEW = 1 << 0,
	CHANGED = 1 << 1,
	FLIPFLOP = 1 << 2,
	REUSED = 1 << 3,
	ACTIVITY = 1 << 4,
	DUPLICATE = 1 << 5,
	MOVED = 1 << 6,
	TABLE_FULL = 1 << 7,
	STATE_FILE = 1 << 8,
};
enum { STATION_NOTICES = 7 }; /* the first ones */
extern const struct nm_names nm_neighbor_notices;

struct config {
	struct nm_config common;
	struct nm_select interfaces;
	bool vlans, track;
	double max_stations, quiet, duplicate_interval;
	char *state_file;
	unsigned notify;
};

enum { PAST = 4 };

struct station_key {
	char where[IFNAMSIZ]; /* ifindexes do not outlive a restart; empty: any interface */
	uint8_t addr[16];
	uint16_t vlan;
	uint8_t family, pad[5];
};

struct station {
	union {
		uint64_t at[PAST]; /* packed link layer addresses, the present one first */
		char port[IFNAMSIZ];
	};
	int64_t seen, changed; /* s, as view.now */
};

struct save; /* the state file as it is to be written */

struct stations {
	struct nm_map known;   /* struct station_key -> struct station */
	struct nm_map clashes; /* struct station_key -> int64_t: s, when it was seen last */
	uint64_t events[STATION_NOTICES], forgotten;
	bool changed;   /* since they were last sent */
	bool remembers; /* those from before the start */

	/* The state file. */
	bool loaded, frozen, unsaved, failing, imported;
	uint64_t saved_at; /* ns */
	pthread_t saver;
	struct save *save; /* that it writes; NULL: there is none */
};

enum { TEXT = 64 };

/* netmon_neighbor.c */
struct stations *nm_stations(const struct nm_view *v);
/* 0: there is no interface of this name. */
uint32_t nm_neighbor_ifindex(const struct nm_view *v, const char *name);

/* s, as view.now */
static inline int64_t seconds(const struct nm_view *v)
{
	return (int64_t)(v->now / 1000000000);
}

/* neighbor_stations.c */
/* Up to 7 bytes of a link layer address, the last ones of a longer one, and its length. */
uint64_t nm_lladdr_pack(const uint8_t *p, size_t len);
/* What was packed, in words.  Returns buf. */
const char *nm_lladdr_text(uint64_t at, char buf[static TEXT]);
/* Its IP address, or its link layer address and VLAN.  Returns buf. */
const char *nm_station_text(const struct station_key *k, char buf[static TEXT]);
void nm_stations_open(struct stations *s);
void nm_stations_close(struct stations *s);
/* A station that is not known yet.  -ENOMEM */
int nm_station_add(struct nm_view *v, const struct station_key *k, const struct station *is);
/*
 * A sign of a station, so many seconds old.  wakes: it was not known to be there
 * all the time.  1: it was in another place before.  -ENOMEM
 */
int nm_station_seen(struct nm_view *v, const struct station_key *k, const struct station *is,
		    bool wakes);
/* Interface old is named new now.  -ENOMEM */
int nm_stations_rename(struct stations *s, const char *old, const char *new);
/* Addresses that one station has had for a while. */
void nm_stations_calm(struct nm_view *v);
void nm_stations_submit(const struct nm_view *v, struct nm_reading *r);

/* neighbor_file.c */
/* Once, before anything is seen. */
void nm_stations_load(struct nm_view *v);
/* Once a minute where something has changed.  -ENOMEM */
int nm_stations_save(struct nm_view *v);
void nm_stations_save_at_the_end(struct nm_view *v);

#endif
