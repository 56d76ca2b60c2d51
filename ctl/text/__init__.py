"""The flow language of `ovs-dpctl`: text to values and back, without loss.

Pure: this room knows no BPF, no devices and no command line.  A module is imported when the first of its names
is asked for: whoever lists flows reads none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ctl.text.attrs import ParsedAttrs, format_attrs, parse_attrs
    from ctl.text.parse import ParsedFlow, parse_actions, parse_dump_line, parse_flow, parse_flow_id
    from ctl.text.pointing import caret
    from ctl.text.show import format_flow, format_match, format_terse
    from ctl.text.show_actions import format_actions

__all__ = [
    "ParsedAttrs",
    "ParsedFlow",
    "caret",
    "format_actions",
    "format_attrs",
    "format_flow",
    "format_match",
    "format_terse",
    "parse_actions",
    "parse_attrs",
    "parse_dump_line",
    "parse_flow",
    "parse_flow_id",
]

_MODULES: Final = {
    **dict.fromkeys(("ParsedAttrs", "format_attrs", "parse_attrs"), "attrs"),
    **dict.fromkeys(("ParsedFlow", "parse_actions", "parse_dump_line", "parse_flow", "parse_flow_id"), "parse"),
    **dict.fromkeys(("format_flow", "format_match", "format_terse"), "show"),
    "format_actions": "show_actions",
    "caret": "pointing",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"ctl.text.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
