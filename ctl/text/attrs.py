"""Text of attributes, beneath `Match`: all that OVS has, also what this datapath cannot match, without loss.

`parse_attrs(format_attrs(x)) == x` for every key and mask in which each attribute of the key has its mask
(of zeros, where it is not compared), and no other attribute has one but eth_type and in_port.

The printer writes what OVS's writes, attributes in the order in which OVS sends them.  It says more where
OVS's text would lose something: attributes that are all wild (`ipv4()`, `ct_mark(0/0)`), and values outside
the mask (`ttl=64/0`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ctl import fields
from ctl.attrs import KeyAttrs, Values
from ctl.errors import FlowInvalid
from ctl.fields import Field, Format
from ctl.text.grammar import KeyParser, PortNumber
from ctl.text.headers import nsh_text, tunnel_text
from ctl.text.show_actions import PortName, port_text
from ctl.text.values import FLAG_FORMATS, mask_text, signed_flags_text, value_text
from ctl.ufid import Ufid

_FULL: Final = {name: tuple(row.full for row in rows) for name, rows in fields.ALL_SECTIONS.items()}
_ABSENT: Final = {
    name: row.absent for name, (row, *_) in fields.ALL_SECTIONS.items() if row.absent is not None
}  # eth_type and in_port
_LABEL: Final = "label={}/{:#x},tc={}/{:x},ttl={}/{:#x},bos={}/{:x}"  # as OVS writes a label with a mask


class ParsedAttrs(NamedTuple):
    """A flow as it was written: a name, which may be missing, and the attributes of key and mask."""

    ufid: Ufid | None
    key: KeyAttrs
    mask: KeyAttrs


def parse_attrs(text: str, port_number: PortNumber | None = None) -> ParsedAttrs:
    """What a flow's text says, unjudged: FlowSyntaxError is the only error but for unknown port names."""
    parser = KeyParser(text, port_number)
    parser.read(len(text))
    return ParsedAttrs(parser.ufid, parser.level.key, parser.level.mask)


def format_attrs(
    key: KeyAttrs, mask: KeyAttrs | None, *, ufid: Ufid | None = None, port_name: PortName | None = None
) -> str:
    """The text of a key, and of its mask unless that is None: then everything is exact.

    FlowInvalid: the mask has what the key has not, and what no text can say.
    """
    text = _level(key, mask, port_name)
    return text if ufid is None else f"{ufid}, {text}"


def _level(key: KeyAttrs, mask: KeyAttrs | None, port_name: PortName | None) -> str:
    texts = []
    for name in fields.ATTRIBUTES:
        if name in fields.HEADERS:
            text = _header(name, key, mask)
        elif name == "encap":
            text = _encap(key, mask, port_name)
        else:
            text = _attribute(name, key, mask, port_name)
        if text is not None:
            texts.append(f"{name}({text})")
    return ",".join(texts)


def _no_value(name: str) -> FlowInvalid:
    return FlowInvalid("has a mask and no value", name)


def _header(name: str, key: KeyAttrs, mask: KeyAttrs | None) -> str | None:
    if name == "tunnel":
        if key.tunnel is not None:
            return tunnel_text(key.tunnel, None if mask is None else mask.tunnel or type(key.tunnel)())
    elif key.nsh is not None:
        return nsh_text(
            key.nsh, None if mask is None else mask.nsh or type(key.nsh)(context=bytes(len(key.nsh.context)))
        )
    if mask is not None and getattr(mask, name) is not None:
        raise _no_value(name)
    return None


def _encap(key: KeyAttrs, mask: KeyAttrs | None, port_name: PortName | None) -> str | None:
    if key.encap is not None:
        return _level(key.encap, None if mask is None else mask.encap or KeyAttrs(), port_name)
    if mask is not None and mask.encap is not None:
        raise _no_value("encap")
    return None


def _attribute(name: str, key: KeyAttrs, mask: KeyAttrs | None, port_name: PortName | None) -> str | None:
    """The inside of an attribute that is made of numbers; None: it is not there."""
    values = key.sections.get(name)
    masks = _FULL[name] if mask is None else mask.sections.get(name)
    rows = fields.ALL_SECTIONS[name]
    if values is None:
        if mask is None or masks is None:
            return None
        if name not in _ABSENT:
            raise _no_value(name)
        return f"{_ABSENT[name]}/{mask_text(rows[0], masks[0])}"
    masks = masks or (0,) * len(values)
    if not rows[0].name:
        return _single(rows[0], values[0], masks[0], port_name)
    if name == "mpls":
        return _labels(rows, values, masks)
    trios = zip(rows, values, masks, strict=True)
    return ",".join(
        f"{row.name}={_value(row, value, bits)}" for row, value, bits in trios if _is_said(row, value, bits)
    )


def _is_said(row: Field, value: int, mask: int) -> bool:
    """Whether a sub-field cannot be left out."""
    return (value, mask) != ((row.default, row.full) if row.default else (0, 0))


def _value(row: Field, value: int, mask: int) -> str:
    return value_text(row, value) + ("" if mask == row.full else f"/{mask_text(row, mask)}")


def _single(row: Field, value: int, mask: int, port_name: PortName | None) -> str:
    if row.format in FLAG_FORMATS and mask != row.full:
        return signed_flags_text(row.format, value, mask) if mask else f"{value:#x}/0" if value else "0/0"
    if row.format is Format.PORT and mask == row.full:
        return port_text(value, port_name)
    return _value(row, value, mask)


def _labels(rows: tuple[Field, ...], values: Values, masks: Values) -> str:
    """Labels up to the last that says anything.  One mask that is not exact has all of them written."""
    size = len(rows) // fields.MPLS_LABELS
    said = [row.group for row, value, mask in zip(rows, values, masks, strict=True) if value or mask]
    if not said:
        return ""
    end = size * (said[-1] + 1)
    if masks[:end] == _FULL["mpls"][:end]:
        return ",".join(f"{row.name}={value}" for row, value in zip(rows[:end], values[:end], strict=True))
    pairs = [number for pair in zip(values[:end], masks[:end], strict=True) for number in pair]
    return ",".join(_LABEL.format(*pairs[n : n + 2 * size]) for n in range(0, len(pairs), 2 * size))
