"""Where libbpf is not installed, only what calls it fails."""

import ctypes

import pytest

from ctl.errors import NotSupported
from ctl.kernel import libbpf


def test_the_first_call_says_what_to_install_and_a_later_one_finds_it(monkeypatch):
    def refuse(*_, **__):
        raise OSError("libbpf.so.1: cannot open shared object file")

    library = libbpf._Library()
    monkeypatch.setattr(libbpf, "_lib", library)
    with monkeypatch.context() as missing:
        missing.setattr(ctypes, "CDLL", refuse)
        with pytest.raises(NotSupported) as refused:
            libbpf.possible_cpus()
    assert refused.value.hint == "apt install libbpf1"
    assert libbpf.possible_cpus() >= 1
    assert "libbpf_num_possible_cpus" in vars(library), "nothing stands between a caller and the function"
    assert libbpf.version().split(".")[0] == "1"
