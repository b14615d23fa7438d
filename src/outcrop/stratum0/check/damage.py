"""The objects that the last check of a repository found damaged: what a repair reads closely before anything else.

A file of names, one a line. It is a hint and no more: a repair looks at each of them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import ObjectName
from outcrop.errors import FormatError, storage_error
from outcrop.stratum0.check.report import Depth
from outcrop.whole_file import write_whole_file


def memory_path(state_directory: Path, repository: RepositoryName, depth: Depth) -> Path:
    """Where a check of that depth remembers how far it is."""
    return state_directory / "checks" / f"{repository}.{depth.value}.jsonl"


def save_damage(state_directory: Path, repository: RepositoryName, objects: Iterable[ObjectName]) -> None:
    """Keeps the names of damaged objects for a repair, in the place of what an earlier check found."""
    path = _path(state_directory, repository)
    text = "".join(f"{name}\n" for name in sorted(map(str, objects)))
    try:
        if not text:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error) from error
    write_whole_file(path, text.encode())


def saved_damage(state_directory: Path, repository: RepositoryName) -> frozenset[str]:
    """The names that the last check kept; none where there was none. Lines that name no object are passed over."""
    try:
        lines = _path(state_directory, repository).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise storage_error(error) from error
    return frozenset(line for line in lines if _is_object(line))


def _path(state_directory: Path, repository: RepositoryName) -> Path:
    return state_directory / "checks" / f"{repository}.damaged"


def _is_object(line: str) -> bool:
    try:
        ObjectName.parse(line)
    except FormatError:
        return False
    return True
