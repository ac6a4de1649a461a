/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The links of connect pacing and their pins. A link that an earlier govd has left gets the new program in place of the
 * old (BPF_LINK_UPDATE is atomic), so that no connect goes by neither.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include <bpf/bpf.h>

#include "base/file.h"
#include "sense/bpf_private.h"
#include "sense/connect.h"
#include "sense/connect_pin.h"

/* The sockops program last: it lets connects wait, which the others must know of. */
static const struct {
	const char *name;
	enum bpf_fd program;
	enum bpf_attach_type type;
} places[BPF_CONNECT_LINKS] = {
	{"connect_egress", BPF_FD_PROG_EGRESS, BPF_CGROUP_INET_EGRESS},
	{"connect_addr4", BPF_FD_PROG_ADDR4, BPF_CGROUP_INET4_CONNECT},
	{"connect_addr6", BPF_FD_PROG_ADDR6, BPF_CGROUP_INET6_CONNECT},
	{"connect_send4", BPF_FD_PROG_SEND4, BPF_CGROUP_UDP4_SENDMSG},
	{"connect_send6", BPF_FD_PROG_SEND6, BPF_CGROUP_UDP6_SENDMSG},
	{"connect_sockops", BPF_FD_PROG_SOCKOPS, BPF_CGROUP_SOCK_OPS},
};

/* One link on its way. */
struct attachment {
	int fd;
	int old_program; /* of a link that was there: what is put back if another fails */
	int replaced;	 /* a link of another group */
	bool is_updated;
};

static void attachments_done(struct attachment (*all)[BPF_CONNECT_LINKS])
{
	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++) {
		close_p(&(*all)[i].fd);
		close_p(&(*all)[i].old_program);
		close_p(&(*all)[i].replaced);
	}
}

/* The link that govd or an earlier one has made: its own descriptor, or the pin. */
static int open_link(const struct bpf_connect *connect, size_t i)
{
	char path[BPF_PIN_PATH_MAX];
	int r;

	if (connect->links[i] >= 0) {
		r = fcntl(connect->links[i], F_DUPFD_CLOEXEC, 3);
		return r < 0 ? -errno : r;
	}
	if (!connect->pin_dir)
		return -ENOENT;
	r = bpf_pin_path(path, connect->pin_dir, places[i].name);
	return r < 0 ? r : bpf_obj_get(path);
}

/* Whether it is one of this group: a link whose group is gone tells 0. */
static bool link_is_of(int fd, size_t i, uint64_t cgroup_id, uint32_t *ret_program)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || info.type != BPF_LINK_TYPE_CGROUP ||
	    info.cgroup.cgroup_id != cgroup_id || info.cgroup.attach_type != places[i].type)
		return false;
	*ret_program = info.prog_id;
	return true;
}

static int prepare_one(const struct bpf_sense *sense, size_t i, int slice_fd, struct attachment *attachment)
{
	_cleanup_close_ int fd = open_link(&sense->connect, i);
	uint32_t program = 0;
	struct stat st;

	if (fstat(slice_fd, &st) < 0)
		return -errno;
	if (fd >= 0 && link_is_of(fd, i, st.st_ino, &program)) {
		attachment->old_program = bpf_prog_get_fd_by_id(program);
		if (attachment->old_program < 0)
			return attachment->old_program;
		attachment->fd = TAKE_FD(fd);
		return 0;
	}
	/* With a link's flags (BPF_F_ALLOW_MULTI) others keep theirs. */
	attachment->fd = bpf_link_create(sense->fds[places[i].program], slice_fd, places[i].type, NULL);
	if (attachment->fd < 0)
		return attachment->fd;
	attachment->replaced = TAKE_FD(fd);
	return 0;
}

static int prepare(const struct bpf_sense *sense, int slice_fd, struct attachment *all)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < BPF_CONNECT_LINKS; i++)
		r = prepare_one(sense, i, slice_fd, &all[i]);
	return r;
}

static int update(const struct bpf_sense *sense, struct attachment *all)
{
	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++) {
		int r;

		if (all[i].old_program < 0)
			continue;
		r = bpf_link_update(all[i].fd, sense->fds[places[i].program], NULL);
		if (r < 0)
			return r;
		all[i].is_updated = true;
	}
	return 0;
}

static void put_back(struct attachment *all)
{
	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++)
		if (all[i].is_updated)
			/* What this can fail with (ENOLINK: the group is gone) leaves nothing to put back. */
			(void)bpf_link_update(all[i].fd, all[i].old_program, NULL);
}

/* Beside the final names: what fails here has changed nothing. */
static int stage_pins(const struct bpf_sense *sense, const struct attachment *all)
{
	const char *dir = sense->connect.pin_dir;
	int r = file_mkdir_all(dir, 0700);

	for (size_t i = 0; r == 0 && i < BPF_PINNED_MAPS; i++)
		r = bpf_pin_stage(dir, bpf_pinned_maps[i].name, sense->fds[bpf_pinned_maps[i].fd]);
	for (size_t i = 0; r == 0 && i < BPF_CONNECT_LINKS; i++)
		r = bpf_pin_stage(dir, places[i].name, all[i].fd);
	return r;
}

static int finish_pins(const struct bpf_sense *sense, int (*finish)(const char *dir, const char *name))
{
	const char *dir = sense->connect.pin_dir;
	int first = 0;

	for (size_t i = 0; i < BPF_PINNED_MAPS; i++) {
		int r = finish(dir, bpf_pinned_maps[i].name);

		first = first ? first : r;
	}
	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++) {
		int r = finish(dir, places[i].name);

		first = first ? first : r;
	}
	return first;
}

int bpf_connect_attach(struct bpf_sense *sense, int slice_fd)
{
	_cleanup_(attachments_done) struct attachment all[BPF_CONNECT_LINKS];
	struct bpf_connect *connect = &sense->connect;
	int r;

	if (connect->error)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++)
		all[i] = (struct attachment){.fd = -EBADF, .old_program = -EBADF, .replaced = -EBADF};
	r = prepare(sense, slice_fd, all);
	if (r == 0 && connect->pin_dir)
		r = stage_pins(sense, all);
	if (r == 0)
		r = update(sense, all);
	if (r == 0 && connect->pin_dir)
		r = finish_pins(sense, bpf_pin_commit);
	if (r < 0) {
		put_back(all);
		if (connect->pin_dir)
			(void)finish_pins(sense, bpf_pin_abandon);
		return r;
	}
	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++) {
		/* Without a pin it would go too, but not at once. What isn't a link can't be detached. */
		if (all[i].replaced >= 0)
			(void)bpf_link_detach(all[i].replaced);
		close_p(&connect->links[i]);
		connect->links[i] = TAKE_FD(all[i].fd);
	}
	return connect->pin_dir ? bpf_pin_remove_others(connect->pin_dir) : 0;
}

int bpf_connect_detach(struct bpf_sense *sense)
{
	struct bpf_connect *connect = &sense->connect;
	int first = 0;

	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++) {
		_cleanup_close_ int fd = open_link(connect, i);
		int r = fd >= 0 ? bpf_link_detach(fd) : fd;

		/* A pin that isn't a link has nothing to detach. */
		if (r < 0 && r != -ENOENT && r != -EINVAL && first == 0)
			first = r;
		close_p(&connect->links[i]);
	}
	if (connect->pin_dir) {
		int r = bpf_pin_remove_all(connect->pin_dir);

		first = first ? first : r;
	}
	return first;
}
