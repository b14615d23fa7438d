"""What somebody sees who looks at a whole tree of files: `python -m tests.client.alike.seen PLACE OUTPUT`.

It is a program so that a command in a mount, or under `outcrop run`, can write down what it sees. The sizes of
directories and the numbers of their links are left out: they tell how a file system stores names.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

MIDDLE_BYTES = 70_000
"""How much is read from the middle of every file, before the rest is."""


@dataclass(frozen=True)
class Seen:
    """What one path shows. `mtime_ns` in nanoseconds; `names` are all paths of the same file; `xattrs` in hex."""

    mode: int
    mtime_ns: int
    uid: int
    gid: int
    size: int = 0
    digest: str = ""
    middle: str = ""
    target: str = ""
    names: tuple[str, ...] = ()
    links: int = 1
    xattrs: tuple[tuple[str, str], ...] = ()


View = Mapping[str, Seen]
"""What is seen at each path: `""` for the root, `/name` below it. Bytes that are no UTF-8 are surrogates."""


def of_bytes(data: bytes) -> tuple[int, str, str]:
    """The size of a file with these bytes, their digest and that of its middle."""
    middle = data[len(data) // 2 :][:MIDDLE_BYTES]
    return len(data), hashlib.sha256(data).hexdigest(), hashlib.sha256(middle).hexdigest()


def look(place: str | Path) -> View:
    """What is seen at `place` and below it."""
    top = os.fsencode(place)
    paths = [top]
    for directory, directories, files in os.walk(top, onerror=_fail):
        paths += [os.path.join(directory, name) for name in directories + files]
    found: dict[str, Seen] = {}
    inodes: dict[tuple[int, int], list[str]] = {}
    places = {}
    for path in paths:
        status = os.lstat(path)
        name = os.fsdecode(path[len(top) :])
        found[name] = _seen(path, status)
        if not stat.S_ISDIR(status.st_mode):
            places[name] = (status.st_dev, status.st_ino)
            inodes.setdefault(places[name], []).append(name)
    return {
        name: replace(seen, names=tuple(sorted(inodes[places[name]]))) if name in places else seen
        for name, seen in found.items()
    }


def _fail(error: OSError) -> None:
    raise error


def _seen(path: bytes, status: os.stat_result) -> Seen:
    is_directory = stat.S_ISDIR(status.st_mode)
    size, digest, middle = _read(path) if stat.S_ISREG(status.st_mode) else (0, "", "")
    if stat.S_ISREG(status.st_mode):
        assert status.st_size == size, path
    return Seen(
        mode=status.st_mode,
        mtime_ns=status.st_mtime_ns,
        uid=status.st_uid,
        gid=status.st_gid,
        size=size,
        digest=digest,
        middle=middle,
        target=os.fsdecode(os.readlink(path)) if stat.S_ISLNK(status.st_mode) else "",
        links=1 if is_directory else status.st_nlink,
        xattrs=tuple(
            (name, os.getxattr(path, name, follow_symlinks=False).hex())
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        ),
    )


def _read(path: bytes) -> tuple[int, str, str]:
    with open(path, "rb", buffering=0) as file:
        half = os.fstat(file.fileno()).st_size // 2
        middle = b""
        while len(middle) < MIDDLE_BYTES:
            more = os.pread(file.fileno(), MIDDLE_BYTES - len(middle), half + len(middle))
            if not more:
                break
            middle += more
        data = file.readall()
    return len(data), hashlib.sha256(data).hexdigest(), hashlib.sha256(middle).hexdigest()


def write(view: View, output: Path) -> None:
    """Writes down what was seen, for `read`."""
    output.write_text(json.dumps({path: asdict(seen) for path, seen in view.items()}))


def read(output: Path) -> View:
    """What was written down."""
    found = {}
    for path, values in json.loads(output.read_text()).items():
        names, xattrs = tuple(values.pop("names")), tuple((key, value) for key, value in values.pop("xattrs"))
        found[path] = Seen(names=names, xattrs=xattrs, **values)
    return found


def main(place: str, output: str) -> None:
    """Looks twice: first with nothing in the kernel's caches."""
    first = look(place)
    assert look(place) == first
    write(first, Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
