"""The names of what OVS puts into the userdata of userspace actions: its struct user_action_cookie.

A cookie has 48 octets: a type, the OpenFlow port 0xffff (none), 16 octets of zeros that could name a bridge,
and 24 octets of the type's own.  Numbers are little-endian, as on the hosts that OVS runs on, but for
sFlow's TCI and the controller's rule_cookie, which are big-endian.  Octets that are not exactly such a cookie
have no name and are written as `userdata(...)`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from ctl.text.cursor import Cursor, decimal, hexa
from ctl.text.values import PortText
from ctl.validate import TCI_PRESENT

SIZE: Final = 48
_HEAD: Final = struct.Struct("<HxxI16s")
_NO_PORT: Final = 0xFFFF
_SFLOW, _SLOW_PATH, _FLOW_SAMPLE, _IPFIX, _CONTROLLER = 1, 2, 3, 4, 5
_BODY: Final = {
    _SFLOW: struct.Struct(">H2x4s16x"),  # tci; output is little-endian again
    _SLOW_PATH: struct.Struct("<4xI16x"),
    _FLOW_SAMPLE: struct.Struct("<H2xIIIII"),
    _IPFIX: struct.Struct("<I20x"),
    _CONTROLLER: struct.Struct("<BBHI8sHH4x"),
}
_REASONS: Final = ("cfm", "bfd", "lacp", "stp", "lldp", "action", "match")
_DIRECTIONS: Final = ("", "ingress", "egress")
_SFLOW_SUBS: Final = (decimal("vid", 12), decimal("pcp", 3), decimal("output", 32))
_SAMPLE_SUBS: Final = (
    decimal("probability", 16),
    decimal("collector_set_id", 32),
    decimal("obs_domain_id", 32),
    decimal("obs_point_id", 32),
)
_CONTROLLER_SUBS: Final = (
    decimal("reason", 16),
    decimal("dont_send", 1),
    decimal("continuation", 1),
    decimal("recirc_id", 32),
    hexa("rule_cookie", 64),
    decimal("controller_id", 16),
    decimal("max_len", 16),
)

PortReader = Callable[[], int]  # the port that is next in the text


def read_cookie(cursor: Cursor, name: str, port: PortReader) -> bytes:
    """The octets of `name(...)`, from behind its opening parenthesis to behind the closing one."""
    return _READERS[name](cursor, port)


def cookie_text(octets: bytes, port: PortText) -> str | None:
    """`name(...)`, or None for octets that are no cookie."""
    if len(octets) != SIZE:
        return None
    kind = int.from_bytes(octets[:2], "little")
    if kind not in _BODY:
        return None
    values = _BODY[kind].unpack(octets[_HEAD.size :])
    text, again = _TEXTS[kind](values, port)
    return text if again == octets else None


def _cookie(kind: int, *values: int | bytes) -> bytes:
    return _HEAD.pack(kind, _NO_PORT, bytes(16)) + _BODY[kind].pack(*values)


# --- octets from numbers -------------------------------------------------------------------------


def _sflow(vid: int, pcp: int, output: int) -> bytes:
    tci = vid | pcp << 13
    return _cookie(_SFLOW, tci | TCI_PRESENT if tci else 0, output.to_bytes(4, "little"))


def _controller(numbers: dict[str, int]) -> bytes:
    return _cookie(
        _CONTROLLER,
        numbers["dont_send"],
        numbers["continuation"],
        numbers["reason"],
        numbers["recirc_id"],
        numbers["rule_cookie"].to_bytes(8, "big"),
        numbers["controller_id"],
        numbers["max_len"],
    )


# --- reading -------------------------------------------------------------------------------------


def _read_sflow(cursor: Cursor, _: PortReader) -> bytes:
    numbers = cursor.numbers("sFlow", _SFLOW_SUBS)
    return _sflow(numbers["vid"], numbers["pcp"], numbers["output"])


def _read_slow_path(cursor: Cursor, _: PortReader) -> bytes:
    reasons = 0
    if cursor.accept("0"):
        cursor.close("slow_path")
        return _cookie(_SLOW_PATH, 0)
    while True:
        word, start = cursor.word()
        if word not in _REASONS:
            raise cursor.error(f"expected reasons ({', '.join(_REASONS)}) or 0", start)
        reasons |= 1 << _REASONS.index(word)
        if not cursor.accept(","):
            cursor.close("slow_path")
            return _cookie(_SLOW_PATH, reasons)


def _read_flow_sample(cursor: Cursor, port: PortReader) -> bytes:
    start = cursor.next
    readers: dict[str, Callable[[int], int]] = {sub.name: cursor.reader(sub) for sub in _SAMPLE_SUBS}
    readers["output_port"] = _port_reader(cursor, port)
    readers |= {word: cursor.flag(word) for word in _DIRECTIONS[1:]}
    found = cursor.items("flow_sample", readers)
    directions = [number for number, word in enumerate(_DIRECTIONS) if word in found]
    if len(directions) > 1:
        raise cursor.error("ingress or egress, not both", start)
    names = [*(sub.name for sub in _SAMPLE_SUBS), "output_port"]
    cursor.need("flow_sample", names, found, start)
    return _cookie(_FLOW_SAMPLE, *(found[name] for name in names), *(directions or [0]))


def _read_ipfix(cursor: Cursor, port: PortReader) -> bytes:
    return _cookie(_IPFIX, cursor.items("ipfix", {"output_port": _port_reader(cursor, port)})["output_port"])


def _read_controller(cursor: Cursor, _: PortReader) -> bytes:
    return _controller(cursor.numbers("controller", _CONTROLLER_SUBS))


def _port_reader(cursor: Cursor, port: PortReader) -> Callable[[int], int]:
    def read(start: int) -> int:
        cursor.equals("output_port", start)
        return port()

    return read


_READERS: Final[dict[str, Callable[[Cursor, PortReader], bytes]]] = {
    "sFlow": _read_sflow,
    "slow_path": _read_slow_path,
    "flow_sample": _read_flow_sample,
    "ipfix": _read_ipfix,
    "controller": _read_controller,
}
COOKIES: Final = tuple(_READERS)

# --- printing: the text, and the octets that it stands for ----------------------------------------


def _sflow_text(values: tuple[Any, ...], _: PortText) -> tuple[str, bytes]:
    tci, raw = values
    vid, pcp, output = tci & 0xFFF, tci >> 13, int.from_bytes(raw, "little")
    return f"sFlow(vid={vid},pcp={pcp},output={output})", _sflow(vid, pcp, output)


def _slow_path_text(values: tuple[int, ...], _: PortText) -> tuple[str, bytes]:
    reasons = values[0] & ((1 << len(_REASONS)) - 1)
    names = ",".join(name for bit, name in enumerate(_REASONS) if reasons >> bit & 1) or "0"
    return f"slow_path({names})", _cookie(_SLOW_PATH, reasons)


def _flow_sample_text(values: tuple[int, ...], port: PortText) -> tuple[str, bytes]:
    *numbers, output, direction = values
    known = direction if direction < len(_DIRECTIONS) else 0
    texts = [sub.text(number) for sub, number in zip(_SAMPLE_SUBS, numbers, strict=True)]
    texts += [f"output_port={port(output)}", *_DIRECTIONS[known : known + bool(known)]]
    return f"flow_sample({','.join(texts)})", _cookie(_FLOW_SAMPLE, *numbers, output, known)


def _ipfix_text(values: tuple[int, ...], port: PortText) -> tuple[str, bytes]:
    return f"ipfix(output_port={port(values[0])})", _cookie(_IPFIX, values[0])


def _controller_text(values: tuple[Any, ...], _: PortText) -> tuple[str, bytes]:
    dont_send, continuation, reason, recirc_id, rule_cookie, controller_id, max_len = values
    numbers = {
        "reason": reason,
        "dont_send": int(bool(dont_send)),
        "continuation": int(bool(continuation)),
        "recirc_id": recirc_id,
        "rule_cookie": int.from_bytes(rule_cookie, "big"),
        "controller_id": controller_id,
        "max_len": max_len,
    }
    return f"controller({','.join(sub.text(numbers[sub.name]) for sub in _CONTROLLER_SUBS)})", _controller(numbers)


_TEXTS: Final[dict[int, Callable[..., tuple[str, bytes]]]] = {
    _SFLOW: _sflow_text,
    _SLOW_PATH: _slow_path_text,
    _FLOW_SAMPLE: _flow_sample_text,
    _IPFIX: _ipfix_text,
    _CONTROLLER: _controller_text,
}
