"""The errors that users meet, and the exit status of each.

    CtlError                      exit
      FlowSyntaxError               2   the text is not of the language; has a place
      FlowInvalid                   2   the text is, but the interface refuses it (EINVAL)
      UsageError                    2   anything else that the caller asked wrongly
      NotFound                      3   no such flow, port or UFID (ENOENT)
      Exists                        4   it is there already (EEXIST)
      NotPermitted                  5   a capability is missing
      NotSupported                  6   this kernel or this datapath cannot
      Absent                        7   the datapath or the lab is not there (ENODEV)
      TableFull                     8   a table has no room left
      Busy                          9   timed out, or somebody else is writing
      Failure                      10   unexpected; says where the details are
        CompileError, VerifierError      with the compiler's or verifier's log

Every message is one line.  ``hint`` is the next step, in words or as a command, or empty.
"""

from __future__ import annotations


class CtlError(Exception):
    """Something went wrong that is worth one line and a next step."""

    exit_status = 10

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CtlError):
    """The caller asked for something that makes no sense."""

    exit_status = 2


class FlowSyntaxError(CtlError):
    """Text that is not of the flow language.  ``pos`` counts characters of ``text`` from 0."""

    exit_status = 2

    def __init__(self, message: str, text: str, pos: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.text = text
        self.pos = pos


class FlowInvalid(CtlError):
    """A flow or action list that the interface refuses with EINVAL.  Names the attribute."""

    exit_status = 2

    def __init__(self, message: str, attribute: str, hint: str = "") -> None:
        super().__init__(f"{attribute}: {message}", hint)
        self.attribute = attribute


class NotFound(CtlError):
    """No such flow, port or UFID."""

    exit_status = 3


class Exists(CtlError):
    """It is there already."""

    exit_status = 4


class NotPermitted(CtlError):
    """The caller lacks a capability."""

    exit_status = 5


class NotSupported(CtlError):
    """This kernel or this datapath cannot do it."""

    exit_status = 6


class Absent(CtlError):
    """The datapath or the lab is not there."""

    exit_status = 7


class TableFull(CtlError):
    """A table has no room left.  Nothing was changed."""

    exit_status = 8


class Busy(CtlError):
    """Timed out, or another writer is at work."""

    exit_status = 9


class Failure(CtlError):
    """Something that should not happen did."""


class CompileError(Failure):
    """The C compiler refused the program.  ``log`` is all that it said."""

    def __init__(self, message: str, log: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.log = log


class VerifierError(CompileError):
    """The kernel's verifier refused the program.  ``log`` is all that it said."""
