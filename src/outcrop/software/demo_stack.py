"""The demonstration's stack: three small programs from source, on the compiler of this machine.

Stock easyconfigs are used where EasyBuild has them for this compiler's version; otherwise (and for the compiler
itself, always) easyconfigs are rendered from the templates in `data/demo`. The sources are the same in any case, and
all of them are in Debian's archive unmodified.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import InvalidValue, MissingCapability, storage_error
from outcrop.software.easybuild_plan import easyconfig_directories
from outcrop.software.easystack import easystack_file_name
from outcrop.software.stack import STACK_FILE, Stack, read_stack

DATA = Path(__file__).with_name("data") / "demo"

DEMO_REPOSITORY = RepositoryName("demo.outcrop.example")

DEMO_VERSION = "2026.06"

STACK_NAME = "demo"

_VERSION = re.compile(r"[0-9]+(\.[0-9]+){1,2}")


@dataclass(frozen=True, slots=True)
class _Software:
    """A software of the stack: the name of its template, and its easyconfig's name for a version of GCC."""

    name: str
    easyconfig: str
    from_stock: bool = True


COMPILER = (
    # There is no stock easyconfig for the system's compiler: those of that name build GCC from source.
    _Software("GCCcore", "GCCcore-{gcc}.eb", from_stock=False),
    _Software("GCC", "GCC-{gcc}.eb", from_stock=False),
)

PROGRAMS = (
    _Software("seqtk", "seqtk-1.4-GCC-{gcc}.eb"),
    _Software("bzip2", "bzip2-1.0.8-GCCcore-{gcc}.eb"),
    _Software("lz4", "lz4-1.9.4-GCCcore-{gcc}.eb"),
)


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """A program of the stack with a known answer: `command` with `stdin` must write `expected`, once `module` is
    loaded."""

    module: str
    command: tuple[str, ...]
    stdin: str
    expected: str


def system_gcc_version() -> str:
    """The version of the compiler that EasyBuild will find; MissingCapability without one."""
    try:
        answer = subprocess.run(
            ["gcc", "-dumpfullversion"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        raise MissingCapability(
            what="a C compiler",
            problem="`gcc` does not run",
            hint="install the packages `gcc`, `g++` and `make`",
        ) from None
    return answer.stdout.strip()


def write_demo_stack(
    directory: Path,
    gcc_version: str,
    easybuild_version: str,
    repository: RepositoryName = DEMO_REPOSITORY,
    stock: Iterable[Path] | None = None,
) -> Stack:
    """The demonstration's stack for this version of GCC, written into `directory` and read back.

    `stock` are the directories with EasyBuild's own easyconfigs. Files that are right already are not touched.
    Raises InvalidValue for a version that is none, StorageError.
    """
    if not _VERSION.fullmatch(gcc_version):
        raise InvalidValue(what=f"the version {gcc_version!r} of GCC", problem="is not of the form 12.2.0")
    places = tuple(easyconfig_directories() if stock is None else stock)
    files = {directory / STACK_FILE: f'repository = "{repository}"\nversion = "{DEMO_VERSION}"\n'}
    for software in (*COMPILER, *PROGRAMS):
        name = software.easyconfig.format(gcc=gcc_version)
        if not (software.from_stock and _is_stock(name, software.name, places)):
            files[directory / "easyconfigs" / name] = render(software.name, gcc_version)
    easystacks = directory / "easystacks" / repository / DEMO_VERSION
    listed = "".join(f"  - {software.easyconfig.format(gcc=gcc_version)}\n" for software in PROGRAMS)
    label = f"GCC-{gcc_version}"
    easystack = easystacks / easystack_file_name(STACK_NAME, DEMO_VERSION, easybuild_version, label)
    files[easystack] = f"easyconfigs:\n{listed}"
    try:
        # What an earlier compiler or EasyBuild left would be taken for a part of the stack.
        for folder in (directory / "easyconfigs", easystacks):
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                if path not in files and path.suffix in (".eb", ".yml"):
                    path.unlink()
        for path, text in files.items():
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise storage_error(error) from error
    return read_stack(directory)


def render(name: str, gcc_version: str) -> str:
    """The easyconfig of one software of the stack for this version of GCC."""
    return (DATA / f"{name}.eb.in").read_text(encoding="utf-8").replace("@GCC@", gcc_version)


def demo_checks(gcc_version: str) -> tuple[AnswerCheck, ...]:
    """Programs of the stack with known answers: seqtk's reverse complement of a few sequences."""
    return (
        AnswerCheck(
            module=f"seqtk/1.4-GCC-{gcc_version}",
            command=("seqtk", "seq", "-r", "-"),
            stdin=(DATA / "sequences.fa").read_text(encoding="ascii"),
            expected=(DATA / "sequences.reverse.fa").read_text(encoding="ascii"),
        ),
    )


def _is_stock(easyconfig: str, name: str, places: Iterable[Path]) -> bool:
    return any((place / name[0].lower() / name / easyconfig).is_file() for place in places)
