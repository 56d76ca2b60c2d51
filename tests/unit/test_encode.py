"""What the kernel datapath stores of an action list, and what it refuses as long as its program lacks it."""

import pytest

from ctl import abi
from ctl.errors import NotSupported
from ctl.kernel.writer import encoded_block
from ctl.text import parse_actions


@pytest.mark.parametrize(
    ("text", "count", "kind", "arg"), [("drop", 0, 0, 0), ("7", 1, abi.ActionType.ACTION_OUTPUT, 7)]
)
def test_encoded(text, count, kind, arg):
    block = abi.ActionBlock.from_buffer_copy(encoded_block(parse_actions(text)))
    assert (block.count, block.list[0].type, block.list[0].arg) == (count, kind, arg)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1,2", "several outputs"),
        ("drop(0)", "drop"),
        ("pop_vlan", "pop_vlan"),
        ("push_vlan(vid=1),1", "push_vlan"),
        ("set(eth(dst=02:00:00:00:00:01)),1", r"set\(eth\)"),
        ("recirc(1)", "recirc"),
        ("hash(l4(0)),1", "hash"),
        ("trunc(100),1", "trunc"),
        ("userspace(pid=1)", "userspace"),
    ],
)
def test_refused(text, what):
    with pytest.raises(NotSupported, match=f"does not execute {what} yet") as caught:
        encoded_block(parse_actions(text))
    assert caught.value.exit_status == 6
