/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/tool.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"

#define TOOL_DIR_MAX 64 /* tool-2147483647-18446744073709551615 */
#define SPLIT_PASSES_MAX 200

struct tool_group *tool_group_find(const struct group *group, const struct tool_id *id)
{
	for (struct tool_group *tool = group->tools; tool; tool = tool->next)
		if (tool->id.pid == id->pid && tool->id.start_ticks == id->start_ticks)
			return tool;
	return NULL;
}

static void name_format(const struct tool_id *id, char name[static TOOL_DIR_MAX])
{
	snprintf(name, TOOL_DIR_MAX, TOOL_PREFIX "%d-%llu", (int)id->pid, (unsigned long long)id->start_ticks);
}

bool tool_name_parse(const char *name, struct tool_id *ret_id)
{
	char again[TOOL_DIR_MAX];
	unsigned long long ticks;
	struct tool_id id;
	int pid;

	if (sscanf(name, TOOL_PREFIX "%d-%llu", &pid, &ticks) != 2 || pid <= 0)
		return false;
	id = (struct tool_id){pid, ticks};
	name_format(&id, again);
	if (!streq(name, again))
		return false;
	*ret_id = id;
	return true;
}

/* ---- the agent's group, ready for nested ones ---- */

static bool memory_is_v2(const struct groups *groups)
{
	return groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2;
}

static int join_main(pid_t pid, void *userdata)
{
	const struct group *group = userdata;
	int r = tree_move(group->home_fd, pid);

	return r == -ESRCH ? 0 : r;
}

