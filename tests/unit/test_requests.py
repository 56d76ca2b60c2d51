"""Requests over flows: the order of checks, the errno of each refusal, and what is answered."""

import errno
import logging

import pytest

from ctl import errors
from ctl.action import Clone, Output, Set
from ctl.errors import Absent, CtlError
from ctl.flow import FlowKey, FlowStats
from ctl.model import ModelDatapath
from ctl.requests import TERSE, Flushed, Omit, answer
from ctl.ufid import Ufid
from tests.asking import DEL, DROP, GET, NEW, OUT2, SET, U1, U2, ask, request
from tests.collisions import contents, frame

ETH = "in_port(1),eth()"
IP = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.255.255.0)"
CONCRETE = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.5/255.255.255.0)"
UDP = "in_port(1),eth(),eth_type(0x0800),ipv4(proto=17),udp()"
BAD = "in_port(1)"  # neither ETHERNET nor ETHERTYPE
SET_UDP = (Set("udp", (1, 2)),)
BOTH = pytest.mark.parametrize("like_kernel", [False, True])


def rule(*names):
    return pytest.mark.conformance(*names)


@pytest.fixture
def model():
    made = ModelDatapath("m", clock=lambda: 5_000_000)
    made.add_port(1)
    return made


@pytest.fixture
def hit(model):
    """A flow with UFID that three packets have hit; there is none without UFID."""
    ask(model, NEW, IP, ufid=U1, actions=OUT2)
    for _ in range(3):
        model.process(frame(), 1)
    return model


def nowhere():
    raise Absent("there is no datapath m")


def refused(command, text="", *, find=nowhere, like_kernel=False, **options):
    """How a request to a datapath that is not there ends: what was checked before comes first."""
    with pytest.raises(CtlError) as caught:
        answer(request(command, text, **options), find, like_kernel=like_kernel)
    return errno.errorcode[caught.value.errno], getattr(caught.value, "attribute", None)


# --- A2, A3: flags and names -------------------------------------------------------------------------


@rule("A2.clear")
def test_clear_is_of_set_alone(hit):
    for command in (NEW, GET):
        assert ask(hit, command, IP, ufid=U1, actions=OUT2, clear=True).counts[0] == 3
    assert ask(hit, GET, ufid=U1).counts[0] == 3


@rule("A2.probe")
def test_a_probe_installs_the_flow(model):
    ask(model, NEW, IP, ufid=U1, actions=OUT2, probe=True)
    assert ask(model, GET, ufid=U1).actions == OUT2


@rule("A2.omit")
@pytest.mark.parametrize("omit", [Omit(8), Omit(8) | TERSE])
def test_flags_shape_the_answer_alone(model, omit):
    ask(model, NEW, IP, ufid=U1, actions=OUT2, omit=omit)
    reply = ask(model, GET, ufid=U1, omit=omit)
    left_out = bool(omit & TERSE)
    assert [part is None for part in (reply.key, reply.mask, reply.actions)] == [left_out] * 3
    assert next(iter(model.flow_dump())).actions == OUT2


@rule("A3.length", "B20")
@BOTH
@pytest.mark.parametrize("command", [NEW, SET, GET, DEL])
def test_a_ufid_of_no_octets_is_erange_before_all_else(command, like_kernel):
    assert refused(command, BAD, ufid=b"", like_kernel=like_kernel) == ("ERANGE", "ufid")


@rule("A3.equal")
def test_a_shorter_ufid_is_another(model):
    short, long = b"\xaa" * 8, b"\xaa" * 8 + bytes(8)
    ask(model, NEW, ETH, ufid=short, actions=OUT2, create=True)
    assert ask(model, GET, ufid=long) == "ENOENT"
    assert ask(model, NEW, IP, ufid=long, actions=DROP, create=True).ufid == Ufid(long)


