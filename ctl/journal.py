"""What a command at work would leave behind, written down before it is made.

A journal is a file for each datapath and each lab, in a folder that lives no longer than the machine's
uptime, as does all that it tells of.  Every line is an entry: how to undo one step, or how to finish a
removal.  It is written before the step, so that after a kill at any moment the file names everything there
may be.  Undoing an entry is therefore always harmless when there is nothing to undo, or not all of it.

The command at work holds a lock on the file, which the kernel releases when it dies: a file with entries
whose lock is free is what an interrupted command left.  The next command that is to change the same
datapath or lab undoes that first, last entry first.  A removal is an entry like the others, so the one way
there is from any state leads to "it was never there".

The lock is also what makes two such commands wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from ctl.errors import Busy, CtlError
from ctl.faults import fault
from ctl.netns import error_from_errno

FOLDER: Final = pathlib.Path("/run/ufid-datapath/journal")
_LOCK_POLL_S: Final = 0.01

Entry = dict[str, Any]
Undo = Callable[[Entry], None]
Tell = Callable[[str], None]


class Journal:
    """The journal of one subject, locked."""

    def __init__(self, fd: int, path: pathlib.Path) -> None:
        self._fd = fd
        self._path = path
        self.entries = _entries(fd)
        self.was_left = bool(self.entries)  # by a command that was interrupted

    def note(self, undo: str, **facts: Any) -> None:
        """A step is about to be taken: ``undo`` names what takes it back, given these facts."""
        self.note_all([{"undo": undo, **facts}])

    def note_all(self, entries: list[Entry]) -> None:
        """Several steps are about to be taken.  All are noted or none: a removal is never half undone."""
        os.write(self._fd, b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))  # one call, appended
        self.entries += entries
        fault("journal.noted")

    def undo_with(self, undo: Undo) -> None:
        """Take back what is noted, last first; then there is nothing to take back."""
        for entry in reversed(self.entries):
            undo(entry)
            fault("journal.undone")
        os.ftruncate(self._fd, 0)
        self.entries.clear()

    def close(self) -> None:
        """Everything noted is meant to stay, or there is nothing: remove the file."""
        fault("journal.closing")
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()
            self._path.parent.parent.rmdir()


@contextlib.contextmanager
def begun(subject: str, undo: Undo, timeout_s: float, tell: Tell) -> Iterator[Journal]:
    """The journal of a subject for a block that changes it, with what an interrupted command left undone first.

    What the block noted is undone when it raises.  ``tell`` is given a line where something was found.  Busy
    when another command is at work on the subject for longer than ``timeout_s``.
    """
    path = FOLDER / subject
    fd = _locked(path, timeout_s)
    try:
        journal = Journal(fd, path)
        try:
            fault("journal.locked")
            if journal.was_left:
                tell(f"repaired {subject}: an interrupted command left {describe(journal.entries)}, which is removed")
            journal.undo_with(undo)
            yield journal
        except BaseException as e:
            _undo_after(e, journal, undo)
            journal.close()
            raise
        journal.close()
    finally:
        os.close(fd)


def _undo_after(error: BaseException, journal: Journal, undo: Undo) -> None:
    """What cannot be undone now stays in the journal: the error that began it is the one to tell of."""
    try:
        journal.undo_with(undo)
    except (CtlError, OSError) as failed:
        error.add_note(f"not all of it could be undone: {failed}")
        raise error from None


def describe(entries: list[Entry]) -> str:
    """What entries tell of, in a few words."""
    shown = [" ".join((str(e["undo"]), *(str(e[k]) for k in ("name", "number") if k in e))) for e in entries]
    return ", ".join(shown if len(shown) <= _SHOWN else [*shown[:_SHOWN], f"{len(shown) - _SHOWN} more"])


_SHOWN: Final = 3


def left_behind() -> dict[str, list[Entry]]:
    """What interrupted commands left, by subject.  Nothing of a command that is still at work."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(FOLDER)):
            if entries := _left_of(FOLDER / name):
                found[name] = entries
    return found


def is_left(subject: str) -> bool:
    """Whether an interrupted command left something of that subject, be it only an empty journal."""
    return _left_of(FOLDER / subject) is not None


def is_any_left() -> bool:
    """Whether there may be something left, at the cost of one look."""
    return FOLDER.exists()


def _left_of(path: pathlib.Path) -> list[Entry] | None:
    """What a journal says that nobody is at work on; None when there is no such."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # there is none, or the reader may not look
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return _entries(fd)
    except BlockingIOError:
        return None
    finally:
        os.close(fd)


def _entries(fd: int) -> list[Entry]:
    """The whole lines of a journal.  A last line without an end was never followed by its step."""
    text = os.pread(fd, os.fstat(fd).st_size, 0).decode()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _locked(path: pathlib.Path, timeout_s: float) -> int:
    """The file, made if need be, with its lock.  Who ends removes it: one who waited for that begins anew."""
    deadline = time.monotonic() + timeout_s
    while True:
        fd = _opened(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(fd, path):
                return fd
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                raise Busy(f"another command is changing {path.name}", "wait, or allow more time with -t") from None
            time.sleep(_LOCK_POLL_S)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _opened(path: pathlib.Path) -> int:
    while True:
        with contextlib.suppress(FileNotFoundError):  # somebody removed the empty folder just now
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                raise
            except OSError as e:
                raise error_from_errno(e.errno, f"write down what is begun in {path}", "CAP_DAC_OVERRIDE") from e


def _is_same(fd: int, path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
