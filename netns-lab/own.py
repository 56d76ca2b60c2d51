"""Frames of the user's own making: from a capture, or from a scapy expression."""

from __future__ import annotations

from pathlib import Path

from ctl.errors import UsageError


def from_capture(path: Path) -> list[bytes]:
    """The frames of a pcap or pcapng file, in order.  UsageError for any other file."""
    from scapy.error import Scapy_Exception
    from scapy.utils import rdpcap

    try:
        return [bytes(packet) for packet in rdpcap(str(path))]
    except Scapy_Exception as e:
        raise UsageError(f"{path} is no capture: {e}") from e


def from_expression(expression: str, count: int) -> list[bytes]:
    """``count`` times what a scapy expression makes, such as ``Ether()/IP()/UDP()``.

    The expression is Python, evaluated with the caller's rights.  UsageError when it fails.
    """
    import scapy.all

    try:
        packets = list(eval(expression, vars(scapy.all).copy()))  # noqa: S307 - the user's own, on the user's behalf
        return [bytes(packet) for packet in packets] * count
    except Exception as e:
        raise UsageError(f"--scapy: {type(e).__name__}: {e}", "such as 'Ether()/IP(dst=\"198.18.0.2\")/UDP()'") from e
