"""A datapath in the hands of the doctor, for the tests of what it finds."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ctl.doctor import State, checks, examine
from tests.lab.commands import Ctl

SCHEMA = Path(__file__).resolve().parents[2] / "ctl" / "share" / "schemas" / "doctor-1.json"
ROW = json.loads(SCHEMA.read_text())["$defs"]["row"]["properties"].keys()


class Patient(Ctl):
    """A datapath as the doctor sees it, and the shell in which the doctor's commands are run."""

    def rows(self, *groups):
        """What is found in these groups, by the name of the check."""
        wanted = [check for check in checks(self.name) if check.group in groups]
        return {finding.check: finding for finding in examine(wanted)}

    def ill(self, *groups):
        """(check, state) of what is not well with this datapath."""
        rows = self.rows(*groups).values()
        return {(row.check.removeprefix(self.name), row.state.value) for row in rows if row.state is not State.OK}

    def mend(self, check, *groups):
        """Run the command that is printed for a check."""
        shell(self.rows(*groups)[self.name + check].mend.command)

    def document(self, *arguments, before=(), env=None):
        """What the command prints, by the name of the check; its exit status is what the rows say.

        ``before``: words that start it, such as nsenter's.
        """
        argv = [*before, *self.argv("-o", "json", "doctor", *arguments)]
        env = {**os.environ, **(env or {})}
        run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=env)
        assert "Traceback" not in run.stderr
        document = json.loads(run.stdout)
        assert document["schema"] == "ctl/doctor/1"
        assert all(row.keys() == ROW for row in document["findings"])
        assert run.returncode == any(row["state"] == "fault" for row in document["findings"]), run.stderr
        return {row["check"].removeprefix(self.name): row for row in document["findings"]}


def shell(command, before=()):
    """Run a command as it was printed."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    argv = [*before, "sh", "-ec", command]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
