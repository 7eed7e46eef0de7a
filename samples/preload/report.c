// SPDX-License-Identifier: GPL-2.0
/*
 * What a process has done is a line at its end, in the file that the environment
 * variable SHADOW_PRELOAD_REPORT names. With SHADOW_PRELOAD_CHECK set as well the
 * process asks for a check first, which covers all processes with the same file.
 *
 * A process that is killed or executes another program leaves no line.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload.h"
#include "shadow_rmap.h"

#define LINE	512

/* The program may change its environment. */
static char report_path[256];
static bool checks;

/* The child of a vfork() has the memory of its parent, and must not report for it. */
static pid_t owner;

static void append(char *line, const char *format, ...)
{
	size_t length = strlen(line);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + length, LINE - length, format, arguments);
	va_end(arguments);
}

static void print_check(char *line)
{
	struct shadow_rmap_check check;
	int fd = shadow_file();

	if (fd < 0) {
		append(line, "; no check: the file is not open");
	} else if (ioctl(fd, SHADOW_RMAP_IOC_CHECK, &check)) {
		append(line, "; no check: error %d", errno);
	} else {
		append(line, "; check: vmas=%llu anon_vmas=%llu chains=%llu pages=%llu ",
		       check.vmas, check.anon_vmas, check.chains, check.pages);
		append(line, "untracked=%llu violations=%llu differences=%llu",
		       check.untracked, check.violations, check.differences);
	}
}

static void report(void)
{
	char line[LINE] = "";
	ssize_t length;
	int fd;

	if (!report_path[0] || owner != getpid())
		return;
	owner = 0;
	append(line, "%.32s[%d]: ", program_invocation_short_name, getpid());
	append(line, "mappings=%lu pages=%lu ", counts.mappings, counts.pages);
	append(line, "other_kind=%lu refused=%lu ", counts.other_kind, counts.refused);
	append(line, "reopened=%lu freed=%lu ", counts.reopened, counts.freed);
	append(line, "advice=%lu", counts.advice);
	if (checks)
		print_check(line);
	append(line, "\n");
	length = strlen(line);
	fd = open(report_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	/* One write() a line: other processes write to the file as well. */
	if (fd < 0 || write(fd, line, length) != length)
		perror("shadow_preload: SHADOW_PRELOAD_REPORT");
	close(fd);
}

static void after_fork_in_child(void)
{
	malloc_after_fork();
	memset(&counts, 0, sizeof(counts));
	owner = getpid();
}

/* Returns the value of a variable, or NULL. The name ends with an equals sign. */
static const char *value_of(const char *name, char **variable)
{
	for (; *variable; variable++) {
		if (!strncmp(*variable, name, strlen(name)))
			return *variable + strlen(name);
	}
	return NULL;
}

/*
 * This is the first constructor of the process (-z initfirst), so that fork() calls
 * malloc_before_fork() after, and malloc_after_fork() before, what other libraries
 * have registered: that may call malloc(). getenv() does not work yet.
 */
__attribute__((constructor)) static void begin(int argc, char **argv, char **environment)
{
	const char *path = value_of("SHADOW_PRELOAD_REPORT=", environment);

	(void)argc;
	(void)argv;
	if (path && strlen(path) < sizeof(report_path))
		memcpy(report_path, path, strlen(path) + 1);
	checks = value_of("SHADOW_PRELOAD_CHECK=", environment);
	owner = getpid();
	pthread_atfork(malloc_before_fork, malloc_after_fork, after_fork_in_child);
}

__attribute__((destructor)) static void end(void)
{
	report();
}

/* This ends a process without destructors. */
REPLACES_LIBC void _exit(int status)
{
	report();
	syscall(SYS_exit_group, status);
	__builtin_unreachable();
}

/* The name that ISO C has for it is no name of the kernel's style. */
REPLACES_LIBC void exit_of_iso_c(int status) __asm__("_Exit");

void exit_of_iso_c(int status)
{
	_exit(status);
}
