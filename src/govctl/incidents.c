/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "incidents.h"

#include <limits.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "base/text.h"
#include "convert.h"
#include "format.h"
#include "gov/bus.h"
#include "gov/incident.h"

#define INCIDENTS_BUSY_MS 2000
#define INCIDENTS_SCHEMA_VERSION 1

struct incidents {
	sqlite3 *db;
	sqlite3_stmt *statement;
	char path[PATH_MAX];
};

/* ?1 since, ms; ?2 kind; ?3 agent: id, prefix of it, or POLICY/KEY; ?4 policy; ?5 how many. */
static const char query_text[] =
	"SELECT time, kind, agent, policy, key, rule, evidence, action, result, by FROM (SELECT * FROM incidents WHERE "
	"time >= ?1 AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR (agent != '' AND substr(agent, 1, length(?3)) = "
	"?3) OR policy || '/' || key = ?3) AND (?4 IS NULL OR policy = ?4) ORDER BY time DESC, id DESC LIMIT ?5) "
	"ORDER BY time, id";

/* --state-dir, else what govd links beside its socket, else the default. */
static int find_path(const struct context *context, char *path, size_t size)
{
	const char *slash = strrchr(context->socket, '/');
	struct text text = {.bytes = path, .size = size};

	if (context->options[OPTION_STATE_DIR]) {
		text_addf(&text, "%s/%s", context->options[OPTION_STATE_DIR], GOV_INCIDENT_DB);
		return text.truncated ? -ENAMETOOLONG : 0;
	}
	text_addf(&text, "%.*s%s", slash ? (int)(slash - context->socket + 1) : 0, context->socket,
		  GOV_RUNTIME_STATE_LINK);
	if (!text.truncated && access(path, F_OK) == 0) {
		text_addf(&text, "/%s", GOV_INCIDENT_DB);
	} else {
		text = (struct text){.bytes = path, .size = size};
		text_addf(&text, "%s/%s", GOV_DEFAULT_STATE_DIR, GOV_INCIDENT_DB);
	}
	return text.truncated ? -ENAMETOOLONG : 0;
}

/* As a URI, in which % ? and # would mean something (sqlite3_open). */
static int make_uri(const char *path, const char *parameters, char *uri, size_t size)
{
	struct text text = {.bytes = uri, .size = size};

	text_add(&text, "file:");
	for (const char *c = path; *c; c++)
		text_addf(&text, strchr("%?#", *c) ? "%%%02x" : "%c", (unsigned char)*c);
	text_addf(&text, "?%s", parameters);
	return text.truncated ? -ENAMETOOLONG : 0;
}

/* Opens and reads the schema, which is where a missing or foreign -shm shows. SQLite's code. */
static int open_with(struct incidents *incidents, const char *parameters)
{
	char uri[3 * PATH_MAX];
	int r;

	if (make_uri(incidents->path, parameters, uri, sizeof(uri)) < 0)
		return SQLITE_CANTOPEN;
	sqlite3_close(incidents->db);
	incidents->db = NULL;
	r = sqlite3_open_v2(uri, &incidents->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	if (r != SQLITE_OK)
		return r;
	sqlite3_busy_timeout(incidents->db, INCIDENTS_BUSY_MS);
	return sqlite3_prepare_v2(incidents->db, query_text, -1, &incidents->statement, NULL);
}

static int64_t schema_version(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;
	int64_t version = -1;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		version = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return version;
}

static int bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	return text ? sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT) : SQLITE_OK;
}

static int bind_query(sqlite3_stmt *statement, const struct incidents_query *query)
{
	int64_t last = query->last && query->last <= INT64_MAX ? (int64_t)query->last : -1;

	return sqlite3_bind_int64(statement, 1, query->since_ms) | bind_text(statement, 2, query->kind) |
	       bind_text(statement, 3, query->agent) | bind_text(statement, 4, query->policy) |
	       sqlite3_bind_int64(statement, 5, last);
}

static bool has_wal(const char *path)
{
	char wal[PATH_MAX + 8];
	struct stat st;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	return stat(wal, &st) == 0 && st.st_size > 0;
}

/* The file as it is, for who may not make the -shm that even a reader needs in WAL mode. What only the write-ahead log
 * has isn't in it: that may be all. SQLite's code. */
static int open_immutable(struct incidents *incidents)
{
	int r = open_with(incidents, "mode=ro&immutable=1");

	if (!has_wal(incidents->path))
		return r;
	tell("the newest incidents are missing: only root can read those while govd is down");
	return r == SQLITE_OK ? r : SQLITE_PERM;
}

