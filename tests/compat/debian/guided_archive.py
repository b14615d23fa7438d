"""The archive of a guide: `jq` and the library that it needs, as they were, and a month later, with a fault mended."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from outcrop.compat.family import FAMILIES, Family, this_family
from tests.compat.debian.archive_made_here import MadeArchive, MadeKey, MadeSuite
from tests.compat.debian.packages_made_here import MadePackage, directory, file

OLD, MENDED = "6.9.8-1", "6.9.8-1+deb12u1"
"""Versions of the library."""

_LIBRARY = "int onig_version(void) { return 6; } int onig_more(void) { return %d; }"
_PROGRAM = "int onig_version(void); int main(void) { return onig_version(); }"


def archives(place: Path, key: MadeKey) -> tuple[MadeArchive, MadeArchive]:
    """The archive as it was, which already has the files of the one that comes a month later, and that one. They are
    signed by `key`; programs are compiled in `place`."""
    old_library, mended_library = (_compiled(place, "libonig.so.5", _LIBRARY % number, "-shared") for number in (1, 2))
    program = _compiled(place, "jq", _PROGRAM, "-Wl,-e,main", f"-L{place}", "-l:libonig.so.5")
    jq = [_package("jq", "jq", "1.6-2.1", family, "usr/bin/jq", program) for family in FAMILIES]
    old, mended = (
        _archive([*jq, *(_library(version, family, data) for family in FAMILIES)], key)
        for version, data in ((OLD, old_library), (MENDED, mended_library))
    )
    old.files.update({path: data for path, data in mended.files.items() if path.startswith("pool/")})
    return old, mended


def advisories() -> bytes:
    """What Debian's security tracker would say of the library."""
    state = {"status": "resolved", "fixed_version": MENDED, "urgency": "high"}
    return json.dumps({"libonig": {"CVE-2026-0001": {"releases": {"bookworm": state}}}}).encode()


def _archive(packages: Sequence[MadePackage], key: MadeKey) -> MadeArchive:
    now = datetime.now(UTC)
    made = MadeArchive()
    suite = MadeSuite(
        "bookworm",
        date=now - timedelta(hours=1),
        valid_until=now + timedelta(days=2),
        architectures=tuple(family.debian for family in FAMILIES),
    )
    made.add_suite(suite, packages, key)
    return made


def _library(version: str, family: Family, data: bytes) -> MadePackage:
    return _package("libonig5", "libonig", version, family, f"usr/lib/{family.triplet}/libonig.so.5", data)


def _package(name: str, source: str, version: str, family: Family, path: str, data: bytes) -> MadePackage:
    """A package with one file, which is empty for other families than this machine's."""
    parents = [directory(str(parent)) for parent in reversed(Path(path).parents[:-1])]
    fields = {"Source": source, **({"Depends": f"libonig5 (>= {OLD})"} if name == "jq" else {})}
    contents = file(path, data if family == this_family() else b"", 0o755)
    return MadePackage(name, version, family.debian, fields, entries=(*parents, contents))


def _compiled(place: Path, name: str, source: str, *options: str) -> bytes:
    (place / f"{name}.c").write_text(source)
    soname = [f"-Wl,-soname,{name}"] if "-shared" in options else []
    command = ["gcc", "-nostdlib", "-fPIC", str(place / f"{name}.c"), *options, *soname, "-o", str(place / name)]
    subprocess.run(command, check=True)
    return (place / name).read_bytes()
