"""Compare the flow language with Open vSwitch's own programs, as an outside check.

    apt-get install openvswitch-switch python3-openvswitch python3-netaddr
    python tests/ovs_oracle.py [--flows 500] [--seed 1]

Flows are drawn at random and printed as `ctl dump-flows` prints them.  Each line goes to two readers:

    ovs.flow.odp    OVS's Python parser: it must find the numbers that we meant
    ovs-vswitchd    with a dummy datapath, in a folder of its own: it is given the flow and the actions by
                    `dpctl/add-flow`; what `dpctl/get-flow -m` prints then, we read: it must mean the same

What they refuse is counted by reason; a reason that is not among the known ones (`KNOWN`), or a line that
means something else, is a difference, and the exit status is 1.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DISTRIBUTION = "/usr/lib/python3/dist-packages"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PORTS = ("p1", "p2", "p3")
BRIDGE = "ovs-oracle"

# What OVS 3.1 is known to refuse or to take otherwise, by a pattern of the line, and why.
KNOWN = {
    "no parser": r"\b(hash|push_mpls|pop_mpls|push_eth|dec_ttl|psample|drop)\(",
    "recirc is printed in hexadecimal and read in decimal": r"\brecirc\(0x",
    "a drop among other actions has no parser": r"(?:,|\()drop\b",
    "an ARP operation of 255 comes back as 65535": r"\bop=255\b",
    "userspace datapath: in_port must be exact": r"in_port\([^)]*/",
    "userspace datapath: in_port must be there": r"^(?!.*in_port\()",
    "userspace datapath: a layer 3 packet is said by packet_type": r"^(?!.*\beth\()",
    "userspace datapath: labels without the bottom of the stack": r"bos=0|mpls\(",
    "userspace datapath: neither a truncated tag nor 802.2": r"cfi=0|eth_type\(0/|encap\(\)|^(?!.*eth_type)",
    "ovs.flow.odp: one tag within another": r"\bencap\(.*\bencap\(",
}
LOSSES = {
    "userspace comes back with its cookie filled up to eight octets": (
        r"userspace\(pid=\d+(,userdata\(([0-9a-f]{2}){0,7}\))?[,)]"
    ),
}


class Refused(Exception):
    """OVS does not take it; the message is its own."""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--flows", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=1)
    wanted = arguments.parse_args()
    sys.path.insert(0, str(ROOT))
    sys.path.append(DISTRIBUTION)
    flows = draw(wanted.flows, wanted.seed)
    found = [("ovs.flow.odp", through_python(flows))]
    with vswitchd() as call:
        found.append((f"ovs-vswitchd {version()}", through_vswitchd(flows, call)))
    for name, (counts, differences) in found:
        total = counts.total()
        report = [f"{name}: {counts.pop('same', 0)} of {total} mean the same"]
        report += [f"  {count:5} {reason}" for reason, count in sorted(counts.items())]
        report += [f"  DIFFERENCE {difference}" for difference in differences[:20]]
        sys.stdout.write("\n".join(report) + "\n")
    return 1 if any(differences for _, (_, differences) in found) else 0


def version():
    said = subprocess.run(["ovs-vswitchd", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[3]


def draw(count, seed):
    """That many flows with a UFID, whose actions output to ports that there are."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from tests.unit import strategies

    flows = []

    @seeded(seed)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategies.flows())
    def collect(flow):
        flows.append(flow)

    collect()
    return flows


def known(line, reasons=KNOWN):
    """Why OVS is expected to take a line otherwise, or None."""
    return next((reason for reason, pattern in reasons.items() if re.search(pattern, line)), None)


def judge(flows, check):
    """Count what became of each flow; the differences."""
    from ctl.text import format_flow

    counts, differences = Counter(), []
    for flow in flows:
        line = format_flow(flow, 1 << 40)
        try:
            wrong = check(flow, line)
        except Refused as refusal:
            wrong = str(refusal)
        reason = wrong and (known(line) or known(line, LOSSES))
        counts[reason or ("different" if wrong else "same")] += 1
        if wrong and not reason:
            differences.append(f"{wrong}\n    {line}")
    return counts, differences


# --- ovs.flow.odp ------------------------------------------------------------------------------------


def through_python(flows):
    from ovs.flow.odp import ODPFlow

    from ctl.jsonout import flow_row

    def check(flow, line):
        try:
            match = ODPFlow(line).match
        except Exception as e:  # whatever OVS's parser raises
            raise Refused(f"ODPFlow: {type(e).__name__} {e}") from e
        row = flow_row(flow, 1 << 40)
        return next(unequal(match, row["key"], row["mask"]), None)

    return judge(flows, check)


def unequal(match, key, mask):
    """Every number that OVS's parser found and that we did not mean."""
    for name, decoded in match.items():
        if name not in key:  # a section that this kind of packet does not have, all wild: part of a name
            continue
        ours, bits = key[name], mask[name]
        if isinstance(ours, list):  # of several groups of sub-fields the parser keeps the last one
            continue
        if isinstance(ours, dict):
            yield from unequal(decoded if isinstance(decoded, dict) else {}, ours, bits)  # else an empty section
            continue
        numbers = numbers_of(decoded)
        if numbers is not None and numbers[0] & numbers[1] != number(ours) & numbers[1]:
            yield f"{name}: OVS reads {decoded}, we meant {ours}/{bits}"


