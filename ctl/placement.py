"""Where an action list can run: in XDP, which has one packet to give away and no copies, or in tc.

What XDP cannot execute its program leaves to tc.  That is decided when a flow is installed, and kept
beside the flow's action list for the program to see.
"""

from __future__ import annotations

from typing import Final

from ctl.action import Actions, Output, Recirc, Set

_METADATA: Final = ("skb_mark", "skb_priority")


def why_not_xdp(actions: Actions) -> str | None:
    """Why XDP cannot execute this list, in words; None when it can.

    It can change headers and tell the controller as often as it likes, and end with one output, one
    recirculation or a drop.  What follows an output or a recirculation would need a copy.  A trunc cuts
    the packet itself, and is as good as cutting a copy when that output is the last thing that happens.
    """
    last = len(actions) - 1
    for index, action in enumerate(actions):
        if isinstance(action, Set) and action.section in _METADATA:
            return f"sets {action.section}"
        if isinstance(action, Output | Recirc) and index != last:
            return "more than one copy"
    return None


def why_not_tc(actions: Actions) -> str | None:
    """Why tc cannot execute this list, in words; None when it can.

    It sends copies at any place, but a second look-up of a copy would need a second packet's memory.
    """
    if any(isinstance(action, Recirc) for action in actions[:-1]):
        return "recirculates a copy"
    return None


def layer(actions: Actions) -> str:
    """The name of the place that executes a list: `xdp` or `tc`."""
    return "xdp" if why_not_xdp(actions) is None else "tc"
