"""What becomes of a request that meets a flow: every kind of meeting, every kind of request, ours and the kernel's.

There is one flow: F1, with the UFID U1, the key 10.0.0.0 and the mask of a /24.  It has been hit.
"""

import struct

from ctl.action import Output
from ctl.requests import FlowReply
from ctl.ufid import Ufid
from tests.asking import DEL, GET, NEW, OUT2, SET, U1, U2, ask

IP = "in_port(1),eth(),eth_type(0x0800),ipv4(dst={})"
K1 = IP.format("10.0.0.0/255.255.255.0")
WIDER = IP.format("10.0.0.0/255.255.0.0")
OUT3 = (Output(3),)
HITS = 3

# Number in the specification, what the request has, and what becomes of it: of NEW with CREATE, of NEW without,
# and of SET.  "F1": that has the new actions; "new": there are two flows.
OURS = [
    ("1", U1, K1, "EEXIST", "F1", "F1"),
    ("2", U1, WIDER, "EEXIST", "ENOENT", "F1"),
    ("3", U1, IP.format("11.0.0.0/255.255.255.0"), "EEXIST", "ENOENT", "F1"),
    ("4", U2, K1, "EEXIST", "EEXIST", "ENOENT"),
    ("5", None, K1, "EEXIST", "EEXIST", "ENOENT"),
    ("6", U2, WIDER, "new", "new", "ENOENT"),
    ("6", U2, IP.format("10.0.0.5/255.255.0.0"), "new", "new", "ENOENT"),
    ("7", U2, IP.format("10.0.0.5"), "new", "new", "ENOENT"),
    ("8", U2, IP.format("10.1.0.0/255.0.0.0"), "new", "new", "ENOENT"),
    ("9", U1, IP.format("10.0.0.5/255.255.255.0"), "EEXIST", "F1", "F1"),
]
KERNEL = [
    ("1", U1, K1, "EEXIST", "F1", "F1"),
    ("2", U1, WIDER, "EEXIST", "F1", "F1"),
    ("3", U1, IP.format("11.0.0.0/255.255.255.0"), "EEXIST", "ENOENT", "F1"),
    ("4", U2, K1, "EEXIST", "F1", "ENOENT"),
    ("5", None, K1, "EEXIST", "F1", "ENOENT"),
    ("6", U2, WIDER, "EEXIST", "F1", "ENOENT"),
    ("6", U2, IP.format("10.0.0.5/255.255.0.0"), "EEXIST", "ENOENT", "ENOENT"),
    ("7", U2, IP.format("10.0.0.5"), "EEXIST", "ENOENT", "ENOENT"),
    ("8", U2, IP.format("10.1.0.0/255.0.0.0"), "new", "new", "ENOENT"),
    ("9", U1, IP.format("10.0.0.5/255.255.255.0"), "EEXIST", "ENOENT", "F1"),
]
COLUMNS = {"new with create": (NEW, True), "new without": (NEW, False), "set": (SET, False)}

# (rule, ufid, text, column, like_kernel, what becomes of it)
CASES = [
    (f"A9.{number}", ufid, text, column, like_kernel, expected)
    for like_kernel, rows in ((False, OURS), (True, KERNEL))
    for number, ufid, text, *outcomes in rows
    for column, expected in zip(COLUMNS, outcomes, strict=True)
]

# (rule, command, ufid, text, errno); None: it is done.  The same with both kinds of rules.
BY_NAME = [
    ("A9.10", DEL, U1, IP.format("11.0.0.0"), None),
    ("A9.11", DEL, None, K1, "ENOENT"),
    ("A9.12", GET, U1[:8], "", "ENOENT"),
    ("A9.12", DEL, U1[:8], "", "ENOENT"),
    ("A9.13", GET, None, K1, "ENOENT"),
]


def name_of(case):
    """What a case is called."""
    rule, *words = case
    return "-".join([rule, *(word for word in map(str, words) if word in COLUMNS), *["kernel"] * (True in case)])


def frame(dst=0x0A000000):
    """An IPv4 frame for F1."""
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 39, 0, 0, 64, 17, 0, 0x0A000001, dst)
    return bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", 7, 9, 19, 0) + bytes(11)


def contents(datapath):
    """All flows, without what the clock says."""
    rows = [(flow.who, flow.match, flow.actions, flow.stats.packets, flow.stats.bytes) for flow in datapath.flow_dump()]
    return sorted(rows, key=str)


def prepare(datapath, hit):
    """F1, hit HITS times by what ``hit`` sends."""
    first = ask(datapath, NEW, K1, ufid=U1, actions=OUT2, create=True)
    for _ in range(HITS):
        hit(frame())
    return first


def check(datapath, hit, case):
    """One meeting: what is answered, and that nothing else has changed."""
    _, ufid, text, column, like_kernel, expected = case
    first = prepare(datapath, hit)
    before = contents(datapath)
    command, create = COLUMNS[column]
    reply = ask(datapath, command, text, ufid=ufid, actions=OUT3, create=create, like_kernel=like_kernel)
    after = {flow.ufid: flow for flow in datapath.flow_dump()}
    f1 = after[Ufid(U1)]
    assert (f1.match.mask, f1.match.key, f1.stats.packets) == (first.mask, first.key, HITS)
    if expected == "F1":
        assert (reply.command, reply.ufid, reply.mask, reply.actions) == (command, Ufid(U1), first.mask, OUT3)
        assert (len(after), f1.actions) == (1, OUT3)
    elif expected == "new":
        assert (len(after), f1.actions, after[Ufid(U2)].actions) == (2, OUT2, OUT3)
        assert (reply.ufid, reply.counts) == (Ufid(U2), None)
    else:
        assert reply == expected
        assert contents(datapath) == before


def check_by_name(datapath, hit, case, like_kernel):
    """One request that names a flow, rightly or wrongly."""
    _, command, ufid, text, expected = case
    prepare(datapath, hit)
    before = contents(datapath)
    reply = ask(datapath, command, text, ufid=ufid, like_kernel=like_kernel)
    if expected is None:
        assert isinstance(reply, FlowReply)
        assert (reply.counts, contents(datapath)) == ((HITS, HITS * len(frame())), [])
    else:
        assert (reply, contents(datapath)) == (expected, before)


def check_key_text(datapath, like_kernel):
    """A flow without UFID is removed by its concrete key; the mask of the request does not matter."""
    concrete = IP.format("10.0.0.5/255.255.255.0")
    ask(datapath, NEW, concrete, actions=OUT2, create=True, like_kernel=like_kernel)
    assert ask(datapath, DEL, K1, like_kernel=like_kernel) == "ENOENT"
    reply = ask(datapath, DEL, IP.format("10.0.0.5"), like_kernel=like_kernel)
    assert (reply.ufid, reply.key["ipv4_dst"]) == (None, 0x0A000005)
    assert contents(datapath) == []
