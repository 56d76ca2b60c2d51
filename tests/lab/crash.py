"""What is there when a command dies half way, and all that must be right when the next one is through."""

import contextlib
import random
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from ctl import ethtool, journal
from ctl.errors import Absent, NotSupported
from ctl.flow import Output
from ctl.kernel import libbpf
from ctl.kernel.datapath import KernelDatapath
from ctl.kernel.lifecycle import datapath_names
from ctl.kernel.maps import Sizes
from ctl.kernel.structures import DeviceLinkInfo
from ctl.manage import add_datapath, add_port, delete_datapath, delete_port
from ctl.meter import Band, Meter
from ctl.netns import NetNs
from ctl.ports import Links, VethEnd, disable_ipv6, remove_namespace
from ctl.ufid import Ufid
from netns_lab.record import find_leftovers
from tests.bpf.audit import audit, occupancy
from tests.bpf.harness import match_of
from tests.lab.deaths import dying_at, lines_of, points_of, run

RUN = Path("/run/ufid-datapath")
PORTS = (1, 2, 3)
UFIDS = {number: Ufid(bytes((number,)) * 16) for number in PORTS}
WAYS = {1: 2, 2: 1, 3: 1}  # where frames of a port may go, whatever happens
METER = Meter(id=7, kbps=False, bands=(Band(rate=2, burst=3),))
SMALL = Sizes(max_flows=31, max_masks=7)


# --- the machine -----------------------------------------------------------------------------------


class World:
    """A datapath's surroundings: namespaces ``home`` with p1, p2, p3 and ``far`` with their peers q1, q2, q3."""

    def __init__(self, name):
        self.name = name
        self.home, self.far = (NetNs.named(f"ctl-{name}_w-{part}") for part in ("home", "far"))
        self.lab = f"{name}x"
        self.strays = []
        self._sockets = {}
        self.changes = Path(tempfile.gettempdir()) / f"{name}.changes"

    def __enter__(self):
        self.without_datapath()
        self.without_lab()
        for ns in (self.home, self.far):
            remove_namespace(ns)
            ns.create()
        for number in PORTS:
            self.plug_in(number)
        added = "ufid:0x77,in_port(3),eth(),eth_type(0x88b5)"
        self.changes.write_text(f"add {added} drop\nmodify {UFIDS[2]} drop\ndelete {UFIDS[3]}\n")
        return self

    def __exit__(self, *_exc):
        self.changes.unlink()
        for listener in self._sockets.values():
            listener.close()
        self.without_datapath()
        self.without_lab()
        for ns in (self.home, self.far):
            remove_namespace(ns)

    def plug_in(self, number, ifindex=None):
        """A cable between p and q of that number, and an ear at its end.  ``ifindex``: of p, where it matters."""
        with Links(self.home) as links, Links(self.far) as peers:
            if ifindex is None:
                links.create_veth(VethEnd(name=f"p{number}"), VethEnd(name=f"q{number}"), self.far)
            else:
                index, peer = ("index", str(ifindex)), ("peer", "name", f"q{number}", "netns", self.far.name)
                with self.home.enter():
                    command = ["ip", "link", "add", f"p{number}", *index, "type", "veth", *peer]
                    subprocess.run(command, check=True)
            for ns, side, device in ((self.home, links, f"p{number}"), (self.far, peers, f"q{number}")):
                disable_ipv6(ns, device)
                side.set_up(device)
        with self.far.enter():
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
            ear.bind((f"q{number}", 0))
            ear.setblocking(False)
            if old := self._sockets.pop(number, None):
                old.close()
            self._sockets[number] = ear

    # --- states to begin from ------------------------------------------------------------------------

    def without_datapath(self):
        if self.name in datapath_names() or journal.left_behind():
            with contextlib.suppress(Exception):
                delete_datapath(self.name)

    def with_ports(self, *numbers):
        """A datapath with these ports and a flow for each that there can be."""
        if self.name not in datapath_names():
            add_datapath(self.name, SMALL, self.home)
        with KernelDatapath(self.name) as datapath:
            there = {port.number: port for port in datapath.ports()}
            for number in PORTS:
                if number in there and (number not in numbers or not there[number].ifindex):
                    delete_port(datapath, number)
                if number in numbers and (number not in there or not there[number].ifindex):
                    add_port(datapath, f"p{number}", number, self.home)
            with datapath.hold() as writer:
                writer.flush()
                writer.recover()  # the lowest slots are used first, whatever came before
            for meter in datapath.meters():
                datapath.meter_del(meter.id)
            datapath.meter_set(METER)
            for number, to in WAYS.items():
                datapath.flow_new(match_of(in_port=number), (Output(to),), UFIDS[number])

    def without_lab(self):
        run(["--dp", self.lab, "down"])

    def settle(self):
        """What the next writer of the datapath does first."""
        if is_readable(self.name):
            with KernelDatapath(self.name) as datapath, datapath.hold():
                pass

    # --- what there is -------------------------------------------------------------------------------

    def snapshot(self):
        """All that a command may change and a death may leave, comparable."""
        namespaces = [self.home, self.far, *map(NetNs.named, find_leftovers(self.lab))]
        return {
            "namespaces": [ns.name for ns in namespaces],
            "devices": {ns.name: devices(ns) for ns in namespaces},
            "own devices": sorted(NetNs.current().devices()),
            "pins": sorted(pins()),
            "mounts": sorted(line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()),
            "run": sorted(str(p.relative_to(RUN)) for p in RUN.rglob("*") if p.is_file() and p.name != "netns_mounted"),
            "datapaths": {name: inside(name) for name in (self.name, self.lab) if is_readable(name)},
        }

    def talk(self):
        """A frame from every peer.  Whatever arrived where it may not is in ``strays``, now or later."""
        for number, mouth in self._sockets.items():
            with contextlib.suppress(OSError):  # its device may be gone
                mouth.send(bytes.fromhex("02000000000202000000000188b5") + bytes((number,)) * 46)
        return self.listen()

    def listen(self):
        """(from, to) of all frames that have arrived."""
        heard = set()
        for number, ear in self._sockets.items():
            with contextlib.suppress(OSError):  # there is no more, or its device is gone
                while True:
                    frame, address = ear.recvfrom(2048)
                    if address[2] != socket.PACKET_OUTGOING:
                        heard.add((frame[14], number))
        self.strays += [way for way in heard if WAYS[way[0]] != way[1]]
        return heard

    def hears(self, *ways):
        """Whether frames go exactly these ways, in the end."""
        deadline, heard = time.monotonic() + 5, set()
        while heard != set(ways) and time.monotonic() < deadline:
            heard |= self.talk()
        return heard == set(ways)


