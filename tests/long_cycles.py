"""Make, fail and delete flows in many cycles, and see that nothing is left: of map elements, slots, masks, memory.

    python tests/long_cycles.py [--cycles 100000]

Needs root.  tests/bpf/test_series.py has the short form.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main():
    sys.path.insert(0, str(ROOT))
    from tests.bpf import cycles
    from tests.bpf.harness import bench

    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--cycles", type=int, default=100_000)
    wanted = arguments.parse_args().cycles
    began = time.monotonic()
    with bench(cycles.MAX_FLOWS, cycles.MAX_MASKS) as made:
        cycles.run(made.datapath, wanted)
    sys.stdout.write(f"{wanted} cycles, nothing left, {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
