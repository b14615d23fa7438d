"""Statistics of a catalog: twelve counts of its own rows, and the same twelve summed over all catalogs below it.

A nested catalog's directory counts as a directory in both its own catalog and the parent's. Every count must be there:
a client of the reference implementation refuses a catalog that lacks one.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from operator import add, attrgetter, sub

from outcrop.cvmfs.entry import Entry, Mark
from outcrop.errors import FormatError

_SELF, _SUBTREE = "self_", "subtree_"
_CHUNKED, _EXTERNAL = int(Mark.CHUNKED), int(Mark.EXTERNAL)


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
        return Counts(*map(add, _values(self), _values(other)))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*map(sub, _values(self), _values(other)))

    @property
    def entries(self) -> int:
        """How many rows these counts stand for."""
        return self.regular + self.symlink + self.special + self.dir


COUNTER_NAMES = tuple(field.name for field in fields(Counts))
_values = attrgetter(*COUNTER_NAMES)


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
            pairs += [(prefix + name, value) for name, value in zip(COUNTER_NAMES, _values(counts), strict=True)]
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
    return counts_of_rows([(entry.mode, entry.size, int(entry.marks), entry.xattrs or None, chunks)])


def counts_of_rows(rows: Iterable[tuple[int, int, int, object, int]]) -> Counts:
    """What rows add to the counts of their catalog: of each its mode, size, flags, extended attributes (None where it
    has none) and its number of chunks."""
    regular = symlink = special = directories = chunked = chunks = size = chunked_size = xattr = external = outside = 0
    for mode, row_size, flags, attributes, pieces in rows:
        file_type = stat.S_IFMT(mode)
        xattr += attributes is not None
        if file_type == stat.S_IFREG:
            regular += 1
            size += row_size
            if flags & _CHUNKED:
                chunked += 1
                chunks += pieces
                chunked_size += row_size
            if flags & _EXTERNAL:
                external += 1
                outside += row_size
        elif file_type == stat.S_IFDIR:
            directories += 1
        elif file_type == stat.S_IFLNK:
            symlink += 1
        else:
            special += 1
    return Counts(
        regular=regular,
        symlink=symlink,
        special=special,
        dir=directories,
        chunked=chunked,
        chunks=chunks,
        file_size=size,
        chunked_size=chunked_size,
        xattr=xattr,
        external=external,
        external_file_size=outside,
    )
