"""Features of the kernel: tried, and switched off on demand."""

import pytest

from ctl.errors import UsageError
from ctl.kernel import features, grace, libbpf, program


@pytest.fixture(autouse=True)
def no_memory(monkeypatch):
    monkeypatch.delenv("CTL_WITHOUT", raising=False)
    features.is_there.cache_clear()
    yield
    features.is_there.cache_clear()


@pytest.mark.parametrize("name", features.FEATURES)
def test_a_feature_that_is_there_can_be_switched_off(name, monkeypatch, require):
    require(features.is_there(name), f"this kernel has no {name}")
    assert features.has(name)
    monkeypatch.setenv("CTL_WITHOUT", f"{name},")
    assert not features.has(name)
    assert features.is_there(name)


def test_a_name_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("CTL_WITHOUT", "tcx,magic")
    with pytest.raises(UsageError, match="'magic', which is no feature") as error:
        features.has("tcx")
    assert "may_goto" in error.value.hint


def test_what_an_older_kernel_answers_is_understood(monkeypatch):
    """An unknown kind of attachment, an unknown instruction, a refused system call."""
    monkeypatch.setattr(libbpf, "ATTACH_TCX_INGRESS", 9999)
    assert not features.has("tcx")
    monkeypatch.setattr(features, "_MAY_GOTO", ((0xB7, 0, 0, 0), (0xE5, 0, 1, 1), (0x05, 0, -2, 0), (0x95, 0, 0, 0)))
    assert not features.has("may_goto")
    monkeypatch.setattr(grace, "_CMD_GLOBAL", 1 << 30)
    assert not features.has("membarrier")


def test_the_variant_of_the_programs_depends_on_it(monkeypatch):
    monkeypatch.setenv("CTL_WITHOUT", "may_goto")
    assert program.variant() == ()


def test_a_grace_period_passes_without_membarrier(monkeypatch):
    waited = []
    real = grace._by_map_update
    monkeypatch.setattr(grace, "_by_map_update", lambda: waited.append(real()))
    monkeypatch.setenv("CTL_WITHOUT", "membarrier")
    grace.wait()
    assert waited == [None]
