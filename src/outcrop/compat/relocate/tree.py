"""A whole tree moved from the root to a prefix: programs and libraries, texts, links."""

from __future__ import annotations

import os
import re
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

from outcrop.children import end_with_parent
from outcrop.compat.relocate.elf_image import (
    DT_NEEDED,
    ET_DYN,
    ET_EXEC,
    MAGIC,
    PT_DYNAMIC,
    PT_INTERP,
    SUPPORTED,
    ElfImage,
)
from outcrop.compat.relocate.libc import conversions, mend_libc
from outcrop.compat.relocate.loader import has_trusted_directories, move_loader
from outcrop.compat.relocate.path_rules import QUICK, PathRules
from outcrop.compat.relocate.programs import COMPILERS, COMPILERS_KEEP, EDITS, LIBC, LOADER
from outcrop.compat.relocate.run_paths import moved_run_path, run_path_entries
from outcrop.compat.relocate.strings_of_elf import re_point
from outcrop.errors import CommandFailed, FormatError, InvalidValue, storage_error
from outcrop.progress import SILENT, Progress

MAXIMUM_SHEBANG_BYTES = 127
"""What kernels before 5.1 read of a script's first line, as those of RHEL 8."""

_SHEBANG = b"#!"
_BATCH = 64
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class TreeRules:
    """How a tree moves. `directories` are where libraries are looked for, last among the layer's own; `loader` is the
    interpreter of programs.
    `untouched` matches paths (relative to the tree) of files that stay as they are."""

    paths: PathRules
    machine: int
    triplet: str
    loader: bytes
    directories: tuple[str, ...]
    untouched: re.Pattern[str]


@dataclass(slots=True)
class FileChanges:
    """What was done to the file `path`, a program or library that `needs` others by their names if it is one."""

    path: str
    kind: str = ""
    moved: int = 0
    lengths: list[bytes] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)
    inlined: list[bytes] = field(default_factory=list)
    refused: str = ""
    needs: tuple[bytes, ...] = ()


def relocate_tree(tree: Path, rules: TreeRules, workers: int, progress: Progress = SILENT) -> list[FileChanges]:
    """Moves everything in `tree`, in place; what was changed, in the order of the paths. StorageError; InvalidValue
    where the prefix is too long for a script's first line; CommandFailed where a process is killed."""
    _move_links(tree, rules.paths)
    files = sorted(_regular_files(tree))
    progress.start("Relocating files", total=len(files), unit="files")
    batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
    found: list[FileChanges] = []
    with ProcessPoolExecutor(
        workers, mp_context=get_context("fork"), initializer=_begin, initargs=(os.getpid(), tree, rules)
    ) as pool:
        try:
            with _uninterrupted():
                results = pool.map(_relocate_batch, batches)
            for batch, changes in zip(batches, results, strict=True):
                found += changes
                progress.advance(len(batch), batch[-1])
        except BrokenProcessPool as error:
            raise CommandFailed(
                what="a process that relocates files",
                problem="it was killed",
                hint="look at the kernel's log (`dmesg`) for a lack of memory, and try again",
            ) from error
    progress.finish()
    return found


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Interruptions wait for the end of the block, which starts processes: one in the midst of it is not survived."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def paths_present(tree: Path) -> frozenset[bytes]:
    """Every path of the tree as packages name it, with and without `/usr` where the two are one."""
    found = set()
    for directory, names, files in os.walk(os.fsencode(tree)):
        below = directory[len(os.fsencode(tree)) :]
        for name in (*names, *files):
            path = below + b"/" + name
            found.add(path)
            if re.match(rb"/usr/(?:s?bin|lib(?:32|64|x32)?)/", path):
                found.add(path.removeprefix(b"/usr"))
    return frozenset(found)


def _regular_files(tree: Path) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for directory, names, files in os.walk(tree):
        names.sort()
        for name in sorted(files):
            path = os.path.join(directory, name)
            facts = os.lstat(path)
            if stat.S_ISREG(facts.st_mode) and (facts.st_dev, facts.st_ino) not in seen:
                if facts.st_nlink > 1:
                    seen.add((facts.st_dev, facts.st_ino))
                yield os.path.relpath(path, tree)


def _move_links(tree: Path, rules: PathRules) -> None:
    """Absolute links within the layer become relative ones: they hold wherever the tree is."""
    try:
        for directory, names, files in os.walk(tree):
            for name in (*names, *files):
                link = Path(directory, name)
                if not link.is_symlink():
                    continue
                target = os.readlink(link)
                if target.startswith("/") and rules.moves(os.fsencode(target)):
                    below = PurePosixPath(directory).relative_to(tree)
                    link.unlink()
                    link.symlink_to(os.path.relpath(target, "/" / below))
    except OSError as error:
        raise storage_error(error) from error


