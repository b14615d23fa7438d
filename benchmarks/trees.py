"""Trees to measure with: installed software, as it lies in this Python's own environment."""

from __future__ import annotations

import os
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReferenceTree:
    """A directory with what it holds."""

    directory: Path
    files: int
    entries: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.entries:,} entries, {self.files:,} files, {self.bytes / 1e6:,.0f} MB"


def copied_site_packages(destination: Path, maximum_bytes: int) -> ReferenceTree:
    """A copy of this environment's packages, whole packages in order of name until `maximum_bytes` are reached.

    Packages of more than a tenth of that are left out, so that no single one decides the result."""
    source = Path(sysconfig.get_paths()["purelib"])
    destination.mkdir(parents=True)
    total = 0
    for package in sorted(source.iterdir()):
        size = sum(path.lstat().st_size for path in [package, *package.rglob("*")] if path.is_file())
        if size > maximum_bytes // 10 or total + size > maximum_bytes:
            continue
        total += size
        if package.is_dir():
            shutil.copytree(package, destination / package.name, symlinks=True)
        else:
            shutil.copy2(package, destination / package.name)
    return measured(destination)


def measured(directory: Path) -> ReferenceTree:
    """What `directory` holds."""
    files = entries = size = 0
    for path, names, leaves in os.walk(directory):
        entries += len(names) + len(leaves)
        for leaf in leaves:
            status = os.lstat(os.path.join(path, leaf))
            files += 1
            size += status.st_size
    return ReferenceTree(directory, files, entries, size)
