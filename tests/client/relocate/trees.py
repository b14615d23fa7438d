"""Trees to relocate, and what of them must never change."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from outcrop.client.relocate.prefix import prefix
from tests.client.relocate.elf_files import ElfPlan

OLD = prefix("/cvmfs/repo.example.org")
NEW = prefix("/s/one")
OTHER = prefix("/scratch/another/one")
AGE = 1_600_000_000_123_456_789


@dataclass(frozen=True, slots=True)
class Look:
    """What of an entry stays: mode, age, owner and the number of its names."""

    mode: int
    mtime_ns: int
    owner: tuple[int, int]
    links: int


def make_tree(tree: Path) -> Path:
    """A tree with something of everything, built for OLD, all of it of the age AGE."""
    old = OLD.path
    (tree / "bin").mkdir(parents=True)
    (tree / "lib" / "__pycache__").mkdir(parents=True)
    elf = ElfPlan(interpreter=old + b"/lib/ld.so", strings=(("runpath", old + b"/lib"),), data=b"\0" + old + b"/etc\0")
    (tree / "bin" / "tool").write_bytes(elf.build())
    (tree / "bin" / "script").write_bytes(b"#!%s/bin/sh\nexec %s/bin/tool\n" % (old, old))
    os.link(tree / "bin" / "script", tree / "bin" / "script-too")
    os.link(tree / "bin" / "tool", tree / "bin" / "tool-too")
    (tree / "bin" / "link").symlink_to(f"{OLD}/bin/tool")
    (tree / "bin" / "near").symlink_to("tool")
    (tree / "lib" / "a.py").write_bytes(b"HERE = '%s/lib'\n" % old)
    (tree / "lib" / "__pycache__" / "a.cpython-311.pyc").write_bytes(
        b"\xa7\r\r\n" + bytes(12) + b"\xfa\x1b" + old + b"/lib"
    )
    (tree / "lib" / "untouched").write_bytes(b"%s-other/x http://s1%s" % (old, old))
    (tree / os.fsdecode(b"na\xffme")).write_bytes(old)
    (tree / "bin" / "script").chmod(0o555)
    (tree / "bin" / "tool").chmod(0o4555)
    (tree / "lib").chmod(0o555)
    for path in sorted([tree, *tree.rglob("*")], reverse=True):
        os.utime(path, ns=(AGE, AGE), follow_symlinks=False)
    return tree


def looks(tree: Path) -> dict[str, Look]:
    """What every entry of `tree` looks like from outside, the record left out."""
    found = {}
    for path in [tree, *tree.rglob("*")]:
        status = path.lstat()
        if path.name != ".outcrop-relocation.json":
            look = Look(status.st_mode, status.st_mtime_ns, (status.st_uid, status.st_gid), status.st_nlink)
            found[str(path.relative_to(tree))] = look
    return found


def contents(tree: Path) -> dict[str, bytes]:
    """The bytes of every file and link of `tree`, the record left out."""
    return {
        str(path.relative_to(tree)): os.readlink(os.fsencode(path)) if path.is_symlink() else path.read_bytes()
        for path in tree.rglob("*")
        if (path.is_symlink() or path.is_file()) and path.name != ".outcrop-relocation.json"
    }
