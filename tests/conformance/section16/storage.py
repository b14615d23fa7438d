"""The objects of a repository on disk, read without trusting their names (section 0)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .digests import Digest, new_hash

PIECE = 1 << 20
"""Bytes read at a time, so that a large chunk never lies in memory as a whole."""

CATALOG_LIMIT = 4 << 30
"""Bytes that a decompressed database may have; more is taken for a decompression bomb."""


_FILE_LETTERS = ("", "P")
"""Type letters of files and their chunks, which may have any size; everything else is read as a whole."""

_ZLIB_RULES = {"C": "16.4", "X": "16.13"}
"""The rules that demand compression of some type; section 0 does for all others that are marked as compressed."""


class ObjectError(Exception):
    """An object cannot be used; `rule` is the one it breaks."""

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(problem)
        self.rule = rule


@dataclass(slots=True)
class Storage:
    """A repository's directory; what was learnt about an object is kept."""

    directory: Path
    _sizes: dict[tuple[str, bool], int | ObjectError] = field(default_factory=dict)
    _verified: dict[str, bool] = field(default_factory=dict)

    def exists(self, digest: Digest, letter: str) -> bool:
        path = self.directory / digest.object_path(letter)
        return path.is_file() and not path.is_symlink()

    def files(self) -> Iterator[Path]:
        """Everything below data/, except what uploads keep in data/txn."""
        for directory in sorted((self.directory / "data").iterdir()):
            if not directory.is_dir():
                yield directory
            elif directory.name != "txn":
                yield from sorted(directory.iterdir())

    def read(self, digest: Digest, letter: str) -> bytes:
        """The decompressed bytes of a zlib object whose digest is right; raises ObjectError otherwise."""
        self.content_size(digest, letter, compressed=True)
        return b"".join(self._content(digest, letter, compressed=True))

    def content_size(self, digest: Digest, letter: str, *, compressed: bool) -> int:
        """Bytes of an object after decompression; raises ObjectError where it is missing, altered or malformed."""
        key = (digest.object_path(letter), compressed)
        if key not in self._sizes:
            try:
                self._sizes[key] = self._measure(digest, letter, compressed)
            except ObjectError as problem:
                self._sizes[key] = problem
        known = self._sizes[key]
        if isinstance(known, ObjectError):
            raise known
        return known

    def require_digest(self, digest: Digest, letter: str) -> None:
        """Raises ObjectError unless the object is there and its stored bytes have the digest it is named after."""
        path = digest.object_path(letter)
        if not self.exists(digest, letter):
            raise ObjectError("16.11", f"{path} is referenced but missing")
        if path not in self._verified:
            state = new_hash(digest.algorithm)
            for piece in self._pieces(digest, letter):
                state.update(piece)
            self._verified[path] = state.hexdigest() == digest.hexadecimal
        if not self._verified[path]:
            raise ObjectError("16.11", f"{path}: the stored bytes have another digest")

    def _measure(self, digest: Digest, letter: str, compressed: bool) -> int:
        self.require_digest(digest, letter)
        return sum(len(piece) for piece in self._content(digest, letter, compressed=compressed))

    def _pieces(self, digest: Digest, letter: str) -> Iterator[bytes]:
        try:
            with (self.directory / digest.object_path(letter)).open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece
        except OSError as error:
            raise ObjectError("16.11", f"{digest.object_path(letter)} cannot be read: {error}") from error

    def _content(self, digest: Digest, letter: str, *, compressed: bool) -> Iterator[bytes]:
        if not compressed:
            yield from self._pieces(digest, letter)
            return
        name = digest.object_path(letter)
        rule = _ZLIB_RULES.get(letter, "0.objects")
        stream = zlib.decompressobj()
        total = 0
        try:
            for stored in self._pieces(digest, letter):
                if stream.eof:
                    raise ObjectError(rule, f"{name}: bytes after the end of the zlib stream")
                pending = stored
                while pending and not stream.eof:
                    content = stream.decompress(pending, PIECE)
                    pending = stream.unconsumed_tail
                    total += len(content)
                    if letter not in _FILE_LETTERS and total > CATALOG_LIMIT:
                        raise ObjectError(rule, f"{name}: decompresses to more than {CATALOG_LIMIT} bytes")
                    yield content
            yield stream.flush()
        except zlib.error as error:
            raise ObjectError(rule, f"{name}: no zlib stream: {error}") from error
        if not stream.eof:
            raise ObjectError(rule, f"{name}: the zlib stream is cut short")
        if stream.unused_data:
            raise ObjectError(rule, f"{name}: bytes after the end of the zlib stream")
