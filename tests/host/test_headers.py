"""A header that calls itself pure compiles for any machine, alone."""

import subprocess

import pytest

from tests.host.conftest import BPF, FLAGS

HEADS = {path.name: path.read_text().split("*/", 2)[1] for path in sorted(BPF.glob("*.h"))}
PURE = ["abi.h", *(name for name, head in HEADS.items() if "Pure" in head)]


def test_the_extractor_is_pure():
    assert {"cursor.h", "key.h", "key_ip.h", "mask.h", "wire.h"} <= set(PURE)


@pytest.mark.parametrize("header", PURE)
@pytest.mark.parametrize("more", [(), ("-O2", "-UHOST_BUILD")], ids=["as on the host", "as in the program"])
def test_header_compiles_alone(clang, header, more, tmp_path):
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header}"\n#include "{header}"\n')
    command = [clang, *FLAGS, *more, "-c", source, "-o", tmp_path / "alone.o"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
