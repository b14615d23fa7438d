"""What relocation changes in a tree, and what it leaves: plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class PlaceKind(Enum):
    """What the prefix is part of."""

    SHEBANG = "shebang"
    TEXT = "text"
    LINK = "symbolic link"
    INTERPRETER = "interpreter"
    RUN_PATH = "run path"
    LIBRARY = "library name"
    DATA = "compiled-in data"
    BYTECODE = "bytecode"
    ARCHIVE = "static archive"
    BINARY = "other binary data"


class Style(Enum):
    """How the new prefix is written."""

    PADDED = "padded"
    """In as many bytes as the old one: nothing else in the file moves."""
    EXACT = "exact"
    """As it is: what follows moves forward."""


class Reason(Enum):
    """Why something was left as it is, or what is worth knowing of it."""

    INNER = "follows a variable or is part of a longer path"
    UTF16 = "is written in UTF-16"
    ESCAPED = "is written with escaped slashes"
    SHARED = "shares its bytes with another string of the file"
    COMPRESSED = "lies in compressed data"
    SEALED = "lies in a file whose checksums or order would not hold any more"
    SHEBANG_LENGTH = "is in a `#!` line that some kernels cut off"
    HASHED_BYTECODE = "was compiled from a source that changes; Python compiles it again at each start"
    CLIMBING_LINK = "is a relative link that leaves the tree"
    ODD_LINK = "is a link that spells the prefix in another way"
    UNSEARCHED = "was not searched"

    @property
    def left_behind(self) -> bool:
        """Whether the old prefix stays in the file, or may."""
        return self not in (Reason.SHEBANG_LENGTH, Reason.HASHED_BYTECODE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the prefix begins, in bytes from the beginning of the file as it was built."""

    offset: int
    kind: PlaceKind


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed in the file or link `path` (below the tree, without a slash before it), in order of offset.

    `size`: the bytes of the file, or of the link's target, as it was built."""

    path: bytes
    style: Style
    size: int
    places: tuple[Place, ...]

    def counts(self) -> Counter[PlaceKind]:
        return Counter(place.kind for place in self.places)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in `path` that was left as it is, so many times; `detail` names what, where that helps."""

    path: bytes
    reason: Reason
    count: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """What one file asks for."""

    change: Change | None = None
    findings: tuple[Finding, ...] = ()


NOTHING = Examined()


def counted_places(changes: Iterable[Change]) -> dict[PlaceKind, int]:
    """How many places of each kind there are, in the order of the kinds."""
    total: Counter[PlaceKind] = Counter()
    for change in changes:
        total.update(change.counts())
    return {kind: total[kind] for kind in PlaceKind if total[kind]}