@rule("D1", "B20")
@pytest.mark.parametrize("command", [NEW, SET, GET, DEL])
def test_a_long_ufid_is_refused(hit, command):
    before = contents(hit)
    for text in ("", IP):
        assert ask(hit, command, text, ufid=bytes(17), actions=OUT2) == "EINVAL"
    assert refused(command, IP, ufid=bytes(17), actions=OUT2) == ("EINVAL", "ufid")
    assert contents(hit) == before


def test_like_the_kernel_a_long_ufid_is_none(model, caplog):
    caplog.set_level(logging.INFO)
    assert ask(model, NEW, CONCRETE, ufid=bytes(17), actions=OUT2, like_kernel=True).ufid is None
    assert "flow new without its ufid: EINVAL: ufid: has 17 octets" in caplog.text
    assert ask(model, GET, CONCRETE, ufid=bytes(17), like_kernel=True).actions == OUT2
    assert ask(model, SET, CONCRETE, ufid=bytes(17), actions=DROP, like_kernel=True).actions == DROP
    for command in (SET, GET):
        assert ask(model, command, ufid=bytes(17), like_kernel=True) == "EINVAL"
    assert ask(model, DEL, CONCRETE, ufid=bytes(17), like_kernel=True).ufid is None


@rule("D1")
def test_like_the_kernel_a_long_ufid_never_flushes(hit):
    assert ask(hit, DEL, ufid=bytes(17), like_kernel=True) == "EINVAL"
    assert len(contents(hit)) == 1


# --- A4: NEW -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("text", "actions", "error"),
    [
        pytest.param("", None, ("EINVAL", "key"), marks=rule("A4.1")),
        pytest.param(BAD, None, ("EINVAL", "actions"), marks=rule("A4.2")),
        pytest.param(BAD, SET_UDP, ("EINVAL", "eth"), marks=rule("A4.4")),
        pytest.param(IP, SET_UDP, ("EINVAL", "action 1, set(udp)"), marks=rule("A4.7")),
        pytest.param(IP, OUT2, ("ENODEV", None), marks=rule("A4.9")),
    ],
)
def test_new_is_checked_in_order(text, actions, error, like_kernel):
    assert refused(NEW, text, ufid=U1, actions=actions, create=True, like_kernel=like_kernel) == error


@rule("A4.2")
def test_an_empty_list_drops(model):
    assert ask(model, NEW, IP, ufid=U1, actions=()).actions == ()


@rule("A4.7")
def test_actions_are_checked_for_the_masked_key():
    wild = "in_port(1),eth(),eth_type(0x0800),ipv4(proto=17/0),udp()"
    assert refused(NEW, wild, ufid=U1, actions=SET_UDP) == ("EINVAL", "action 1, set(udp)")
    assert refused(NEW, UDP, ufid=U1, actions=SET_UDP) == ("ENODEV", None)


@rule("A4.7")
@pytest.mark.parametrize(("depth", "count", "code"), [(17, 1, "EOVERFLOW"), (0, 65, "EMSGSIZE")])
def test_a_list_too_deep_or_too_long_has_an_errno_of_its_own(depth, count, code):
    actions = (Output(1),) * count
    for _ in range(depth):
        actions = (Clone(actions),)
    assert refused(NEW, ETH, actions=actions)[0] == code


@rule("A4.10")
def test_a_ufid_is_looked_up_before_the_key(model):
    ask(model, NEW, IP, ufid=U1, actions=OUT2)
    wider = IP.replace("255.255.255.0", "255.255.0.0")
    ask(model, NEW, wider, ufid=U2, actions=OUT2)
    reply = ask(model, NEW, wider, ufid=U2, actions=DROP, like_kernel=True)
    assert (reply.ufid, ask(model, GET, ufid=U1).actions) == (Ufid(U2), OUT2)


@rule("A4.11")
@pytest.mark.parametrize("create", [False, True])
@BOTH
def test_a_new_flow_begins_at_zero(hit, create, like_kernel):
    reply = ask(hit, NEW, "in_port(2),eth()", ufid=U2, actions=OUT2, create=create, like_kernel=like_kernel)
    assert (reply.command, reply.ufid, reply.stats) == (NEW, Ufid(U2), FlowStats())


