"""Original tarballs in Debian's archive, found by their SHA-256 in the index of source packages.

Debian ships most upstream tarballs unmodified under another name; where the digest is the one that an easyconfig
names, it is the same file. The index is only a hint where to look: what is downloaded is verified against the
easyconfig's digest, so a mirror needs no trust and its signatures are not read.

The index (`dists/<release>/main/source/Sources.xz`, tens of MB unpacked) is distilled to one sorted line a file,
`<sha256> <path in the archive>`, and looked up by bisection. Format: Debian Policy and repository format, "Sources".
"""

from __future__ import annotations

import bisect
import lzma
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outcrop.errors import FormatError, IntegrityError, NetworkError, storage_error
from outcrop.software.sources.download import Fetcher

DEFAULT_RELEASES = ("bookworm", "trixie")
"""The releases whose tarballs cover EESSI's toolchains 2022b to 2025a."""

COMPONENTS = ("main",)

FRESH_SECONDS = 24 * 3600
"""Stable releases change every two months; asking once a day, and then with the entity tag, is plenty."""

_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class SourceIndex:
    """The files of one release's source packages. `lines` are `<sha256> <path>`, sorted; paths start at `mirror`."""

    mirror: str
    release: str
    lines: Sequence[str]

    def find(self, sha256: str) -> str | None:
        """The address of the file with this digest."""
        place = bisect.bisect_left(self.lines, sha256)
        if place < len(self.lines) and self.lines[place].startswith(sha256 + " "):
            return f"{self.mirror}/{self.lines[place].split(' ', 1)[1]}"
        return None


def parse_index(lines: Iterable[str]) -> Iterator[str]:
    """`<sha256> <path>` for every file that the `Sources` index `lines` lists, but for packaging files."""
    directory = ""
    files: list[tuple[str, str]] = []
    in_checksums = False
    for line in lines:
        if line[:1] == " ":
            if in_checksums:
                words = line.split()
                if len(words) == 3 and len(words[0]) == _SHA256_DIGITS:
                    files.append((words[0], words[2]))
            continue
        in_checksums = line.startswith("Checksums-Sha256:")
        if line.startswith("Directory:"):
            directory = line.split(":", 1)[1].strip()
        elif not line.strip():
            yield from _of_package(directory, files)
            directory, files = "", []
    yield from _of_package(directory, files)


def _of_package(directory: str, files: list[tuple[str, str]]) -> Iterator[str]:
    if directory and ".." not in directory:
        for sha256, name in files:
            if ".orig" in name and "/" not in name and not name.endswith(".asc"):
                yield f"{sha256} {directory}/{name}"


class _IndexState(msgspec.Struct, frozen=True):
    etag: str
    checked: float


@dataclass(frozen=True, slots=True)
class IndexCache:
    """Distilled indices below `directory`, asked for again after `FRESH_SECONDS`."""

    directory: Path
    fetcher: Fetcher

    def index(self, mirror: str, release: str, now: float | None = None) -> SourceIndex:
        """The index of `release` at `mirror`. When the mirror cannot be asked, an older copy serves.

        Raises NetworkError when there is no copy either, FormatError when the mirror's index is none.
        """
        moment = time.time() if now is None else now
        place = self.directory / (mirror.replace("://", "_").replace("/", "_") + "_" + release)
        lines, state = self._kept(place)
        if lines is not None and moment - state.checked < FRESH_SECONDS:
            return SourceIndex(mirror, release, lines)
        try:
            found: list[str] = []
            etags = []
            for component in COMPONENTS:
                url = f"{mirror}/dists/{release}/{component}/source/Sources.xz"
                changed = self.fetcher.read_changed(url, state.etag if lines is not None else "")
                if changed is None and lines is not None:
                    self._keep_state(place, _IndexState(state.etag, moment))
                    return SourceIndex(mirror, release, lines)
                found += parse_index(_unpacked(changed.body if changed else b"", url))
                etags.append(changed.etag if changed else "")
        except (NetworkError, IntegrityError):
            if lines is None:
                raise
            return SourceIndex(mirror, release, lines)
        found.sort()
        self._keep(place, found, _IndexState(etags[0] if len(etags) == 1 else "", moment))
        return SourceIndex(mirror, release, found)

    @staticmethod
    def _kept(place: Path) -> tuple[list[str] | None, _IndexState]:
        try:
            state = msgspec.json.decode(place.with_name(place.name + ".json").read_bytes(), type=_IndexState)
            return place.read_text(encoding="utf-8").splitlines(), state
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            # A missing or damaged copy is fetched again.
            return None, _IndexState("", 0.0)

    def _keep(self, place: Path, lines: list[str], state: _IndexState) -> None:
        _replace(place, ("\n".join(lines) + "\n").encode())
        self._keep_state(place, state)

    @staticmethod
    def _keep_state(place: Path, state: _IndexState) -> None:
        _replace(place.with_name(place.name + ".json"), msgspec.json.encode(state))


def _unpacked(data: bytes, url: str) -> Iterator[str]:
    try:
        text = lzma.decompress(data).decode("utf-8", "replace")
    except lzma.LZMAError as error:
        raise FormatError(what=url, field="the compressed index", problem=f"cannot be unpacked: {error}") from error
    return iter(text.splitlines())


def _replace(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, str(path)) from error
