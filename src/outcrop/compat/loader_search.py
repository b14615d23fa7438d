"""Where a layer's dynamic loader looks for a library, as its own file says: directories, and perhaps an index.

The order is that of ld.so(8): the run path of the file that needs it, the index (`ld.so.cache`), the trusted
directories. LD_LIBRARY_PATH and what a program has loaded already are left out: nothing may rely on them.

The index's format is glibc's (`sysdeps/generic/dl-cache.h`): a header of 48 bytes, entries of 24, and texts, to which
offsets from the header lead.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.compat.layout import LayerLayout
from outcrop.compat.linkage import Linkage, machine_of
from outcrop.errors import FormatError, NotFound, storage_error

_CACHE = "etc/ld.so.cache"
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("<20sII")
_CACHE_HEADER_BYTES = 48
_CACHE_ENTRY = struct.Struct("<iIIIQ")
_TOKEN = re.compile(r"\$(?:(LIB|ORIGIN)|\{(LIB|ORIGIN)\})(?=/|\Z)")


@dataclass(frozen=True, slots=True)
class LoaderSearch:
    """What the loader of the layer in the directory `tree` trusts: paths as programs see them; and by the names of
    libraries, what its index says. What was looked at once is `known`."""

    tree: Path
    layout: LayerLayout
    directories: tuple[str, ...]
    index: dict[str, tuple[str, ...]]
    known: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def finds(self, name: str, path: str, linkage: Linkage) -> bool:
        """Whether a file of the layer is what the file `path` gets for the `name` that it needs."""
        if "/" in name:
            return self._is_library(name)
        directories = expanded(linkage.run_path, f"{self.layout.prefix}/{path}", self.layout.family.triplet)
        places = [f"{directory}/{name}" for directory in directories]
        return any(map(self._is_library, places)) or self.finds_by_itself(name)

    def finds_by_itself(self, name: str) -> bool:
        """Whether the library `name` is found whoever needs it."""
        places = (*self.index.get(name, ()), *(f"{directory}/{name}" for directory in self.directories))
        return any(map(self._is_library, places))

    def _is_library(self, place: str) -> bool:
        """Whether `place`, as a program sees it, is in the layer and for its processor."""
        if place not in self.known:
            self.known[place] = self._look(os.path.normpath(place))
        return self.known[place]

    def _look(self, place: str) -> bool:
        prefix = f"{self.layout.prefix}/"
        if not place.startswith(prefix):
            return False
        found = os.path.realpath(self.tree / place.removeprefix(prefix))
        try:
            return (
                found.startswith(f"{os.path.realpath(self.tree)}/")
                and machine_of(Path(found)) == self.layout.family.machine
            )
        except OSError:
            return False


def expanded(run_path: Iterable[str], file: str, triplet: str) -> Iterator[str]:
    """The directories of the `run_path` of `file`, as programs see them; one that is empty stays so."""
    values = {"ORIGIN": os.path.dirname(file), "LIB": f"lib/{triplet}"}
    for entry in run_path:
        yield os.path.normpath(_TOKEN.sub(lambda match: values[match[1] or match[2]], entry)) if entry else ""


def loader_search(tree: Path, layout: LayerLayout) -> LoaderSearch:
    """What the loader of the layer `tree` says. NotFound without a loader; FormatError where it names no directory of
    the layer, as one that was not moved; StorageError."""
    place = tree / layout.family.loader.lstrip("/")
    if not place.is_file():
        raise NotFound(what=f"the loader {place}", hint="the layer has no C library: is libc6 in its sets?")
    try:
        data = place.read_bytes()
        prefix = os.fsencode(layout.prefix)
        lists = re.findall(rb"(?:" + re.escape(prefix) + rb"/[^\0]*/\0){2,}", data)
        if not lists:
            problem = "does not name them"
            raise FormatError(what=f"the loader {place}", field="the layer's directories", problem=problem)
        index = {}
        if prefix + b"/" + _CACHE.encode() + b"\0" in data and (tree / _CACHE).is_file():
            index = parse_index((tree / _CACHE).read_bytes())
    except OSError as error:
        raise storage_error(error) from error
    directories = dict.fromkeys(os.fsdecode(one).rstrip("/") for one in lists[0].split(b"\0") if one)
    return LoaderSearch(tree, layout, tuple(directories), index)


def parse_index(data: bytes) -> dict[str, tuple[str, ...]]:
    """The paths of each library, by its name, that the index `data` has; FormatError."""
    start = data.find(_CACHE_MAGIC)
    found: dict[str, tuple[str, ...]] = {}
    try:
        _, number, _ = _CACHE_HEADER.unpack_from(data, max(start, 0))
        if start < 0:
            raise FormatError(what=_CACHE, field="the header", problem="is not that of an index of libraries")
        for one in range(number):
            place = start + _CACHE_HEADER_BYTES + one * _CACHE_ENTRY.size
            _, name, path, _, _ = _CACHE_ENTRY.unpack_from(data, place)
            key = _text(data, start + name)
            found[key] = (*found.get(key, ()), _text(data, start + path))
    except struct.error as error:
        raise FormatError(what=_CACHE, field="a table", problem="leaves the file") from error
    return found


def _text(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset)
    return os.fsdecode(data[offset : end if end >= 0 else None])
