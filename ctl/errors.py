"""The errors that users meet, and the exit status and the errno of each.

    CtlError                      exit  errno
      FlowSyntaxError               2   EINVAL       the text is not of the language; has a place
      FlowInvalid                   2   EINVAL       the text is, but the interface refuses it
      UsageError                    2   EINVAL       anything else that the caller asked wrongly
      NotFound                      3   ENOENT       no such flow, port or UFID
      Exists                        4   EEXIST       it is there already
      NotPermitted                  5   EPERM        a capability is missing
      NotSupported                  6   EOPNOTSUPP   this kernel or this datapath cannot
      Absent                        7   ENODEV       the datapath or the lab is not there
      TableFull                     8   ENOSPC       a table has no room left
      Busy                          9   EBUSY        timed out, or somebody else is writing
      Failure                      10   EIO          unexpected; says where the details are
        CompileError, VerifierError                    with the compiler's or verifier's log

Every message is one line.  ``hint`` is the next step, in words or as a command, or empty.  ``errno`` is what
a client of the OVS datapath interface is told; where the interface has another number for a case (ERANGE,
EOVERFLOW, EMSGSIZE, ENOMEM), the error that is raised has that one.
"""

from __future__ import annotations

import errno as codes


class CtlError(Exception):
    """Something went wrong that is worth one line and a next step."""

    exit_status = 10
    errno = codes.EIO

    def __init__(self, message: str, hint: str = "", *, errno: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if errno is not None:
            self.errno = errno


class UsageError(CtlError):
    """The caller asked for something that makes no sense."""

    exit_status = 2
    errno = codes.EINVAL


class FlowSyntaxError(CtlError):
    """Text that is not of the flow language.  ``pos`` counts characters of ``text`` from 0."""

    exit_status = 2
    errno = codes.EINVAL

    def __init__(self, message: str, text: str, pos: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.text = text
        self.pos = pos


class FlowInvalid(CtlError):
    """A flow or action list that the interface refuses.  Names the attribute."""

    exit_status = 2
    errno = codes.EINVAL

    def __init__(self, message: str, attribute: str, hint: str = "", *, errno: int | None = None) -> None:
        super().__init__(f"{attribute}: {message}", hint, errno=errno)
        self.attribute = attribute


class NotFound(CtlError):
    """No such flow, port or UFID."""

    exit_status = 3
    errno = codes.ENOENT


class Exists(CtlError):
    """It is there already."""

    exit_status = 4
    errno = codes.EEXIST


class NotPermitted(CtlError):
    """The caller lacks a capability."""

    exit_status = 5
    errno = codes.EPERM


class NotSupported(CtlError):
    """This kernel or this datapath cannot do it."""

    exit_status = 6
    errno = codes.EOPNOTSUPP


class Absent(CtlError):
    """The datapath or the lab is not there."""

    exit_status = 7
    errno = codes.ENODEV


class TableFull(CtlError):
    """A table has no room left.  Nothing was changed."""

    exit_status = 8
    errno = codes.ENOSPC


class Busy(CtlError):
    """Timed out, or another writer is at work."""

    exit_status = 9
    errno = codes.EBUSY


class Failure(CtlError):
    """Something that should not happen did."""


class CompileError(Failure):
    """The C compiler refused the program.  ``log`` is all that it said."""

    def __init__(self, message: str, log: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.log = log


class VerifierError(CompileError):
    """The kernel's verifier refused the program.  ``log`` is all that it said."""
