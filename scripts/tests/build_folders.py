# SPDX-License-Identifier: GPL-2.0
"""What scripts/build_folder.sh demands of a kernel's build folder. It is imported, not run."""

# What any build of a kernel has, and what one with Rust has.
KBUILD = ("Makefile", "scripts/basic/fixdep", "scripts/mod/modpost", "scripts/module.lds",
          "include/generated/autoconf.h")
RUST = ("scripts/target.json", "include/generated/rustc_cfg")
# In rust/.
METADATA = (*(f"lib{name}.rmeta" for name in ("core", "compiler_builtins", "build_error", "ffi", "pin_init",
                                              "zerocopy", "bindings", "uapi", "kernel")),
            "libmacros.so", "libpin_init_internal.so", "libzerocopy_derive.so")
