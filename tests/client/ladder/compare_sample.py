"""Whether a place shows what the stock client shows of a sample:
`python -m tests.client.ladder.compare_sample NAME PLACE [--without-owners]`.

Run by `outcrop run`, as a command that sees the repository.

The size of a directory is left out: it tells how a file system stores names. So are the attributes by which a mount
informs about itself.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import sys
from typing import Any

from tests.cvmfs.samples import expected


def _bytes_of(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def _compare(path: bytes, entry: dict[str, Any], *, with_owners: bool) -> None:
    status = os.lstat(path)
    seconds, nanoseconds = divmod(status.st_mtime_ns, 10**9)
    found = {"st_mode": status.st_mode, "mtime": seconds, "mtime_ns": nanoseconds}
    if with_owners:
        found |= {"uid": status.st_uid, "gid": status.st_gid}
    if not stat.S_ISDIR(status.st_mode):
        found |= {"size": status.st_size, "nlink": status.st_nlink}
    assert found == {key: entry[key] for key in found}, path
    assert sorted(os.listxattr(path, follow_symlinks=False)) == sorted(entry["xattrs_listed"]), path
    for name, value in entry["xattrs_listed"].items():
        assert os.getxattr(path, name, follow_symlinks=False) == base64.b64decode(value), (path, name)
    if "children" in entry:
        assert sorted(os.listdir(path)) == sorted(_bytes_of(child) for child in entry["children"]), path
    if "target" in entry:
        assert os.readlink(path) == _bytes_of(entry["target"]), path
    if "rdev" in entry:
        assert [os.major(status.st_rdev), os.minor(status.st_rdev)] == entry["rdev"], path
    if "sha256" in entry:
        with open(path, "rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"], path


def main(name: str, place: str, *options: str) -> None:
    """Compares twice: first with nothing in the kernel's caches."""
    document = expected(name)
    top = os.fsencode(place)
    for _ in range(2):
        for entry in document["entries"]:
            _compare(top + _bytes_of(entry["path"]).rstrip(b"/"), entry, with_owners=not options)
        for group in document["hardlink_groups"]:
            assert len({os.stat(top + _bytes_of(path)).st_ino for path in group}) == 1, group
    sys.stdout.write(f"{len(document['entries'])} entries are the same\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
