"""The gate: every variant of the program loads, well within the verifier's budget."""

import ctypes
import json
import os
import re
import struct

import pytest

from ctl.errors import CompileError, VerifierError
from ctl.kernel import bpffs, features, guard, libbpf, lifecycle, maps, program
from ctl.kernel import compile as compiler
from ctl.kernel.maps import Sizes
from ctl.kernel.structures import ProgInfo, ProgLoadOpts

# What is pinned; the other main files have no maps of the datapath.
DATAPATH = {main: compiler.ENTRIES[main] for main in ("xdp.c", "tc.c")}
VARIANTS = {"plain": (), "may_goto": ("HAVE_MAY_GOTO",)}
BUDGET = 1_000_000
_LOG_LEVEL_STATS = 4


@pytest.fixture(scope="module")
def fds():
    made = maps.create_all(Sizes(max_flows=7, max_masks=256))
    yield made
    for fd in made.values():
        os.close(fd)


def measure(defines, fds, entry="dp_xdp", before=b""):
    """What the kernel says of one variant of a program, with other instructions before its own."""
    load = program.load_tc if entry.startswith("dp_tc") else program.load_xdp
    fd = load(entry, before + compiler.bytecode(entry, defines)[0], fds)
    try:
        about = libbpf.info(fd, ProgInfo)
    finally:
        os.close(fd)
    return {"jited": about.jited_len, "verified_insns": about.verified_insns, "xlated": about.xlated_len}


def loadable():
    """The variants that this kernel knows all the instructions of."""
    return {name: defines for name, defines in VARIANTS.items() if not defines or features.is_there("may_goto")}


def test_every_variant_loads_within_the_budget(fds, tmp_path_factory):
    found = {
        f"{entry} {name}": measure(defines, fds, entry)
        for entries in DATAPATH.values()
        for entry in entries
        for name, defines in loadable().items()
    }
    text = json.dumps(found, indent=2, sort_keys=True)
    (tmp_path_factory.getbasetemp() / "verifier.json").write_text(text + "\n", encoding="ascii")
    print(f"\n{text}")  # noqa: T201 - for whoever runs it with -s
    for name, sizes in found.items():
        assert 0 < sizes["verified_insns"] < BUDGET, name
        assert sizes["xlated"] > 0, name


@pytest.mark.parametrize("defines", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("main", compiler.ENTRIES)
@pytest.mark.filterwarnings("error")
def test_compiling_again_gives_what_is_in_the_cache_and_no_warning(main, defines):
    entries = compiler.ENTRIES[main]
    codes = compiler._compile(compiler.source_folder(), main, entries, defines)
    assert codes == [compiler.bytecode(entry, defines)[0] for entry in entries]


def test_a_source_that_does_not_compile_says_where(tmp_path):
    (tmp_path / "main.c").write_text("int dp_xdp(struct xdp_md *ctx)\n{\n\treturn no_such_name;\n}\n", encoding="ascii")
    (tmp_path / "kernel").symlink_to(compiler.source_folder() / "kernel")
    with pytest.raises(CompileError) as error:
        compiler._compile(tmp_path, "main.c", ("dp_xdp",), ())
    assert "main.c:3:9: error: use of undeclared identifier 'no_such_name'" in error.value.log


def test_verified_instructions_are_those_of_the_verifiers_log(fds):
    code = program.relocate(compiler.bytecode()[0], fds)
    log = ctypes.create_string_buffer(1 << 16)
    opts = ProgLoadOpts(sz=ctypes.sizeof(ProgLoadOpts), attempts=1)
    opts.prog_flags, opts.log_level = libbpf.F_XDP_HAS_FRAGS, _LOG_LEVEL_STATS
    opts.log_size, opts.log_buf = len(log), ctypes.addressof(log)
    fd = libbpf._lib.bpf_prog_load(libbpf.PROG_XDP, b"dp_xdp", libbpf.LICENSE, code, len(code) // 8, opts)
    assert fd >= 0
    os.close(fd)
    processed = re.search(rb"processed (\d+) insns", log.value)
    assert int(processed[1]) == measure((), fds)["verified_insns"]


def test_a_datapath_runs_the_variant_for_this_kernel_and_knows_its_tag(bench, fds):
    with libbpf.opened(str(bpffs.folder(bench.datapath.name) / lifecycle.PROGRAM)) as fd:
        about = libbpf.info(fd, ProgInfo)
    assert bytes(about.tag).hex() == bytes(bench.datapath.meta.program_tag).decode()
    cookie = bench.datapath.netns.cookie
    before = guard.prologue(guard.XDP, cookie) if features.has("device_netns") else b""
    assert about.verified_insns == measure(program.variant(), fds, before=before)["verified_insns"]


@pytest.mark.parametrize(("entry", "hook"), [("dp_xdp", guard.XDP), ("dp_tc", guard.TC)])
def test_the_guard_costs_a_few_instructions(fds, entry, hook, require):
    require(features.is_there("device_netns"), "this kernel has no device_netns")
    with_it = measure((), fds, entry, guard.prologue(hook, 1))
    assert 0 < with_it["verified_insns"] - measure((), fds, entry)["verified_insns"] < 16


def test_a_program_that_the_verifier_refuses_says_why(fds):
    """A read behind the frame's end: r0 = *(u8 *)(data + 0) without a check."""
    code = b"".join(struct.pack("<BBhi", *row) for row in ((0x61, 0x12, 0, 0), (0x71, 0x20, 0, 0), (0x95, 0, 0, 0)))
    with pytest.raises(VerifierError, match="outside of the packet") as error:
        program.load_xdp("bad", code, fds)
    assert error.value.log.count("\n") > 2
