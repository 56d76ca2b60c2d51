"""What comes true in a moment."""

import time


def eventually(fact, timeout_s=5.0):
    """Whether a fact comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
