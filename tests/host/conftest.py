"""The pure C headers on this machine: a compiler, and the driver with sanitizers in it."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from ctl import abi
from ctl.flow import KEY_SIZE, FlowKey
from ctl.packet import Layout

HERE = pathlib.Path(__file__).resolve().parent
BPF = HERE.parents[1] / "bpf"
FLAGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-DHOST_BUILD", f"-I{BPF}")
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


class Driver:
    """A running driver.c.  A sanitizer's report fails the call that provoked it."""

    def __init__(self, program):
        self._log = program.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def extract(self, frame, in_port):
        """The key of a frame, None when it is refused.  Where its layers begin is then in ``layout``."""
        answer = self._ask(struct.pack("=cHI", b"K", in_port, len(frame)) + frame, 4 + KEY_SIZE + 8)
        reason = abi.DropReason(int.from_bytes(answer[:4], "little"))
        assert reason in (abi.DropReason.DROP_NONE, abi.DropReason.DROP_SHORT_FRAME)
        if reason != abi.DropReason.DROP_NONE:
            return None
        l3, l4, option, is_routed = struct.unpack_from("<HHHB", answer, 4 + KEY_SIZE)
        self.layout = Layout(l3, l4 or None, bool(is_routed), option or None)
        return FlowKey(answer[4 : 4 + KEY_SIZE])

    def mask(self, key, recorded, mask):
        """key AND mask, and whether a recorded key differs from it where the mask compares.  Hot parts."""
        answer = self._ask(b"M" + key + recorded + mask, 72)
        return answer[:64], any(answer[64:])

    def take(self, record, now_ms, size):
        """A packet comes to a meter, an abi.MeterRecord: the record afterwards, and whether the packet exceeds it."""
        answer = self._ask(b"B" + bytes(record) + struct.pack("<QQ", now_ms, size), ctypes.sizeof(record) + 4)
        return type(record).from_buffer_copy(answer), any(answer[-4:])

    def crc32c_diff(self, difference, size):
        """What the CRC32c of ``size`` octets changes by when the first four change by these."""
        return int.from_bytes(self._ask(b"C" + difference + size.to_bytes(4, "little"), 4), "little")

    def arp(self, packet, operand):
        """An ARP packet under the two halves of a set action's operand."""
        return self._ask(b"A" + packet + operand, 28)

    def option(self, option, value, mask):
        """An option of 8 octets under a value and a mask, and the difference for a checksum."""
        return self._changed(b"O" + option + value + mask, 8)

    def word(self, word, value, mask):
        """The first 4 octets of a transport header, likewise."""
        return self._changed(b"W" + word + value + mask, 4)

    def _changed(self, request, size):
        answer = self._ask(request, size + 8)
        return answer[:size], int.from_bytes(answer[size:], "little")

    def _ask(self, request, size):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(request)
            self._process.stdin.flush()
        answer = self._process.stdout.read(size)
        if len(answer) != size:
            status = self._process.wait()
            pytest.fail(f"the driver ended with status {status} at {request.hex()}\n{self._log.read_text()}")
        return answer

    def close(self):
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return self._process.wait()


@pytest.fixture(scope="session")
def clang(require):
    names = ("clang", "clang-14", "clang-15", "clang-16")
    require.tool(*names)
    return next(filter(None, map(shutil.which, names)))


@pytest.fixture(scope="session")
def driver_of(clang, tmp_path_factory):
    """Starts the driver of a source file of this folder; all end with the session."""
    folder = tmp_path_factory.mktemp("host")
    with contextlib.ExitStack() as stack:

        def start(source):
            program = folder / pathlib.Path(source).stem
            subprocess.run([clang, *FLAGS, *SANITIZERS, HERE / source, "-o", program], check=True)
            driver = Driver(program)
            stack.callback(driver.close)
            return driver

        yield start


@pytest.fixture(scope="session")
def driver(driver_of):
    """One driver for all tests that expect nothing bad of it."""
    driver = driver_of("driver.c")
    yield driver
    assert driver.close() == os.EX_OK
