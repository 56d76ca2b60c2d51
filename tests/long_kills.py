"""Kill commands at random lines, at random moments and at every fault point, as often as asked for.

    sudo PATH=$PWD/.venv/bin:$PATH python -m tests.long_kills --each 100 [--seed N] [add-if ...]

After each death the next command runs, and everything is compared: namespaces, devices with their offloads,
pins, mounts, journals, the contents and the occupancy of all maps, ports and flows, and where frames went
meanwhile.  Ends at the first difference, with the seed that shows it again.
"""

import argparse
import os
import random
import sys
import time

from ctl import faults
from tests.lab import crash, deaths


def main():
    parser = argparse.ArgumentParser(description="Kill commands, and see whether the next one repairs.")
    parser.add_argument("--each", type=int, default=100, help="random deaths of each command and kind")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("commands", nargs="*")
    options = parser.parse_args()
    with crash.World(f"k{os.getpid()}") as world:
        for name, case in crash.cases(world).items():
            if not options.commands or name in options.commands:
                _kill(name, case, options.each, options.seed)


def _kill(name, case, each, seed):
    began = time.monotonic()
    case.world.without_datapath()
    case.learn()
    points = [
        (point, occurrence, following)
        for point, count in case.points.items()
        for occurrence in {1, count}
        for following in range(1 + len(case.others))
    ]
    try:
        at_points = sum(case.dies(_arming(f"{p}:{n}"), following=following) for p, n, following in points)
        at_lines = crash.random_deaths(case, each, seed)
        at_moments = _at_moments(case, each, seed)
    except AssertionError:
        sys.stderr.write(f"{name}: seed {seed}\n")
        raise
    sys.stdout.write(
        f"{name}: {at_points} of {len(points)} deaths at {len(case.points)} fault points, {at_lines} of {each} at"
        f" lines, {at_moments} of {each} at moments, all repaired ({time.monotonic() - began:.0f} s, seed {seed})\n"
    )
    sys.stdout.flush()


def _arming(what):
    return lambda: faults.arm(what)


def _at_moments(case, count, seed):
    """Deaths at random moments of what the command takes; how often it was still at work."""
    choose = random.Random(seed)
    case.begin()
    began = time.monotonic()
    deaths.run(case.arguments)
    takes_s = time.monotonic() - began
    return sum(case.dies(kill_after_s=choose.uniform(0, takes_s), following=n) for n in range(count))


if __name__ == "__main__":
    main()
