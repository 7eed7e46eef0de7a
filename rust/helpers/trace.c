// SPDX-License-Identifier: GPL-2.0
/* include/trace/define_trace.h: trace events, and the functions by which Rust emits them. */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "shadow_rmap_trace.h"
