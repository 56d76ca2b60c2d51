"""What bpftool shows of a datapath: names of fields instead of octets, by the BTF that goes with the maps."""

import json
import re
import shutil
import subprocess

from ctl.kernel import bpffs
from ctl.ufid import Ufid
from tests.bpf.frames import FROZEN
from tests.bpf.harness import OUT2, match_of, numbered, numbered_v6


def dump_text(datapath, name):
    """What bpftool writes of a map."""
    bpftool = shutil.which("bpftool", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert bpftool, "bpftool is not installed"
    command = [bpftool, "-j", "map", "dump", "pinned", str(bpffs.folder(datapath.name) / name)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60, text=True).stdout


def dump(datapath, name):
    """The elements of a map, as bpftool's names and values."""
    return [row["formatted"] for row in json.loads(dump_text(datapath, name))]


def test_flow_tables_name_the_fields_of_keys(datapath):
    datapath.flow_new(numbered(3), OUT2)
    datapath.flow_new(numbered_v6(5), OUT2)
    (small,) = dump(datapath, "flows_s")
    assert (small["key"]["mask_id"], small["key"]["in_port"]) == (0, 1)
    assert small["key"]["ipv4_dst"] == int.from_bytes((0x0A000003).to_bytes(4, "big"), "little")
    assert small["value"] == {"slot": 0, "zero": 0}
    (large,) = dump(datapath, "flows_m")
    assert large["key"]["hot"]["mask_id"] == 1
    assert large["value"]["slot"] == 1
    # The members of a union without a name share one name, so a parser of JSON keeps the last of them.
    assert '"ipv6_dst":[253,0,0,0,0,0,0,0,0,0,0,0,0,0,0,5]' in re.sub(r"\s", "", dump_text(datapath, "flows_m"))


def test_the_ufid_index_names_octets_and_length(datapath):
    datapath.flow_new(numbered(3), OUT2, Ufid(b"\x11\x22\x33"))
    assert dump(datapath, "ufids") == [
        {"key": {"octets": [0x11, 0x22, 0x33, *[0] * 13], "len": 3}, "value": {"slot": 0, "zero": 0}}
    ]


def test_records_name_their_statistics(bench, datapath):
    datapath.flow_new(match_of(ip_proto=6), OUT2, Ufid(b"\x11"))
    bench.run(FROZEN["ipv4-tcp"], repeat=5)
    records = dump(datapath, "records")
    assert len(records) == datapath.sizes.max_flows
    first = records[0]["value"]
    assert (first["packets"], first["bytes"], first["ufid_len"]) == (5, 5 * len(FROZEN["ipv4-tcp"]), 1)
    assert first["tcp_flags"] == [0, 1, 0, 0, 0, 0, 0, 0]
