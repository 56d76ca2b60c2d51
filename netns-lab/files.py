"""Topology files: TOML that a user writes, and those that are shipped.

docs/topologies.md describes the format.  Whatever is wrong with a file is found before anything is made,
and named by file and line.
"""

from __future__ import annotations

import difflib
import importlib.resources
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any, Final, TypeVar

from ctl.errors import NotFound, UsageError
from netns_lab.rules import Fault, Place, check, check_mtu
from netns_lab.toml_lines import lines_of
from netns_lab.topology import DATAPATH, DEFAULT_MTU, Address, Device, End, Host, Topology, default_mac

BUILT_IN: Final = ("two", "star", "trunk", "chain", "router")

_TOP: Final = ("datapaths", "cables", "hosts", "mtu", "hook")
_OF_DEVICE: Final = ("port", "mac", "mtu", "vlan", "ipv4", "ipv6", "trunk")
_OF_HOST: Final = ("router", "gateway", "devices")
_OF_TAG: Final = ("vlan", "ipv4", "ipv6")
_PORT: Final = re.compile(r"([^:]+):([0-9]{1,6})")
_SYNTAX: Final = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)
_KINDS: Final = {str: "a string", int: "a number", bool: "true or false", dict: "a table", list: "an array"}
_HOOKS: Final = ("xdp", "tc")

_T = TypeVar("_T", str, int, bool, dict[str, Any], list[Any])