int group_open_main(struct group *group)
{
	int fd = openat(group->v2_fd, TOOL_MAIN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close_p(&group->home_fd);
	group->home_fd = fd;
	return 0;
}

int group_split(struct groups *groups, struct group *group, const struct policy *policy)
{
	int r = 0;

	if (!memory_is_v2(groups))
		return 0;
	if (group->home_fd < 0) {
		if (mkdirat(group->v2_fd, TOOL_MAIN, 0755) < 0 && errno != EEXIST)
			return -errno;
		r = group_open_main(group);
		if (r < 0)
			return r;
	}
	/* Those that are forked meanwhile come with the next pass: EBUSY as long as there is one. */
	for (unsigned pass = 0; pass < SPLIT_PASSES_MAX; pass++) {
		r = file_write(group->v2_fd, "cgroup.subtree_control", "+memory");
		if (r != -EBUSY)
			break;
		r = tree_own_pids(group->v2_fd, join_main, group);
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	return limit_apply_oom(group->home_fd, policy->limits.on_oom == POLICY_OOM_KILL_TOOL);
}

/* ---- a tool's ---- */

static int apply_limits(struct groups *groups, const struct tool_group *tool, const struct policy *policy,
			bool is_fresh)
{
	struct policy_limits limits = limit_none;
	int r, where = groups->layout.where[CONTROLLER_MEMORY];

	limits.memory_max_bytes = policy->tools.memory_max_bytes;
	/* Never half of it: memory.oom.group. */
	limits.on_oom = POLICY_OOM_KILL_AGENT;
	r = where == WHERE_V2 ? limit_apply(groups, tool->v2_fd, WHERE_V2, &limits, is_fresh) : 0;
	if (r == 0 && tool->v1_fd >= 0)
		r = limit_apply(groups, tool->v1_fd, where, &limits, is_fresh);
	return r;
}

int tool_groups_limit(struct groups *groups, const struct group *group, const struct policy *policy)
{
	int first = 0;

	for (const struct tool_group *tool = group->tools; tool; tool = tool->next) {
		int r = apply_limits(groups, tool, policy, false);

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

static int dir_open(int parent_fd, const char *name, bool makes, int *ret_fd)
{
	int fd;

	if (makes && mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static struct tool_group *tool_free(struct tool_group *tool)
{
	close_p(&tool->v2_fd);
	close_p(&tool->v1_fd);
	free(tool);
	return NULL;
}

static int tool_dirs(struct groups *groups, struct tool_group *tool, bool makes)
{
	int where = groups->layout.where[CONTROLLER_MEMORY], r, agent_v1_fd;
	char name[TOOL_DIR_MAX];
	struct stat st;

	name_format(&tool->id, name);
	r = dir_open(tool->group->v2_fd, name, makes, &tool->v2_fd);
	if (r < 0)
		return r;
	agent_v1_fd = where >= 0 ? tool->group->v1_fd[where] : -EBADF;
	if (agent_v1_fd >= 0)
		r = dir_open(agent_v1_fd, name, makes, &tool->v1_fd);
	if (r < 0 && makes)
		return r;
	if (fstat(tool->v2_fd, &st) < 0)
		return -errno;
	tool->cgroup_id = st.st_ino;
	if (tool->v1_fd >= 0 && fstat(tool->v1_fd, &st) < 0)
		return -errno;
	if (where == WHERE_V2 || tool->v1_fd >= 0)
		tool->memory_id = st.st_ino;
	return 0;
}

/* Into the table; from here on its emptiness is told. */
static int tool_add(struct groups *groups, struct tool_group *tool)
{
	int r = watch_add_tool(groups, tool);

	if (r < 0)
		return r;
	tool->next = tool->group->tools;
	tool->group->tools = tool;
	return 0;
}

int tool_group_open(struct groups *groups, struct group *group, const struct tool_id *id, uint64_t since_ns,
		    const struct policy *policy, struct tool_group **ret_tool)
{
	struct tool_group *tool = tool_group_find(group, id);
	char since[32];
	int r;

	if (tool) {
		*ret_tool = tool;
		return 0;
	}
	tool = calloc(1, sizeof(*tool));
	if (!tool)
		return -ENOMEM;
	*tool = (struct tool_group){
		.group = group, .id = *id, .since_ns = since_ns, .v2_fd = -EBADF, .v1_fd = -EBADF, .watch = -1};
	r = tool_dirs(groups, tool, true);
	snprintf(since, sizeof(since), "%llu", (unsigned long long)since_ns);
	if (r == 0 && fsetxattr(tool->v2_fd, TOOL_XATTR, since, strlen(since), 0) < 0)
		r = -errno;
	if (r == 0 && apply_limits(groups, tool, policy, true) < 0)
		groups->counts.degraded++;
	if (r == 0)
		r = tool_add(groups, tool);
	if (r < 0) {
		(void)tool_group_remove(groups, tool);
		tool_free(tool);
		return r;
	}
	*ret_tool = tool;
	return 0;
}

void tool_group_drop(struct groups *groups, struct tool_group *tool)
{
	struct tool_group **at = &tool->group->tools;

	watch_remove_tool(groups, tool);
	while (*at && *at != tool)
		at = &(*at)->next;
	if (*at)
		*at = tool->next;
	tool_free(tool);
}

/* Its directories. */
int tool_group_remove(struct groups *groups, struct tool_group *tool)
{
	char name[TOOL_DIR_MAX];
	int r = 0;

	(void)groups;
	name_format(&tool->id, name);
	if (tool->v2_fd >= 0)
		r = tree_remove(tool->v2_fd, name);
	/* What should still be in there is the agent's: its removal takes it along. */
	if (r == 0 && tool->v1_fd >= 0)
		(void)tree_remove(tool->v1_fd, name);
	return r;
}

/* ---- what an earlier govd has left ---- */

static void restore_one(struct groups *groups, struct group *group, const struct tool_id *id)
{
	struct tool_group *tool = calloc(1, sizeof(*tool));
	char since[32] = "";
	ssize_t n;

	if (!tool)
		return;
	*tool = (struct tool_group){.group = group, .id = *id, .v2_fd = -EBADF, .v1_fd = -EBADF, .watch = -1};
	if (tool_dirs(groups, tool, false) < 0) {
		tool_free(tool);
		return;
	}
	n = fgetxattr(tool->v2_fd, TOOL_XATTR, since, sizeof(since) - 1);
	tool->since_ns = n > 0 ? strtoull(since, NULL, 10) : watch_now_ns();
	if (tree_read_flag(tool->v2_fd, "cgroup.events", "populated") != 1 || tool_add(groups, tool) < 0) {
		(void)tool_group_remove(groups, tool);
		tool_free(tool);
		return;
	}
	tool->is_occupied = tool->is_unchecked = true;
}

/* Of v1: what isn't in v2 is a leftover, or is placed again. */
static void each_tool_dir(struct groups *groups, struct group *group, int dir_fd, bool is_v2)
{
	const struct dirent *entry;
	DIR *dir;

	if (file_open_dir(dir_fd, ".", &dir) < 0)
		return;
	while ((entry = readdir(dir))) {
		struct tool_id id;

		if (entry->d_type != DT_DIR || !tool_name_parse(entry->d_name, &id))
			continue;
		if (is_v2)
			restore_one(groups, group, &id);
		else if (faccessat(group->v2_fd, entry->d_name, F_OK, 0) < 0)
			(void)unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

void tool_groups_restore(struct groups *groups, struct group *group)
{
	int where = groups->layout.where[CONTROLLER_MEMORY];

	each_tool_dir(groups, group, group->v2_fd, true);
	if (where >= 0 && group->v1_fd[where] >= 0)
		each_tool_dir(groups, group, group->v1_fd[where], false);
}