def pins():
    """What there is in our part of the BPF file system, but for the links of devices that are gone."""
    return {str(pin) for pin in Path("/sys/fs/bpf/ufid").rglob("*") if pin.parent.name != "links" or is_attached(pin)}


def is_attached(pin):
    with libbpf.opened(str(pin)) as fd:
        return libbpf.info(fd, DeviceLinkInfo).ifindex != 0


def devices(ns):
    """Each device of a namespace, and what a port changes of it."""
    found = {}
    with Links(ns) as links:
        for device in ns.devices():
            features = sorted(feature.name for feature in ethtool.features(ns, device))
            found[device] = (links.get(device).has_xdp, features)
    return found


def is_readable(name):
    with contextlib.suppress(Absent, NotSupported), KernelDatapath(name):
        return True
    return False


def inside(name):
    """A datapath's contents; everything in it agrees."""
    with KernelDatapath(name) as datapath:
        audit(datapath)
        ports = [(port.number, port.name, port.hook, port.state) for port in datapath.ports()]
        flows = sorted((str(flow.ufid), str(flow.actions)) for flow in datapath.flow_dump())
        return {"ports": ports, "flows": flows, "meters": datapath.meters(), **occupancy(datapath)}


# --- what is done to it ------------------------------------------------------------------------------


@dataclass
class Case:
    """A command, the state that it begins from, and the commands that may come next."""

    world: World
    arguments: list[str]
    begin: object
    others: list[list[str]] = field(default_factory=list)

    def learn(self):
        """What there is before the command and after it, and the fault points in between."""
        self.begin()
        self.before = self.world.snapshot()
        self.points = points_of(self.arguments)
        _learned[tuple(self.arguments)] = self.points
        self.after = self.world.snapshot()
        assert self.before != self.after

    def dies(self, prepare=lambda: None, kill_after_s=None, following=0):
        """Let the command die, run the next one, and compare; whether it died at all."""
        self.begin()
        end = run(self.arguments, prepare, kill_after_s)
        self.world.talk()
        followers = [self.arguments, *self.others]
        follower = followers[following % len(followers)]
        then = run(follower)
        self.world.talk()
        # The same command again finds its work undone and does it, or finds it done and says so.
        fine = (0, 1, 3, 4, 7) if follower is self.arguments or "del-dp" in follower else (0,)
        assert then.status in fine, (end, then)
        now = self.world.snapshot()
        assert now in self.expected(follower), difference(now, self.before, self.after) + end.said + then.said
        assert self.world.strays == []
        return end.status == -signal.SIGKILL

    def expected(self, follower):
        if follower is self.arguments:
            return [self.after]
        return [self.before, self.after]