@rule("A4.12", "A4.15")
@BOTH
def test_an_update_keeps_all_but_the_actions(hit, like_kernel):
    reply = ask(hit, NEW, IP, ufid=U1, actions=DROP, clear=True, like_kernel=like_kernel)
    assert (reply.command, reply.ufid, reply.actions, reply.counts[0]) == (NEW, Ufid(U1), DROP, 3)
    assert ask(hit, GET, ufid=U1).counts[0] == 3


@rule("A4.12")
@BOTH
def test_a_flow_without_ufid_is_updated_by_its_concrete_key(model, like_kernel):
    ask(model, NEW, CONCRETE, actions=OUT2, create=True)
    assert ask(model, NEW, CONCRETE, actions=DROP, like_kernel=like_kernel).actions == DROP
    assert ask(model, NEW, CONCRETE, actions=DROP, create=True, like_kernel=like_kernel) == "EEXIST"
    assert len(contents(model)) == 1


@rule("A4.13")
def test_a_flow_without_ufid_under_another_mask_is_another(model):
    ask(model, NEW, CONCRETE, actions=OUT2, create=True)
    exact = CONCRETE.replace("/255.255.255.0", "")
    assert ask(model, NEW, exact, actions=DROP) == "ENOENT"
    assert ask(model, NEW, exact, actions=DROP, create=True) == "EEXIST"


@rule("A4.13", "B19")
@BOTH
def test_a_ufid_with_another_key_is_another_flow(hit, like_kernel):
    before = contents(hit)
    other = "in_port(2),eth()"
    assert ask(hit, NEW, other, ufid=U1, actions=DROP, like_kernel=like_kernel) == "ENOENT"
    assert ask(hit, NEW, other, ufid=U1, actions=DROP, create=True, like_kernel=like_kernel) == "EEXIST"
    assert contents(hit) == before


@rule("A4.14")
def test_like_the_kernel_the_flow_with_exactly_that_key_is_found_in_the_end(model):
    ask(model, NEW, CONCRETE, actions=OUT2, create=True)
    other = CONCRETE.replace("10.0.0.5", "10.0.0.6")
    assert ask(model, NEW, other, ufid=U1, actions=DROP, like_kernel=True) == "ENOENT"
    narrow = other.replace("/255.255.255.0", "")
    ask(model, NEW, narrow, actions=OUT2, create=True)  # ours: it only overlaps
    reply = ask(model, NEW, other, ufid=U1, actions=DROP, like_kernel=True)
    assert (reply.ufid, reply.key["ipv4_dst"], reply.mask["ipv4_dst"]) == (None, 0x0A000006, 0xFFFFFFFF)
    assert ask(model, GET, CONCRETE).actions == OUT2


@rule("A4.15")
def test_like_the_kernel_the_answer_shows_the_flow_that_was_there(hit):
    before = ask(hit, GET, ufid=U1)
    reply = ask(hit, NEW, IP.replace("255.255.255.0", "255.255.0.0"), ufid=U2, actions=DROP, like_kernel=True)
    assert (reply.ufid, reply.mask, reply.counts) == (Ufid(U1), before.mask, before.counts)


@rule("A4.16", "D2", "D3")
def test_what_is_found_is_refused_and_the_holder_named(hit):
    for ufid, text, name in ((U1, ETH, Ufid(U1)), (U2, IP, Ufid(U1)), (None, IP, Ufid(U1))):
        with pytest.raises(errors.Exists, match=str(name)):
            answer(request(NEW, text, ufid=ufid, actions=DROP, create=True), lambda: hit)


@rule("D2")
def test_another_name_never_changes_a_flow(hit):
    for ufid in (U2, None):
        with pytest.raises(errors.Exists, match=str(Ufid(U1))):
            answer(request(NEW, IP, ufid=ufid, actions=DROP), lambda: hit)
    assert ask(hit, GET, ufid=U1).actions == OUT2


