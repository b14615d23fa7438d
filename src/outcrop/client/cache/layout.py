"""The names in a cache directory, without looking at one.

The layout is that of the reference client's alien cache, so that the two can share a directory:

| name | what it is |
|---|---|
| `00` … `ff` | objects: `xx/rest` of the digest's text, with the algorithm's tag and without the letter of the kind |
| `txn` | what is on its way in; any name |
| `quarantaine` | where the reference client puts files of a wrong size for somebody to look at (its spelling) |
| `.outcrop` | ours: who uses the cache, how full it is; see `outcrop.client.cache.ledger` |

The reference client takes a directory with `ff` in it for complete and makes nothing then. So all of them are made at
once, `ff` last. On file systems where a file can only be renamed within a directory, either of us may leave a temporary
file beside the objects, under a name that is no object's.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass

from outcrop.cvmfs.digest import Digest
from outcrop.errors import FormatError

TRANSACTION = "txn"
QUARANTINE = "quarantaine"
BOOKKEEPING = ".outcrop"
PREFIXES = tuple(f"{number:02x}" for number in range(256))
COMPLETE = PREFIXES[-1]
"""The directory whose presence says that all are there."""

OWN_MARK = "own"
"""In `.outcrop`: this cache was begun by us, so that a limit which nobody stated may hold for it."""

_OBJECT = re.compile(rb"[0-9a-f]{38}(?:-rmd160|-shake128)?")
_CUSTOMARY_MODE = 0o770
_READABLE_BITS = 0o2775
"""What directories and files take over from the root of the cache. Nobody outside of the group gets to write, whatever
the root allows."""


def object_name(digest: Digest) -> bytes:
    """Where an object lies below the cache's root."""
    text = digest.text.encode("ascii")
    return b"%b/%b" % (text[:2], text[2:])


def is_object(name: bytes) -> bool:
    """Whether a file called `name` in one of `PREFIXES` is an object."""
    return _OBJECT.fullmatch(name) is not None


def digest_of(prefix: str, name: bytes) -> Digest | None:
    """The digest of the object `name` in the directory `prefix`; None if that is no object's name."""
    try:
        return Digest.parse(prefix + name.decode("ascii", "replace"))
    except FormatError:
        return None


@dataclass(frozen=True, slots=True)
class Modes:
    """The modes of what is made in a cache: they follow those of its root, so that a directory which a site prepared
    for a group (`chmod 2770`) stays usable by the group, whatever the umask of who comes first."""

    directory: int
    file: int

    @classmethod
    def below(cls, root: int) -> Modes:
        """The modes below a root directory of the mode `root`."""
        directory = stat.S_IMODE(root) & _READABLE_BITS | stat.S_IRWXU
        return cls(directory, directory & 0o664)


CUSTOMARY_MODES = Modes(_CUSTOMARY_MODE, 0o660)
"""The alien cache's, less the umask: for a root that is made."""