def numbers_of(decoded):
    """Value and mask of what a decoder of OVS made; None for what it leaves a text."""
    if isinstance(decoded, str):
        return None
    if isinstance(decoded, int):
        return decoded, -1
    if hasattr(decoded, "eth"):
        return int(decoded.eth), -1 if decoded.mask is None else int(decoded.mask)
    if hasattr(decoded, "ip"):
        return int(decoded.ip), int(decoded.mask)
    return decoded.value, decoded.mask


def number(said):
    """A number as JSON rows say it: as it is, or an address."""
    if isinstance(said, int):
        return said
    if re.fullmatch("(..:){5}..", said):
        return int(said.replace(":", ""), 16)
    family = socket.AF_INET6 if ":" in said else socket.AF_INET
    return int.from_bytes(socket.inet_pton(family, said), "big")


# --- ovs-vswitchd ------------------------------------------------------------------------------------


def through_vswitchd(flows, call):
    """Each flow's match with a plain output, and its actions with a plain match."""
    from ctl.action import Output
    from ctl.errors import CtlError
    from ctl.flow import Flow, FlowKey, Match
    from ctl.text import format_actions, format_match, parse_dump_line, parse_flow

    name = "ufid:0a0b0c0d-0000-0000-0000-000000000001"
    numbers = {port: number for number, port in enumerate((BRIDGE, *PORTS))}
    plain = parse_flow("in_port(1),eth(),eth_type(0x88b5)").match
    port = FlowKey.of(in_port=0xFFFF)

    def on_port(match):
        """The same match, of port 1: OVS's userspace datapath asks for a port."""
        mask = FlowKey(bytes(a | b for a, b in zip(match.mask.raw, port.raw, strict=True)))
        return Match(match.masked.with_leaves(in_port=1), mask)

    def check(flow, _line):
        key = format_match(flow.match.key, flow.match.mask)
        call("dpctl/add-flow", f"dummy@{BRIDGE}", f"{name},{key}", format_actions(flow.actions))
        try:
            said = call("dpctl/dump-flows", "-m", f"dummy@{BRIDGE}")
        finally:
            call("dpctl/del-flows", f"dummy@{BRIDGE}")
        line = said.strip().splitlines()[-1]
        if "tcp(" in line and "tcp_flags" not in line:  # OVS leaves out what its own datapath interface asks for
            line = re.sub(r"(\btcp\([^)]*\))", r"\1,tcp_flags(0/0)", line)
        try:
            told, actions = parse_dump_line(line, numbers.get)
        except CtlError as e:
            raise Refused(f"what OVS prints is refused: {e.message}: {line}") from e
        if actions != flow.actions:
            return f"OVS has the actions {format_actions(actions)}"
        if (told.match.masked, told.match.mask) != (flow.match.masked, flow.match.mask):
            return f"OVS has the match {format_match(told.match.masked, told.match.mask)}"
        return None

    halves = [Flow(ufid=None, match=on_port(flow.match), actions=(Output(1),)) for flow in flows]
    halves += [Flow(ufid=None, match=plain, actions=flow.actions) for flow in flows]
    return judge(halves, check)


@contextmanager
def vswitchd():
    """A switch with a dummy datapath and the ports; what calls its commands.  Gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ovs-oracle-") as folder:
        at = Path(folder)
        environment = os.environ | dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), folder)

        def run(*command):
            subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, timeout=30)

        run("ovsdb-tool", "create", "conf.db", SCHEMA)
        try:
            run("ovsdb-server", "--detach", "--no-chdir", "--pidfile", "--remote=punix:db.sock", "conf.db")
            run(
                "ovs-vsctl",
                "--db=unix:db.sock",
                "--no-wait",
                "init",
                "--",
                "set",
                "open",
                ".",
                "other_config:vlan-limit=0",
            )
            dummy = ("--enable-dummy=override", "--disable-system")
            run("ovs-vswitchd", "--detach", "--no-chdir", "--pidfile", "--log-file=log", *dummy, "unix:db.sock")
            ports = [
                word
                for port in PORTS
                for word in ("--", "add-port", "br", port, "--", "set", "interface", port, "type=dummy")
            ]
            run(
                "ovs-vsctl",
                "--db=unix:db.sock",
                "add-br",
                "br",
                "--",
                "set",
                "bridge",
                "br",
                "datapath-type=dummy",
                *ports,
            )
            pid = int((at / "ovs-vswitchd.pid").read_text())
            control = at / f"ovs-vswitchd.{pid}.ctl"
            remote(control, "revalidator/pause")
            remote(control, "dpctl/add-dp", f"dummy@{BRIDGE}")
            for port in PORTS:
                remote(control, "dpctl/add-if", f"dummy@{BRIDGE}", f"{port},type=dummy")
            yield lambda *words: remote(control, *words)
        finally:
            for name in ("ovs-vswitchd", "ovsdb-server"):
                stop(at / f"{name}.pid")


def stop(pidfile):
    """End the process that wrote a file with its pid, and wait until it has gone."""
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        pid = int(pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(500):
            os.kill(pid, 0)
            time.sleep(0.01)


def remote(control, method, *words):
    """One command of a daemon, by its control socket (JSON-RPC 1.0).  Refused with what it says."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(control))
        connection.sendall(json.dumps({"id": 0, "method": method, "params": words}).encode())
        text = ""
        while True:
            text += connection.recv(1 << 16).decode()
            with suppress(json.JSONDecodeError):
                answer = json.loads(text)
                break
    if answer["error"] is not None:
        raise Refused(str(answer["error"]).strip().splitlines()[0])
    return answer["result"] or ""


if __name__ == "__main__":
    sys.exit(main())
