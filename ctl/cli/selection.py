"""Which flows dump-flows prints, and in which order.  Imported only when somebody asks for that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from ctl.errors import UsageError
from ctl.flow import Flow
from ctl.text.openflow import parse_filter
from ctl.text.where import KEY_FIELDS, NUMBERS, parse_where, sort_key

Test = Callable[[Flow, int], bool]
PortNumber = Callable[[str], int | None]

# The types of ovs-dpctl, and which hooks' flows they are here: XDP's are what OVS calls offloaded.
TYPES: Final[dict[str, frozenset[str]]] = {
    "all": frozenset({"xdp", "tc"}),
    "xdp": frozenset({"xdp"}),
    "offloaded": frozenset({"xdp"}),
    "tc": frozenset({"tc"}),
    "non-offloaded": frozenset({"tc"}),
    **dict.fromkeys(("ovs", "dpdk", "partially-offloaded"), frozenset()),
}


def conditions_of(words: Iterable[str], port_number: PortNumber) -> list[Test]:
    """The tests that filter=, where= and type= words make.  UsageError, FlowSyntaxError."""
    tests: dict[str, Test] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name in tests:
            raise UsageError(f"{name}= is given twice", "join conditions by and: where='A and B'")
        match name:
            case "filter":
                tests[name] = _passes(text, port_number)
            case "where":
                tests[name] = parse_where(text, port_number)
            case "type":
                tests[name] = _is_of_type(text)
            case _:
                raise UsageError(f"{word!r} picks no flows", "filter=FLOW, where=CONDITION or type=TYPE")
    return list(tests.values())


def _passes(text: str, port_number: PortNumber) -> Test:
    wanted = parse_filter(text, port_number)
    return lambda flow, _: wanted.passes(flow.match)


def _is_of_type(text: str) -> Test:
    hooks: set[str] = set()
    for name in text.split(","):
        if name not in TYPES:
            raise UsageError(f"type={name}: there is no such type", f"types: {', '.join(TYPES)}")
        hooks |= TYPES[name]
    return lambda flow, _: ("tc" if flow.not_xdp else "xdp") in hooks


def selected(
    flows: Iterable[Flow], tests: Sequence[Test], sort: str | None, limit: int | None, now_ms: int
) -> Iterator[Flow]:
    """The flows that pass all tests, sorted, and so many of them.  ``sort`` begins with - for the reverse order."""
    passing = (flow for flow in flows if all(test(flow, now_ms) for test in tests))
    return islice(_sorted(passing, sort, now_ms) if sort else passing, limit)


def _sorted(flows: Iterable[Flow], sort: str, now_ms: int) -> Iterator[Flow]:
    key = sort_key(sort.removeprefix("-"))
    if key is None:
        known = [*NUMBERS, "ufid", "dp", *KEY_FIELDS]
        raise UsageError(f"--sort {sort}: flows have no such field", f"fields: {', '.join(known)}")
    yield from sorted(flows, key=lambda flow: key(flow, now_ms), reverse=sort.startswith("-"))