_learned = {}


def learned(case):
    """The fault points that a command reaches, from an earlier run if there was one."""
    if tuple(case.arguments) not in _learned:
        case.learn()
    return set(_learned[tuple(case.arguments)])


def difference(now, before, after):
    """What is neither as it was before nor as it should be after."""
    lines = [
        f"{part}: {now.get(part)}\n   before: {before.get(part)}\n   after: {after.get(part)}\n"
        for part in now
        if now.get(part) not in (before.get(part), after.get(part))
    ]
    return "".join(lines) or "parts of both\n"


def cases(world):
    """Every command that changes something, by name."""
    world = world or World("nobody")
    name, lab = world.name, world.lab
    quiet = ["--dp", name, "mod-flow", str(UFIDS[1]), "2"]  # changes nothing
    first = f"{UFIDS[1]},in_port(1),eth(dst=02:00:00:00:00:02),eth_type(0x88b5)"
    return {
        "add-dp": Case(
            world, ["add-dp", name, "--netns", world.home.name, "--max-flows", "31", "--max-masks", "7"],
            world.without_datapath, [["del-dp", name]],
        ),
        "add-if": Case(
            world, ["--dp", name, "add-if", f"p3,netns={world.home.name}"], lambda: world.with_ports(1, 2), [quiet]
        ),
        "add-if of a device that is back": Case(
            world, ["--dp", name, "add-if", f"p3,netns={world.home.name}"], lambda: _away_and_back(world), [quiet]
        ),
        "del-if": Case(world, ["--dp", name, "del-if", "p3"], lambda: world.with_ports(1, 2, 3), [quiet]),
        "del-dp": Case(world, ["del-dp", name], lambda: world.with_ports(1, 2, 3), [["del-dp", name]]),
        "add-flow": Case(
            world, ["--dp", name, "add-flow", f"ufid:0x77,{first.split(',', 1)[1]}", "2"],
            lambda: world.with_ports(1, 2), [quiet],
        ),
        "mod-flow": Case(
            world, ["--dp", name, "mod-flow", str(UFIDS[3]), "drop"], lambda: world.with_ports(1, 2), [quiet]
        ),
        "del-flow": Case(world, ["--dp", name, "del-flow", str(UFIDS[3])], lambda: world.with_ports(1, 2), [quiet]),
        "del-flows": Case(world, ["--dp", name, "del-flows"], lambda: world.with_ports(1, 2), []),
        "add-meter": Case(
            world, ["--dp", name, "add-meter", "meter=8,kbps,band=type=drop,rate=1"], lambda: world.with_ports(1, 2),
            [quiet],
        ),
        "del-meter": Case(world, ["--dp", name, "del-meter", "7"], lambda: world.with_ports(1, 2), [quiet]),
        "add-flows": Case(
            world, ["--dp", name, "add-flows", "--atomic", str(world.changes)], lambda: world.with_ports(1, 2), [quiet]
        ),
        "mod-flows": Case(
            world, ["--dp", name, "mod-flows", str(world.changes)], lambda: world.with_ports(1, 2), [quiet]
        ),
        "up": Case(
            world, ["--dp", lab, "up", "--hosts", "2", "--no-traffic"], world.without_lab, [["--dp", lab, "down"]]
        ),
        "down": Case(
            world, ["--dp", lab, "down"], lambda: run(["--dp", lab, "up", "--hosts", "2", "--no-traffic"]),
            [["--dp", lab, "up", "--hosts", "2", "--no-traffic"]],
        ),
    }  # fmt: skip


def _away_and_back(world):
    """Port 3 has lost its device, and there is one of the same name."""
    world.with_ports(1, 2, 3)
    with Links(world.home) as links:
        links.delete("p3")
    world.plug_in(3)


def random_deaths(case, count, seed):
    """Let a command die at so many random lines; how often it was still at work."""
    choose = random.Random(seed)
    case.begin()
    lines = lines_of(case.arguments)
    sites = [choose.choice(sorted(lines)) for _ in range(count)]
    return sum(case.dies(dying_at(site, choose.randint(1, lines[site])), following=n) for n, site in enumerate(sites))
