"""Objects and the names under which a repository serves them.

A name is `data/`, two hexadecimal digits, `/`, the other 38 digits, the algorithm's tag, then one letter for the kind
of object. The letter belongs to file names, object packs and gateway messages only, never to catalogs or manifests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from outcrop.cvmfs.digest import Digest
from outcrop.errors import FormatError

MANIFEST_NAME = ".cvmfspublished"
WHITELIST_NAME = ".cvmfswhitelist"
REFLOG_NAME = ".cvmfsreflog"
MASTER_REPLICA_NAME = ".cvmfs_master_replica"
STATUS_NAME = ".cvmfs_status.json"
DATA_DIRECTORY = "data"
TEMPORARY_DIRECTORY = "data/txn"


class ObjectKind(Enum):
    """What an object is; the value is the letter behind its name."""

    FILE = ""
    CHUNK = "P"
    CATALOG = "C"
    HISTORY = "H"
    CERTIFICATE = "X"
    METAINFO = "M"
    MICRO_CATALOG = "L"


_NAME = re.compile(r"data/([0-9a-f]{2})/([0-9a-f]{38}(?:-rmd160|-shake128)?)([PCHXML]?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """An object: its digest and its kind."""

    digest: Digest
    kind: ObjectKind

    @property
    def path(self) -> str:
        """Where it lies, relative to the repository's address."""
        text = self.digest.text
        return f"data/{text[:2]}/{text[2:]}{self.kind.value}"

    def __str__(self) -> str:
        return self.path

    @classmethod
    def parse(cls, path: str) -> ObjectName:
        """The object that lies at `path`; FormatError where no object can."""
        match = _NAME.fullmatch(path)
        if match is None:
            raise FormatError(what=f"the object name {path[:80]!r}", field="its form", problem="is not data/xx/…")
        return cls(Digest.parse(match[1] + match[2]), ObjectKind(match[3]))
