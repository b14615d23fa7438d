"""A trace: every way in which a program asked for a path of a repository, one JSON object a line.

    {"repository": "software.example.org", "path": "/bin/tool", "kind": "exec", "found": true}

Paths are those of the repository, as the program asked for them or as the kernel went on from there: a file behind a
symbolic link gives a line for the link and one for the file. Bytes that are not UTF-8 are lone surrogates, as in all of
our JSON. Lines come in the order of the first access, each once; members that a reader does not know are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_canonical, shown
from outcrop.errors import FormatError, OutcropError
from outcrop.strace.asked_paths import AccessKind

MAXIMUM_LINE_CHARACTERS = 64 * 1024
"""A path has at most 4096 bytes on Linux, each at most six characters here; the rest is for members of the future."""

TRACE_HINT = "`outcrop trace -o FILE -- CMD` writes such files"


@dataclass(frozen=True, slots=True)
class Access:
    """One way in which a path was asked for, and whether there was something."""

    repository: RepositoryName
    path: RepositoryPath
    kind: AccessKind
    found: bool


def encode_trace(accesses: Iterable[Access]) -> bytes:
    """The bytes of a trace file, each access once and in the order of its first occurrence."""
    return "".join(f"{_line(access)}\n" for access in dict.fromkeys(accesses)).encode()


def parse_trace(data: bytes, what: str) -> tuple[Access, ...]:
    """The accesses in the trace file `data`; FormatError names `what` and the line that is wrong."""
    accesses: list[Access] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            accesses.append(_parsed(line, what, f"line {number}"))
    return tuple(dict.fromkeys(accesses))


def line_document(line: str | bytes, what: str, where: str) -> dict[str, object]:
    """The members of one line of a trace, whatever they say; FormatError, naming `what` and `where`, if it is none."""
    if len(line) > MAXIMUM_LINE_CHARACTERS:
        raise _malformed(what, where, "is too long")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _malformed(what, where, f"is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise _malformed(what, where, "is no JSON object")
    return document


def _malformed(what: str, field: str, problem: str) -> FormatError:
    return FormatError(what=what, field=field, problem=problem, hint=TRACE_HINT)


def _line(access: Access) -> str:
    return json.dumps(
        {
            "repository": access.repository,
            "path": shown(access.path),
            "kind": access.kind.value,
            "found": access.found,
        }
    )


def _parsed(line: bytes, what: str, where: str) -> Access:
    document = line_document(line, what, where)
    found = document.get("found")
    if not isinstance(found, bool):
        raise _malformed(what, f"{where}, `found`", "is neither true nor false")
    try:
        name = repository_name(_text(document, "repository", what, where))
        kind = AccessKind(_text(document, "kind", what, where))
    except (OutcropError, ValueError) as error:
        raise _malformed(what, where, f"says what no trace can ({error})") from error
    return Access(name, _path(document, what, where), kind, found)


def _path(document: dict[str, object], what: str, where: str) -> RepositoryPath:
    text = _text(document, "path", what, where)
    if text == "/":
        return ROOT
    try:
        path = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise _malformed(what, f"{where}, `path`", "stands for no bytes") from error
    if not path or not is_canonical(path):
        raise _malformed(what, f"{where}, `path`", f"is no path of a repository: {text[:80]!r}")
    return RepositoryPath(path)


def _text(document: dict[str, object], member: str, what: str, where: str) -> str:
    value = document.get(member)
    if not isinstance(value, str):
        raise _malformed(what, f"{where}, `{member}`", "is no text")
    return value
