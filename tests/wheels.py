"""Building the wheel, for the tests of what is in it and of what it does."""

import shutil
import subprocess
import sys

SOURCES = ("LICENSE", "README.md", "pyproject.toml", "bpf", "ctl", "netns-lab")


def build_wheel(checkout, folder):
    """The wheel of the checkout, made below ``folder`` from a copy: setuptools leaves its work in the source tree."""
    copy, out = folder / "source", folder / "wheel"
    copy.mkdir()
    for name in SOURCES:
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(checkout / name, copy)
    build = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out), str(copy)]
    subprocess.run([sys.executable, "-m", *build], check=True, timeout=120)
    (made,) = out.glob("*.whl")
    return made
