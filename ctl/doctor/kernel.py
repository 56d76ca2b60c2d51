"""What the kernel can do, found by trying it, and how its clock runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ctl.doctor.finding import Check, Finding, by_hand, fault, note, ok
from ctl.errors import CtlError
from ctl.kernel import features, libbpf, ticks
from ctl.kernel.features import Feature
from ctl.kernel.structures import ProgInfo
from ctl.kernel.ticks import Ticks
from ctl.netns import NetNs, in_throw_away

_PASS: Final = bytes.fromhex("b700000002000000 9500000000000000")  # lets a frame pass: two instructions


# --- features ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A feature, whether this kernel has it, and whether CTL_WITHOUT forbids its use."""

    feature: Feature
    there: bool
    forbidden: bool


def look_at_features() -> list[Offer]:
    """Each by trying it.  UsageError when CTL_WITHOUT names none."""
    forbidden = features.switched_off()
    return [
        Offer(feature=feature, there=features.is_there(name), forbidden=name in forbidden)
        for name, feature in features.FEATURES.items()
    ]


def judge_features(seen: Iterable[Offer]) -> Iterator[Finding]:
    """Without any of them there is another way."""
    for offer in seen:
        feature = offer.feature
        instead = f"instead of {feature.purpose}: {feature.instead}"
        if not offer.there:
            yield note(feature.name, f"not there; it came with Linux {feature.since}", instead)
        elif offer.forbidden:
            yield note(feature.name, f"there, and switched off by {features.VARIABLE}", instead,
                       by_hand("unset", features.VARIABLE))  # fmt: skip
        else:
            yield ok(feature.name, f"for {feature.purpose}")


# --- devices -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Why a veth pair could not be made, and why a place for tc programs could not; None where they could."""

    veth: CtlError | None
    clsact: CtlError | None


def look_at_devices() -> Devices:
    """Make both in a network namespace that goes with them.  NotPermitted."""
    found: list[Devices] = []
    in_throw_away(lambda: found.append(_try_devices()))
    return found[0]


def _try_devices() -> Devices:
    from ctl.ports import Links, VethEnd

    with Links(NetNs.current()) as links:
        return Devices(
            veth=_refusal(lambda: links.create_veth(VethEnd(name="doctor0"), VethEnd(name="doctor1"))),
            clsact=_refusal(lambda: links.add_clsact("lo")),
        )


def _refusal(attempt: Callable[[], object]) -> CtlError | None:
    try:
        attempt()
    except CtlError as e:
        return e
    return None


def judge_devices(seen: Devices) -> Iterator[Finding]:
    """Modules of the kernel, which it loads by itself where they are installed."""
    if seen.veth is None:
        yield ok("veth", "a pair can be made")
    else:
        yield fault("veth", seen.veth.message, "no datapath can be made, for its local port is a veth, and no lab",
                    by_hand("modprobe", "veth"))  # fmt: skip
    if seen.clsact is None:
        yield ok("clsact", "a device takes tc programs")
    else:
        yield fault("clsact", seen.clsact.message, "the hosts of a lab cannot be kept from answering test frames, and"
                    " without tcx links no port can be made", by_hand("modprobe", "sch_ingress"))  # fmt: skip


# --- the compiler in the kernel ----------------------------------------------------------------------


def look_at_jit() -> bool:
    """Load a program that does nothing; whether the kernel compiled it."""
    fd = libbpf.prog_load(libbpf.PROG_XDP, "doctor", _PASS)
    try:
        return bool(libbpf.info(fd, ProgInfo).jited_len)
    finally:
        os.close(fd)


def judge_jit(seen: bool) -> Iterator[Finding]:  # noqa: FBT001 - the fact itself
    """Where the kernel does not compile programs, it interprets them."""
    if seen:
        yield ok("jit", "the kernel compiles programs")
    else:
        yield note("jit", "the kernel interprets programs", "each packet takes several times as long",
                   by_hand("sysctl", "-w", "net.core.bpf_jit_enable=1"))  # fmt: skip


# --- the clock ---------------------------------------------------------------------------------------


def judge_clock(seen: Ticks) -> Iterator[Finding]:
    """Flows are stamped with the tick counter."""
    yield ok("clock", f"a tick takes {seen.tick_ns / 1e6:g} ms, and so `used` is no finer")


CHECKS: Final = (
    Check("kernel", "features", look_at_features, judge_features),
    Check("kernel", "devices", look_at_devices, judge_devices),
    Check("kernel", "jit", look_at_jit, judge_jit),
    Check("kernel", "clock", ticks.measure, judge_clock),
)