def load(topology: str, lab: str) -> Topology:
    """The shipped topology of that name, else that in the file of that name.  UsageError, NotFound."""
    if topology in BUILT_IN:
        return read(shipped(topology), f"{topology}.toml", lab, title=topology)
    path = Path(topology)
    if not path.exists() and path.name == topology and not path.suffix:
        raise UsageError(
            f"there is no topology {topology}, and no file of that name{_near(topology, BUILT_IN)}",
            f"topologies: {' '.join(BUILT_IN)}, or a file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"no file {topology}", f"or one of {' '.join(BUILT_IN)}") from None
    except IsADirectoryError:
        raise UsageError(f"{topology} is a directory", "a topology is one file") from None
    except UnicodeDecodeError as e:
        raise UsageError(f"{topology} is no text in UTF-8: {e.reason} at octet {e.start}") from None
    return read(text, topology, lab)


def shipped(name: str) -> str:
    """The text of a shipped topology.  UsageError names those there are."""
    if name not in BUILT_IN:
        raise UsageError(f"no topology {name} is shipped{_near(name, BUILT_IN)}", f"topologies: {' '.join(BUILT_IN)}")
    return (importlib.resources.files("ctl") / "share" / "topologies" / f"{name}.toml").read_text(encoding="utf-8")


def read(text: str, source: str, lab: str, *, title: str | None = None) -> Topology:
    """The topology that a text describes.  UsageError names ``source`` and the line, in one line."""
    document = _parse(text, source)
    try:
        return check(_topology(_Table(document, ()), lab, source if title is None else title))
    except Fault as fault:
        line = _line(lines_of(text), fault.place)
        raise UsageError(f"{source}:{line}: {_printable(fault.message)}", _printable(fault.hint)) from None


def _parse(text: str, source: str) -> dict[str, Any]:
    what, line = "arrays and tables are nested too deeply", 1
    try:
        return tomllib.loads(text)
    except RecursionError:
        pass
    except ValueError as e:  # a TOMLDecodeError, or a number of thousands of digits
        what = str(e)
        if match := _SYNTAX.fullmatch(what):
            what, line = match[1], int(match[2] or len(text.splitlines()))
    raise UsageError(f"{source}:{line}: {_printable(what[0].lower() + what[1:])}", "topology files are written in TOML")


def _printable(text: str) -> str:
    """The same in one line: names in a file may hold any character."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _line(lines: Mapping[Place, int], place: Place) -> int:
    """Of a place or, if the file does not say it, of what it is part of.

    A host with one device may have its keys itself, and a device's key may be left out.
    """
    short = (*place[:2], *place[4:]) if place[2:4] == ("devices", 0) and place[:4] not in lines else place
    return next((lines[short[:size]] for size in range(len(short), 0, -1) if short[:size] in lines), 1)


def _near(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), 1)
    return f": did you mean {close[0]}?" if close else ""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the document, and where it is."""

    values: dict[str, Any]
    place: Place

    def allow(self, keys: Iterable[str], what: str) -> None:
        """Refuse every key but these."""
        known = tuple(keys)
        for key in self.values:
            if key not in known:
                hint = f"keys of {what}: {' '.join(known)}"
                raise Fault((*self.place, key), f"{what} has no key {key!r}{_near(key, known)}", hint)

    def get(self, key: str, kind: type[_T]) -> _T | None:
        """The value of a key, of that type; None when it is not there."""
        return _typed(self.values[key], kind, (*self.place, key)) if key in self.values else None

    def need(self, key: str, kind: type[_T], what: str) -> _T:
        """The value of a key that must be there."""
        value = self.get(key, kind)
        if value is None:
            raise Fault(self.place, f"{what} has no {key}", f"give it {key} = ...")
        return value


def _typed(value: Any, kind: type[_T], place: Place) -> _T:
    if type(value) is not kind:
        raise Fault(place, f"{_dotted(place)} is not {_KINDS[kind]}")
    return value


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


# --- from the document to the topology ---------------------------------------------------------------


def _topology(document: _Table, lab: str, title: str) -> Topology:
    document.allow(_TOP, "a topology")
    datapaths = document.get("datapaths", list)
    names = (DATAPATH,) if datapaths is None else _strings(datapaths, ("datapaths",))
    hosts = document.need("hosts", dict, "the topology")
    hook = document.get("hook", str)
    if hook not in (None, *_HOOKS):
        raise Fault(("hook",), f"hook is {hook!r}", f"one of {' '.join(_HOOKS)}")
    own_mtu = document.get("mtu", int)
    mtu = DEFAULT_MTU if own_mtu is None else check_mtu(own_mtu, ("mtu",), "the topology")
    numbers = _Numbers()
    return Topology(
        lab,
        tuple(_host(name, value, names, mtu, numbers) for name, value in hosts.items()),
        names,
        tuple(_cables(document, names)),
        "tc" if hook == "tc" else "xdp",
        title,
    )


class _Numbers:
    """Counts devices, for the MAC addresses of those that are not given one."""

    def __init__(self) -> None:
        self._last = 0

    def following(self) -> int:
        self._last += 1
        return self._last


def _strings(values: list[Any], place: Place) -> tuple[str, ...]:
    return tuple(_typed(value, str, (*place, index)) for index, value in enumerate(values))


def _cables(document: _Table, names: tuple[str, ...]) -> Iterable[tuple[End, End]]:
    for index, value in enumerate(document.get("cables", list) or []):
        place: Place = ("cables", index)
        ends = _typed(value, list, place)
        if len(ends) != 2:
            raise Fault(place, f"cable {index + 1} has {len(ends)} ends", 'such as ["s1:3", "s2:3"]')
        one, other = (_end(end, names, (*place, number)) for number, end in enumerate(ends))
        yield one, other


def _end(value: Any, names: tuple[str, ...], place: Place) -> End:
    """A port: DATAPATH:PORT, or the number alone where there is one datapath."""
    if type(value) is int and len(names) == 1:
        return End(names[0], value)
    if isinstance(value, str) and (match := _PORT.fullmatch(value)):
        return End(match[1], int(match[2]))
    hint = f'such as "{names[0]}:1"' if names else "there are no datapaths"
    raise Fault(place, f"{_dotted(place)} is no port", hint + (", or a number" if len(names) == 1 else ""))


def _host(name: str, value: Any, names: tuple[str, ...], mtu: int, numbers: _Numbers) -> Host:
    """A host's keys may be those of its only device."""
    place: Place = ("hosts", name)
    table = _Table(_typed(value, dict, place), place)
    if "devices" in table.values:
        table.allow(_OF_HOST, f"host {name} with devices")
        devices = table.need("devices", list, f"host {name}")
        if not devices:
            raise Fault((*place, "devices"), f"host {name} has no device")
        own = [(*place, "devices", index) for index in range(len(devices))]
        tables = [_Table(_typed(device, dict, where), where) for device, where in zip(devices, own, strict=True)]
        for device in tables:
            device.allow(_OF_DEVICE, f"a device of host {name}")
    else:
        table.allow((*_OF_HOST, *_OF_DEVICE), f"host {name}")
        tables = [table]
    return Host(
        name=name,
        devices=tuple(_device(name, index, device, names, mtu, numbers) for index, device in enumerate(tables)),
        router=table.get("router", bool) or False,
        gateway=table.get("gateway", str),
    )


def _device(  # noqa: PLR0913, PLR0917 - all that a device depends on
    host: str, index: int, table: _Table, names: tuple[str, ...], mtu: int, numbers: _Numbers
) -> Device:
    what = f"host {host}"
    if "port" not in table.values:
        raise Fault(table.place, f"{what} has no port", "give it port = ...")
    end = _end(table.values["port"], names, (*table.place, "port"))
    own_mac = table.get("mac", str)
    own_mtu = table.get("mtu", int)
    number = numbers.following()
    return Device(
        name=f"eth{index}",
        datapath=end.datapath,
        port=end.port,
        mac=default_mac(number) if own_mac is None else own_mac,
        mtu=mtu if own_mtu is None else own_mtu,
        vlan=table.get("vlan", int),
        addresses=_addresses(table, what),
    )


def _addresses(table: _Table, what: str) -> tuple[Address, ...]:
    trunk = table.get("trunk", list)
    if trunk is None:
        return (_address(table, what, None),)
    for key in ("vlan", "ipv4", "ipv6"):
        if key in table.values:
            hint = "addresses of a trunk are those of its VLANs"
            raise Fault((*table.place, key), f"{what} has a trunk and {key} beside it", hint)
    if not trunk:
        raise Fault((*table.place, "trunk"), f"{what} has a trunk without VLANs")
    return tuple(_tagged(table.place, index, value, what) for index, value in enumerate(trunk))


def _tagged(above: Place, index: int, value: Any, what: str) -> Address:
    place = (*above, "trunk", index)
    table = _Table(_typed(value, dict, place), place)
    table.allow(_OF_TAG, f"a VLAN of the trunk of {what}")
    return _address(table, what, table.need("vlan", int, f"a VLAN of the trunk of {what}"))


def _address(table: _Table, what: str, tag: int | None) -> Address:
    ipv4 = _parsed(table, "ipv4", what, IPv4Interface, "198.18.0.1/24")
    if ipv4 is None:
        raise Fault(table.place, f"{what} has no ipv4", 'such as ipv4 = "198.18.0.1/24"')
    return Address(ipv4=ipv4, ipv6=_parsed(table, "ipv6", what, IPv6Interface, "2001:db8::1/64"), tag=tag)


_Ip = TypeVar("_Ip", IPv4Interface, IPv6Interface)


def _parsed(table: _Table, key: str, what: str, kind: type[_Ip], example: str) -> _Ip | None:
    text = table.get(key, str)
    if text is None:
        return None
    if "/" not in text:
        raise Fault((*table.place, key), f"{what}: {text!r} has no prefix", f'such as "{example}"')
    try:
        return kind(text)
    except ValueError:
        raise Fault((*table.place, key), f"{what}: {text!r} is no {key} address", f'such as "{example}"') from None
