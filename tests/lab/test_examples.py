"""The examples of --help are run, as they stand, by a shell; those that cannot be are named here, with the reason."""

import os
import shlex
import subprocess
import sys

import pytest

from ctl.cli.manual import entries
from tests.lab.elsewhere import elsewhere

EXAMPLES = {line for group in entries().values() for entry in group for line in entry.examples}

NOT_RUN = {
    "ctl bench": "takes minutes",
    "ctl bench forward --rounds 31": "takes minutes",
    "ctl bench lookup --large": "takes minutes",
    "ctl -o json bench lookup actions": "takes minutes",
    "ctl help --man": "wants man, which a small system does not have",
}

# A line of shell for what an example needs, or the example of a command.  The lab of three hosts is up from
# `ctl up` on; br0's ports are eth1 and eth2, br1's is eth3 in a namespace of its own.
SESSION = r"""
for n in 1 2 3; do ip link add eth$n type veth peer name peer$n; done
ip netns add blue
ip link set eth3 netns blue
ctl help
ctl help add-flow
ctl version
ctl -o json version
eval "$(ctl completion bash)"
mkdir -p ~/.zfunc ~/.config/fish/completions
ctl completion zsh >~/.zfunc/_ctl
ctl completion fish >~/.config/fish/completions/ctl.fish
ctl add-dp br0
ctl add-if eth1 eth2,port_no=7
ctl --dp br0 show -s
ctl --dp br0 -o json del-flows
ctl del-if eth1
ctl del-if 7
ctl add-dp br1 --max-flows 100000 --netns blue
ctl --dp br1 add-if eth3,netns=blue,hook=tc
ctl dump-dps
ctl -o json dump-dps
ctl del-dp br0
ctl del-dp br1
ctl up
ctl show
ctl status
ctl -o json status
ctl doctor
ctl doctor --fix
ctl --dp lab doctor datapaths ports
ctl -o json doctor
ctl add-flow 'ufid:0a0b0c0d-0000-0000-0000-000000000001,in_port(1),eth(),eth_type(0x86dd),ipv6()' 2
ctl add-flow 'in_port(2),eth()' drop
ctl normalize-actions 'in_port(1),eth(),eth_type(0x0800),ipv4()' 'push_vlan(vid=9,pcp=0),3,2,pop_vlan,1'
ctl -o json normalize-actions 'in_port(1),eth()' 2,1
ctl get-flow ufid:0a0b0c0d-0000-0000-0000-000000000001
ctl get-flow 0a0b0c
ctl get-flow --maps 0a0b0c
ctl mod-flow ufid:0a0b0c0d-0000-0000-0000-000000000001 3
ctl mod-flow --clear -s 0a0b0c drop
ctl dump-flows -m
ctl dump-flows filter=tcp,tp_dst=80 --sort -bytes --limit 10
ctl dump-flows type=tc where='packets > 100 and ipv4.dst in 10.0.0.0/8 and used < 5'
ctl -o jsonl dump-flows --terse
ctl add-meter meter=1,pktps,burst,band=type=drop,rate=100,burst_size=10
ctl add-meter --clear -s 'meter=1 kbps bands=type=drop rate=8000'
ctl get-meter 1
ctl get-meter -s
ctl -o json get-meter
ctl del-meter -s 1
ctl del-meter --all
ctl dump-flows --since 0
ctl dump-flows >flows.txt
ctl mod-flows --may-create flows.txt
ctl mod-flows --atomic flows.txt
ctl del-flows flows.txt
ctl add-flows flows.txt
ctl del-flows flows.txt
ctl add-flows --atomic flows.txt
ctl del-flow -s 0a0b0c
ctl add-flow 'ufid:0a0b0c0d-0000-0000-0000-000000000001,in_port(1),eth(),eth_type(0x86dd),ipv6()' 2
ctl del-flow ufid:0a0b0c0d-0000-0000-0000-000000000001
ctl send h1 h2 --udp --count 101
ctl send h1 h2 --scapy 'Ether(src="02:00:00:00:00:01",dst="02:00:00:00:00:02",type=0x88b5)/b"hello"'
ctl exec h1 -- ping -c 3 198.18.0.2
ctl shell h1
ctl del-flows
ctl flow-check
ctl -o jsonl flow-check
ctl down
ctl up --hosts 5 --traffic 101
ctl down
ctl up router --hook tc
ctl down
ctl up --print chain > mine.toml
ctl --dp mine up mine.toml
ctl --dp mine down
ctl --dp blue down
"""


def test_every_example_is_run_or_named():
    assert EXAMPLES - set(SESSION.splitlines()) == NOT_RUN.keys()


@pytest.fixture
def home(tmp_path):
    launcher = tmp_path / "ctl"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "from ctl.cli import main; main()" "$@"\n')
    launcher.chmod(0o755)
    return tmp_path


def test_the_examples_work(home):
    environment = {**os.environ, "HOME": str(home), "PATH": f"{home}:{os.environ['PATH']}", "SHELL": "/bin/sh"}
    with elsewhere(net=True) as place:
        for line in SESSION.strip().splitlines():
            done = place.run(
                "bash", "-c", f"cd; {line}", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=False, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
