"""Whether what is in a pack is what its manifest says, decided without looking anything up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.client.pack.image import MANIFEST_PATH, RECORD_PATH
from outcrop.client.pack.manifest import PackedEntry, PackManifest
from outcrop.client.pack.undoing import FoundRecord
from outcrop.client.relocate.prefix import Prefix
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import RepositoryPath, ancestors, shown


@dataclass(frozen=True, slots=True)
class Observed:
    """What really stands at a path of an image. Names with the same `identity` are one file.

    `undone` is what a relocated entry was before, by the record of that: a file's SHA-256, a link's target."""

    kind: EntryKind
    mode: int
    size: int = 0
    sha256: str = ""
    target: bytes = b""
    identity: object = None
    undone: str | bytes = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: the pack's own `manifest`, how much was compared, and a sentence for everything that differs.

    `relocated_to` is the prefix that its files have now, None for the repository's own; so many were `relocated`."""

    manifest: PackManifest
    files: int
    bytes: int
    problems: tuple[str, ...]
    relocated_to: Prefix | None = None
    relocated: int = 0


def verdict(
    manifest: PackManifest, observed: Mapping[RepositoryPath, Observed], record: FoundRecord | None = None
) -> Verdict:
    """Compares what was `observed`, by path from the image's root on, with `manifest` and the `record` of a relocation.

    Kinds, permissions, bytes, targets of links and shared files are compared; times, owners and attributes are not,
    since not every place that a pack is unpacked to can keep them. A file or link is right if it is as the repository
    has it, or exactly what relocation makes of that."""
    problems = [*_problems(manifest, observed, record)]
    if record is not None:
        problems += _problems_of_record(manifest, record)
    elif manifest.relocation is not None and problems:
        problems.append(f"{shown(RepositoryPath(manifest.at + RECORD_PATH))} is missing")
    files = [entry for entry in manifest.entries if entry.kind is EntryKind.FILE and entry.same_file_as is None]
    size = sum(observed[path].size for entry in files if (path := _place(manifest, entry)) in observed)
    relocated = sum(1 for found in observed.values() if found.undone)
    return Verdict(
        manifest, len(files), size, tuple(sorted(problems)), record.record.current if record else None, relocated
    )  # fmt: skip


def _place(manifest: PackManifest, entry: PackedEntry) -> RepositoryPath:
    return RepositoryPath(manifest.at + entry.path)


def _problems(
    manifest: PackManifest, observed: Mapping[RepositoryPath, Observed], record: FoundRecord | None
) -> Iterator[str]:
    own = {MANIFEST_PATH, *(ancestors(manifest.at) if manifest.at else ()), *((record.path,) if record else ())}
    as_packed = _is_as_packed(manifest, record)
    expected = {_place(manifest, entry): entry for entry in manifest.entries}
    for path in observed.keys() - expected.keys() - own:
        yield f"{shown(path)} is not in the manifest"
    for path, entry in expected.items():
        found = observed.get(path)
        if found is None:
            yield f"{shown(path)} is missing"
        elif found.kind is not entry.kind:
            yield f"{shown(path)} is a {found.kind.name.lower()}, not a {entry.kind.name.lower()}"
        else:
            first = None
            if entry.same_file_as is not None:
                first = observed.get(RepositoryPath(manifest.at + entry.same_file_as))
            yield from (f"{shown(path)} {trouble}" for trouble in _differences(entry, found, first, as_packed))


def _is_as_packed(manifest: PackManifest, record: FoundRecord | None) -> bool:
    """Whether the files should have the prefix that they were packed with."""
    packed_for = manifest.relocation.target if manifest.relocation else None
    return (record.record.current if record else None) == packed_for


def _problems_of_record(manifest: PackManifest, record: FoundRecord) -> Iterator[str]:
    relocation = manifest.relocation
    if not record.record.complete:
        yield f"{shown(record.path)} says that a relocation was interrupted"
    if relocation is None:
        return
    if record.record.original != relocation.original:
        yield f"{shown(record.path)} is of a tree that was built for {record.record.original}"
    elif _is_as_packed(manifest, record) and record.sha256 != relocation.record_sha256:
        yield f"{shown(record.path)} has other bytes"


def _is_right(found: Observed, original: str | bytes, packed: str | bytes, as_packed: bool) -> bool:
    """Whether an entry is as the repository has it (`original`), or what relocation makes of that: what it was is the
    original, and what it is is what was `packed`, unless it was taken elsewhere since."""
    now = found.target if found.kind is EntryKind.SYMLINK else found.sha256
    return now == original or (found.undone == original and (now == packed or not as_packed))


def _differences(entry: PackedEntry, found: Observed, first: Observed | None, as_packed: bool) -> Iterator[str]:
    original = entry.original
    if entry.kind is EntryKind.SYMLINK:
        before = original.target if original else entry.target
        if not _is_right(found, before, entry.target, as_packed):
            yield f"leads to {shown(found.target)}, not {shown(entry.target)}"
        return
    if found.mode != entry.mode:
        yield f"has the permissions {found.mode:04o}, not {entry.mode:04o}"
    if entry.kind is not EntryKind.FILE:
        return
    if entry.same_file_as is not None:
        if first is None or first.identity != found.identity:
            yield f"is not the same file as {shown(entry.same_file_as)}"
        return
    if _is_right(found, original.sha256 if original else entry.sha256, entry.sha256, as_packed):
        return
    if original is not None or not as_packed:
        yield "is neither as the repository has it nor what relocation makes of it"
    elif found.size != entry.size:
        yield f"has {found.size} bytes, not {entry.size}"
    else:
        yield "has other bytes"
