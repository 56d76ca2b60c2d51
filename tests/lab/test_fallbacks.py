"""The tests once more, without features that this kernel has: what runs then is what runs on an older one.

Each row is a process of its own with CTL_WITHOUT in its environment, so that every command which a test
starts does without them too.
"""

import os
import subprocess
import sys

import pytest

DIFFERENTIAL = "tests/bpf/test_differential.py"
HAMMER = "tests/bpf/test_hammer.py"

RUNS = {
    "as Debian's 6.1": ("tcx,may_goto,xdp_features,device_netns", ["tests/lab/test_tc.py", "tests/bpf/test_tc.py"]),
    "as Ubuntu's 6.8": (
        "may_goto",
        [
            f"{DIFFERENTIAL}::test_same_flows_and_packets",
            f"{DIFFERENTIAL}::test_same_changes_of_a_frame",
            f"{DIFFERENTIAL}::test_same_flows_and_packets_on_the_tc_hook",
        ],
    ),
    "without tcx alone": ("tcx", ["tests/lab/test_life.py", "tests/lab/test_up.py::test_down_leaves_nothing"]),
    "without membarrier": (
        "membarrier",
        [
            f"{HAMMER}::test_flows_deleted_and_inserted_under_traffic_account_for_every_packet",
            f"{HAMMER}::test_actions_replaced_under_traffic_are_the_old_or_the_new",
        ],
    ),
}


@pytest.mark.parametrize(("without", "tests"), RUNS.values(), ids=RUNS)
def test_all_is_as_with_the_features(without, tests, checkout):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    run = subprocess.run(
        command,
        cwd=checkout,
        env=os.environ | {"CTL_WITHOUT": without},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert run.returncode == pytest.ExitCode.OK, run.stdout + run.stderr
