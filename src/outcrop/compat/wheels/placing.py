"""Wheels placed in a layer, where the layer's Python finds them, without running any Python of the layer.

A wheel comes after the packages have moved to the prefix: its files stay as their publisher made them, so `RECORD`
holds. Its scripts move: those that it has are treated as the packages' texts are, those that its entry points ask for
name the layer's Python. What a layer leaves out of packages it leaves out of wheels.

`installer`, the Python Packaging Authority's library, knows the format; here is where things go and what must not be.
"""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import installer
from installer.destinations import WheelDestination
from installer.records import Hash, RecordEntry
from installer.scripts import Script
from installer.utils import Scheme, construct_record_file, copyfileobj_with_hashing, fix_shebang

from outcrop.compat.left_out import DropRules, LeftOut
from outcrop.compat.relocate.elf_image import MAGIC
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.wheels.wheel_file import open_wheel
from outcrop.errors import FormatError, storage_error

if TYPE_CHECKING:
    from installer.scripts import ScriptSection

PURE = "usr/lib/python3/dist-packages"
"""Where Debian has Python packages for whatever version of Python 3 is there."""

_PLACES = {"purelib": PURE, "platlib": PURE, "scripts": "usr/bin", "data": "usr"}
_PYTHON = "usr/bin/python3"
_INSTALLER = {"INSTALLER": b"outcrop\n"}


@dataclass(frozen=True, slots=True)
class WheelPlaces:
    """The layer `tree`; how paths in it are moved; and what, relative to it, is left out."""

    tree: Path
    rules: PathRules
    dropped: DropRules


@dataclass(frozen=True, slots=True)
class PlacedWheel:
    """What a wheel brought: its paths below the layer, and what was left out."""

    paths: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def place_wheel(path: Path, file: str, places: WheelPlaces) -> PlacedWheel:
    """Puts the wheel at `path`, whose name is `file`, into a layer.

    FormatError for a wheel that breaks a rule, or has a file where one is already; StorageError."""
    with open_wheel(path, file) as wheel:
        placing = _Placing(file, places)
        installer.install(wheel, placing, _INSTALLER)
    return PlacedWheel(tuple(placing.placed), tuple(placing.left_out))


class _Placing(WheelDestination):
    def __init__(self, file: str, places: WheelPlaces) -> None:
        self._file = file
        self._places = places
        self.placed: list[str] = []
        self.left_out: list[LeftOut] = []
        self._root = os.path.realpath(places.tree)
        self._python = f"{os.fsdecode(places.rules.prefix)}/{_PYTHON}"

    def write_script(self, name: str, module: str, attr: str, section: ScriptSection) -> RecordEntry:
        """A program that calls `attr` of `module`."""
        _, data = Script(name, module, attr, section).generate(self._python, "posix")
        return self._write(Scheme("scripts"), name, data, executable=True)

    def write_file(
        self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        """A file of the wheel."""
        if scheme != "scripts":
            return self._write(scheme, os.fspath(path), stream.read(), executable=is_executable)
        with fix_shebang(stream, self._python) as script:
            return self._write(scheme, os.fspath(path), self._places.rules.moved(script.read()), executable=True)

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """The list of what is there."""
        kept = [(place, record) for place, record in records if self._rule_of(place, record.path) is None]

        def way_to(place: str) -> str | None:
            way = posixpath.relpath(_PLACES[place], _PLACES[scheme])
            return None if way == "." else f"{way}/"

        with construct_record_file(kept, way_to) as stream:
            self._write(scheme, record_file_path, stream.read(), executable=False)

    def _below(self, scheme: Scheme, path: str) -> str:
        if scheme not in _PLACES:
            self._refuse(path, f"is for a place that a layer does not have ({scheme})")
        if any(part in ("", ".", "..") for part in path.split("/")):
            self._refuse(path, "leaves its place")
        return f"{_PLACES[scheme]}/{path}"

    def _rule_of(self, scheme: Scheme, path: str) -> str | None:
        return self._places.dropped.rule_of(self._below(scheme, path))

    def _write(self, scheme: Scheme, path: str, data: bytes, *, executable: bool) -> RecordEntry:
        if data.startswith(MAGIC):
            self._refuse(path, "is a program for one kind of processor")
        written = io.BytesIO()
        digest, size = copyfileobj_with_hashing(io.BytesIO(data), written, "sha256")
        below, rule = self._below(scheme, path), self._rule_of(scheme, path)
        if rule is None:
            self._write_new(below, data, 0o755 if executable else 0o644)
        else:
            self.left_out.append(LeftOut(rule, below, len(data)))
        return RecordEntry(path, Hash("sha256", digest), size)

    def _write_new(self, below: str, data: bytes, mode: int) -> None:
        place = self._places.tree / below
        # A link of a package may be on the way.
        if not os.path.realpath(place.parent).startswith(f"{self._root}{os.sep}"):
            self._refuse(below, "leaves the tree")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.write(data)
            place.chmod(mode)
            self.placed.append(below)
        except (FileExistsError, NotADirectoryError):
            self._refuse(below, "is there already: a package or another wheel has it")
        except OSError as error:
            raise storage_error(error, str(place)) from error

    def _refuse(self, path: str, problem: str) -> NoReturn:
        raise FormatError(
            what=f"the wheel {self._file}",
            field=f"the path {path!r}",
            problem=problem,
            hint="leave it out of the sets, or choose another version",
        )