@rule("D4")
def test_another_mask_is_no_update(hit):
    for mask in ("255.255.0.0", "255.255.255.255"):
        assert ask(hit, NEW, IP.replace("255.255.255.0", mask), ufid=U1, actions=DROP) == "ENOENT"
    assert ask(hit, GET, ufid=U1).actions == OUT2


def test_like_the_kernel_what_the_request_does_not_say_of_a_tunnel_is_not_compared():
    from ctl.identity import equal_within

    plain = FlowKey.of(in_port=1, eth_type=0x0800)
    tunnel = plain.with_leaves(tun_id=7, tun_ttl=64)
    assert equal_within(plain, tunnel)
    assert not equal_within(tunnel, plain)
    assert not equal_within(plain, tunnel.with_leaves(in_port=2))


# --- A5: SET -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("text", "ufid", "actions", "error"),
    [
        pytest.param("", None, OUT2, ("EINVAL", "key"), marks=rule("A5.1")),
        pytest.param(BAD, U1, SET_UDP, ("EINVAL", "eth"), marks=rule("A5.2")),
        pytest.param(IP, U1, SET_UDP, ("EINVAL", "action 1, set(udp)"), marks=rule("A5.3")),
        pytest.param(IP, U1, OUT2, ("ENODEV", None), marks=rule("A5.4")),
        pytest.param("", U1, None, ("ENODEV", None), marks=rule("A5.4")),
    ],
)
def test_set_is_checked_in_order(text, ufid, actions, error, like_kernel):
    assert refused(SET, text, ufid=ufid, actions=actions, like_kernel=like_kernel) == error


@rule("A5.2")
def test_set_checks_the_mask_that_it_is_given():
    mask = request(SET, "eth(),eth_type(0x0800),ipv4(),arp(op=1)").mask
    assert refused(SET, ufid=U1, key=request(SET, IP).key, mask=mask) == ("EINVAL", "arp")


@rule("A5.3")
def test_like_the_kernel_actions_need_a_key(hit):
    assert ask(hit, SET, ufid=U1, actions=DROP, like_kernel=True) == "EINVAL"
    assert refused(SET, ufid=U1, actions=DROP, like_kernel=True) == ("EINVAL", "key")
    assert ask(hit, SET, ufid=U1, clear=True, like_kernel=True).counts[0] == 3


@rule("A5.3")
def test_actions_are_checked_for_the_key_of_the_request_and_for_the_flow_s(hit):
    assert ask(hit, SET, UDP, ufid=U1, actions=SET_UDP) == "EINVAL"
    assert ask(hit, SET, UDP, ufid=U1, actions=SET_UDP, like_kernel=True).actions == SET_UDP
    assert ask(hit, SET, ETH, ufid=U1, actions=(Set("ipv4", (0, 0, 0, 0, 64, 0)),)) == "EINVAL"


@rule("A5.5", "A5.9")
@BOTH
def test_the_ufid_wins(hit, like_kernel):
    ask(hit, NEW, "in_port(2),eth()", actions=OUT2)
    reply = ask(hit, SET, "in_port(2),eth()", ufid=U1, actions=DROP, like_kernel=like_kernel)
    assert (reply.ufid, ask(hit, GET, "in_port(2),eth()").actions) == (Ufid(U1), OUT2)
    assert ask(hit, SET, "in_port(2),eth()", ufid=U2, actions=DROP, like_kernel=like_kernel) == "ENOENT"
    assert ask(hit, SET, IP, actions=DROP, like_kernel=like_kernel) == "ENOENT"
    assert len(contents(hit)) == 2


@rule("A5.6")
def test_actions_are_replaced_or_stay(hit):
    assert ask(hit, SET, ufid=U1).actions == OUT2
    assert ask(hit, SET, ufid=U1, actions=()).actions == ()


