// SPDX-License-Identifier: GPL-2.0
/*
 * Which branches of the host's code were ever taken. The compiler calls __sanitizer_cov_trace_pc()
 * at the beginning of each basic block of it; this file alone is compiled without that.
 */

#include <stdbool.h>

#include "driver.h"

#define HOST_EDGES 0x40000UL

static bool seen[HOST_EDGES];
static unsigned long nr_seen, from;

/* An edge is a pair of blocks; the code's addresses do not depend on where it was loaded. */
void __sanitizer_cov_trace_pc(void)
{
	unsigned long to = (unsigned long)__builtin_return_address(0) - (unsigned long)&host_api;
	unsigned long edge = (to ^ (from << 1)) % HOST_EDGES;

	from = to;
	if (!seen[edge]) {
		seen[edge] = true;
		nr_seen++;
	}
}

unsigned long host_edges(void)
{
	return nr_seen;
}
