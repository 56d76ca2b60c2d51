"""The writer's lock on a datapath: flock(2) on its folder, which the kernel releases when a writer dies."""

from __future__ import annotations

import fcntl
import os
import pathlib
import time
from typing import Final

from ctl.errors import Busy

_POLL_S: Final = 0.01


def lock_folder(folder: pathlib.Path, timeout_s: float) -> int:
    """An fd that holds the writer's lock on a folder of bpffs.  Busy when it is not free in time."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                raise Busy(f"another process is changing {folder.name}", "wait, or allow more time with -t") from None
            time.sleep(_POLL_S)
        except BaseException:
            os.close(fd)
            raise
        else:
            return fd
