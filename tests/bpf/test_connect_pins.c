/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <bpf/bpf.h>

#include "base/file.h"
#include "sense/connect.h"

/*
 * What is pinned: maps and links that outlive a govd, and how the next one takes them over. On a bpffs in a mount
 * namespace of the test's own, which goes with it; groups below the v2 root, made for the test.
 */

#define LINKS 6
#define RING_BYTES 65536
#define MAPS 6

static const char *const link_names[LINKS] = {"connect_egress", "connect_addr4", "connect_addr6",
					      "connect_send4",	"connect_send6", "connect_sockops"};
static const char *const map_names[MAPS] = {"gov_connect_agents", "gov_connect_stats", "gov_connect_entries",
					    "gov_connect_socks",  "gov_connect_flows", "gov_connect_seats"};

/* Shared with the client. */
struct tally {
	int made; /* connects */
	int stop;
};

static struct stage {
	char dir[64], pins[96];
	char slice[128], agent[160], slice_b[128], agent_b[160];
	int listener;
	uint16_t port;
	struct tally *tally;
	pid_t client, owner; /* processes */
} stage;

/* ---- the stage --------------------------------------------------------------------------------------------------- */

static void make_group(char *path, size_t size, const char *parent, const char *name)
{
	snprintf(path, size, "%s/%s", parent, name);
	cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
}

static void open_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	stage.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert(stage.listener >= 0);
	cr_assert_eq(bind(stage.listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(stage.listener, 128), 0);
	cr_assert_eq(getsockname(stage.listener, (struct sockaddr *)&address, &size), 0);
	stage.port = ntohs(address.sin_port);
}

