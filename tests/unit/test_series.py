"""What the versions of the series that brought UFIDs changed, each as a property: B1 to B23.

Here on the model; tests/bpf/test_series.py runs the same tests on the kernel datapath, with those that look into
its maps.  B7, B16 and B18 have to do with the wire as well: tests/unit/test_codec*.py.
"""

import logging
import re

import pytest

from ctl.errors import NotFound
from ctl.flow import FlowKey, Match
from ctl.model import ModelDatapath
from ctl.requests import TERSE, Command, Flushed, Omit, dump, removal, terse_dump
from ctl.ufid import Ufid
from tests.asking import DEL, DROP, GET, NEW, OUT2, SET, U1, U2, ask, request
from tests.collisions import contents

IP = "in_port(1),eth(),eth_type(0x0800),ipv4(src={})"
WILD = IP.format("10.0.0.5/255.255.255.0")
MASKED = IP.format("10.0.0.0/255.255.255.0")
OTHER = "in_port(2),eth()"
N = Ufid(U1)
BOTH = pytest.mark.parametrize("like_kernel", [False, True])


@pytest.fixture
def datapath():
    return ModelDatapath("m")


def new(datapath, text, ufid=None, **options):
    """A flow that is installed."""
    reply = ask(datapath, NEW, text, ufid=ufid, actions=OUT2, create=True, **options)
    assert reply.command is NEW, reply
    return reply


@pytest.mark.conformance("B1")
def test_b01_a_name_that_is_not_the_key_does_all(datapath):
    new(datapath, WILD, U1)
    assert ask(datapath, GET, ufid=U1).actions == OUT2
    assert ask(datapath, SET, ufid=U1, actions=DROP).actions == DROP
    assert ask(datapath, DEL, ufid=U1).ufid == Ufid(U1)
    assert contents(datapath) == []


@pytest.mark.conformance("B3")
def test_b03_lists_and_removals_are_terse_by_default(datapath):
    new(datapath, WILD, U1)
    assert terse_dump().omit == TERSE == Omit(7)
    (reply,) = dump(terse_dump(), lambda: datapath)
    assert (reply.ufid, reply.stats.packets) == (Ufid(U1), 0)
    assert {reply.key, reply.mask, reply.used_ms, reply.counts, reply.tcp_flags, reply.actions} == {None}
    asked = removal(Ufid(U1))
    assert (asked.command, asked.ufid, asked.key, asked.mask, asked.actions) == (DEL, U1, None, None, None)


@pytest.mark.conformance("B4")
@pytest.mark.parametrize(
    "case",
    [
        (NEW, "", {"ufid": U2}, "flow new refused: EINVAL: key: missing"),
        (NEW, OTHER, {}, "flow new refused: EINVAL: actions: missing"),
        (NEW, "in_port(1)", {"actions": ()}, "flow new refused: EINVAL: eth: "),
        (NEW, MASKED, {"ufid": U2, "actions": ()}, f"flow new refused: EEXIST: a flow with the same match exists, {N}"),
        (SET, "", {}, "flow set refused: EINVAL: key: missing, and there is no UFID"),
        (SET, "", {"ufid": U2}, f"flow set refused: ENOENT: {{name}} has no flow with {Ufid(U2)}"),
        (GET, "", {"ufid": b""}, "flow get refused: ERANGE: ufid: has no octets"),
        (DEL, "", {"ufid": bytes(17)}, "flow del refused: EINVAL: ufid: has 17 octets"),
    ],
)  # fmt: skip
def test_b04_a_refusal_is_logged_with_its_reason_but_for_a_probe(datapath, caplog, case):
    command, text, options, reason = case
    caplog.set_level(logging.INFO, "ctl.requests")
    new(datapath, WILD, U1)
    assert caplog.text == ""
    ask(datapath, command, text, probe=True, **options)
    assert caplog.text == ""
    ask(datapath, command, text, **options)
    (record,) = caplog.records
    assert record.getMessage().startswith(reason.format(name=datapath.name))


