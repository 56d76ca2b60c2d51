"""Where an action list can run: in XDP, which has one packet to give away and no copies, or in tc.

What XDP cannot execute its program leaves to tc.  That is decided when a flow is installed, and kept
beside the flow's action list for the program to see; anew only when a port comes or goes that takes nothing
from XDP.
"""

from __future__ import annotations

from collections.abc import Callable

from ctl.action import BESIDE, Action, Actions, DecTtl, Output, Recirc, Set, changes_frame, nested

TakesRedirects = Callable[[int], bool]


def why_not_xdp(actions: Actions, takes_redirects: TakesRedirects = lambda _: True) -> str | None:
    """Why XDP cannot execute this list, in words; None when it can.

    It can change headers and tell the controller as often as it likes, and end with one output, one
    recirculation or a drop.  What follows an output or a recirculation would need a copy.  A trunc cuts
    the packet itself, and is as good as cutting a copy when that output is the last thing that happens.
    A list within an action is the packet's own rest when nothing follows it, as dec_ttl's always is; else
    it needs a copy as soon as it sends or changes anything.
    ``takes_redirects`` says of a port number whether what XDP sends there arrives.
    """
    return _why_not(actions, takes_redirects, is_rest=True)


def _why_not(actions: Actions, takes_redirects: TakesRedirects, *, is_rest: bool) -> str | None:
    """Of one list.  ``is_rest``: nothing follows it in any of those that it is in."""
    for left, action in zip(range(len(actions) - 1, -1, -1), actions, strict=True):
        is_end = is_rest and not left
        why = _why_not_this(action, takes_redirects, is_end=is_end)
        inner = nested(action)
        is_rest_within = is_rest if isinstance(action, DecTtl) else is_end
        if why is None and not is_rest_within and any(map(changes_frame, inner)):
            why = f"{action.name} changes a copy"
        for listed in inner:
            why = why or _why_not(listed, takes_redirects, is_rest=is_rest_within)
        if why is not None:
            return why
    return None


def _why_not_this(action: Action, takes_redirects: TakesRedirects, *, is_end: bool) -> str | None:
    if isinstance(action, Set) and action.section in BESIDE:
        return f"sets {action.section}"
    if isinstance(action, Output | Recirc) and not is_end:
        return "more than one copy"
    if isinstance(action, Output) and not takes_redirects(action.port):
        return f"port {action.port} takes nothing from XDP"
    return None
