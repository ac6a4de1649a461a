/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The listening socket, and who gets in. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/file.h"
#include "out/bus_internal.h"

#define BACKLOG 128
#define ACCEPTS_MAX 64 /* in one turn */

/* Socket addresses hold 107 bytes, runtime directories may be longer: by way of the directory's descriptor. */
static void name_address(const struct bus *bus, const char *name, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", bus->dir_fd, name);
}

/* A socket on which nobody listens refuses (ECONNREFUSED). */
static bool somebody_listens(const struct bus *bus)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	name_address(bus, GOV_BUS_SOCKET, &address);
	return fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN);
}

/* Under another name first: nobody sees a socket with the wrong mode or one that doesn't listen yet. */
static int listen_bind(struct bus *bus)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	struct stat st;
	char name[64];

	if (fd < 0)
		return -errno;
	snprintf(name, sizeof(name), ".%s.%d", GOV_BUS_SOCKET, (int)getpid());
	name_address(bus, name, &address);
	if (unlinkat(bus->dir_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (fchmodat(bus->dir_fd, name, 0666, 0) < 0 || listen(fd, BACKLOG) < 0 ||
	    fstatat(bus->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    renameat(bus->dir_fd, name, bus->dir_fd, GOV_BUS_SOCKET) < 0) {
		int r = -errno;

		(void)unlinkat(bus->dir_fd, name, 0);
		return r;
	}
	bus->dev = st.st_dev;
	bus->ino = st.st_ino;
	bus->fd = TAKE_FD(fd);
	return 0;
}

static int runtime_dir_open(const char *path)
{
	bool is_new = access(path, F_OK) < 0;
	int r, fd;

	r = file_mkdir_all(path, 0755);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Whatever the umask is; one that was there keeps the mode that somebody gave it. */
	if (is_new && fchmod(fd, 0755) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static size_t count_clients(const struct bus *bus, uid_t uid, size_t *ret_others)
{
	const struct bus_client *client;
	size_t n = 0, others = 0;

	for (client = TAILQ_FIRST(&bus->clients); client; client = TAILQ_NEXT(client, entry)) {
		n += client->peer.uid == uid;
		others += !client->peer.is_root;
	}
	*ret_others = others;
	return n;
}

static bool has_room(const struct bus *bus, const struct bus_peer *peer)
{
	size_t others, own = count_clients(bus, peer->uid, &others);

	if (bus_client_count(bus) >= BUS_CLIENTS_MAX)
		return false;
	return peer->is_root || (own < BUS_CLIENTS_PER_USER_MAX && others < BUS_CLIENTS_MAX - BUS_CLIENTS_ROOT);
}

static void client_accept(struct bus *bus, int accepted)
{
	_cleanup_close_ int fd = accepted;
	_cleanup_free_ gid_t *groups = NULL;
	struct bus_peer peer;
	bool is_welcome;

	is_welcome =
		bus_peer_read(fd, bus->group, &peer, &groups) >= 0 && has_room(bus, &peer) &&
		(peer.may_read || bus->calls.may_connect(peer.uid, peer.groups, peer.n_groups, bus->calls.userdata));
	if (!is_welcome || bus_client_new(bus, TAKE_FD(fd), &peer, TAKE_PTR(groups)) < 0)
		bus->counts.refused++;
	else
		bus->counts.clients++;
}

/* Without a free descriptor accept4() fails and the client stays in the backlog, which wakes us again at once. */
static void client_turn_away(struct bus *bus)
{
	int fd;

	if (bus->reserve_fd >= 0)
		close(bus->reserve_fd);
	fd = accept4(bus->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	bus->counts.refused++;
	bus->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_connection(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	struct bus *bus = userdata;

	for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
		int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (accepted >= 0)
			client_accept(bus, accepted);
		else if (errno == EMFILE || errno == ENFILE)
			client_turn_away(bus);
		else if (errno == EAGAIN)
			break;
	}
	return 0;
}

int bus_listen_open(struct bus *bus, const char *runtime_dir)
{
	int r;

	bus->dir_fd = runtime_dir_open(runtime_dir);
	if (bus->dir_fd < 0)
		return bus->dir_fd;
	/* Two that start at the same moment: one of them looks and binds at a time. */
	if (flock(bus->dir_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	r = somebody_listens(bus) ? -EADDRINUSE : listen_bind(bus);
	(void)flock(bus->dir_fd, LOCK_UN);
	if (r < 0)
		return r;
	bus->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return sd_event_add_io(bus->event, &bus->listen_source, bus->fd, EPOLLIN, on_connection, bus);
}

void bus_listen_close(struct bus *bus)
{
	struct stat st;

	sd_event_source_disable_unref(bus->listen_source);
	/* Another govd may have taken the name since, when this one was thought dead. */
	if (bus->fd >= 0 && fstatat(bus->dir_fd, GOV_BUS_SOCKET, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == bus->dev && st.st_ino == bus->ino)
		(void)unlinkat(bus->dir_fd, GOV_BUS_SOCKET, 0);
	if (bus->fd >= 0)
		close(bus->fd);
	if (bus->dir_fd >= 0)
		close(bus->dir_fd);
	if (bus->reserve_fd >= 0)
		close(bus->reserve_fd);
}
