/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder/store_open.h"

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "gov/bus.h"

static void store_path(const struct store *store, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", store->dir, GOV_INCIDENT_DB);
}

static _printf_(3, 4) int store_refuse(struct store *store, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(store->words, sizeof(store->words), format, args);
	va_end(args);
	return code;
}

/* Root writes, members of the group read: `govctl incidents` needs no daemon. Without the group only root reads. */
static void group_give(const char *path)
{
	const struct group *group = geteuid() == 0 ? getgrnam(GOV_BUS_GROUP) : NULL;

	/* Where the file system has no owners there is nothing to give. */
	if (group && lchown(path, (uid_t)-1, group->gr_gid) < 0)
		errno = 0;
}

/* As govd makes it; any other mode is somebody's wish. */
static bool is_new(const char *dir)
{
	struct stat st;

	return stat(dir, &st) == 0 && st.st_gid == 0 && (st.st_mode & 07777) == 0750;
}

/* The directory and an empty file with the right mode, before SQLite would make one with its own. */
static int store_make(struct store *store, const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (access(store->dir, F_OK) < 0) {
		r = file_mkdir_all(store->dir, 0750);
		if (r < 0)
			return store_refuse(store, SQLITE_CANTOPEN, "%s: %s", store->dir, strerror(-r));
	}
	if (is_new(store->dir))
		group_give(store->dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd >= 0)
		group_give(path);
	else if (errno != EEXIST)
		return store_refuse(store, SQLITE_CANTOPEN, "%s: %s", path, strerror(errno));
	return SQLITE_OK;
}

static int store_exec(struct store *store, const char *sql)
{
	int r = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

	return r == SQLITE_OK ? r : store_refuse(store, r, "%s: %s", GOV_INCIDENT_DB, sqlite3_errmsg(store->db));
}

static int store_version(struct store *store, int *ret_version)
{
	sqlite3_stmt *statement = NULL;
	int r = sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &statement, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_step(statement);
	if (r == SQLITE_ROW)
		*ret_version = sqlite3_column_int(statement, 0);
	else
		store_refuse(store, r, "%s: %s", GOV_INCIDENT_DB, sqlite3_errmsg(store->db));
	sqlite3_finalize(statement);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

/* Nothing is written before the version is known: a newer govd's database stays as it is. */
static int store_schema(struct store *store)
{
	static const char make[] = "BEGIN IMMEDIATE;" GOV_INCIDENT_SCHEMA "PRAGMA user_version = 1; COMMIT;";
	int persist = 1, version = 0, r;

	_Static_assert(STORE_VERSION == 1, "user_version in make");
	r = store_version(store, &version);
	if (r != SQLITE_OK)
		return r;
	if (version < 0 || version > STORE_VERSION)
		return store_refuse(store, SQLITE_MISMATCH,
				    "%s is of version %d, this govd-recorder writes version %d: upgrade govd, or move "
				    "the file away",
				    GOV_INCIDENT_DB, version, STORE_VERSION);
	/* -wal and -shm stay when it is closed: a reader who may not write to the directory can't make them. */
	sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
	r = store_exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			      "PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -1024;");
	if (r == SQLITE_OK && version < STORE_VERSION)
		r = store_exec(store, make);
	return r;
}

static int store_prepare(struct store *store)
{
	const struct {
		sqlite3_stmt **statement;
		const char *sql;
	} all[] = {
		{&store->begin, "BEGIN IMMEDIATE"},
		{&store->commit, "COMMIT"},
		{&store->rollback, "ROLLBACK"},
		{&store->insert,
		 "INSERT INTO incidents (time, kind, agent, policy, key, rule, evidence, action, result, by) "
		 "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"},
		{&store->prune_many, "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE id <= "
				     "(SELECT max(id) FROM incidents) - ?1 ORDER BY id LIMIT 512)"},
		{&store->prune_old, "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE time < ?1 "
				    "ORDER BY time LIMIT 512)"},
	};

	_Static_assert(STORE_PRUNE_ROWS == 512, "LIMIT in the statements");
	for (size_t i = 0; i < ELEMENTSOF(all); i++) {
		int r = sqlite3_prepare_v3(store->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].statement,
					   NULL);

		if (r != SQLITE_OK)
			return store_refuse(store, r, "%s: %s", GOV_INCIDENT_DB, sqlite3_errmsg(store->db));
	}
	return SQLITE_OK;
}

int store_open(struct store *store)
{
	char path[PATH_MAX];
	struct stat st;
	int r;

	store_path(store, path, sizeof(path));
	r = store_make(store, path);
	if (r != SQLITE_OK)
		return r;
	/* Before SQLite opens it: if it is replaced in between, the next look sees another file and opens again. */
	if (stat(path, &st) < 0)
		return store_refuse(store, SQLITE_CANTOPEN, "%s: %s", path, strerror(errno));
	store->dev = st.st_dev;
	store->ino = st.st_ino;
	r = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			    NULL);
	if (r != SQLITE_OK)
		return store_refuse(store, r, "%s: %s", path,
				    store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(r));
	sqlite3_busy_timeout(store->db, STORE_BUSY_TIMEOUT_MS);
	r = store_schema(store);
	return r == SQLITE_OK ? store_prepare(store) : r;
}

bool store_is_in_place(const struct store *store)
{
	char path[PATH_MAX];
	struct stat st;

	store_path(store, path, sizeof(path));
	return stat(path, &st) == 0 && st.st_dev == store->dev && st.st_ino == store->ino;
}

bool store_set_aside(struct store *store)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char from[PATH_MAX], to[PATH_MAX];
	int64_t now = (int64_t)time(NULL);

	store_close(store);
	if (store->set_aside >= STORE_SET_ASIDE_MAX)
		return false;
	store->set_aside++;
	for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
		snprintf(from, sizeof(from), "%s/%s%s", store->dir, GOV_INCIDENT_DB, suffixes[i]);
		snprintf(to, sizeof(to), "%s/%s.corrupt-%" PRId64 "%s", store->dir, GOV_INCIDENT_DB, now, suffixes[i]);
		/* The side files need not exist. */
		if (rename(from, to) < 0 && i == 0)
			return false;
	}
	return true;
}
