"""A small repository of software that was built for the place where it is published."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from outcrop.client.pack.staging import Relocation
from outcrop.client.relocate.prefix import Prefix, prefix
from tests.client.published import DIRECTORY, NAME, Published, directory_entry, link_entry
from tests.client.relocate.elf_files import ElfPlan

OLD = prefix(f"/cvmfs/{NAME}")
TARGET = prefix("/s/soft")
TO = Relocation(OLD, TARGET)

_ELF = ElfPlan(
    interpreter=OLD.path + b"/lib/ld.so", strings=(("runpath", OLD.path + b"/lib"),), data=b"\0" + OLD.path + b"/etc\0"
).build()

FILES: dict[bytes, tuple[bytes, int]] = {
    b"/bin/script": (b"#!%s/bin/sh\nexec %s/bin/tool\n" % (OLD.path, OLD.path), 0o555),
    b"/bin/tool": (_ELF, 0o755),
    b"/lib/a.py": (b"HERE = '%s/lib'\n" % OLD.path, 0o644),
    b"/lib/a.pyc": (b"\xa7\r\r\n" + bytes(12) + b"\xfa" + bytes([len(OLD) + 4]) + OLD.path + b"/lib", 0o644),
    b"/share/untouched": (b"nothing of it\n" * 100, 0o600),
    b"/share/other": (OLD.path + b"-other/x", 0o644),
}
"""Contents and permissions, by path."""


def software() -> Published:
    """Scripts, an ELF file, bytecode, links of both kinds, and directories that forbid writing; signed."""
    published = Published()
    entries = {path: directory_entry(path[1:]) for path in (b"/bin", b"/lib")}
    entries[b"/share"] = directory_entry(b"share", mode=(DIRECTORY & ~0o222))
    for path, (data, mode) in FILES.items():
        entries[path] = published.file(path.rpartition(b"/")[2], data, mode=0o100000 | mode)
    script = FILES[b"/bin/script"][0]
    for name in (b"one", b"two"):
        entries[b"/lib/" + name] = published.file(name, script, linkcount=2, hardlink_group=1)
    entries[b"/bin/far"] = link_entry(b"far", OLD.path + b"/bin/tool")
    entries[b"/bin/near"] = link_entry(b"near", b"tool")
    return published.sign(published.catalog(entries))


def relocated_files(to: Prefix = TARGET) -> dict[str, bytes]:
    """What every file, and every link, holds at `to`."""
    padded = to.padded(len(OLD))
    script = FILES[b"/bin/script"][0].replace(OLD.path, to.path)
    return {
        "bin/script": script,
        "bin/tool": _ELF.replace(OLD.path, padded),
        "bin/far": to.path + b"/bin/tool",
        "bin/near": b"tool",
        "lib/one": script,
        "lib/two": script,
        "lib/a.py": FILES[b"/lib/a.py"][0].replace(OLD.path, padded),
        "lib/a.pyc": FILES[b"/lib/a.pyc"][0].replace(OLD.path, padded),
        "share/untouched": FILES[b"/share/untouched"][0],
        "share/other": FILES[b"/share/other"][0],
    }


def held(root: Path) -> dict[str, bytes]:
    """The bytes of every file and the targets of all links below `root`, without what Outcrop says there itself."""
    return {
        str(path.relative_to(root)): os.readlink(os.fsencode(path)) if path.is_symlink() else path.read_bytes()
        for path in root.rglob("*")
        if (path.is_symlink() or path.is_file()) and not path.name.startswith(".outcrop-")
    }


_LIBRARY = """
#include <stdio.h>
int tell(void) {
    char line[100];
    FILE *file = fopen("%s/share/greeting", "r");
    if (!file || !fgets(line, sizeof line, file)) return 3;
    fputs(line, stdout);
    return 0;
}
"""
_PROGRAM = "int tell(void); int main(void) { return tell(); }"


def compiled_software(scratch: Path, interpreter: Path) -> Published:
    """A program with a library and an interpreter of its own, compiled for `/cvmfs/NAME`, with scripts that call it."""
    published = Published()
    scratch.mkdir()
    library, program = scratch / "libtell.so", scratch / "tell"
    _compile(_LIBRARY % OLD, library, "-shared", "-fPIC")
    run_path = (f"-Wl,-rpath,{OLD}/lib", f"-Wl,--dynamic-linker={OLD}/lib/ld.so")
    _compile(_PROGRAM, program, "-x", "none", "-L", str(scratch), "-ltell", *run_path)
    shell = Path(shutil.which("sh") or "/bin/sh").resolve()
    files = {
        b"/lib/libtell.so": library.read_bytes(),
        b"/lib/ld.so": interpreter.read_bytes(),
        b"/bin/tell": program.read_bytes(),
        b"/bin/sh": shell.read_bytes(),
        b"/bin/script": b"#!%s/bin/sh\nexec %s/bin/tell\n" % (OLD.path, OLD.path),
        b"/bin/pieces": b"#!/bin/sh\nwhere=/cvmfs\ncat $where/%s/share/greeting 2>/dev/null\nexit 0\n" % NAME.encode(),
        b"/bin/writes": b"#!/bin/sh\n%s/bin/tell\necho more 2>/dev/null >>%s/share/greeting\nexit 0\n"
        % (OLD.path, OLD.path),
        b"/share/greeting": b"hello from the pack\n",
    }
    entries = {path: directory_entry(path[1:]) for path in (b"/bin", b"/lib", b"/share")}
    for path, data in files.items():
        mode = 0o100644 if path.startswith(b"/share") else 0o100755
        entries[path] = published.file(path.rpartition(b"/")[2], data, mode=mode)
    return published.sign(published.catalog(entries))


def _compile(source: str, output: Path, *options: str) -> None:
    subprocess.run(["gcc", "-x", "c", "-", "-o", str(output), *options], input=source.encode(), check=True)
