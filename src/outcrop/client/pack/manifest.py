"""The manifest of a pack, `/.outcrop-pack.json`: whence it is, and what exactly is in it.

    {"format": 1, "repository": "software.example.org", "revision": 7, "root_catalog": "5a…",
     "at": "/cvmfs/software.example.org", "paths": ["/bin"], "entries": [
    {"path": "/", "type": "directory", "mode": "0755"},
    {"path": "/bin/tool", "type": "file", "mode": "0755", "size": 4711, "sha256": "9f…"},
    {"path": "/bin/alias", "type": "file", "mode": "0755", "same_file_as": "/bin/tool"},
    {"path": "/bin/latest", "type": "symlink", "target": "tool"}
    ]}

Paths are those of the repository, whose root stands at `at` in the image. `paths` is null if a trace chose them. Bytes
that are not UTF-8 are lone surrogates. SHA-256 is over the plain bytes, so `sha256sum` gives the same.

What was relocated says so, and what was changed says what the repository has in its place:

    "relocated": {"from": "/cvmfs/software.example.org", "to": "/opt/soft", "record_sha256": "77…"}
    {"path": "/bin/run", …, "size": 90, "sha256": "1c…", "original": {"size": 107, "sha256": "e2…"}}
    {"path": "/lib64", …, "target": "/opt/soft/lib", "original": {"target": "/cvmfs/software.example.org/lib"}}

`record_sha256` is that of `.outcrop-relocation.json` in the repository's root, which has every place of a change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_canonical, shown
from outcrop.errors import FormatError, InvalidValue, OutcropError

FORMAT = 1
MAXIMUM_MANIFEST_BYTES = 1024**3
"""About 150 bytes an entry: more than any image of seven million files."""

_WHAT = "the manifest of the pack"
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MODE = re.compile(r"[0-7]{4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OriginalEntry:
    """What the repository has in the place of an entry that relocation changed: a file of `size` bytes, or a link."""

    size: int = 0
    sha256: str = ""
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class PackedEntry:
    """One entry of a pack. `mode` without the file type; files have `size` (bytes) and `sha256`, or are another name of
    the file `same_file_as`; links have a `target`. `original` is there where relocation changed the entry."""

    path: RepositoryPath
    kind: EntryKind
    mode: int
    size: int = 0
    sha256: str = ""
    target: bytes = b""
    same_file_as: RepositoryPath | None = None
    original: OriginalEntry | None = None


@dataclass(frozen=True, slots=True)
class PackRelocation:
    """That the prefix `original` became `target` in a pack; `record_sha256` is that of the record of it."""

    original: Prefix
    target: Prefix
    record_sha256: str


@dataclass(frozen=True, slots=True)
class PackManifest:
    """What a pack says of itself."""

    repository: RepositoryName
    revision: int
    root_catalog: Digest
    at: RepositoryPath
    paths: tuple[RepositoryPath, ...] | None
    entries: tuple[PackedEntry, ...]
    relocation: PackRelocation | None = None

    def encode(self) -> bytes:
        """The file, with an entry a line."""
        head: dict[str, object] = {
            "format": FORMAT,
            "repository": self.repository,
            "revision": self.revision,
            "root_catalog": self.root_catalog.text,
            "at": shown(self.at),
            "paths": None if self.paths is None else [shown(path) for path in self.paths],
        }
        if self.relocation is not None:
            head["relocated"] = {
                "from": str(self.relocation.original),
                "to": str(self.relocation.target),
                "record_sha256": self.relocation.record_sha256,
            }
        lines = ",\n".join(json.dumps(_document(entry)) for entry in self.entries)
        return f'{json.dumps(head)[:-1]}, "entries": [\n{lines}\n]}}\n'.encode()

    @classmethod
    def parse(cls, data: bytes) -> PackManifest:
        """What `data` says; FormatError where it is no manifest."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FormatError(what=_WHAT, field="its text", problem=f"is no JSON ({error})") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise FormatError(what=_WHAT, field="`format`", problem=f"is not {FORMAT}")
        revision = document.get("revision")
        if not isinstance(revision, int) or isinstance(revision, bool) or revision < 0:
            raise FormatError(what=_WHAT, field="`revision`", problem="is no number")
        try:
            repository = repository_name(_text(document, "repository"))
        except OutcropError as error:
            raise FormatError(what=_WHAT, field="`repository`", problem="is no name of one") from error
        paths = document.get("paths")
        return cls(
            repository,
            revision,
            Digest.parse(_text(document, "root_catalog"), what=_WHAT, field="`root_catalog`"),
            _path(_text(document, "at")),
            None if paths is None else tuple(_path(path) for path in _list(paths, "paths")),
            tuple(_entry(entry) for entry in _list(document.get("entries"), "entries")),
            _relocation(document.get("relocated")),
        )


