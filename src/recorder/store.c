/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder/store.h"

#include "recorder/store_open.h"

static int store_fail(struct store *store, int code)
{
	snprintf(store->words, sizeof(store->words), "%s: %s", GOV_INCIDENT_DB,
		 store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
	return code;
}

static int statement_run(sqlite3_stmt *statement)
{
	int r = sqlite3_step(statement);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

static int row_insert(sqlite3_stmt *insert, const struct row *row)
{
	int r = sqlite3_bind_int64(insert, 1, row->time_ms);

	for (int i = 0; r == SQLITE_OK && i < ROW_COLUMNS; i++)
		r = sqlite3_bind_text(insert, i + 2, row->columns[i], -1, SQLITE_STATIC);
	return r == SQLITE_OK ? statement_run(insert) : r;
}

/* Ids grow by one with each row, so the highest id tells how many are too many without a count of the table. */
static int store_prune(struct store *store, int64_t now_ms)
{
	int r = SQLITE_OK;

	if (store->keep_max && store->keep_max < INT64_MAX) {
		r = sqlite3_bind_int64(store->prune_many, 1, (sqlite3_int64)store->keep_max);
		if (r == SQLITE_OK)
			r = statement_run(store->prune_many);
	}
	if (r == SQLITE_OK && store->keep_s && store->keep_s < INT64_MAX / 1000) {
		r = sqlite3_bind_int64(store->prune_old, 1, now_ms - (int64_t)store->keep_s * 1000);
		if (r == SQLITE_OK)
			r = statement_run(store->prune_old);
	}
	return r;
}

static int store_transaction(struct store *store, struct row *const *rows, size_t n, int64_t now_ms)
{
	int r = statement_run(store->begin);

	if (r != SQLITE_OK)
		return r;
	for (size_t i = 0; r == SQLITE_OK && i < n; i++)
		r = row_insert(store->insert, rows[i]);
	if (r == SQLITE_OK)
		r = store_prune(store, now_ms);
	return r == SQLITE_OK ? statement_run(store->commit) : r;
}

static bool is_corrupt(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

static int store_try(struct store *store, struct row *const *rows, size_t n, int64_t now_ms)
{
	int r = SQLITE_OK;

	if (store->db && !store_is_in_place(store))
		store_close(store);
	if (!store->db)
		r = store_open(store);
	if (r != SQLITE_OK) {
		store_close(store);
		return r; /* with words */
	}
	r = store_transaction(store, rows, n, now_ms);
	if (r == SQLITE_OK)
		return r;
	store_fail(store, r);
	/* A full disk may have rolled it back already; then this fails, and harmlessly. */
	if (!sqlite3_get_autocommit(store->db))
		(void)statement_run(store->rollback);
	/* Whatever it was, the next attempt begins with a fresh look at the path; closing loses nothing. */
	store_close(store);
	return r;
}

int store_write(struct store *store, struct row *const *rows, size_t n, int64_t now_ms)
{
	int r = store_try(store, rows, n, now_ms);

	if (is_corrupt(r) && store_set_aside(store))
		r = store_try(store, rows, n, now_ms);
	return r;
}

void store_close(struct store *store)
{
	sqlite3_stmt **statements[] = {&store->begin,  &store->commit,	  &store->rollback,
				       &store->insert, &store->prune_old, &store->prune_many};

	for (size_t i = 0; i < ELEMENTSOF(statements); i++) {
		sqlite3_finalize(*statements[i]);
		*statements[i] = NULL;
	}
	sqlite3_close(store->db);
	store->db = NULL;
}
