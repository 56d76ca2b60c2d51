"""Where an action list can run: in XDP, which has one packet to give away and no copies, or in tc.

What XDP cannot execute its program leaves to tc.  That is decided when a flow is installed, and kept
beside the flow's action list for the program to see; anew only when a port comes or goes that takes nothing
from XDP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ctl.action import Actions, Output, Recirc, Set

_METADATA: Final = ("skb_mark", "skb_priority")


def why_not_xdp(actions: Actions, takes_redirects: Callable[[int], bool] = lambda _: True) -> str | None:
    """Why XDP cannot execute this list, in words; None when it can.

    It can change headers and tell the controller as often as it likes, and end with one output, one
    recirculation or a drop.  What follows an output or a recirculation would need a copy.  A trunc cuts
    the packet itself, and is as good as cutting a copy when that output is the last thing that happens.
    ``takes_redirects`` says of a port number whether what XDP sends there arrives.
    """
    last = len(actions) - 1
    for index, action in enumerate(actions):
        if isinstance(action, Set) and action.section in _METADATA:
            return f"sets {action.section}"
        if isinstance(action, Output | Recirc) and index != last:
            return "more than one copy"
        if isinstance(action, Output) and not takes_redirects(action.port):
            return f"port {action.port} takes nothing from XDP"
    return None
