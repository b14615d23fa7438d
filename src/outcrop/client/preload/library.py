"""The libraries, compiled on first use and kept.

    <directory>/<processor>-<digest of the sources>-<digest of compiler and C library>/{calls,loader}.so

They ask for no version of any symbol, so what was built beside one version of the C library works with another. A
machine without a compiler takes what another one has built in a directory that both see: its own cache, or one that a
site has filled and `OUTCROP_PRELOAD_LIBRARY_DIR` names. A library appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.ladder.copies import check_private
from outcrop.client.ladder.turns import one_at_a_time
from outcrop.client.preload.views import Libraries
from outcrop.errors import MissingCapability, OutcropError, StorageError, storage_error

SITE_VARIABLE = "OUTCROP_PRELOAD_LIBRARY_DIR"
_COMPILERS = ("cc", "gcc", "clang")
_SOURCES = Path(__file__).parent / "source"
_CALLS = ("views.c", "next.c", "reading.c", "opening.c", "changing.c", "telling.c", "programs.c", "direct.c")
_LOADER = ("views.c", "loader.c", "bytes.c")
_FLAGS = (
    "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-fvisibility=hidden",
    # What we put in front of is called as it is, and neither replaced nor checked by the compiler.
    "-fno-builtin", "-U_FORTIFY_SOURCE",
    # No guard, no C library: what is missing is found in the program's own, whichever version that is.
    "-fno-stack-protector", "-nostdlib",
)  # fmt: skip
_LOADER_FLAGS = ("-Wl,-z,defs",)
"""Nothing may be missing in the loader's library: nothing else is there."""

_DIGEST_CHARACTERS = 12
_PRIVATE, _LOADED_BY_ALL = 0o700, 0o755
_SECONDS = 120.0
"""It takes one to three; a busy network file system may need more."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where the libraries are and can be made: `site` is only read, None where there is none; `compiler` is None where
    there is none."""

    directory: Path
    site: Path | None
    compiler: Path | None

    @classmethod
    def of(cls, directory: Path, environment: Mapping[str, str]) -> Workshop:
        """The one that keeps libraries in `directory`."""
        site = environment.get(SITE_VARIABLE, "")
        found = next(filter(None, (shutil.which(name, path=environment.get("PATH")) for name in _COMPILERS)), None)
        return cls(directory, Path(site) if site else None, None if found is None else Path(found))

    def find(self) -> Libraries | None:
        """The libraries, if they are there: the site's, those of this compiler, or any that another machine has built
        from the same sources."""
        stem = f"{platform.machine()}-{_sources_digest()}"
        if self.site is not None:
            for place in sorted(self.site.glob(f"{stem}-*")):
                if _is_whole(place) and _is_trusted(place):
                    return Libraries.in_directory(place)
        if self.compiler is not None:
            mine = [self.directory / f"{stem}-{_builder_digest(self.compiler)}"]
        else:
            mine = sorted(self.directory.glob(f"{stem}-*"))
        return next((Libraries.in_directory(place) for place in mine if _is_whole(place) and _is_trusted(place)), None)

    def make(self) -> Libraries:
        """The libraries, compiled if they are not there.

        MissingCapability without a compiler, or where it fails; StorageError where nothing can be kept."""
        found = self.find()
        if found is not None:
            return found
        compiler = self.needed_compiler()
        place = self.directory / f"{platform.machine()}-{_sources_digest()}-{_builder_digest(compiler)}"
        try:
            self.directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            check_private(self.directory)
            with one_at_a_time(self.directory / ".lock"):
                if not _is_whole(place):
                    shutil.rmtree(place, ignore_errors=True)
                    unnamed = Path(tempfile.mkdtemp(prefix=".", dir=self.directory))
                    try:
                        compile_libraries(compiler, unnamed)
                        unnamed.rename(place)
                    finally:
                        shutil.rmtree(unnamed, ignore_errors=True)
        except OSError as error:
            raise storage_error(error, str(self.directory)) from error
        return Libraries.in_directory(place)

    def needed_compiler(self) -> Path:
        """The compiler; MissingCapability, with what to type, where there is none."""
        if self.compiler is None:
            raise MissingCapability(
                what="preload",
                problem="its library is not built yet, and there is no C compiler",
                hint="run `outcrop run --way preload REPO -- true` on a machine that has one and shares "
                f"{self.directory}, or let {SITE_VARIABLE} name a copy of that directory",
            )
        return self.compiler