static void stage_open(void)
{
	const char *root =
		access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
	char bpffs[80], name[64];

	cr_assert_eq(geteuid(), 0, "these tests need root");
	snprintf(stage.dir, sizeof(stage.dir), "/tmp/govtest-pins-XXXXXX");
	cr_assert_not_null(mkdtemp(stage.dir));
	snprintf(bpffs, sizeof(bpffs), "%s/bpf", stage.dir);
	snprintf(stage.pins, sizeof(stage.pins), "%s/slice/v%d", bpffs, GOV_CONNECT_VERSION);
	cr_assert_eq(unshare(CLONE_NEWNS), 0);
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mkdir(bpffs, 0700), 0);
	cr_assert_eq(mount("bpf", bpffs, "bpf", 0, NULL), 0, "%s", strerror(errno));
	snprintf(name, sizeof(name), "govtest-%d.slice", getpid());
	make_group(stage.slice, sizeof(stage.slice), root, name);
	make_group(stage.agent, sizeof(stage.agent), stage.slice, "agent");
	snprintf(name, sizeof(name), "govtest-%d-b.slice", getpid());
	make_group(stage.slice_b, sizeof(stage.slice_b), root, name);
	make_group(stage.agent_b, sizeof(stage.agent_b), stage.slice_b, "agent");
	stage.tally = mmap(NULL, sizeof(*stage.tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(stage.tally, MAP_FAILED);
	open_listener();
}

static void end_child(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static void remove_group(const char *path)
{
	/* What has ended may be in it for a moment. */
	for (int i = 0; path[0] && rmdir(path) < 0 && errno == EBUSY && i < WAIT_MS / 10; i++)
		usleep(10000);
}

static void stage_close(void)
{
	char bpffs[80];

	end_child(&stage.client);
	end_child(&stage.owner);
	remove_group(stage.agent);
	remove_group(stage.slice);
	remove_group(stage.agent_b);
	remove_group(stage.slice_b);
	snprintf(bpffs, sizeof(bpffs), "%s/bpf", stage.dir);
	umount2(bpffs, MNT_DETACH);
	rmdir(bpffs);
	rmdir(stage.dir);
}

TestSuite(pins, .init = stage_open, .fini = stage_close);

static uint64_t id_of(const char *group)
{
	struct stat st;

	cr_assert_eq(stat(group, &st), 0);
	return st.st_ino;
}

static struct bpf_sense *sense_open_at(const char *slice, char *words, size_t size)
{
	const struct bpf_sense_options options = {.ring_bytes = RING_BYTES, .pin_dir = stage.pins};
	const struct gov_config config = {
		.slice_id = id_of(slice), .slice_level = 1, .self_pid = (uint32_t)getpid(), .tick_ns = 4000000};
	struct bpf_sense *sense = NULL;

	cr_assert_eq(bpf_sense_new(&options, &sense, words, size), 0, "%s", words);
	cr_assert_eq(bpf_sense_set_config(sense, &config), 0);
	return sense;
}

static struct bpf_sense *sense_open(void)
{
	char words[512] = "";
	struct bpf_sense *sense = sense_open_at(stage.slice, words, sizeof(words));

	cr_assert_eq(words[0], '\0', "%s", words);
	return sense;
}

static void attach(struct bpf_sense *sense, const char *slice)
{
	_cleanup_close_ int fd = open(slice, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = bpf_connect_attach(sense, fd);

	cr_assert_eq(r, 0, "%s: %s", strerror(-r), bpf_connect_words(sense));
}

/* No limit: what is counted must be what was made. */
static const struct gov_connect_agent unlimited = {.max_delay_ns = 30 * NSEC_PER_SEC};

static void set_agent(struct bpf_sense *sense, uint64_t owner)
{
	cr_assert_eq(bpf_connect_set_agent(sense, owner, &unlimited), 0);
}

static uint64_t connects_of(struct bpf_sense *sense, const char *agent)
{
	struct gov_connect_stats stats;

	cr_assert_eq(bpf_connect_stats(sense, id_of(agent), &stats), 0);
	return stats.connects;
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

static void connect_once(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(stage.port)};
	const struct linger reset = {.l_onoff = 1}; /* leaves no TIME_WAIT */
	int fd = socket(AF_INET, SOCK_STREAM, 0), peer;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		_exit(2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	peer = accept(stage.listener, NULL, NULL);
	if (peer >= 0)
		close(peer);
}

static void client_start(const char *group)
{
	*stage.tally = (struct tally){};
	stage.client = fork();
	cr_assert_geq(stage.client, 0);
	if (stage.client != 0)
		return;
	char procs[192];

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
	if (file_write(AT_FDCWD, procs, "0") < 0)
		_exit(1);
	while (!__atomic_load_n(&stage.tally->stop, __ATOMIC_ACQUIRE)) {
		connect_once();
		__atomic_fetch_add(&stage.tally->made, 1, __ATOMIC_RELEASE);
	}
	_exit(0);
}

static void client_go_on(int n)
{
	int until = __atomic_load_n(&stage.tally->made, __ATOMIC_ACQUIRE) + n;

	for (int i = 0; __atomic_load_n(&stage.tally->made, __ATOMIC_ACQUIRE) < until; i++) {
		cr_assert(i < WAIT_MS, "the client has stopped at %d", stage.tally->made);
		usleep(1000);
	}
}

/* Returns how many it has made. */
static uint64_t client_stop(void)
{
	int status;

	__atomic_store_n(&stage.tally->stop, 1, __ATOMIC_RELEASE);
	cr_assert_eq(waitpid(stage.client, &status, 0), stage.client);
	stage.client = 0;
	cr_assert_eq(status, 0);
	return (uint64_t)stage.tally->made;
}

static void expect_all_counted(struct bpf_sense *sense, const char *agent)
{
	uint64_t made = client_stop();

	cr_expect_eq(connects_of(sense, agent), made);
}

/* ---- pins -------------------------------------------------------------------------------------------------------- */

static int pin_open(const char *name)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", stage.pins, name);
	return bpf_obj_get(path);
}

/* Id of a map or link; 0: there is no pin. Infos of both begin with type and id. */
static uint32_t pin_id(const char *name)
{
	_cleanup_close_ int fd = pin_open(name);
	uint32_t info[2] = {}, size = sizeof(info);

	if (fd < 0)
		return 0;
	cr_assert_eq(bpf_obj_get_info_by_fd(fd, info, &size), 0);
	return info[1];
}

static uint32_t program_of(const char *name)
{
	_cleanup_close_ int fd = pin_open(name);
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);

	cr_assert_eq(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return info.prog_id;
}

struct pins {
	uint32_t links[LINKS], maps[MAPS];
};

static void pins_read(struct pins *pins)
{
	for (size_t i = 0; i < LINKS; i++) {
		pins->links[i] = pin_id(link_names[i]);
		cr_expect_neq(pins->links[i], 0, "%s", link_names[i]);
	}
	for (size_t i = 0; i < MAPS; i++) {
		pins->maps[i] = pin_id(map_names[i]);
		cr_expect_neq(pins->maps[i], 0, "%s", map_names[i]);
	}
}

static size_t count_files(const char *path)
{
	DIR *directory = opendir(path);
	size_t n = 0;

	cr_assert_not_null(directory, "%s", path);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n - 2; /* . and .. */
}

static void add_attempts(const struct gov_connect_key *key _unused_, const struct gov_connect_entry *entry,
			 void *userdata)
{
	*(uint64_t *)userdata += entry->attempts;
}

/* ---- take-over --------------------------------------------------------------------------------------------------- */

Test(pins, another_takes_over_without_a_gap)
{
	struct bpf_sense *sense = sense_open(), *next;
	uint64_t owner = id_of(stage.agent), attempts = 0, made;
	struct pins before, after;
	struct gov_connect_agent agent;
	uint32_t program;

	set_agent(sense, owner);
	attach(sense, stage.slice);
	pins_read(&before);
	program = program_of("connect_sockops");
	client_start(stage.agent);
	client_go_on(200);
	for (int i = 0; i < 3; i++) {
		next = sense_open();
		cr_assert_eq(bpf_connect_get_agent(next, owner, &agent), 0);
		client_go_on(100);
		attach(next, stage.slice);
		client_go_on(100);
		bpf_sense_free(sense);
		sense = next;
		client_go_on(100);
	}
	made = client_stop();
	cr_expect_eq(connects_of(sense, stage.agent), made);
	cr_assert_eq(bpf_connect_entries(sense, owner, add_attempts, &attempts), 0);
	cr_expect_eq(attempts, made);
	pins_read(&after);
	cr_expect_arr_eq(&after, &before, sizeof(after), "links and maps are the same");
	cr_expect_neq(program_of("connect_sockops"), program, "the program is a new one");
	cr_expect_eq(count_files(stage.pins), LINKS + MAPS);
	bpf_sense_free(sense);
}

Test(pins, attaching_twice_changes_nothing)
{
	struct bpf_sense *sense = sense_open();
	struct pins before, after;

	attach(sense, stage.slice);
	pins_read(&before);
	attach(sense, stage.slice);
	pins_read(&after);
	cr_expect_arr_eq(&after, &before, sizeof(after));
	bpf_sense_free(sense);
}

Test(pins, a_killed_owner_leaves_all_running)
{
	struct bpf_sense *sense;
	int ready[2];
	char byte;

	cr_assert_eq(pipe(ready), 0);
	stage.owner = fork();
	cr_assert_geq(stage.owner, 0);
	if (stage.owner == 0) {
		sense = sense_open();
		set_agent(sense, id_of(stage.agent));
		attach(sense, stage.slice);
		cr_assert_eq(write(ready[1], "x", 1), 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	client_start(stage.agent);
	client_go_on(100);
	end_child(&stage.owner);
	client_go_on(100);
	sense = sense_open();
	attach(sense, stage.slice);
	client_go_on(100);
	expect_all_counted(sense, stage.agent);
	bpf_sense_free(sense);
}

Test(pins, what_fails_leaves_what_was_there)
{
	struct bpf_sense *sense = sense_open(), *next = sense_open();
	_cleanup_close_ int nowhere = open(stage.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pins before, after;
	uint32_t program;

	set_agent(sense, id_of(stage.agent));
	attach(sense, stage.slice);
	pins_read(&before);
	program = program_of("connect_sockops");
	cr_expect_lt(bpf_connect_attach(next, nowhere), 0);
	bpf_sense_free(next);
	pins_read(&after);
	cr_expect_arr_eq(&after, &before, sizeof(after));
	cr_expect_eq(program_of("connect_sockops"), program);
	cr_expect_eq(count_files(stage.pins), LINKS + MAPS);
	bpf_sense_free(sense);
}

Test(pins, a_link_of_another_group_is_replaced)
{
	struct bpf_sense *sense = sense_open(), *next;
	struct pins before, after;
	char words[512];

	set_agent(sense, id_of(stage.agent));
	attach(sense, stage.slice);
	pins_read(&before);
	bpf_sense_free(sense);
	next = sense_open_at(stage.slice_b, words, sizeof(words));
	set_agent(next, id_of(stage.agent_b));
	attach(next, stage.slice_b);
	pins_read(&after);
	for (size_t i = 0; i < LINKS; i++)
		cr_expect_neq(after.links[i], before.links[i], "%s", link_names[i]);
	cr_expect_arr_eq(after.maps, before.maps, sizeof(after.maps));
	client_start(stage.agent);
	client_go_on(50);
	client_stop();
	cr_expect_eq(connects_of(next, stage.agent), 0, "the first group isn't paced any more");
	client_start(stage.agent_b);
	client_go_on(50);
	expect_all_counted(next, stage.agent_b);
	bpf_sense_free(next);
}

Test(pins, a_link_whose_group_is_gone_is_replaced)
{
	struct bpf_sense *sense = sense_open();
	char words[512];

	attach(sense, stage.slice);
	bpf_sense_free(sense);
	remove_group(stage.agent);
	remove_group(stage.slice);
	sense = sense_open_at(stage.slice_b, words, sizeof(words));
	set_agent(sense, id_of(stage.agent_b));
	attach(sense, stage.slice_b);
	client_start(stage.agent_b);
	client_go_on(50);
	expect_all_counted(sense, stage.agent_b);
	bpf_sense_free(sense);
}

/* ---- pins that are no good --------------------------------------------------------------------------------------- */

static void pin_put(const char *directory, const char *name, int fd)
{
	char path[192];

	cr_assert_eq(file_mkdir_all(directory, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	cr_assert_eq(bpf_obj_pin(fd, path), 0, "%s: %s", path, strerror(errno));
}

Test(pins, a_pin_that_does_not_fit_is_begun_anew)
{
	_cleanup_close_ int other = bpf_map_create(BPF_MAP_TYPE_HASH, "gov_connect_ent", 8, 8, 16, NULL);
	struct bpf_sense *sense = sense_open();
	struct gov_connect_agent agent;
	char words[512] = "", path[192];
	uint32_t agents, id;

	cr_assert(other >= 0);
	set_agent(sense, id_of(stage.agent));
	attach(sense, stage.slice);
	bpf_sense_free(sense);
	agents = pin_id("gov_connect_agents");
	snprintf(path, sizeof(path), "%s/gov_connect_entries", stage.pins);
	cr_assert_eq(unlink(path), 0);
	pin_put(stage.pins, "gov_connect_entries", other);
	id = pin_id("gov_connect_entries");
	/* Nor is it a link. */
	snprintf(path, sizeof(path), "%s/connect_egress", stage.pins);
	cr_assert_eq(unlink(path), 0);
	pin_put(stage.pins, "connect_egress", other);

	sense = sense_open_at(stage.slice, words, sizeof(words));
	cr_expect_not_null(strstr(words, "gov_connect_entries"), "%s", words);
	cr_expect_str_eq(bpf_connect_words(sense), words);
	attach(sense, stage.slice);
	cr_expect_neq(pin_id("gov_connect_entries"), id);
	cr_expect_neq(pin_id("connect_egress"), id);
	cr_expect_eq(pin_id("gov_connect_agents"), agents);
	cr_expect_eq(bpf_connect_get_agent(sense, id_of(stage.agent), &agent), 0);
	client_start(stage.agent);
	client_go_on(50);
	expect_all_counted(sense, stage.agent);
	bpf_sense_free(sense);
	/* And fits now. */
	bpf_sense_free(sense_open());
}

/* Without the types of its values the verifier finds no lock in it. */
Test(pins, a_pin_that_only_looks_right_is_begun_anew)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	_cleanup_close_ int other = bpf_map_create(BPF_MAP_TYPE_HASH, "gov_connect_ent", sizeof(struct gov_connect_key),
						   sizeof(struct gov_connect_entry), GOV_CONNECT_ENTRIES_MAX, &options);
	struct bpf_sense *sense;
	char words[512] = "";
	uint32_t id;

	cr_assert(other >= 0);
	pin_put(stage.pins, "gov_connect_entries", other);
	id = pin_id("gov_connect_entries");
	sense = sense_open_at(stage.slice, words, sizeof(words));
	cr_expect_neq(words[0], '\0');
	attach(sense, stage.slice);
	cr_expect_neq(pin_id("gov_connect_entries"), id);
	bpf_sense_free(sense);
	bpf_sense_free(sense_open());
}

Test(pins, other_versions_go)
{
	_cleanup_close_ int map = bpf_map_create(BPF_MAP_TYPE_HASH, "old", 8, 8, 16, NULL);
	struct bpf_sense *sense = sense_open();
	char old[128], kept[128];

	snprintf(old, sizeof(old), "%.*s/v0", (int)strlen(stage.pins) - 3, stage.pins);
	snprintf(kept, sizeof(kept), "%.*s/vault", (int)strlen(stage.pins) - 3, stage.pins);
	pin_put(old, "connect_sockops", map);
	pin_put(kept, "map", map);
	attach(sense, stage.slice);
	cr_expect_eq(access(old, F_OK), -1);
	cr_expect_eq(count_files(kept), 1);
	bpf_sense_free(sense);
}

Test(pins, detaching_removes_all)
{
	struct bpf_sense *sense = sense_open();
	uint64_t counted;

	set_agent(sense, id_of(stage.agent));
	attach(sense, stage.slice);
	client_start(stage.agent);
	client_go_on(50);
	/* By one that has not attached it. */
	bpf_sense_free(sense);
	sense = sense_open();
	cr_assert_eq(bpf_connect_detach(sense), 0);
	cr_expect_eq(access(stage.pins, F_OK), -1);
	client_go_on(1);
	counted = connects_of(sense, stage.agent);
	client_go_on(100);
	cr_expect_eq(connects_of(sense, stage.agent), counted);
	/* Again with the same. */
	attach(sense, stage.slice);
	cr_expect_eq(count_files(stage.pins), LINKS + MAPS);
	client_go_on(100);
	cr_expect_gt(connects_of(sense, stage.agent), counted);
	cr_assert_eq(bpf_connect_detach(sense), 0);
	cr_expect_eq(access(stage.pins, F_OK), -1);
	cr_expect_eq(bpf_connect_detach(sense), 0, "there is nothing to do");
	client_stop();
	bpf_sense_free(sense);
}

Test(pins, without_a_directory_nothing_stays)
{
	const struct gov_config config = {.slice_id = id_of(stage.slice), .slice_level = 1, .tick_ns = 4000000};
	char words[512] = "";
	struct bpf_sense *sense = NULL, *watcher = sense_open();
	uint64_t counted;

	cr_assert_eq(bpf_sense_new(NULL, &sense, words, sizeof(words)), 0, "%s", words);
	cr_assert_eq(bpf_sense_set_config(sense, &config), 0);
	set_agent(sense, id_of(stage.agent));
	attach(sense, stage.slice);
	client_start(stage.agent);
	client_go_on(50);
	counted = connects_of(sense, stage.agent);
	cr_expect_gt(counted, 0);
	bpf_sense_free(sense);
	client_go_on(50);
	client_stop();
	cr_expect_eq(access(stage.pins, F_OK), -1);
	bpf_sense_free(watcher);
}
