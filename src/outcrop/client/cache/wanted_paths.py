"""Lists of paths of a repository: a text of one path a line, or a trace of JSON lines. No input or output.

Of a trace (`outcrop.client.trace.access`) these members count here: `path`, as the repository or as programs below
`/cvmfs/<repository>` call it; `kind`, where it says that only the catalog was asked (`stat`, `readlink`, `directory`);
and `repository`, where the trace is of several. Lines without `path` say nothing.

A text has no control characters but tabs and carriage returns: who wants a path with others writes it in a trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outcrop.client.trace.access import TRACE_HINT, line_document
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from outcrop.errors import FormatError, InvalidValue
from outcrop.strace.asked_paths import AccessKind

MOUNT_ROOT = "/cvmfs/"
_NO_TEXT = re.compile(r"[\x00-\x08\x0a-\x0c\x0e-\x1f\x7f]")
_LIST_HINT = f"give a file with one path a line, or a trace; {TRACE_HINT}"
_CATALOG_ONLY = [kind.value for kind in (AccessKind.STAT, AccessKind.READLINK, AccessKind.DIRECTORY)]


@dataclass(frozen=True, slots=True)
class WantedPath:
    """A path, and whether the bytes of the file there are wanted, or only what its catalog says."""

    path: RepositoryPath
    contents: bool = True


def wanted_paths(lines: Iterable[str], repository: RepositoryName, what: str) -> Iterator[WantedPath]:
    """What `lines` name of `repository`, in their order. Paths of other repositories are left out, and those that can
    be of none.

    FormatError, naming `what` and the line, for a line that is neither a path nor a JSON object; at the end, if no line
    names a path of any repository."""
    names_any = False
    for number, line in enumerate(lines, start=1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if text.startswith("{"):
            document = _document(text, what, number)
            found, contents = document.get("path"), document.get("kind") not in _CATALOG_ONLY
            is_ours = document.get("repository", repository) == repository
        elif _NO_TEXT.search(text):
            raise _malformed(what, f"line {number}", "has control characters, as no list of paths has")
        else:
            found, contents, is_ours = text, True, True
        if not isinstance(found, str):
            continue
        path = path_within(found, repository)
        names_any = names_any or path is not None or found.startswith(MOUNT_ROOT)
        if path is not None and is_ours:
            yield WantedPath(path, contents)
    if not names_any:
        raise _malformed(what, "no line", "names a path")


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
        raise _malformed(what, f"line {number}", "is neither a path nor a JSON object") from error


def _malformed(what: str, field: str, problem: str) -> FormatError:
    return FormatError(what=what, field=field, problem=problem, hint=_LIST_HINT)
