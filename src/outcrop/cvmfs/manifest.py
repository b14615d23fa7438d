"""The manifest `.cvmfspublished`: the one file that says what a repository is now.

ASCII lines of a key letter and a value, in a signed envelope (`signed_text`). The order of lines does not matter, the
last of two lines with one letter wins, unknown letters are passed over.

| letter | meaning |
|---|---|
| C, B | root catalog's digest, its size in bytes before compression |
| R | MD5 of the root path, always that of the empty string |
| D, S | time to live in seconds, revision |
| G, A | garbage collectable, alternative bootstrap paths (`yes`, `no`) |
| N, X | repository's name, certificate's digest |
| H, M, Y | digests of history, meta-information, reflog |
| T | time of publishing, seconds since 1970 |
| L | micro catalog's digest (reserved) |
"""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.fields import MAXIMUM_UINT64, MAXIMUM_UNIX_TIME, repository, unsigned, yes_or_no
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.paths import ROOT_HASH_TEXT
from outcrop.errors import FormatError

DEFAULT_TTL_SECONDS = 240
"""Four minutes: what the reference publisher writes and clients assume."""

_WHAT = "the manifest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says. `ttl` is in seconds, `published_at` in seconds since 1970, sizes in bytes."""

    repository: RepositoryName
    revision: Revision
    root_catalog: Digest
    root_catalog_size: int
    certificate: Digest
    ttl: int = DEFAULT_TTL_SECONDS
    published_at: int | None = None
    history: Digest | None = None
    metainfo: Digest | None = None
    reflog: Digest | None = None
    micro_catalog: Digest | None = None
    garbage_collectable: bool = False
    alternative_paths: bool = False

    def encode(self) -> bytes:
        """The text to be signed, in the order that the reference publisher writes."""
        lines = [
            f"C{self.root_catalog}",
            f"B{self.root_catalog_size}",
            f"R{ROOT_HASH_TEXT}",
            f"D{self.ttl}",
            f"S{self.revision}",
            f"G{_switch(self.garbage_collectable)}",
            f"A{_switch(self.alternative_paths)}",
        ]
        if self.micro_catalog:
            lines.append(f"L{self.micro_catalog}")
        lines += [f"N{self.repository}", f"X{self.certificate}"]
        if self.history:
            lines.append(f"H{self.history}")
        if self.published_at is not None:
            lines.append(f"T{self.published_at}")
        if self.metainfo:
            lines.append(f"M{self.metainfo}")
        if self.reflog:
            lines.append(f"Y{self.reflog}")
        return "".join(line + "\n" for line in lines).encode("ascii")

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """What `text` says; FormatError names the line that is missing or malformed."""
        values = _values(text)

        def required(letter: str, meaning: str) -> str:
            if letter not in values:
                raise FormatError(what=_WHAT, field=f"line {letter} ({meaning})", problem="is missing")
            return values[letter]

        def number(letter: str, meaning: str, maximum: int = MAXIMUM_UINT64) -> int:
            field = f"line {letter} ({meaning})"
            return unsigned(required(letter, meaning), what=_WHAT, field=field, maximum=maximum)

        def digest(letter: str, meaning: str) -> Digest:
            return Digest.parse(required(letter, meaning), what=_WHAT, field=f"line {letter} ({meaning})")

        def optional_digest(letter: str, meaning: str) -> Digest | None:
            return digest(letter, meaning) if letter in values else None

        def switch(letter: str, meaning: str) -> bool:
            return letter in values and yes_or_no(values[letter], what=_WHAT, field=f"line {letter} ({meaning})")

        if required("R", "root path") != ROOT_HASH_TEXT:
            raise FormatError(what=_WHAT, field="line R (root path)", problem="is not the hash of the empty path")
        name = repository(required("N", "repository name"), what=_WHAT, field="line N (repository name)")
        return cls(
            repository=name,
            revision=Revision(number("S", "revision")),
            root_catalog=digest("C", "root catalog"),
            root_catalog_size=number("B", "root catalog size") if "B" in values else 0,
            certificate=digest("X", "certificate"),
            ttl=number("D", "time to live"),
            published_at=number("T", "time of publishing", MAXIMUM_UNIX_TIME) if "T" in values else None,
            history=optional_digest("H", "history"),
            metainfo=optional_digest("M", "meta-information"),
            reflog=optional_digest("Y", "reflog"),
            micro_catalog=optional_digest("L", "micro catalog"),
            garbage_collectable=switch("G", "garbage collectable"),
            alternative_paths=switch("A", "alternative paths"),
        )


def _values(text: bytes) -> dict[str, str]:
    if not text.endswith(b"\n"):
        raise FormatError(what=_WHAT, field="its last line", problem="is not ended")
    values: dict[str, str] = {}
    for line in text[:-1].split(b"\n"):
        try:
            decoded = line.decode("ascii")
        except UnicodeDecodeError:
            raise FormatError(what=_WHAT, field=f"the line {line[:40]!r}", problem="is not ASCII") from None
        if not decoded:
            raise FormatError(what=_WHAT, field="a line", problem="is empty")
        values[decoded[0]] = decoded[1:]
    return values


def _switch(on: bool) -> str:
    return "yes" if on else "no"
