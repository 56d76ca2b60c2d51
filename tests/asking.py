"""Requests in few words, for every test that asks as a client does, and what became of them."""

import errno

from ctl.action import Output
from ctl.errors import CtlError
from ctl.requests import Command, FlowRequest, answer
from ctl.text.grammar import KeyParser

NEW, SET, GET, DEL = Command.NEW, Command.SET, Command.GET, Command.DEL
U1, U2 = bytes(range(16)), bytes(range(16, 32))
OUT2, DROP = (Output(2),), ()


def request(command, text="", *, with_mask=True, **options):
    """A request with the key and, unless it is left out, the mask of a text."""
    if text:
        parser = KeyParser(text, None)
        parser.read(len(text))
        options["key"] = parser.level.key
        options["mask"] = parser.level.mask if with_mask else None
    return FlowRequest(command=command, **options)


def ask(datapath, command, text="", *, like_kernel=False, **options):
    """The answer; a refusal as its errno, by name."""
    try:
        return answer(request(command, text, **options), lambda: datapath, like_kernel=like_kernel)
    except CtlError as error:
        return errno.errorcode[error.errno]
