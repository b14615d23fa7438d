"""Whether what is in a pack is what its manifest says, decided without looking anything up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.client.pack.image import MANIFEST_PATH
from outcrop.client.pack.manifest import PackedEntry, PackManifest
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import RepositoryPath, ancestors, shown


@dataclass(frozen=True, slots=True)
class Observed:
    """What really stands at a path of an image. Names with the same `identity` are one file."""

    kind: EntryKind
    mode: int
    size: int = 0
    sha256: str = ""
    target: bytes = b""
    identity: object = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: the pack's own `manifest`, how much was compared, and a sentence for everything that differs."""

    manifest: PackManifest
    files: int
    bytes: int
    problems: tuple[str, ...]


def verdict(manifest: PackManifest, observed: Mapping[RepositoryPath, Observed]) -> Verdict:
    """Compares what was `observed`, by path from the image's root on, with `manifest`.

    Kinds, permissions, bytes, targets of links and shared files are compared; times, owners and attributes are not,
    since not every place that a pack is unpacked to can keep them."""
    problems = sorted(_problems(manifest, observed))
    files = [entry for entry in manifest.entries if entry.kind is EntryKind.FILE and entry.same_file_as is None]
    return Verdict(manifest, len(files), sum(entry.size for entry in files), tuple(problems))


def _problems(manifest: PackManifest, observed: Mapping[RepositoryPath, Observed]) -> Iterator[str]:
    own = {MANIFEST_PATH, *(ancestors(manifest.at) if manifest.at else ())}
    expected = {RepositoryPath(manifest.at + entry.path): entry for entry in manifest.entries}
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
            yield from (f"{shown(path)} {trouble}" for trouble in _differences(entry, found, first))


def _differences(entry: PackedEntry, found: Observed, first: Observed | None) -> Iterator[str]:
    if entry.kind is EntryKind.SYMLINK:
        if found.target != entry.target:
            yield f"leads to {shown(found.target)}, not {shown(entry.target)}"
        return
    if found.mode != entry.mode:
        yield f"has the permissions {found.mode:04o}, not {entry.mode:04o}"
    if entry.kind is not EntryKind.FILE:
        return
    if entry.same_file_as is not None:
        if first is None or first.identity != found.identity:
            yield f"is not the same file as {shown(entry.same_file_as)}"
    elif found.size != entry.size:
        yield f"has {found.size} bytes, not {entry.size}"
    elif found.sha256 != entry.sha256:
        yield "has other bytes"
