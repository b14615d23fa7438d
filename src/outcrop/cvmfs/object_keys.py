"""Names of objects in 21 bytes, and those that a catalog names, for work on millions of them.

A key is the digest's 20 bytes and one more for algorithm and kind. Keys of equal objects are equal; a set of them takes
a third of the memory that as many `ObjectName` would, and they are made without decoding a row into an `Entry`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import NewType

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.database import sqlite_border
from outcrop.cvmfs.digest import DIGEST_BYTES, Algorithm, Digest
from outcrop.cvmfs.entry import Mark
from outcrop.cvmfs.objects import DATA_DIRECTORY, ObjectKind, ObjectName
from outcrop.errors import FormatError

ObjectKey = NewType("ObjectKey", bytes)

KEY_BYTES = DIGEST_BYTES + 1

_MEANINGS = tuple(product(Algorithm, ObjectKind))
_CODES = {meaning: bytes([code]) for code, meaning in enumerate(_MEANINGS)}
_SUFFIXES = tuple(algorithm.value + kind.value for algorithm, kind in _MEANINGS)
_CODE_OF_SUFFIX = {suffix: bytes([code]) for code, suffix in enumerate(_SUFFIXES)}
_STEM = re.compile(r"data/[0-9a-f]{2}/[0-9a-f]{38}", re.ASCII)
_STEM_CHARACTERS = len("data/xx/") + 38

_ALGORITHM_OF_BITS = {0: Algorithm.SHA1, 0x100: Algorithm.RMD160, 0x200: Algorithm.SHAKE128}
_ALGORITHM_BITS = 0x700
_KIND_BITS, _DIRECTORY, _REGULAR_FILE = 1 | 4 | 8 | 16, 1, 4
"""The bits of `flags`, as `outcrop.cvmfs.entry` explains them."""

_FILES_SQL = "SELECT CAST(hash AS BLOB), flags FROM catalog WHERE hash IS NOT NULL"
_CHUNKS_SQL = "SELECT CAST(chunks.hash AS BLOB), flags FROM chunks JOIN catalog USING (md5path_1, md5path_2)"


def object_key(name: ObjectName) -> ObjectKey:
    """The key of `name`."""
    return ObjectKey(name.digest.raw + _CODES[name.digest.algorithm, name.kind])


def object_name(key: ObjectKey) -> ObjectName:
    """The name that has the key `key`."""
    algorithm, kind = _MEANINGS[key[DIGEST_BYTES]]
    return ObjectName(Digest(algorithm, key[:DIGEST_BYTES]), kind)


def key_path(key: ObjectKey) -> str:
    """Where the object lies: `object_name(key).path`, made faster."""
    digits = key[:DIGEST_BYTES].hex()
    return f"{DATA_DIRECTORY}/{digits[:2]}/{digits[2:]}{_SUFFIXES[key[DIGEST_BYTES]]}"


def key_kind(key: ObjectKey) -> ObjectKind:
    """What kind of object it is."""
    return _MEANINGS[key[DIGEST_BYTES]][1]


def key_at(path: str) -> ObjectKey | None:
    """The key of the object that lies at `path`; None where no object can."""
    stem, code = path[:_STEM_CHARACTERS], _CODE_OF_SUFFIX.get(path[_STEM_CHARACTERS:])
    if code is None or not _STEM.fullmatch(stem):
        return None
    return ObjectKey(bytes.fromhex(stem[5:7] + stem[8:]) + code)


def catalog_object_keys(catalog: Catalog) -> Iterator[ObjectKey]:
    """The objects that the rows of `catalog` name: files, chunks, micro catalogs. One may come more than once.

    External files are left out, since their bytes lie elsewhere, and so are other catalogs. FormatError for a row whose
    digest is none.
    """
    for kind, query in ((ObjectKind.FILE, _FILES_SQL), (ObjectKind.CHUNK, _CHUNKS_SQL)):
        codes = _Codes(catalog.what, kind)
        with sqlite_border(catalog.what):
            for raw, flags in catalog.connection.execute(query):
                code = codes[flags]
                if code is None:
                    continue
                if raw is None or len(raw) != DIGEST_BYTES:
                    raise FormatError(what=catalog.what, field="a hash", problem=f"is not {DIGEST_BYTES} bytes")
                yield ObjectKey(raw + code)


class _Codes(dict[object, "bytes | None"]):
    """The last byte of the key by a row's `flags`, None for a row without an object here; each worked out once."""

    def __init__(self, what: str, kind_of_files: ObjectKind) -> None:
        super().__init__()
        self._what = what
        self._kind_of_files = kind_of_files

    def __missing__(self, flags: object) -> bytes | None:
        code = self[flags] = self._code(flags)
        return code

    def _code(self, flags: object) -> bytes | None:
        if not isinstance(flags, int):
            raise FormatError(what=self._what, field="flags", problem=f"is not a number: {flags!r:.80}")
        kind = {_REGULAR_FILE: self._kind_of_files, _DIRECTORY: ObjectKind.MICRO_CATALOG}.get(flags & _KIND_BITS)
        if kind is None or flags & Mark.EXTERNAL:
            return None
        algorithm = _ALGORITHM_OF_BITS.get(flags & _ALGORITHM_BITS)
        if algorithm is None:
            raise FormatError(what=self._what, field="flags", problem=f"name an unknown digest algorithm: {flags:#x}")
        return _CODES[algorithm, kind]