def why_no_library_can_be_used() -> str:
    """Why libraries in front are not possible with this C library and processor; empty if they may be."""
    if not c_library().startswith("glibc"):
        return "the programs of this machine do not use glibc"
    if platform.machine() not in ("x86_64", "aarch64", "riscv64"):
        return f"it is not known for the processor {platform.machine()}"
    return ""


def c_library() -> str:
    """The C library of this process and its version, as `glibc 2.36`; empty for another one."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def compile_libraries(compiler: Path, directory: Path, *, only_loader: bool = False) -> None:
    """Compiles both libraries into `directory`, or the small one alone, by which is seen whether the compiler works.

    MissingCapability where it does not."""
    libraries = Libraries.in_directory(directory)
    _compile(compiler, (*_LOADER_FLAGS, *_paths(_LOADER)), libraries.loader)
    if not only_loader:
        _compile(compiler, _paths(_CALLS), libraries.calls)


def why_compiler_fails(compiler: Path) -> OutcropError | None:
    """What `compiler` lacks for these sources; None if it does its work."""
    try:
        with tempfile.TemporaryDirectory(prefix="outcrop-preload-") as directory:
            compile_libraries(compiler, Path(directory), only_loader=True)
    except MissingCapability as error:
        return error
    except OSError as error:
        return storage_error(error)
    return None


def _paths(sources: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(_SOURCES / name) for name in sources)


def _compile(compiler: Path, words: Sequence[str], target: Path) -> None:
    line = [str(compiler), *_FLAGS, "-o", str(target), *words]
    try:
        ended = subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=_SECONDS, cwd=target.parent,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _compiler_failed(compiler, f"it did not end within {_SECONDS:g} seconds") from None
    except OSError as error:
        raise _compiler_failed(compiler, error.strerror or str(error)) from error
    if ended.returncode != 0:
        told = ended.stderr.strip().splitlines()
        first = next(
            (each for each in told if "error" in each), told[-1] if told else f"it ended with {ended.returncode}"
        )
        raise _compiler_failed(compiler, first[:300])
    # Whatever the umask says: what others may write to is not loaded.
    target.chmod(_LOADED_BY_ALL)


def _compiler_failed(compiler: Path, problem: str) -> MissingCapability:
    return MissingCapability(
        what="preload",
        problem=f"{compiler} does not compile its library ({problem})",
        hint="install the headers of the C library (`libc6-dev`, `glibc-devel`) and of the kernel (`linux-libc-dev`, "
        "`kernel-headers`)",
    )


def _sources_digest() -> str:
    """What the libraries are made from, and how."""
    digest = hashlib.sha256("\0".join((*_FLAGS, *_LOADER_FLAGS, "", *_CALLS, "", *_LOADER)).encode())
    for path in sorted(_SOURCES.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:_DIGEST_CHARACTERS]


def _builder_digest(compiler: Path) -> str:
    """What they are made with: the compiler's file, since to ask it takes as long as a short command, and the C
    library."""
    real = compiler.resolve()
    status = real.stat()
    told = f"{real}\0{status.st_size}\0{status.st_mtime_ns}\0{c_library()}"
    return hashlib.sha256(os.fsencode(told)).hexdigest()[:_DIGEST_CHARACTERS]


def _is_whole(place: Path) -> bool:
    libraries = Libraries.in_directory(place)
    return libraries.calls.is_file() and libraries.loader.is_file()


def _is_trusted(place: Path) -> bool:
    """Whether nobody but this user and root can put anything into `place`: it is loaded into every program."""
    libraries = Libraries.in_directory(place)
    try:
        states = [path.stat() for path in (place.parent, place, libraries.calls, libraries.loader)]
    except OSError as error:
        raise StorageError(what=str(place), problem=f"cannot be used: {error.strerror}") from error
    return all(each.st_uid in (0, os.geteuid()) and not each.st_mode & 0o022 for each in states)