@pytest.mark.conformance("B6")
def test_b06_both_kinds_of_flow_are_in_one_table(datapath):
    new(datapath, WILD, U1)
    new(datapath, OTHER)
    assert {flow.ufid for flow in datapath.flow_dump()} == {Ufid(U1), None}
    assert {reply.ufid for reply in dump(terse_dump(), lambda: datapath)} == {Ufid(U1), None}


@pytest.mark.conformance("B7")
@pytest.mark.parametrize("size", [1, 8, 15, 16])
def test_b07_a_ufid_comes_back_with_its_length(datapath, size):
    octets = bytes(range(size - 1)) + b"\0"
    assert new(datapath, WILD, octets).ufid.octets == octets
    assert ask(datapath, GET, ufid=octets).ufid.octets == octets
    assert [reply.ufid.octets for reply in dump(terse_dump(), lambda: datapath)] == [octets]
    assert ask(datapath, GET, ufid=octets[:-1]) in ("ENOENT", "ERANGE")
    assert ask(datapath, DEL, ufid=octets).ufid.octets == octets


@pytest.mark.conformance("B8")
def test_b08_users_read_ufid(checkout):
    shown = [*(checkout / "ctl" / "share").rglob("*.json"), checkout / "ctl" / "share" / "man" / "man1" / "ctl.1"]
    assert not [path.name for path in shown if re.search(r"\bu?uid\b", path.read_text(), re.IGNORECASE)]
    assert str(Ufid(U1)).startswith("ufid:")


@pytest.mark.conformance("B9")
@BOTH
def test_b09_without_ufid_mask_and_flags_there_is_full_service(datapath, like_kernel):
    key = "in_port(1),eth(),eth_type(0x88cc)"

    def asked(command, **options):
        return ask(datapath, command, key, with_mask=False, like_kernel=like_kernel, **options)

    assert asked(NEW, actions=OUT2).mask["eth_type"] == 0xFFFF
    assert asked(SET, actions=DROP).actions == DROP
    assert asked(GET).actions == DROP
    (reply,) = dump(request(GET), lambda: datapath)
    assert (reply.ufid, reply.key, reply.actions) == (None, asked(GET).key, DROP)
    assert asked(DEL).ufid is None
    assert asked(GET) == "ENOENT"
    assert ask(datapath, DEL, like_kernel=like_kernel) == Flushed(0)


@pytest.mark.conformance("B10")
def test_b10_the_key_is_masked_beside_a_ufid_and_concrete_without(datapath):
    for ufid, dst in ((U1, 0x0A000000), (None, 0x0A000005)):
        replies = [new(datapath, WILD, ufid), *dump(request(GET), lambda: datapath)]
        who = {"ufid": ufid} if ufid else {"text": WILD}
        replies += [ask(datapath, command, **who) for command in (GET, SET, DEL)]
        assert {reply.key["ipv4_src"] for reply in replies} == {dst}


@pytest.mark.conformance("B11")
def test_b11_of_ufid_and_key_the_ufid_is_the_name(datapath):
    new(datapath, WILD, U1)
    new(datapath, OTHER)
    assert ask(datapath, GET, OTHER, ufid=U1).ufid == Ufid(U1)
    assert ask(datapath, DEL, OTHER, ufid=U1).ufid == Ufid(U1)
    assert ask(datapath, GET, OTHER).ufid is None


@pytest.mark.conformance("B12")
def test_b12_one_kind_of_flow_is_not_found_by_the_other_s_name(datapath):
    new(datapath, WILD, U1)
    reply = new(datapath, OTHER)
    for command in (GET, SET, DEL):
        for text in (WILD, MASKED):
            assert ask(datapath, command, text) == "ENOENT"
        assert ask(datapath, command, ufid=reply.key.raw[:16]) == "ENOENT"
        assert ask(datapath, command, ufid=U2) == "ENOENT"
    assert len(contents(datapath)) == 2


