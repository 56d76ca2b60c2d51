"""Commands that are killed, interrupted or fail: the next one makes everything right."""

import ast
import os
import time
from pathlib import Path

import pytest

from ctl import faults
from ctl.abi import ClsactUse
from ctl.kernel import features, program
from tests.lab import crash, deaths

ROOT = Path(__file__).resolve().parents[2]
RANDOM_DEATHS = 2  # of each command
NAMES = tuple(crash.cases(None))
LOADING = ("add-dp", "del-dp", "up", "down")  # they load programs, each time: small ones do, where no frame runs

# Points that are reached where something is mounted, and what tests/lab/test_mounts.py does there.
OF_MOUNTS = {"bpffs.mounted", "netns.marked", "netns.bound", "netns.released"}
OF_CLSACT = {"attach.filter-made", "attach.filter-removed"}
OF_REPAIRS = {"journal.undone"}


@pytest.fixture(scope="module")
def world():
    with crash.World(f"k{os.getpid()}") as made:
        yield made


@pytest.fixture(autouse=True)
def small_programs(request, monkeypatch):
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("name") in LOADING:
        request.getfixturevalue("world").without_datapath()
        monkeypatch.setattr(program, "_load_hook", lambda hook, fds, *_: hook.load(hook.entry, DROP[hook.entry], fds))


# r0 = what drops a frame there; exit
DROP = {
    entry: bytes((0xB7, 0, 0, 0, verdict, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0))
    for entry, verdict in (("dp_xdp", 1), ("dp_tc", 2))
}


@pytest.fixture
def name(request):
    """Of the case, for tests that have no more use for it."""
    return request.param


@pytest.fixture
def case(world, name):
    world.without_datapath()
    found = crash.cases(world)[name]
    found.learn()
    return found


def kills(point, occurrence=1, end="kill"):
    return lambda: faults.arm(f"{point}:{occurrence}:{end}")


@pytest.mark.parametrize("name", NAMES)
def test_death_at_every_fault_point(case, name):
    """The commands that may come next take turns; tests/long_kills.py lets each of them come after each death."""
    for number, point in enumerate(case.points):
        assert case.dies(kills(point), following=number), f"{point} was not reached again"
    assert case.points, f"{name} has no fault point"


@pytest.mark.parametrize("name", ["add-if", "del-if", "del-flows"])
def test_death_when_a_fault_point_is_reached_for_the_last_time(case, name):
    for number, (point, count) in enumerate(case.points.items()):
        assert case.dies(kills(point, count), following=number + 1), f"{name}: {point} was not reached again"


@pytest.mark.parametrize("name", ["add-dp", "add-if", "del-if", "mod-flow", "down"])
def test_an_interrupt_undoes_what_was_begun_or_says_that_the_next_command_will(world, case, name):
    for point in case.points:
        case.begin()
        end = deaths.run(case.arguments, kills(point, end="int"))
        assert end.status == 130, (name, point, end)
        if "half way" in end.said:
            assert deaths.run(case.arguments).status in (0, 3, 4, 7)
        else:
            assert "what was begun is undone" in end.said
        world.settle()
        now = world.snapshot()
        assert now in (case.before, case.after), point + crash.difference(now, case.before, case.after)


@pytest.mark.parametrize("name", ["add-if", "add-dp", "up"])
def test_an_interrupt_while_an_interrupt_is_undone_leaves_a_journal(world, case, name):
    def prepare():
        seen = []

        def reached(point):
            seen.append(point)
            if point in ("attach.published", "journal.undone"):
                raise KeyboardInterrupt

        faults.listen(reached)

    case.begin()
    end = deaths.run(case.arguments, prepare)
    assert (end.status, "half way" in end.said) == (130, True), (name, end)
    again = deaths.run(case.arguments)
    assert (again.status, "repaired" in again.said) == (0, True)
    assert world.snapshot() == case.after


@pytest.mark.parametrize("name", ["add-if", "add-flow", "down"])
def test_an_error_leaves_what_was_there_before_or_what_was_wanted(world, case, name):
    """A system call that fails half way: its error is told, and nothing is half done."""
    for point in case.points:
        case.begin()
        end = deaths.run(case.arguments, kills(point, end="error"))
        assert end.status == 10, (name, point, end)
        assert f"fault {point}" in end.said
        assert deaths.run(case.arguments).status in (0, 3, 4, 7)
        assert world.snapshot() == case.after, point


