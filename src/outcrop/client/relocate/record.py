"""`.outcrop-relocation.json`: what was changed in a relocated tree, so that it can be changed again, or back.

The file is written before the first change, with every prefix that a place may hold from then on (`states`), and again
after the last one, when only one is left. Whatever interrupts a relocation, the next one goes on from there. Paths are
as Python shows them: bytes that are no UTF-8 are lone surrogates. Nothing in the file is used as a path to open;
it only says what is known of files that are found in the tree.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outcrop.client.relocate.changes import Change, Finding, Place, PlaceKind, Reason, Style, counted_places
from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.errors import FormatError, InvalidValue, storage_error

RECORD_NAME = ".outcrop-relocation.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a relocated tree: the prefix that it was built for, the ones that its places may hold, each file
    and link that was changed, and what was left."""

    original: Prefix
    states: tuple[Prefix, ...]
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    link: Prefix | None = None

    @property
    def complete(self) -> bool:
        """Whether all places hold the same prefix."""
        return len(self.states) == 1

    @property
    def current(self) -> Prefix:
        """The prefix that the tree has, or will have once the relocation is complete."""
        return self.states[-1]


def encode_record(record: Record) -> bytes:
    """The bytes of the file for `record`: the same ones for the same record, one line a file."""
    head = {
        "format": FORMAT,
        "original": str(record.original),
        "prefix": str(record.current),
        "states": [str(state) for state in record.states],
        "link": None if record.link is None else str(record.link),
        "changed": {kind.value: count for kind, count in counted_places(record.changes).items()},
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    lines.append('"files": ' + _array([_change_document(change) for change in record.changes]))
    lines.append('"kept": ' + _array([_finding_document(finding) for finding in record.findings]))
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def _array(values: Sequence[dict[str, object]]) -> str:
    return "[\n" + ",\n".join(json.dumps(value) for value in values) + "\n]" if values else "[]"


def _change_document(change: Change) -> dict[str, object]:
    places: dict[str, list[int]] = {}
    for place in change.places:
        places.setdefault(place.kind.value, []).append(place.offset)
    return {
        "path": os.fsdecode(change.path),
        "style": change.style.value,
        "size": change.size,
        "count": len(change.places),
        "places": places,
    }


def _finding_document(finding: Finding) -> dict[str, object]:
    return {
        "path": os.fsdecode(finding.path),
        "reason": finding.reason.name.lower(),
        "count": finding.count,
        "detail": finding.detail,
    }


def decode_record(data: bytes) -> Record:
    """The record that the bytes `data` of such a file hold. Raises FormatError."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _malformed("the document", f"is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _malformed("the format", f"is not {FORMAT}")
    try:
        link = document["link"]
        return Record(
            prefix(document["original"]),
            tuple(prefix(state) for state in document["states"]) or (prefix(document["prefix"]),),
            tuple(_change(one) for one in document["files"]),
            tuple(_finding(one) for one in document["kept"]),
            None if link is None else prefix(link),
        )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidValue) as error:
        raise _malformed("an entry", f"is not as it should be: {error}") from error


def _malformed(field: str, problem: str) -> FormatError:
    return FormatError(
        what=RECORD_NAME,
        field=field,
        problem=problem,
        hint="the tree cannot be relocated again without it; check it out or pack it anew",
    )


def _change(document: dict[str, Any]) -> Change:
    places = sorted(
        (Place(_natural(offset), PlaceKind(kind)) for kind, some in document["places"].items() for offset in some),
        key=lambda place: place.offset,
    )
    return Change(os.fsencode(document["path"]), Style(document["style"]), _natural(document["size"]), tuple(places))


def _natural(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no offset")
    return value


def _finding(document: dict[str, Any]) -> Finding:
    return Finding(
        os.fsencode(document["path"]),
        Reason[document["reason"].upper()],
        _natural(document["count"]),
        str(document["detail"]),
    )


def load_record(tree: Path) -> Record | None:
    """What is recorded of `tree`; None if it was never relocated. Raises FormatError, StorageError."""
    try:
        descriptor = os.open(tree / RECORD_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            return decode_record(stream.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, str(tree / RECORD_NAME)) from error
