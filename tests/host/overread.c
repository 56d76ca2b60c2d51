/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* overread.c - the driver with a cursor that does not look where the frame ends: it must not survive. */
#define cursor_peek checked_peek
#include "cursor.h"
#undef cursor_peek
#define cursor_peek(cursor, size) ((void)(size), (cursor)->pos)
#include "driver.c"
