"""A place with an empty /run and BPF file system, where names are nobody else's: for sessions as users type them."""

import subprocess
import sys
from contextlib import contextmanager


class Elsewhere:
    """A mount namespace, and with ``net`` a network namespace, held by a process."""

    def __init__(self, pid, *, net):
        # --root: the namespace's own / is not the one that a chroot sees.
        self.enter = ["nsenter", "--mount", "--root", *(["--net"] if net else []), "--target", str(pid)]
        self.ctl = [*self.enter, sys.executable, "-u", "-c", "from ctl.cli import main; main()"]

    def run(self, *argv, **options):
        """Run a command there, as subprocess.run does."""
        return subprocess.run([*self.enter, *argv], **options)  # noqa: PLW1510 - the caller says whether to check


@contextmanager
def elsewhere(*, net=False):
    """Such a place, for the block."""
    # Where / is no mount, as in a chroot, there is nothing to make private.
    private = "if mountpoint -q /; then mount --make-rprivate /; fi"
    mounts = f"{private} && mount -t tmpfs none /run && mount -t bpf none /sys/fs/bpf && echo ready && read _"
    with subprocess.Popen(
        ["unshare", "--mount", *(["--net"] if net else []), "--propagation", "unchanged", "sh", "-c", mounts],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == "ready\n"
        place = Elsewhere(holder.pid, net=net)
        try:
            yield place
        finally:
            subprocess.run([*place.ctl, "down"], capture_output=True, check=False)
            holder.stdin.close()
