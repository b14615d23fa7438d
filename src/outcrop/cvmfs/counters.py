"""Statistics of a catalog: twelve counts of its own rows, and the same twelve summed over all catalogs below it.

A nested catalog's directory counts as a directory in both its own catalog and the parent's. Every count must be there:
a client of the reference implementation refuses a catalog that lacks one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

from outcrop.cvmfs.entry import Entry
from outcrop.errors import FormatError

_SELF, _SUBTREE = "self_", "subtree_"


@dataclass(frozen=True, slots=True)
class Counts:
    """Twelve counts; `…_size` are bytes. As a difference, counts may be negative. The names are the format's own."""

    regular: int = 0
    symlink: int = 0
    special: int = 0
    dir: int = 0
    nested: int = 0
    chunked: int = 0
    chunks: int = 0
    file_size: int = 0
    chunked_size: int = 0
    xattr: int = 0
    external: int = 0
    external_file_size: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def entries(self) -> int:
        """How many rows these counts stand for."""
        return self.regular + self.symlink + self.special + self.dir


COUNTER_NAMES = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True)
class Counters:
    """The statistics of one catalog: its own rows, and all catalogs below it."""

    own: Counts
    subtree: Counts

    @property
    def total(self) -> Counts:
        return self.own + self.subtree

    def rows(self) -> list[tuple[str, int]]:
        """The rows of the `statistics` table."""
        pairs = []
        for prefix, counts in ((_SELF, self.own), (_SUBTREE, self.subtree)):
            pairs += [(prefix + name, value) for name, value in zip(COUNTER_NAMES, astuple(counts), strict=True)]
        return pairs

    @classmethod
    def parse(cls, rows: Mapping[str, object], what: str) -> Counters:
        """The statistics that `rows` say. Counters that older revisions of the schema lack are zero; FormatError
        for one that is no number from zero up."""

        def counts(prefix: str) -> Counts:
            values = {}
            for name in COUNTER_NAMES:
                value = rows.get(prefix + name, 0)
                if not isinstance(value, int) or value < 0:
                    raise FormatError(what=what, field=f"the counter {prefix}{name}", problem=f"is {value!r:.80}")
                values[name] = value
            return Counts(**values)

        return cls(counts(_SELF), counts(_SUBTREE))


def counts_of(entry: Entry, chunks: int = 0) -> Counts:
    """What one row, with its number of chunks, adds to the counts of its catalog (`nested` is counted apart)."""
    xattr = 1 if entry.xattrs else 0
    if entry.is_directory:
        return Counts(dir=1, xattr=xattr)
    if entry.is_symlink:
        return Counts(symlink=1, xattr=xattr)
    if not entry.is_file:
        return Counts(special=1, xattr=xattr)
    return Counts(
        regular=1,
        file_size=entry.size,
        chunked=int(entry.is_chunked),
        chunks=chunks,
        chunked_size=entry.size if entry.is_chunked else 0,
        xattr=xattr,
        external=int(entry.is_external),
        external_file_size=entry.size if entry.is_external else 0,
    )
