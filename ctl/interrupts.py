"""Ctrl-C at a moment that suits: what must not be left half way first comes to its end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred(*, late: bool = False) -> Iterator[None]:
    """Have an interrupt wait for the end of the block.  ``late``: there it is too late, and forgotten.

    Only the main thread is interrupted; in another nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came and not late:
        raise KeyboardInterrupt
