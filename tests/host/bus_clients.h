/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_BUS_CLIENTS_H
#define GOV_TESTS_BUS_CLIENTS_H

/* Clients of the fixture's bus: polite ones by sd-bus, and raw ones that say whatever they like. */
#include "bus_fixture.h"

/* AddressSanitizer keeps what is freed for a while. */
#ifdef __SANITIZE_ADDRESS__
#define MEMORY_FACTOR 10
#else
#define MEMORY_FACTOR 1
#endif

static _unused_ uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / NSEC_PER_MSEC;
}

#define WAIT_FOR(condition)                                                                                            \
	do {                                                                                                           \
		uint64_t until_ = now_ms() + DEADLINE_MS;                                                              \
		while (!(condition)) {                                                                                 \
			cr_assert(now_ms() < until_, "timeout: %s", #condition);                                       \
			(void)poll(NULL, 0, 5);                                                                        \
		}                                                                                                      \
	} while (0)

static _unused_ void tell_server(char c)
{
	cr_assert_eq(write(control, &c, 1), 1);
}

static _unused_ sd_bus *client_open(void)
{
	char address[128];
	sd_bus *client = NULL;

	snprintf(address, sizeof(address), "unix:path=%s", socket_path);
	if (sd_bus_new(&client) < 0 || sd_bus_set_address(client, address) < 0 || sd_bus_start(client) < 0)
		return sd_bus_unref(client);
	sd_bus_set_method_call_timeout(client, DEADLINE_MS * UINT64_C(1000));
	return client;
}

/* The name of the D-Bus error, "" for none, or "closed" when there was no answer. */
static _unused_ const char *call_error(sd_bus *client, const char *member, const char *types, ...)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL, *reply = NULL;
	static char name[128];
	va_list args;
	bool is_closed;
	int r;

	r = sd_bus_message_new_method_call(client, &m, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, member);
	va_start(args, types);
	if (r >= 0)
		r = sd_bus_message_appendv(m, types, args);
	va_end(args);
	if (r >= 0)
		r = sd_bus_call(client, m, 0, &error, &reply);
	is_closed = r < 0 && (!error.name || streq(error.name, SD_BUS_ERROR_DISCONNECTED) ||
			      streq(error.name, SD_BUS_ERROR_NO_REPLY) || strncmp(error.name, "System.", 7) == 0);
	snprintf(name, sizeof(name), "%s", r >= 0 ? "" : is_closed ? "closed" : error.name);
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	sd_bus_message_unref(reply);
	return name;
}

static _unused_ bool is_served(void)
{
	sd_bus *client = client_open();
	bool is_ok = client && streq(call_error(client, "Status", ""), "");

	sd_bus_close_unref(client);
	return is_ok;
}

/* Runs body as another user, in a child; its exit status: the number of the first check that failed, 0 none. */
static _unused_ int as_user(uid_t uid, gid_t gid, gid_t extra, int (*body)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(extra ? 1 : 0, &extra) < 0 || setresgid(gid, gid, gid) < 0 ||
		    setresuid(uid, uid, uid) < 0)
			_exit(99);
		_exit(body());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static _unused_ int raw_open(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s", strerror(errno));
	return fd;
}

static _unused_ void raw_send(int fd, const void *bytes, size_t size)
{
	(void)!send(fd, bytes, size, MSG_NOSIGNAL);
}

/* Waits until the server has closed; what it says before is thrown away. */
static _unused_ bool raw_is_closed(int fd, int timeout_ms)
{
	uint64_t until = now_ms() + (uint64_t)timeout_ms;
	char bytes[4096];

	while (now_ms() < until) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 50) > 0 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			return true;
	}
	return false;
}

static const char AUTH[] _unused_ = "\0AUTH EXTERNAL 30\r\nBEGIN\r\n";

static _unused_ void raw_authenticate(int fd)
{
	char answer_bytes[256];

	raw_send(fd, AUTH, sizeof(AUTH) - 1);
	cr_assert_gt(recv(fd, answer_bytes, sizeof(answer_bytes), 0), 0);
	cr_assert(strncmp(answer_bytes, "OK ", 3) == 0);
}

static _unused_ void field_add(char *m, size_t *at, char code, const char *type, const char *value)
{
	uint32_t length = (uint32_t)strlen(value);

	*at = (*at + 7) & ~(size_t)7;
	m[(*at)++] = code;
	m[(*at)++] = 1;
	m[(*at)++] = type[0];
	m[(*at)++] = 0;
	memcpy(m + *at, &length, 4);
	memcpy(m + *at + 4, value, length + 1);
	*at += 4 + length + 1;
}

/* A Ping. m: 256 zeroed bytes. */
static _unused_ size_t ping_make(char *m, uint32_t body)
{
	uint32_t fields, serial = 1;
	size_t at = 16;

	memcpy(m, "l\1\0\1", 4);
	memcpy(m + 4, &body, 4);
	memcpy(m + 8, &serial, 4);
	field_add(m, &at, 1, "o", "/");
	field_add(m, &at, 2, "s", "org.freedesktop.DBus.Peer");
	field_add(m, &at, 3, "s", "Ping");
	fields = (uint32_t)at - 16;
	memcpy(m + 12, &fields, 4);
	return (at + 7) & ~(size_t)7;
}

static _unused_ uint64_t server_memory_kib(void)
{
	char path[64], line[256];
	uint64_t kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)server);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtoull(line + 6, NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

#endif