_TREE: Path
_RULES: TreeRules


def _begin(parent: int, tree: Path, rules: TreeRules) -> None:
    """Ctrl-C is the parent's to act upon, and the process ends with it: nobody else would end it, or let go of the
    directory that it works in."""
    global _TREE, _RULES
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTIONS)
    end_with_parent(parent, signal.SIGKILL)
    _TREE, _RULES = tree, rules


def _relocate_batch(paths: list[str]) -> list[FileChanges]:
    return [changes for path in paths if (changes := relocate_file(_TREE, path, _RULES)) is not None]


def relocate_file(tree: Path, path: str, rules: TreeRules) -> FileChanges | None:
    """Moves one file; None where nothing of it has to change."""
    if rules.untouched.fullmatch(path):
        return None
    place = tree / path
    try:
        data = place.read_bytes()
        if data.startswith(MAGIC):
            changes, new = _moved_elf(path, data, rules)
        else:
            changes, new = _moved_text(path, data, rules)
        if new is not None and new != data:
            _replace(place, new)
    except OSError as error:
        raise storage_error(error, str(place)) from error
    return changes


def _moved_elf(path: str, data: bytes, rules: TreeRules) -> tuple[FileChanges | None, bytes | None]:
    changes = FileChanges(path, "elf")
    if not data.startswith(SUPPORTED):
        return None, None
    try:
        image = ElfImage(edited(path, data))
        if image.kind not in (ET_EXEC, ET_DYN) or image.machine != rules.machine or not image.loaded:
            return None, None
        changes.needs = tuple(image.dynamic_strings(DT_NEEDED))
        if image.segment(PT_INTERP):
            image.set_interpreter(rules.loader)
        entries = run_path_entries(image)
        if image.segment(PT_DYNAMIC) and (entries or image.dynamic_values(DT_NEEDED)):
            run_path = moved_run_path(entries, path, rules.directories, rules.paths)
            image.set_run_path(b":".join(run_path.directories))
            changes.left += run_path.left
        if LOADER.fullmatch(path):
            move_loader(image, rules.triplet, rules.directories)
        elif not has_trusted_directories(data, rules.triplet):
            kept = COMPILERS_KEEP if COMPILERS.fullmatch(path) else ()
            untouched = (conversions(rules.triplet),) if LIBC.fullmatch(path) else ()
            strings = re_point(image, replace(rules.paths, kept=(*rules.paths.kept, *kept)), untouched)
            changes.moved = len(strings.moved)
            changes.lengths, changes.inlined = strings.lengths, strings.inlined
            changes.left += strings.left
            if LIBC.fullmatch(path):
                mend_libc(image, rules.paths.prefix, rules.triplet, strings.lengths)
        return changes, edited(path, image.finished(), afterwards=True)
    except FormatError as error:
        if LOADER.fullmatch(path) or LIBC.fullmatch(path):
            raise  # without it nothing runs
        changes.refused = error.message
        return changes, None


def edited(path: str, data: bytes, *, afterwards: bool = False) -> bytes:
    """The contents of the program `path` after what has to be changed by name, before or after paths are moved."""
    for edit in EDITS:
        if edit.afterwards is afterwards and edit.path.fullmatch(path):
            data = data.replace(edit.old, edit.new)
    return data


def _moved_text(path: str, data: bytes, rules: TreeRules) -> tuple[FileChanges | None, bytes | None]:
    if not QUICK.search(data) or b"\0" in data:
        return None, None
    new = rules.paths.moved(edited(path, data))
    if new == data:
        return None, None
    if new.startswith(_SHEBANG):
        line = new.split(b"\n", 1)[0]
        if len(line) > MAXIMUM_SHEBANG_BYTES:
            raise InvalidValue(
                what=f"the prefix {os.fsdecode(rules.paths.prefix)}",
                problem=f"is too long: the first line of {path} would have {len(line)} bytes, and the kernel reads "
                f"{MAXIMUM_SHEBANG_BYTES} (#!)",
                hint="choose a shorter name for the repository or the version",
            )
    return FileChanges(path, "text", moved=1), new


def _replace(place: Path, data: bytes) -> None:
    facts = place.stat()
    if facts.st_nlink > 1:
        with place.open("r+b") as file:  # all names of the file change
            file.write(data)
            file.truncate()
    else:
        temporary = place.with_name(f".{place.name}.relocated")
        temporary.write_bytes(data)
        temporary.chmod(stat.S_IMODE(facts.st_mode))
        temporary.rename(place)
    os.utime(place, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
