"""Lists of paths of a repository: a text of one path a line, or a trace of JSON lines. No input or output.

Of a trace (`outcrop.client.trace.access`) these members count here: `path`, as the repository or as programs below
`/cvmfs/<repository>` call it; `kind`, where it says that only the catalog was asked (`stat`, `readlink`, `directory`);
and `repository`, where the trace is of several. Lines without `path` say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outcrop.client.trace.access import AccessKind, line_document
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from outcrop.errors import FormatError, InvalidValue

MOUNT_ROOT = "/cvmfs/"
_CATALOG_ONLY = [kind.value for kind in (AccessKind.STAT, AccessKind.READLINK, AccessKind.DIRECTORY)]


@dataclass(frozen=True, slots=True)
class WantedPath:
    """A path, and whether the bytes of the file there are wanted, or only what its catalog says."""

    path: RepositoryPath
    contents: bool = True


def wanted_paths(lines: Iterable[str], repository: RepositoryName, what: str) -> Iterator[WantedPath]:
    """What `lines` name of `repository`, in their order; FormatError, naming `what` and the line, for a line that is
    neither a path nor a JSON object. Paths of other repositories are left out, and those that can be of none."""
    for number, line in enumerate(lines, start=1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if text.startswith("{"):
            document = _document(text, what, number)
            if document.get("repository", repository) != repository:
                continue
            found, contents = document.get("path"), document.get("kind") not in _CATALOG_ONLY
        else:
            found, contents = text, True
        path = path_within(found, repository) if isinstance(found, str) else None
        if path is not None:
            yield WantedPath(path, contents)


def asked_path(text: str, repository: RepositoryName) -> RepositoryPath:
    """What a user calls a path of `repository`: as the repository calls it, or as it is seen below `/cvmfs`.

    InvalidValue for text that can be no path."""
    path = path_within(text, repository)
    return repository_path(text) if path is None else path


def path_within(text: str, repository: RepositoryName) -> RepositoryPath | None:
    """The path in `repository` that `text` means; None if it lies in another one, or can be no path of any."""
    mounted = f"{MOUNT_ROOT}{repository}"
    if text == mounted or text.startswith(mounted + "/"):
        text = text[len(mounted) :] or "/"
    elif text.startswith(MOUNT_ROOT):
        return None
    try:
        return repository_path(text)
    except InvalidValue:
        return None


def _document(text: str, what: str, number: int) -> dict[str, object]:
    try:
        return line_document(text, what, f"line {number}")
    except FormatError as error:
        raise FormatError(
            what=what,
            field=f"line {number}",
            problem="is neither a path nor a JSON object",
            hint="give a file with one path a line, or what `outcrop trace` wrote",
        ) from error