@pytest.mark.conformance("B15")
def test_b15_no_identifier_is_invented(datapath):
    replies = [new(datapath, WILD), *dump(request(GET), lambda: datapath), *dump(terse_dump(), lambda: datapath)]
    replies += [ask(datapath, command, WILD) for command in (GET, SET, DEL)]
    assert {reply.ufid for reply in replies} == {None}


@pytest.mark.conformance("B16")
def test_b16_commands_and_flags_have_the_numbers_of_the_interface():
    assert {command.name: command.value for command in Command} == {"NEW": 1, "DEL": 2, "GET": 3, "SET": 4}
    assert [flag.value for flag in (Omit.KEY, Omit.MASK, Omit.ACTIONS)] == [1, 2, 4]


@pytest.mark.conformance("B17")
def test_b17_names_of_both_kinds_are_compared_in_one_way(datapath):
    match = Match(FlowKey.of(in_port=1), FlowKey.of(in_port=0xFFFF))
    flows = [datapath.flow_new(match, DROP, Ufid(U1)), datapath.flow_new(Match(FlowKey(), FlowKey()), DROP)]
    for flow in flows:
        assert datapath.flow_get(flow.who) == flow
        assert [other.who == flow.who for other in flows].count(True) == 1
    raw = flows[1].match.key.raw
    assert len({Ufid(raw[:16]), Ufid(raw[:15]), FlowKey(raw)}) == 3
    with pytest.raises(NotFound):
        datapath.flow_get(Ufid(raw[:16]))


@pytest.mark.conformance("B19")
@BOTH
def test_b19_the_same_ufid_with_another_key_changes_nothing(datapath, like_kernel):
    new(datapath, WILD, U1)
    before = contents(datapath)
    for create, code in ((True, "EEXIST"), (False, "ENOENT")):
        for text in (OTHER, IP.format("11.0.0.5/255.255.255.0")):
            request = {"ufid": U1, "actions": DROP, "create": create}
            assert ask(datapath, NEW, text, like_kernel=like_kernel, **request) == code
    assert contents(datapath) == before


@pytest.mark.conformance("B20")
def test_b20_ufids_of_none_and_of_17_octets_are_not_stored(datapath):
    for octets, code in ((b"", "ERANGE"), (bytes(17), "EINVAL")):
        assert ask(datapath, NEW, WILD, ufid=octets, actions=OUT2) == code
    assert contents(datapath) == []
    assert new(datapath, WILD, bytes(17), like_kernel=True).ufid is None
    for octets in (b"", bytes(17)):
        with pytest.raises(ValueError, match="1 to 16 octets"):
            Ufid(octets)


@pytest.mark.conformance("B21")
def test_b21_a_key_flow_keeps_its_concrete_key(datapath):
    new(datapath, WILD)
    assert ask(datapath, GET, MASKED) == "ENOENT"
    assert ask(datapath, GET, WILD).key["ipv4_src"] == 0x0A000005
    assert ask(datapath, GET, IP.format("10.0.0.5")).key["ipv4_src"] == 0x0A000005


@pytest.mark.conformance("B22")
def test_b22_a_key_flow_has_one_key_whatever_is_omitted(datapath):
    key = new(datapath, WILD).key
    for bits in range(8):
        reply = ask(datapath, GET, WILD, omit=Omit(bits))
        assert (reply.ufid, reply.key) == (None, key)
        assert [part.key for part in dump(request(GET, omit=Omit(bits)), lambda: datapath)] == [key]


@pytest.mark.conformance("B23")
@BOTH
@pytest.mark.parametrize("create", [True, False])
def test_b23_a_wider_flow_whose_concrete_key_is_new_is_accepted(datapath, like_kernel, create):
    new(datapath, IP.format("1.1.1.1/192.0.0.0"))
    wider = IP.format("192.1.1.1/0.0.0.0")
    reply = ask(datapath, NEW, wider, actions=DROP, create=create, like_kernel=like_kernel)
    assert reply.key["ipv4_src"] == 0xC0010101
    assert ask(datapath, NEW, wider, actions=DROP, create=True, like_kernel=like_kernel) == "EEXIST"
    assert len(contents(datapath)) == 2
