"""A tree with every kind of entry that a publisher can take in, as a plain list: the truth that readers are held to.

Only root can give files away, read what nobody may read, and set capabilities. Where somebody else runs the tests, all
is root's in the repository, and its owner may read it.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.client.alike.seen import Seen, View, of_bytes

AS_ROOT = os.geteuid() == 0
NESTED = b"/shelf/deep"
"""The directory with a catalog of its own."""

LARGE = b"/large"
_LARGE_BYTES = 4 * 1024 * 1024 + 40_001
_LARGE_SEED = 16
"""With these bytes, the publisher cuts the file just above the least size of a chunk, 4 MiB."""

LONGEST, TIMES = b"/longest", b"/times"
"""Directories with what few programs expect: a name of 255 bytes, and times that 32 bits do not hold."""

ENVIRONMENT = {"BOOK": "shelf/plain"}
"""What the variant links are filled in with."""

FILLED_IN = {b"$(BOOK)": b"shelf/plain", b"$(NOBODY_SETS_THIS:-shelf)/deep": b"shelf/deep"}
"""The targets of the variant links, and what they are under `ENVIRONMENT`."""

_BEGINNING = 1_500_000_000 * 10**9
_AT_SECONDS = {
    b"/first": 0,
    TIMES + b"/before 1970": -86_400,
    TIMES + b"/after 2038": 2_300_000_000,
    TIMES + b"/after 2106": 2**33,
}
"""Files with a time of their own, in seconds since 1970."""

_DAY = 86_400 * 10**9
_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
"""Lets a program open raw sockets (`cap_net_raw+ep`, version 2 of the kernel's form)."""


@dataclass(frozen=True)
class Thing:
    """One entry. `mode` has the type; `first` is the name that a further name of a file leads to."""

    mode: int
    data: bytes = b""
    target: bytes = b""
    first: bytes = b""
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    mtime_ns: int = 0
    owner: tuple[int, int] = (0, 0)


def _directory(permissions: int = 0o755, **xattrs: bytes) -> Thing:
    return Thing(stat.S_IFDIR | permissions, xattrs=_named(xattrs))


def _file(data: bytes = b"", permissions: int = 0o644, **xattrs: bytes) -> Thing:
    return Thing(stat.S_IFREG | permissions, data, xattrs=_named(xattrs))


def _link(target: bytes) -> Thing:
    return Thing(stat.S_IFLNK | 0o777, target=target)


def _again(first: bytes) -> Thing:
    return Thing(stat.S_IFREG, first=first)


def _named(xattrs: Mapping[str, bytes]) -> dict[bytes, bytes]:
    return {b"user." + name.encode(): value for name, value in xattrs.items()}


_LISTED: dict[bytes, Thing] = {
    b"": _directory(),
    # Contents.
    b"/empty": _file(),
    b"/byte": _file(b"x"),
    b"/zeros": _file(bytes(1_000_000)),
    b"/block": _file(random.Random(1).randbytes(4096)),
    b"/random": _file(random.Random(2).randbytes(300_007)),
    LARGE: _file(random.Random(_LARGE_SEED).randbytes(_LARGE_BYTES)),
    # Permissions.
    b"/setuid": _file(b"#!/bin/sh\n", 0o4755),
    b"/setgid": _file(b"#!/bin/sh\nid\n", 0o2711),
    b"/sticky": _file(b"sticky", 0o1604),
    b"/closed": _file(b"for the owner alone", 0o400),
    b"/nobody": _file(b"nobody may read this", 0o000 if AS_ROOT else 0o400),
    b"/all": _file(b"everybody may do everything", 0o777),
    b"/scratch": _directory(0o1777),
    b"/group": _directory(0o2775),
    b"/private": _directory(0o700),
    b"/private/inside": _file(b"inside", 0o600),
    b"/bare": _directory(0o555),
    # Links.
    b"/relative": _link(b"shelf/deep/file"),
    b"/absolute": _link(b"/etc/hostname"),
    b"/dangling": _link(b"leads/nowhere"),
    b"/long": _link(b"very/" * 190 + b"long"),
    b"/odd target": _link(b"latin1-\xe9 $ ) ( tab\tand\nline"),
    **{b"/variant%d" % number: _link(target) for number, target in enumerate(FILLED_IN)},
    # Names of one file.
    b"/twins": _directory(),
    b"/twins/a": _file(b"one file with three names", 0o640, shared=b"by all names"),
    b"/twins/b": _again(b"/twins/a"),
    b"/twins/c": _again(b"/twins/a"),
    b"/twins/single": _file(b"one file with three names"),
    # Attributes.
    b"/marked": _file(b"marked", note=b"hello", empty=b"", binary=bytes(range(1, 256))),
    b"/marked directory": _directory(0o755, note=b"a directory's", zero=b"\0\xff\0"),
    # Names.
    b"/names": _directory(),
    b"/names/latin1-\xe9": _file(b"latin1"),
    b"/names/gr\xc3\xb6\xc3\x9fer \xe6\x96\x87": _file(b"utf-8"),
    b"/names/tab\tand\nline": _file(b"blanks"),
    b"/names/ blanks ": _file(b"more blanks"),
    b"/names/100%41?#&+;=": _file(b"what means something in an address"),
    b"/names/back\\slash\"quote'$(x)": _file(b"what means something in a shell"),
    b"/names/-rf": _file(b"what means something as an option"),
    b"/names/...": _file(b"dots"),
    b"/names/\x01\x7f\xff": _file(b"control"),
    LONGEST: _directory(),
    LONGEST + b"/" + b"n" * 255: _file(b"the longest name"),
    b"/names/d\xe9": _directory(),
    b"/names/d\xe9/inside": _file(b"inside an odd name"),
    # Times.
    TIMES: _directory(),
    **{path: _file(path) for path in _AT_SECONDS},
    # Special files.
    b"/fifo": Thing(stat.S_IFIFO | 0o620),
    # Catalogs.
    b"/shelf": _directory(),
    b"/shelf/plain": _file(b"plain"),
    NESTED: _directory(0o750, nested=b"the root of a catalog"),
    NESTED + b"/.cvmfscatalog": _file(),
    NESTED + b"/file": _file(b"in a nested catalog"),
    NESTED + b"/one": _file(b"two names in a nested catalog"),
    NESTED + b"/two": _again(NESTED + b"/one"),
    NESTED + b"/up": _link(b"../plain"),
    NESTED + b"/below": _directory(),
    NESTED + b"/below/file": _file(b"deep down"),
}


def _things() -> dict[bytes, Thing]:
    """The entries with owners, capabilities and times of their own."""
    found = {}
    for number, (path, thing) in enumerate(sorted(_LISTED.items())):
        mtime_ns = _BEGINNING + number * _DAY + number * 1_000_003
        owner = (number % 3 * 1000, number % 5 * 100) if AS_ROOT else (0, 0)
        xattrs = dict(thing.xattrs)
        if path == b"/all" and AS_ROOT:
            xattrs[b"security.capability"] = _CAPABILITY
        found[path] = replace(thing, xattrs=xattrs, mtime_ns=mtime_ns, owner=owner)
    for path, seconds in _AT_SECONDS.items():
        found[path] = replace(found[path], mtime_ns=seconds * 10**9 + 5)
    return {path: found[thing.first] if thing.first else thing for path, thing in found.items()}


THINGS: Mapping[bytes, Thing] = _things()
"""Every entry by path, the root first."""

NAMES_OF: Mapping[bytes, tuple[bytes, ...]] = {
    path: tuple(sorted(other for other in _LISTED if (_LISTED[other].first or other) == (thing.first or path)))
    for path, thing in _LISTED.items()
}
"""All names of the file at each path."""


def truth(*, filled_in: bool) -> View:
    """What everybody must see; variant links `filled_in` from `ENVIRONMENT`, or as they were published."""
    return {os.fsdecode(path): _seen(path, thing, filled_in=filled_in) for path, thing in THINGS.items()}


def _seen(path: bytes, thing: Thing, *, filled_in: bool) -> Seen:
    size, digest, middle = of_bytes(thing.data) if stat.S_ISREG(thing.mode) else (0, "", "")
    is_directory = stat.S_ISDIR(thing.mode)
    return Seen(
        mode=thing.mode,
        mtime_ns=thing.mtime_ns,
        uid=thing.owner[0],
        gid=thing.owner[1],
        size=size,
        digest=digest,
        middle=middle,
        target=os.fsdecode(FILLED_IN.get(thing.target, thing.target) if filled_in else thing.target),
        names=() if is_directory else tuple(os.fsdecode(name) for name in NAMES_OF[path]),
        links=1 if is_directory else len(NAMES_OF[path]),
        xattrs=tuple((name.decode(), value.hex()) for name, value in sorted(thing.xattrs.items())),
    )


def write_tree(directory: Path) -> None:
    """Makes the tree below the new directory `directory`, for a publisher to take in."""
    top = os.fsencode(directory)
    for path, thing in THINGS.items():
        place = top + path
        if NAMES_OF[path][0] != path:
            os.link(top + NAMES_OF[path][0], place)
        elif stat.S_ISDIR(thing.mode):
            os.mkdir(place)
        elif stat.S_ISLNK(thing.mode):
            os.symlink(thing.target, place)
        elif stat.S_ISFIFO(thing.mode):
            os.mkfifo(place)
        else:
            Path(os.fsdecode(place)).write_bytes(thing.data)
    # What a directory holds changes its time, and a change of owner takes set-user-ID bits and capabilities away.
    for path, thing in sorted(THINGS.items(), reverse=True):
        place = top + path
        if AS_ROOT:
            os.chown(place, *thing.owner, follow_symlinks=False)
        for name, value in thing.xattrs.items():
            os.setxattr(place, name, value)
        if not stat.S_ISLNK(thing.mode):
            os.chmod(place, stat.S_IMODE(thing.mode))
        os.utime(place, ns=(thing.mtime_ns, thing.mtime_ns), follow_symlinks=False)
