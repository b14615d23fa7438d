"""A stack of one tiny program whose source is made on the spot: real builds in seconds, without any network."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outcrop.init.target import Family, Target
from outcrop.software.build import BuildRequest
from outcrop.software.demo_stack import render
from outcrop.software.stack import Stack, read_stack
from tests.software.sources.pretended import digest_of

GENERIC = Target.generic(Family.X86_64)

REPOSITORY = "outcrop-test.example.org"

PROGRAM = """#include <stdio.h>
int main(void) { puts("hello from " PREFIX); return 0; }
"""

WORKING_MAKEFILE = "hello: hello.c\n\t$(CC) $(CFLAGS) -DPREFIX='\"$(PREFIX)\"' -o $@ $< $(LDFLAGS)\n"

BROKEN_MAKEFILE = "hello:\n\t@echo one line of talk\n\t$(CC) -o hello missing.c\n"

SLOW_MAKEFILE = "hello:\n\tsleep 60\n"

EASYCONFIG = """
easyblock = 'MakeCp'
name = 'hello'
version = '1.0'
homepage = 'https://example.org'
description = "Says where it was installed."
toolchain = {{'name': 'GCCcore', 'version': '{gcc}'}}
sources = [SOURCE_TAR_GZ]
checksums = ['{sha256}']
buildopts = 'CC="$CC" CFLAGS="$CFLAGS" PREFIX=%(installdir)s'
files_to_copy = [(['hello'], 'bin')]
sanity_check_paths = {{'files': ['bin/hello'], 'dirs': []}}
sanity_check_commands = ['hello | grep {mount_root}/{repository}/']
moduleclass = 'tools'
"""


@dataclass(frozen=True)
class SmallStack:
    """The stack, its only easystack, and the mirror with its only source."""

    stack: Stack
    easystack: Path
    mirror: Path

    def request(self, tree: Path) -> BuildRequest:
        return BuildRequest(self.stack, GENERIC, (self.easystack,), tree, self.mirror, jobs=2)


def write_small_stack(
    directory: Path,
    gcc: str,
    makefile: str = WORKING_MAKEFILE,
    mount_root: str = "/cvmfs",
    repository: str = REPOSITORY,
) -> SmallStack:
    """A stack below `directory` whose program is built by `makefile` with the system's GCC of version `gcc`."""
    source = tarball({"hello-1.0/hello.c": PROGRAM, "hello-1.0/Makefile": makefile})
    shelf = directory / "mirror" / "h" / "hello"
    easystacks = directory / "stack" / "easystacks" / repository / "2026.06"
    easyconfigs = directory / "stack" / "easyconfigs"
    for folder in (shelf, easystacks, easyconfigs):
        folder.mkdir(parents=True, exist_ok=True)
    (shelf / "hello-1.0.tar.gz").write_bytes(source)
    (directory / "stack" / "stack.toml").write_text(
        f'repository = "{repository}"\nversion = "2026.06"\nmount_root = "{mount_root}"\n'
    )
    (easyconfigs / f"GCCcore-{gcc}.eb").write_text(render("GCCcore", gcc))
    text = EASYCONFIG.format(gcc=gcc, sha256=digest_of(source), repository=repository, mount_root=mount_root)
    (easyconfigs / f"hello-1.0-GCCcore-{gcc}.eb").write_text(text)
    easystack = easystacks / "hello.yml"
    easystack.write_text(f"easyconfigs: [hello-1.0-GCCcore-{gcc}.eb]\n")
    return SmallStack(read_stack(directory / "stack"), easystack, directory / "mirror")


def tarball(files: Mapping[str, str]) -> bytes:
    """A compressed tarball with `files`, owned by nobody in particular."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.gid = len(text.encode()), 12345, 12345
            tar.addfile(entry, io.BytesIO(text.encode()))
    return target.getvalue()
