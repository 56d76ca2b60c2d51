"""What is completed stays within its bounds, and says nothing of errors."""

from itertools import count

import pytest

from ctl.cli import names
from ctl.cli.main import Context, cli
from ctl.errors import Absent, NotPermitted
from ctl.flow import Flow, FlowStats
from ctl.text import parse_flow
from ctl.ufid import Ufid

MATCH = parse_flow("in_port(1),eth()").match


class Endless:
    """A datapath with more flows than anybody wants to see; those whose number is odd have no UFID."""

    def __init__(self):
        self.looked_at = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def flow_dump(self):
        for number in count():
            self.looked_at += 1
            ufid = None if number % 2 else Ufid(number.to_bytes(16, "big"))
            yield Flow(ufid=ufid, match=MATCH, actions=(), stats=FlowStats())


@pytest.fixture
def datapath(monkeypatch):
    endless = Endless()
    monkeypatch.setattr(Context, "open", lambda _: endless)
    return endless


def offered(kind, incomplete):
    return [item.value for item in getattr(names, kind)(cli.context_class(cli), None, incomplete)]


def test_no_more_names_than_one_reads(datapath):
    assert len(offered("ufids", "")) == names.MOST_NAMES
    assert datapath.looked_at <= 2 * names.MOST_NAMES


def test_no_more_flows_than_one_waits_for(datapath):
    assert offered("ufids", "ffff") == []
    assert datapath.looked_at == names.MOST_FLOWS


@pytest.mark.parametrize("error", [Absent("gone"), NotPermitted("no"), PermissionError(13, "no")])
def test_an_error_is_silence(monkeypatch, error):
    def refuse(_):
        raise error

    monkeypatch.setattr(Context, "open", refuse)
    assert offered("ufids", "") == offered("ports", "") == []


def test_a_fault_is_not():
    with pytest.raises(TypeError):
        names.completion(lambda _context, _incomplete: 1 / "x")(cli.context_class(cli), None, "")


def test_what_may_be_said_of_a_port():
    assert offered("devices", "eth1,") == ["eth1,hook=tc", "eth1,hook=xdp", "eth1,netns=", "eth1,port_no="]
    assert offered("devices", "eth1,hook=tc,p") == ["eth1,hook=tc,port_no="]
