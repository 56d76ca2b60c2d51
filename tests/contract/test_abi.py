"""ctl/abi.py and ctl/abi.btf are what bpf/abi.h says."""

import subprocess
import sys


def test_generated_bindings_are_current(require, checkout):
    require.tool("clang-14", "clang")
    require.tool("llvm-objcopy-14", "llvm-objcopy")
    require.tool("bpftool")
    check = [sys.executable, "-m", "ctl.devtools.gen_abi", "--check"]
    result = subprocess.run(check, cwd=checkout, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
