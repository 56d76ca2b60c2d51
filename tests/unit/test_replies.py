"""What an answer has in it, to whom it goes, and the errno of every error."""

import errno

import pytest

from ctl import errors
from ctl.errors import Absent, CtlError, FlowInvalid
from ctl.model import ModelDatapath
from ctl.requests import TERSE, Omit, answer, dump
from tests.asking import DEL, GET, NEW, OUT2, SET, U1, ask, request
from tests.collisions import contents, frame

IP = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.255.255.0)"
CONCRETE = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.5/255.255.255.0)"


def rule(*names):
    return pytest.mark.conformance(*names)


@pytest.fixture
def model():
    made = ModelDatapath("m", clock=lambda: 5_000_000)
    made.add_port(1)
    return made


def nowhere():
    raise Absent("there is no datapath m")


# --- A8: answers -------------------------------------------------------------------------------------


def parts(reply):
    names = ("ufid", "key", "mask", "used_ms", "counts", "tcp_flags", "actions")
    return {name for name in names if getattr(reply, name) is not None}


@rule("A8.1", "A8.3", "A8.4")
@pytest.mark.parametrize("bits", range(8))
def test_what_an_answer_about_a_ufid_flow_has(model, bits):
    omit = Omit(bits)
    asked = {"key": Omit.KEY, "mask": Omit.MASK, "actions": Omit.ACTIONS}
    reply = ask(model, NEW, CONCRETE, ufid=U1, actions=(), omit=omit)
    wanted = {name for name, flag in asked.items() if not omit & flag}
    assert parts(reply) == {"ufid"} | wanted
    model.process(frame(), 1)
    assert parts(ask(model, GET, ufid=U1, omit=omit)) == {"ufid", "used_ms", "counts"} | wanted
    if reply.key is not None:
        assert reply.key["ipv4_dst"] == 0x0A000000


@rule("A8.2", "A8.3", "B22")
@pytest.mark.parametrize("bits", range(8))
def test_what_an_answer_about_a_key_flow_has(model, bits):
    omit = Omit(bits)
    asked = {"mask": Omit.MASK, "actions": Omit.ACTIONS}
    reply = ask(model, NEW, CONCRETE, actions=OUT2, omit=omit)
    assert parts(reply) == {"key"} | {name for name, flag in asked.items() if not omit & flag}
    assert reply.key["ipv4_dst"] == 0x0A000005


@rule("A8.4")
def test_flags_are_there_when_they_were_seen(model):
    tcp = "in_port(1),eth(),eth_type(0x0800),ipv4(proto=6),tcp(),tcp_flags(0/0)"
    ask(model, NEW, tcp, ufid=U1, actions=OUT2)
    syn = bytearray(frame() + bytes(7))
    syn[16:18], syn[23], syn[46:48] = (46).to_bytes(2, "big"), 6, b"\x50\x02"
    model.process(bytes(syn), 1)
    assert ask(model, GET, ufid=U1).tcp_flags == 2


@rule("A8.5")
def test_an_answer_has_the_command_of_its_request(model):
    for command in (NEW, SET, GET, DEL):
        assert ask(model, command, IP, ufid=U1, actions=OUT2).command is command


@rule("A8.5")
@pytest.mark.parametrize("omit", [Omit.NOTHING, Omit.KEY, TERSE])
def test_the_parts_of_a_dump_are_get(model, omit):
    ask(model, NEW, IP, ufid=U1, actions=OUT2)
    model.process(frame(), 1)
    ask(model, NEW, "in_port(2),eth()", actions=OUT2)
    replies = list(dump(request(GET, omit=omit), lambda: model))
    assert [(r.command, r.multi, r.to_asker, r.to_group) for r in replies] == [(GET, True, True, False)] * 2
    for reply in replies:
        who = {"ufid": U1} if reply.ufid else {"text": "in_port(2),eth()"}
        assert parts(reply) == parts(ask(model, GET, **who, omit=omit))


def test_a_dump_of_no_datapath_is_enodev():
    with pytest.raises(Absent):
        list(dump(request(GET), nowhere))


@rule("A8.6")
@pytest.mark.parametrize(("echo", "listeners"), [(False, True), (True, False), (True, True), (False, False)])
def test_who_is_told_of_a_change(model, echo, listeners):
    def told(command):
        return answer(request(command, IP, ufid=U1, actions=OUT2, echo=echo), lambda: model, listeners=listeners)

    for command in (NEW, SET, DEL):
        reply = told(command)
        if echo or listeners:
            assert (reply.to_asker, reply.to_group) == (echo, True)
        else:
            assert reply is None
    assert contents(model) == []


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), errno.EINVAL),
        (errors.FlowSyntaxError("x", "", 0), errno.EINVAL),
        (FlowInvalid("x", "key"), errno.EINVAL),
        (FlowInvalid("x", "key", errno=errno.ERANGE), errno.ERANGE),
        (errors.NotFound("x"), errno.ENOENT),
        (errors.Exists("x"), errno.EEXIST),
        (errors.NotPermitted("x"), errno.EPERM),
        (errors.NotSupported("x"), errno.EOPNOTSUPP),
        (errors.Absent("x"), errno.ENODEV),
        (errors.TableFull("x"), errno.ENOSPC),
        (errors.Busy("x"), errno.EBUSY),
        (errors.Failure("x"), errno.EIO),
    ],
)
def test_every_error_has_its_errno(error, code):
    assert error.errno == code


def test_errors_within_the_program_are_a_failure():
    assert CtlError("x").errno == errno.EIO