@rule("A5.8", "A11.clear")
def test_clear_answers_with_what_was_there(hit):
    reply = ask(hit, SET, ufid=U1, clear=True)
    assert (reply.counts, reply.used_ms) == ((3, 3 * len(frame())), 5)
    after = ask(hit, GET, ufid=U1)
    assert (after.counts, after.used_ms, after.tcp_flags) == (None, None, None)


@rule("D14")
def test_new_actions_by_ufid_alone(hit):
    assert ask(hit, SET, ufid=U1, actions=(Set("ipv4", (0, 0, 0, 9, 9, 0), (0, 0, 0, 0xFF, 0xFF, 0)),)).counts[0] == 3
    assert ask(hit, SET, ufid=U1, actions=SET_UDP) == "EINVAL"


# --- A6: GET -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("text", "ufid", "error"),
    [
        pytest.param("", None, ("EINVAL", "key"), marks=rule("A6.1")),
        pytest.param(BAD, U1, ("EINVAL", "eth"), marks=rule("A6.2")),
        pytest.param(IP, None, ("ENODEV", None), marks=rule("A6.2")),
        pytest.param("", U1, ("ENODEV", None), marks=rule("A6.2")),
    ],
)
def test_get_is_checked_in_order(text, ufid, error, like_kernel):
    assert refused(GET, text, ufid=ufid, like_kernel=like_kernel) == error


@rule("A6.2")
def test_get_does_not_look_at_the_mask(hit):
    mask = request(GET, "eth(),eth_type(0x0800),ipv4(),arp(op=1)").mask
    assert ask(hit, GET, ufid=U1, key=request(GET, IP).key, mask=mask).ufid == Ufid(U1)
    assert ask(hit, GET, ufid=U2) == "ENOENT"


@rule("A6.3")
def test_get_answers_the_asker(hit):
    reply = ask(hit, GET, ufid=U1, omit=Omit.ACTIONS)
    assert (reply.command, reply.to_asker, reply.to_group, reply.multi, reply.actions) == (
        GET,
        True,
        False,
        False,
        None,
    )


# --- A7: DEL -----------------------------------------------------------------------------------------


@rule("A7.1")
@BOTH
def test_naming_nothing_removes_all(hit, like_kernel):
    ask(hit, NEW, "in_port(2),eth()", actions=OUT2)
    assert refused(DEL, like_kernel=like_kernel) == ("ENODEV", None)
    assert ask(hit, DEL, like_kernel=like_kernel, echo=True) == Flushed(2)
    assert contents(hit) == []


@rule("A7.2", "A7.5")
@BOTH
def test_a_removed_flow_shows_its_final_statistics(hit, like_kernel):
    reply = ask(hit, DEL, ufid=U1, like_kernel=like_kernel)
    assert (reply.command, reply.counts) == (DEL, (3, 3 * len(frame())))
    assert ask(hit, DEL, ufid=U1, like_kernel=like_kernel) == "ENOENT"


@rule("A7.3")
@BOTH
def test_a_flow_without_ufid_is_removed_by_its_concrete_key(hit, like_kernel):
    assert ask(hit, DEL, IP, like_kernel=like_kernel) == "ENOENT"
    key = "in_port(2),eth(src=02:00:00:00:00:01/00:00:00:00:00:00)"
    ask(hit, NEW, key, actions=OUT2)
    assert ask(hit, DEL, "in_port(2),eth()", like_kernel=like_kernel) == "ENOENT"
    assert ask(hit, DEL, key, like_kernel=like_kernel).ufid is None


@rule("A7.4")
@BOTH
def test_with_both_the_key_is_checked_and_not_compared(hit, like_kernel):
    assert ask(hit, DEL, BAD, ufid=U1, like_kernel=like_kernel) == "EINVAL"
    assert ask(hit, DEL, ETH, ufid=U1, like_kernel=like_kernel).ufid == Ufid(U1)
