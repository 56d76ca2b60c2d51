"""The compiler's room: what it gives must not depend on a cache that is warm."""

from ctl.kernel import compile as compiler


def test_the_program_compiles_where_warnings_are_errors(monkeypatch, tmp_path):
    monkeypatch.setattr(compiler, "caches", lambda: [tmp_path])
    fresh, from_cache = compiler.bytecode()
    assert not from_cache
    assert compiler.bytecode() == (fresh, True)
