"""Run the differential test for as long as asked.

    python tests/long_differential.py --seconds 600 [--seed 1] [--tc] [--histories]

Needs root.  Each round has the next seed; what fails is shrunk and printed with the seed that led there.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES_PER_ROUND = 500
HISTORIES_PER_ROUND = 50


def main():
    sys.path.insert(0, str(ROOT))
    from hypothesis import HealthCheck, given, seed, settings

    from tests.differential import cases, histories, pair, play

    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--tc", action="store_true", help="at the tc hook alone")
    arguments.add_argument("--histories", action="store_true", help="of hundreds of steps, instead of cases")
    arguments.add_argument("--seed", type=int, default=1, help="of the first round")
    wanted = arguments.parse_args()
    played, number, end = Counter(), wanted.seed, time.monotonic() + wanted.seconds

    with pair(tc_only=wanted.tc) as both:

        @settings(
            max_examples=HISTORIES_PER_ROUND if wanted.histories else CASES_PER_ROUND,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(steps=histories() if wanted.histories else cases())
        def one_round(steps):
            played["cases"] += 1
            played.update(type(step).__name__ for step in steps)
            play(both, steps)
            stats = both.model.stats()
            played.update(hits=stats.hit, misses=stats.missed, masks_tried=stats.mask_hit)

        while time.monotonic() < end:
            try:
                seed(number)(one_round)()
            except BaseException:
                sys.stderr.write(f"seed {number}, after {dict(played)}\n")
                raise
            number += 1
    sys.stdout.write(f"seeds {wanted.seed} to {number - 1}: {dict(played)}, no difference\n")


if __name__ == "__main__":
    main()
