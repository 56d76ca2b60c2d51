/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* BCC includes this file before all others.  The whole tree stands in for kernel headers: BCC asks
 * for these names, and the datapath needs nothing from them but the fixed-width types. */
#pragma once
#define CONFIG_64BIT 1
#define CONFIG_BPF_SYSCALL 1
