"""From C to bytecode, once.  The only module that imports bcc.

BCC compiles the program against the small header tree in bpf/kernel and does nothing else.  Maps are
placeholder numbers in the result, so it depends on the sources, the options and the compiler alone;
it is kept on disk under a name made of these, and later starts do not import BCC at all.
"""

from __future__ import annotations

import glob
import hashlib
import os
import pathlib
import re
import struct
import tempfile
from dataclasses import dataclass
from typing import Final

from ctl.errors import CompileError, NotSupported

SYSTEM_CACHE: Final = pathlib.Path("/var/cache/ufid-datapath")
_MAGIC: Final = b"ufid-bytecode-1\n"

# The main files, one for each hook, and their entry points, which are compiled together.
ENTRIES: Final = {
    "xdp.c": ("dp_xdp", "dp_xdp_again", "dp_xdp_actions"),
    "tc.c": ("dp_tc", "dp_tc_again", "dp_tc_actions"),
    "clock.c": ("clock_pair",),
    "bench.c": ("bench_drop", "bench_next", "bench_send", "bench_redirect", "bench_tc", "bench_sink"),
}
_NO_BCC: Final = 3  # the child's exit status when there is no BCC
_NO_BCC_TEXT: Final = "BCC for this Python is not installed, or the module 'bcc' is another library"
_NO_BCC_HINT: Final = "apt install python3-bpfcc, and use a Python that sees /usr/lib/python3/dist-packages"
_OPTIONS: Final = ("-Wall", "-Wno-unused-function", "-Wno-unknown-attributes", "-Wno-pointer-sign")


def source_folder() -> pathlib.Path:
    """The folder of the C sources: bpf/ in a checkout, ctl/bpf/ where the package is installed."""
    here = pathlib.Path(__file__).resolve().parents[1]
    installed = here / "bpf"
    return installed if installed.is_dir() else here.parent / "bpf"


def bytecode(entry: str = "dp_xdp", defines: tuple[str, ...] = ()) -> tuple[bytes, bool]:
    """The instructions of one entry point, and whether they came from the cache.

    ``defines`` are NAME or NAME=VALUE.  CompileError with the compiler's log; NotSupported without BCC.
    """
    folder, main = source_folder(), _main_of(entry)
    name = _cache_name(folder, main, defines)
    found = _from_caches(f"{entry}-{name}")
    if found is not None:
        return found, True
    entries = ENTRIES[main]
    codes = dict(zip(entries, _compile(folder, main, entries, defines), strict=True))
    for other, code in codes.items():
        _store(f"{other}-{name}", code)
    return codes[entry], False


def is_cached(entry: str = "dp_xdp", defines: tuple[str, ...] = ()) -> bool:
    """Whether `bytecode` would not have to compile."""
    return _from_caches(f"{entry}-{_cache_name(source_folder(), _main_of(entry), defines)}") is not None


def _main_of(entry: str) -> str:
    return next(main for main, entries in ENTRIES.items() if entry in entries)


def _cache_name(folder: pathlib.Path, main: str, defines: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".c", ".h"):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update("\0".join((main, *defines, *_OPTIONS, *_toolchain())).encode())
    return f"{digest.hexdigest()[:32]}.bpf"


def _toolchain() -> list[str]:
    """What identifies the compiler, found without loading it."""
    found = []
    for path in sorted(glob.glob("/usr/lib/*/libbcc.so.0") + glob.glob("/usr/lib/libbcc.so.0")):
        real = os.path.realpath(path)
        stat = os.stat(real)
        found.append(f"{real}:{stat.st_size}:{stat.st_mtime_ns}")
    return found


def caches() -> list[pathlib.Path]:
    """The folders of the cache.  What is compiled goes into the first that can be written."""
    home = os.environ.get("XDG_CACHE_HOME")
    return [SYSTEM_CACHE, *([pathlib.Path(home) / "ufid-datapath"] if home else [])]


def _from_caches(name: str) -> bytes | None:
    found = (_read(cache / name) for cache in caches())
    return next((code for code in found if code is not None), None)


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
    for cache in caches():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:
                file.write(_MAGIC + struct.pack("<I", len(code)) + code)
            os.replace(file.name, cache / name)
        except OSError:
            continue
        return


def unfinished() -> list[pathlib.Path]:
    """Files that an interrupted or a running command has begun to write into the cache."""
    return sorted(path for cache in caches() for path in cache.glob("tmp*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bcc:
    """The BCC that this Python finds.  ``clang`` is the version of the compiler in it, or ""."""

    version: str
    place: str
    clang: str


def describe_bcc() -> Bcc:
    """Import BCC and see.  NotSupported when there is none, it is another library, or it does not load."""
    try:
        import bcc
        from bcc import BPF  # noqa: F401 - the mark of the right one
    except (ImportError, OSError) as e:
        raise NotSupported(f"{_NO_BCC_TEXT}: {e}", _NO_BCC_HINT) from e
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        clang = re.search(r"/lib(?:clang-cpp|LLVM)[.-](\d+)", maps.read())
    return Bcc(version=bcc.__version__, place=bcc.__path__[0], clang=clang[1] if clang else "")


def _compile(folder: pathlib.Path, main: str, entries: tuple[str, ...], defines: tuple[str, ...]) -> list[bytes]:
    """The instructions of each entry, by a child process: a fault in the compiler's back end ends its process."""
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as result:
        child = os.fork()
        if not child:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            status = 1
            try:
                status = _compile_to(result.fileno(), folder, main, entries, defines)
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        log.seek(0)
        result.seek(0)
        text = log.read().decode(errors="replace")
        codes = [result.read(struct.unpack("<I", head)[0]) for head in iter(lambda: result.read(4), b"")]
    if status == 0:
        return codes
    if os.waitstatus_to_exitcode(status) == _NO_BCC:
        raise NotSupported(_NO_BCC_TEXT, _NO_BCC_HINT)
    raise CompileError(f"{main} does not compile", text, "the compiler's log follows with -v")


def _compile_to(
    result: int, folder: pathlib.Path, main: str, entries: tuple[str, ...], defines: tuple[str, ...]
) -> int:
    """The child's part: write each entry's size and instructions to a file descriptor; an exit status."""
    os.environ["BCC_KERNEL_SOURCE"] = str(folder / "kernel")
    try:
        from bcc import BPF
    except ImportError:
        return _NO_BCC
    flags = [*_OPTIONS, f"-I{folder}", *(f"-D{d}" for d in defines)]
    try:
        text = f'#line 1 "{main}"\n'.encode() + (folder / main).read_bytes()
        program = BPF(text=text, cflags=flags)  # bytes: it warns of anything else
        for entry in entries:
            code = program.dump_func(entry.encode())
            os.write(result, struct.pack("<I", len(code)) + code)
    except Exception as e:  # noqa: BLE001 - BCC raises bare exceptions
        os.write(2, f"{e}\n".encode())
        return 1
    return 0
