/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_RECORDER_STORE_H
#define GOV_RECORDER_STORE_H

#include <sqlite3.h>
#include <sys/stat.h>

#include "recorder/message.h"

/*
 * STATE_DIR/incidents.db. Opened when it is first needed and again after whatever happened to it: a full or read-only
 * disk, a deleted directory, a corrupt file. All functions return SQLite's extended result codes.
 */
struct store {
	const char *dir;
	sqlite3 *db; /* NULL: closed */
	sqlite3_stmt *begin, *commit, *rollback, *insert, *prune_old, *prune_many;
	dev_t dev; /* of the open file: another file at the path means that it was moved or deleted */
	ino_t ino;
	uint64_t keep_s, keep_max; /* 0: no bound */
	unsigned set_aside;	   /* corrupt databases, in this run */
	char words[256];	   /* the last failure */
};

#define STORE_VERSION 1		   /* PRAGMA user_version */
#define STORE_PRUNE_ROWS 512	   /* at the most at a time, more than a batch */
#define STORE_SET_ASIDE_MAX 3	   /* a disk that corrupts everything isn't to be filled with corrupt databases */
#define STORE_BUSY_TIMEOUT_MS 5000 /* an earlier govd-recorder may still be writing what it had */

/* Writes n rows in one transaction and prunes; all or nothing. SQLITE_OK or the failure. */
int store_write(struct store *store, struct row *const *rows, size_t n, int64_t now_ms) _must_check_;
void store_close(struct store *store);

#endif