static int open_path(struct incidents *incidents)
{
	int r;

	if (access(incidents->path, R_OK) < 0)
		return -errno;
	r = open_with(incidents, "mode=ro");
	if ((r & 0xff) == SQLITE_CANTOPEN || (r & 0xff) == SQLITE_READONLY || (r & 0xff) == SQLITE_IOERR)
		r = open_immutable(incidents);
	if (r == SQLITE_PERM)
		return -EACCES;
	if (r == SQLITE_ERROR) /* no such table, no such column */
		return -ENODATA;
	if (r == SQLITE_NOTADB || r == SQLITE_CORRUPT)
		return -EBADMSG;
	if (r != SQLITE_OK)
		return r == SQLITE_BUSY ? -EBUSY : -EIO;
	return schema_version(incidents->db) > INCIDENTS_SCHEMA_VERSION ? -EPROTO : 0;
}

static int try_open(const struct context *context, const struct incidents_query *query, struct incidents *incidents)
{
	int r = find_path(context, incidents->path, sizeof(incidents->path));

	if (r == 0)
		r = open_path(incidents);
	if (r == 0 && bind_query(incidents->statement, query) != SQLITE_OK)
		r = -ENOMEM;
	return r;
}

static void tell_open(const char *path, int error)
{
	switch (-error) {
	case ENOENT:
	case ENOTDIR:
		tell("there is no %s: has govd ever run? Name its state directory with --state-dir", path);
		break;
	case EACCES:
		tell("you may not read %s: root and members of group %s may", path, GOV_BUS_GROUP);
		break;
	case ENODATA:
	case EBADMSG:
		tell("%s isn't a database of incidents, or it is damaged: move it away and restart govd", path);
		break;
	case EPROTO:
		tell("%s was written by a newer govd: use the govctl that came with it", path);
		break;
	default:
		tell("can't read %s: %s", path, strerror(-error));
	}
}

static int incidents_new(const struct context *context, const struct incidents_query *query, bool is_quiet,
			 struct incidents **ret_incidents)
{
	_cleanup_(incidents_closep) struct incidents *incidents = calloc(1, sizeof(*incidents));
	int r;

	if (!incidents)
		return -ENOMEM;
	r = try_open(context, query, incidents);
	if (r < 0) {
		if (!is_quiet)
			tell_open(incidents->path, r);
		return r;
	}
	*ret_incidents = TAKE_PTR(incidents);
	return 0;
}

int incidents_open(const struct context *context, const struct incidents_query *query, struct incidents **ret_incidents)
{
	return incidents_new(context, query, false, ret_incidents);
}

int incidents_open_quiet(const struct context *context, const struct incidents_query *query,
			 struct incidents **ret_incidents)
{
	return incidents_new(context, query, true, ret_incidents);
}

struct incidents *incidents_close(struct incidents *incidents)
{
	if (!incidents)
		return NULL;
	sqlite3_finalize(incidents->statement);
	sqlite3_close(incidents->db);
	free(incidents);
	return NULL;
}

/* The evidence as an object, whatever the column holds. */
static json_t *read_evidence(const char *text)
{
	json_t *evidence = json_loads(text, 0, NULL);

	if (json_is_object(evidence))
		return evidence;
	json_decref(evidence);
	evidence = json_object();
	if (*text)
		json_object_set_new(evidence, "text", convert_string(text));
	return evidence;
}

static json_t *read_row(sqlite3_stmt *statement)
{
	static const char *const names[] = {"kind",	"agent",  "policy", "key", "rule",
					    "evidence", "action", "result", "by"};
	json_t *incident = json_object();
	char time[40];

	format_rfc3339(time, sizeof(time), sqlite3_column_int64(statement, 0));
	json_object_set_new(incident, "time", json_string(time));
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		const char *text = (const char *)sqlite3_column_text(statement, (int)i + 1);
		bool is_evidence = streq(names[i], "evidence");

		text = text ? text : "";
		json_object_set_new(incident, names[i], is_evidence ? read_evidence(text) : convert_string(text));
	}
	return incident;
}

int incidents_next(struct incidents *incidents, json_t **ret_incident)
{
	int r = sqlite3_step(incidents->statement);

	if (r == SQLITE_DONE)
		return 0;
	if (r != SQLITE_ROW) {
		tell("can't read %s: %s", incidents->path, sqlite3_errmsg(incidents->db));
		return -EIO;
	}
	*ret_incident = read_row(incidents->statement);
	return *ret_incident ? 1 : -ENOMEM;
}