@pytest.mark.parametrize("name", ["add-if", "down"])
def test_death_during_the_repair(world, case, name):
    for point in list(case.points)[2::3]:
        case.begin()
        deaths.run(case.arguments, kills(point))
        deaths.run(case.arguments, kills("journal.undone"))
        assert deaths.run(case.arguments).status in (0, 4), (name, point)
        assert world.snapshot() == case.after, point


@pytest.mark.parametrize("name", NAMES, indirect=True)
def test_death_at_random_lines(case):
    """With the seed of the message a failure can be had again: tests/long_kills.py --seed."""
    seed = time.time_ns()
    died = crash.random_deaths(case, RANDOM_DEATHS, seed)
    assert died == RANDOM_DEATHS, f"seed {seed}"


@pytest.mark.parametrize("name", ["add-if", "del-if"])
def test_death_where_there_are_no_tcx_links(world, monkeypatch, name):
    """A filter has no pin: who undoes it has to have known of it before it was made."""
    monkeypatch.setenv(features.VARIABLE, "tcx")
    world.without_datapath()
    case = crash.cases(world)[name]
    case.learn()
    for point in OF_CLSACT & case.points.keys():
        for following in range(2):
            assert case.dies(kills(point), following=following)
    world.without_datapath()
    assert ClsactUse.CLSACT_NONE == 0


# --- the points themselves ---------------------------------------------------------------------------


def points_in_the_source():
    """(name, place) of every call of fault()."""
    for top in ("ctl", "netns-lab"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "from ctl.faults import fault\n" not in path.read_text():
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fault":
                    yield node.args[0].value, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_fault_point_is_reached_by_a_command_that_dies_there(world):
    reached = set().union(*(crash.learned(case) for case in crash.cases(world).values()))
    places = dict(points_in_the_source())
    missed = set(places) - reached - OF_MOUNTS - OF_CLSACT - OF_REPAIRS
    assert not missed, [f"{name} at {places[name]}" for name in sorted(missed)]
    assert set(places) >= OF_MOUNTS | OF_CLSACT | OF_REPAIRS


def test_a_fault_point_can_be_counted():
    reached = []
    faults.listen(reached.append)
    try:
        faults.fault("a")
        faults.arm("b:3:error")
        for _ in range(2):
            faults.fault("b")
        faults.fault("a")
        with pytest.raises(OSError, match="fault b"):
            faults.fault("b")
    finally:
        faults.listen(None)
    assert reached == ["a"]


# --- two at once -------------------------------------------------------------------------------------


def held_at(point):
    """A child's preparation: it stops at a point until an octet comes; and what lets it go on."""
    ready, go = os.pipe(), os.pipe()

    def prepare():
        def reached(name):
            if name == point:
                os.write(ready[1], b".")
                os.read(go[0], 1)

        faults.listen(reached)

    return prepare, lambda: os.read(ready[0], 1), lambda: os.write(go[1], b".")


def test_of_two_commands_one_waits_or_is_told(world):
    world.with_ports(1)
    prepare, wait, go = held_at("manage.port-ready")
    command = ["--dp", world.name, "add-if", f"p2,netns={world.home.name}"]
    first = deaths.started(command, prepare)
    wait()
    told = deaths.run(["-t", "0", "--dp", world.name, "add-if", f"p3,netns={world.home.name}"])
    assert (told.status, "another command is changing" in told.said) == (9, True)
    assert deaths.run(["-t", "0", "del-dp", world.name]).status == 9
    assert deaths.run(["-t", "0", "--dp", world.name, "mod-flow", str(crash.UFIDS[1]), "2"]).status == 0
    assert "interrupted" not in deaths.run(["--dp", world.name, "show"]).said
    second = deaths.started(["--dp", world.name, "add-if", f"p3,netns={world.home.name}"])
    go()
    assert [deaths.ended(child).status for child in (first, second)] == [0, 0]
    assert [port[1] for port in crash.inside(world.name)["ports"]] == [world.name, "p1", "p2", "p3"]
