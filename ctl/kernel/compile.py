"""From C to bytecode, once.  The only module that imports bcc.

BCC compiles the program against the small header tree in bpf/kernel and does nothing else.  Maps are
placeholder numbers in the result, so it depends on the sources, the options and the compiler alone;
it is kept on disk under a name made of these, and later starts do not import BCC at all.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import pathlib
import struct
import tempfile
from collections.abc import Callable, Iterator
from typing import Final

from ctl.errors import CompileError, NotSupported

SYSTEM_CACHE: Final = pathlib.Path("/var/cache/ufid-datapath")
_MAGIC: Final = b"ufid-bytecode-1\n"
_OPTIONS: Final = ("-Wall", "-Wno-unused-function", "-Wno-unknown-attributes", "-Wno-pointer-sign")


def source_folder() -> pathlib.Path:
    """The folder of the C sources: bpf/ in a checkout, ctl/bpf/ where the package is installed."""
    here = pathlib.Path(__file__).resolve().parents[1]
    installed = here / "bpf"
    return installed if installed.is_dir() else here.parent / "bpf"


def bytecode(entry: str = "dp_xdp", main: str = "datapath.c", defines: tuple[str, ...] = ()) -> tuple[bytes, bool]:
    """The instructions of one entry point of a main file, and whether they came from the cache.

    ``defines`` are NAME or NAME=VALUE.  CompileError with the compiler's log; NotSupported without BCC.
    """
    folder = source_folder()
    name = _cache_name(folder, main, entry, defines)
    for cache in _caches():
        found = _read(cache / name)
        if found is not None:
            return found, True
    code = _compile(folder, main, entry, defines)
    _store(name, code)
    return code, False


def _cache_name(folder: pathlib.Path, main: str, entry: str, defines: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".c", ".h"):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update("\0".join((main, *defines, *_OPTIONS, *_toolchain())).encode())
    return f"{entry}-{digest.hexdigest()[:32]}.bpf"


def _toolchain() -> list[str]:
    """What identifies the compiler, found without loading it."""
    found = []
    for path in sorted(glob.glob("/usr/lib/*/libbcc.so.0") + glob.glob("/usr/lib/libbcc.so.0")):
        real = os.path.realpath(path)
        stat = os.stat(real)
        found.append(f"{real}:{stat.st_size}:{stat.st_mtime_ns}")
    return found


def _caches() -> list[pathlib.Path]:
    home = os.environ.get("XDG_CACHE_HOME")
    return [SYSTEM_CACHE, *([pathlib.Path(home) / "ufid-datapath"] if home else [])]


def _read(path: pathlib.Path) -> bytes | None:
    """A cache file's instructions; None when it is not there or not whole."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + 4
    if not raw.startswith(_MAGIC) or len(raw) < head:
        return None
    (size,) = struct.unpack_from("<I", raw, len(_MAGIC))
    return raw[head:] if len(raw) == head + size else None


def _store(name: str, code: bytes) -> None:
    """Keep the result where that is possible; a cache that cannot be written costs time, no more."""
    for cache in _caches():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:
                file.write(_MAGIC + struct.pack("<I", len(code)) + code)
            os.replace(file.name, cache / name)
        except OSError:
            continue
        return


def _compile(folder: pathlib.Path, main: str, entry: str, defines: tuple[str, ...]) -> bytes:
    os.environ["BCC_KERNEL_SOURCE"] = str(folder / "kernel")
    try:
        import bcc
    except ImportError as e:
        raise NotSupported(
            "BCC for this Python is not installed",
            "apt install python3-bpfcc, and use a Python that sees /usr/lib/python3/dist-packages",
        ) from e
    if not hasattr(bcc, "BPF"):
        raise NotSupported(
            "the module 'bcc' is not the BPF Compiler Collection", "pip uninstall bcc; apt install python3-bpfcc"
        )
    flags = [*_OPTIONS, f"-I{folder}", *(f"-D{d}" for d in defines)]
    with _captured_stderr() as log:
        try:
            text = f'#line 1 "{main}"\n'.encode() + (folder / main).read_bytes()
            program = bcc.BPF(text=text, cflags=flags)  # bytes: it warns of anything else
            code: bytes = program.dump_func(entry.encode())
            program.cleanup()
        except Exception as e:
            raise CompileError(f"{main} does not compile", log(), "the compiler's log follows with -v") from e
    return code


@contextlib.contextmanager
def _captured_stderr() -> Iterator[Callable[[], str]]:
    """Catch what clang writes to file descriptor 2; yields a function that returns it so far."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)

        def log() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield log
        finally:
            os.dup2(saved, 2)
            os.close(saved)
