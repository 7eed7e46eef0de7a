// SPDX-License-Identifier: GPL-2.0
/*
 * Maps the device, forks, and asks the module for a check while both processes
 * are alive. Prints the numbers of the check.
 *
 * Exit status: 0 if the shadow and the host have built the same reverse map, 1
 * if not, 2 if a system call fails.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shadow_rmap.h"

#define PAGE	4096
#define PAGES	4

static void print(const struct shadow_rmap_check *check)
{
	printf("vmas=%llu anon_vmas=%llu chains=%llu pages=%llu ",
	       check->vmas, check->anon_vmas, check->chains, check->pages);
	printf("untracked=%llu violations=%llu differences=%llu\n",
	       check->untracked, check->violations, check->differences);
}

int main(void)
{
	struct shadow_rmap_check check;
	int fd, ready[2], failed;
	char byte, *p;
	pid_t child;

	fd = open("/dev/shadow_rmap", O_RDWR);
	if (fd < 0) {
		perror("open /dev/shadow_rmap (is the module loaded?)");
		return 2;
	}
	/* Only a private mapping has anonymous pages: MAP_SHARED is EINVAL. */
	p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED || pipe(ready)) {
		perror("mmap");
		return 2;
	}
	/* The first write creates the first anon_vma, the root of the family. */
	p[0] = 1;
	p[PAGE] = 1;

	child = fork();
	if (child < 0) {
		perror("fork");
		return 2;
	}
	if (child == 0) {
		/* This page is copied: the copy belongs to the child's anon_vma. */
		p[PAGE] = 2;
		if (write(ready[1], "x", 1) == 1)
			pause();
		return 0;
	}
	if (read(ready[0], &byte, 1) != 1) {
		perror("read");
		return 2;
	}

	/* One file is open in both processes, so the check covers both. */
	failed = ioctl(fd, SHADOW_RMAP_IOC_CHECK, &check);
	if (failed)
		perror("SHADOW_RMAP_IOC_CHECK");
	else
		print(&check);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (failed)
		return 2;
	return check.untracked || check.violations || check.differences ? 1 : 0;
}