def _document(entry: PackedEntry) -> dict[str, object]:
    document: dict[str, object] = {
        "path": shown(entry.path),
        "type": entry.kind.name.lower(),
        "mode": f"{entry.mode:04o}",
    }
    if entry.same_file_as is not None:
        document["same_file_as"] = shown(entry.same_file_as)
    elif entry.kind is EntryKind.FILE:
        document |= {"size": entry.size, "sha256": entry.sha256}
    elif entry.kind is EntryKind.SYMLINK:
        document["target"] = _shown(entry.target)
    if entry.original is not None and entry.kind is EntryKind.SYMLINK:
        document["original"] = {"target": _shown(entry.original.target)}
    elif entry.original is not None:
        document["original"] = {"size": entry.original.size, "sha256": entry.original.sha256}
    return document


def _shown(target: bytes) -> str:
    return target.decode("utf-8", "surrogateescape")


def _relocation(document: object) -> PackRelocation | None:
    if document is None:
        return None
    if not isinstance(document, dict):
        raise FormatError(what=_WHAT, field="`relocated`", problem="is no JSON object")
    try:
        original, target = prefix(_text(document, "from")), prefix(_text(document, "to"))
    except InvalidValue as error:
        raise FormatError(what=_WHAT, field="`relocated`", problem=f"names no prefixes ({error.message})") from error
    return PackRelocation(original, target, _sha256(document, "record_sha256", "`relocated`"))


def _entry(document: object) -> PackedEntry:
    if not isinstance(document, dict):
        raise FormatError(what=_WHAT, field="an entry", problem="is no JSON object")
    path = _path(_text(document, "path"))
    where = f"the entry {shown(path)}"
    kinds = {kind.name.lower(): kind for kind in EntryKind}
    kind, mode = kinds.get(_text(document, "type")), _text(document, "mode")
    if kind is None or not _MODE.fullmatch(mode):
        raise FormatError(what=_WHAT, field=where, problem="has no known type, or no mode")
    if "same_file_as" in document:
        return PackedEntry(path, kind, int(mode, 8), same_file_as=_path(_text(document, "same_file_as")))
    original = _original(document.get("original"), kind, where)
    if kind is EntryKind.FILE:
        size, sha256 = _size(document, where), _sha256(document, "sha256", where)
        return PackedEntry(path, kind, int(mode, 8), size, sha256, original=original)
    target = _bytes(_text(document, "target")) if kind is EntryKind.SYMLINK else b""
    return PackedEntry(path, kind, int(mode, 8), target=target, original=original)


def _original(document: object, kind: EntryKind, where: str) -> OriginalEntry | None:
    if document is None:
        return None
    if not isinstance(document, dict) or kind not in (EntryKind.FILE, EntryKind.SYMLINK):
        raise FormatError(what=_WHAT, field=where, problem="has an original that cannot be")
    if kind is EntryKind.SYMLINK:
        return OriginalEntry(target=_bytes(_text(document, "target")))
    return OriginalEntry(_size(document, where), _sha256(document, "sha256", where))


def _size(document: Mapping[str, object], where: str) -> int:
    size = document.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise FormatError(what=_WHAT, field=where, problem="has no size")
    return size


def _sha256(document: Mapping[str, object], member: str, where: str) -> str:
    sha256 = _text(document, member)
    if not _SHA256.fullmatch(sha256):
        raise FormatError(what=_WHAT, field=where, problem="has no digest")
    return sha256


def _text(document: Mapping[str, object], member: str) -> str:
    value = document.get(member)
    if not isinstance(value, str):
        raise FormatError(what=_WHAT, field=f"`{member}`", problem="is no text")
    return value


def _list(value: object, member: str) -> list[object]:
    if not isinstance(value, list):
        raise FormatError(what=_WHAT, field=f"`{member}`", problem="is no list")
    return value


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise FormatError(what=_WHAT, field="a text", problem="stands for no bytes") from error


def _path(text: object) -> RepositoryPath:
    if text == "/":
        return ROOT
    path = _bytes(text) if isinstance(text, str) else b""
    if not path or not is_canonical(path):
        raise FormatError(what=_WHAT, field="a path", problem=f"is none: {text!r:.80}")
    return RepositoryPath(path)
