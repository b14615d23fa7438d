"""Trees with every kind of entry, and what a directory shows: for comparing what went in with what comes out."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import stat
from dataclasses import dataclass, replace
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True)
class Shown:
    """What a reader can tell of one path."""

    mode: int
    mtime_ns: int
    content: str = ""
    target: bytes = b""
    links: int = 1
    same_file_as: bytes = b""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    device: int = 0


def shown_tree(top: Path, *, with_links_across_directories: bool = False) -> dict[bytes, Shown]:
    """Every path below `top`, without `top` itself. Hard links count within a directory only, unless told otherwise."""
    found: dict[bytes, Shown] = {}
    first_names: dict[tuple[int, int, bytes], bytes] = {}
    counts: dict[tuple[int, int, bytes], int] = {}
    keys: dict[bytes, tuple[int, int, bytes]] = {}
    base = os.fsencode(top)
    for directory, names, files in os.walk(base):
        for name in sorted(names + files):
            place = os.path.join(directory, name)
            path = place[len(base) :]
            status = os.lstat(place)
            within = b"" if with_links_across_directories else directory
            key = (status.st_dev, status.st_ino, within)
            keys[path] = key
            counts[key] = counts.get(key, 0) + 1
            found[path] = _shown(place, status)
            first_names.setdefault(key, path)
    for path, one in found.items():
        if not stat.S_ISDIR(one.mode):
            found[path] = replace(one, links=counts[keys[path]], same_file_as=first_names[keys[path]])
    return found


def _shown(place: bytes, status: os.stat_result) -> Shown:
    kind = stat.S_IFMT(status.st_mode)
    content, target = "", b""
    if kind == stat.S_IFREG:
        content = hashlib.sha256(Path(os.fsdecode(place)).read_bytes()).hexdigest()
    elif kind == stat.S_IFLNK:
        target = os.readlink(place)
    names = [name for name in os.listxattr(place, follow_symlinks=False) if name.startswith("user.")]
    return Shown(
        mode=status.st_mode,
        mtime_ns=status.st_mtime_ns,
        content=content,
        target=target,
        links=status.st_nlink,
        xattrs=tuple(sorted((name, os.getxattr(place, name, follow_symlinks=False)) for name in names)),
        device=status.st_rdev,
    )


def build_every_kind(top: Path) -> None:
    """Writes a tree with every kind of entry that this user may make below the new directory `top`."""
    noise = random.Random(20261121)
    top.mkdir(parents=True)
    (top / "README").write_text("A tree with everything.\n")
    (top / "empty").write_bytes(b"")
    (top / "emptydir").mkdir()
    (top / "with space and ünïcode ☃").mkdir()
    (top / "with space and ünïcode ☃" / "file name").write_text("x")
    Path(os.fsdecode(os.fsencode(top) + b"/latin1-\xe9\xff")).write_bytes(b"not UTF-8")
    (top / ("n" * 255)).write_text("the longest name")
    deep = top
    for number in range(40):
        deep = deep / f"level{number}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("deep")
    _files(top, noise)
    _links(top)
    _permissions(top)
    for place, markers in {"nested": 1, "nested/inner": 1, "nested/inner/most": 1, "plain": 0}.items():
        (top / place).mkdir(parents=True, exist_ok=True)
        (top / place / "data").write_text(place)
        if markers:
            (top / place / ".cvmfscatalog").write_bytes(b"")
    _specials(top)
    # Times last, since writing into a directory changes its own.
    for number, path in enumerate(sorted(top.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, (1_500_000_000 + number) * 10**9 + 123_456_789 * (number % 3)), follow_symlinks=False)


def _files(top: Path, noise: random.Random) -> None:
    (top / "files").mkdir()
    for number in range(150):
        (top / "files" / f"small{number:03}").write_bytes(noise.randbytes(noise.randrange(0, 3000)))
    (top / "files" / "duplicate").write_bytes((top / "files" / "small001").read_bytes())
    (top / "files" / "exactly-4MiB").write_bytes(noise.randbytes(4 * MIB))
    (top / "files" / "large").write_bytes(noise.randbytes(4 * MIB + 1) + bytes(12 * MIB) + noise.randbytes(MIB))
    (top / "files" / "zeros").write_bytes(bytes(17 * MIB))
    try:
        os.setxattr(top / "files" / "small000", "user.note", b"a value \x00\xff")
        os.setxattr(top / "files", "user.directory", b"attributes on a directory")
    except OSError:
        pass  # a file system without extended attributes


def _links(top: Path) -> None:
    links = top / "links"
    links.mkdir()
    (links / "target").write_text("linked")
    (links / "relative").symlink_to("target")
    (links / "absolute").symlink_to("/cvmfs/elsewhere/file")
    (links / "dangling").symlink_to("nowhere")
    (links / "variant").symlink_to("$(OUTCROP_TEST_HOST:-/opt/default)/lib")
    os.symlink(b"\xff\xfe", os.fsencode(links / "not-utf8"))
    (links / "group-a").write_text("three names")
    (links / "group-b").hardlink_to(links / "group-a")
    (links / "group-c").hardlink_to(links / "group-a")
    (links / "elsewhere").mkdir()
    (links / "elsewhere" / "group-d").hardlink_to(links / "group-a")


def _permissions(top: Path) -> None:
    permissions = top / "permissions"
    permissions.mkdir()
    for mode in (0o644, 0o755, 0o400, 0o600, 0o777, 0o1777 & 0o777):
        path = permissions / f"mode{mode:o}"
        path.write_text("m")
        path.chmod(mode)
    sticky = permissions / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1755)


def _specials(top: Path) -> None:
    special = top / "special"
    special.mkdir()
    os.mkfifo(special / "fifo")
    here = Path.cwd()
    os.chdir(special)  # socket addresses are short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)
    if os.geteuid() == 0:
        os.mknod(special / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(special / "loop", stat.S_IFBLK | 0o660, os.makedev(7, 200))
