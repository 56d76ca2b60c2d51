"""Cycles of making flows, failing in every way that a request can fail, and deleting; nothing must be left behind."""

import gc
import os
import sys

from ctl.action import Output, Set
from ctl.requests import Flushed
from tests.asking import DEL, GET, NEW, OUT2, SET, ask
from tests.bpf.audit import audit, occupancy

MAX_FLOWS, MAX_MASKS = 5, 2
WARM = 20  # cycles until caches and free lists are as large as they get
BLOCKS = 100  # of Python's memory, that come and go between two counts
EXACT, WILD, THIRD = "255.255.255.255", "255.255.0.255", "255.0.0.255"
BAD = (Set("tcp", (1, 2)),)
LONG = (*(Output(1),) * 63, Output(2))


def ip(number, mask=EXACT):
    return f"in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.{number}/{mask})"


# What is asked, with options, and its errno; None: it is done.  NAME stands for a UFID of 8 octets.
NAME = object()
STEPS = [
    (NEW, ip(0), {"ufid": NAME}, None),
    (NEW, ip(0), {"ufid": NAME}, "EEXIST"),
    (NEW, ip(0), {"ufid": b"other"}, "EEXIST"),
    (NEW, ip(0), {}, "EEXIST"),
    (NEW, ip(1), {"ufid": NAME, "create": False}, "ENOENT"),
    (NEW, "in_port(1)", {}, "EINVAL"),
    (NEW, ip(1), {"actions": BAD}, "EINVAL"),
    (NEW, ip(1), {"ufid": bytes(17)}, "EINVAL"),
    (NEW, ip(1), {"ufid": b""}, "ERANGE"),
    (NEW, ip(1, WILD), {"actions": LONG}, None),
    (NEW, ip(2, THIRD), {}, "ENOSPC"),  # no mask id is left
    *[(NEW, ip(number), {"ufid": bytes((number,))}, None) for number in (2, 3, 4)],
    (NEW, ip(5), {}, "ENOSPC"),  # no slot is left
    (SET, "", {"ufid": NAME, "actions": BAD}, "EINVAL"),
    (SET, "", {"ufid": NAME, "actions": LONG, "clear": True}, None),
    (SET, "", {"ufid": b"other"}, "ENOENT"),
    (GET, ip(0), {}, "ENOENT"),
    (DEL, ip(0), {}, "ENOENT"),
    (DEL, "", {"ufid": bytes(17)}, "EINVAL"),
    (DEL, "", {"ufid": NAME}, None),
]


def cycle(datapath, number):
    """One cycle; ``number`` makes its UFID another than those before."""
    with datapath.hold():
        for command, text, options, code in STEPS:
            asked = {"actions": OUT2, "create": True} | options
            asked |= {"ufid": number.to_bytes(8, "little")} if options.get("ufid") is NAME else {}
            asked = asked if command in (NEW, SET) else {"ufid": asked.get("ufid")}
            reply = ask(datapath, command, text, **asked)
            assert reply == code if code else not isinstance(reply, str), (command, text, options)
        assert ask(datapath, DEL) == Flushed(4)


def blocks_in_use():
    """How many blocks of memory Python has given out, when all that nobody refers to is given back."""
    gc.collect()
    return sys.getallocatedblocks()


def run(datapath, cycles):
    """So many cycles; fails when one leaves something in the maps, or in this process."""
    for number in range(WARM):
        cycle(datapath, number)
    before, blocks, files = occupancy(datapath), blocks_in_use(), len(os.listdir("/proc/self/fd"))
    for number in range(cycles):
        cycle(datapath, number)
    audit(datapath)
    assert (occupancy(datapath), len(os.listdir("/proc/self/fd"))) == (before, files)
    assert blocks_in_use() < blocks + BLOCKS
