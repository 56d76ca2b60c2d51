"""The flow language of `ovs-dpctl`: text to values and back, without loss.

Pure: this room knows no BPF, no devices and no command line.
"""

from ctl.text.attrs import ParsedAttrs, format_attrs, parse_attrs
from ctl.text.caret import caret
from ctl.text.parse import ParsedFlow, parse_actions, parse_dump_line, parse_flow, parse_flow_id
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
