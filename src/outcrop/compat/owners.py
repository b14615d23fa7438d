"""Which package a file of a layer is from: `packages.txt` of its record, with a line for each as `dpkg -S` prints it.

    bash: usr/bin/bash
    gcc-12-base:

A package of which nothing was unpacked has a line without a path. What no package has was made when the layer was
finished, and is in one of a few places.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from outcrop.compat.left_out import glob_pattern
from outcrop.errors import FormatError
from outcrop.toml_text import read_text

OWNERS_FILE = "packages.txt"

_GENERATED = (
    "startprefix",
    ".cvmfscatalog",
    "etc/ld.so.cache",
    "etc/profile",
    "etc/ssl/certs/ca-certificates.crt",
    "usr/lib/*/gconv/gconv-modules.cache",
    "usr/lib/gcc/*/*/specs",
    "usr/lib/locale/**",
    "usr/lib/python*.zip",
    "usr/libexec/outcrop/*",
    "**/__pycache__/*.pyc",
)
GENERATED = re.compile("|".join(glob_pattern(path) for path in _GENERATED))
"""Files that finishing a layer makes. Links come from packages' scripts and declarations; that they lead to something
is another check."""


@dataclass(frozen=True, slots=True)
class Owners:
    """The shipped `packages`, and each path's package."""

    packages: frozenset[str]
    by_path: Mapping[str, str]


def owners_text(tree: Path, packages: Mapping[str, Iterable[str]]) -> bytes:
    """The document for a finished `tree`: what is there of the paths that `packages` brought."""
    lines = []
    for name, paths in sorted(packages.items()):
        there = sorted(path for path in paths if os.path.lexists(tree / path))
        lines += [f"{name}: {path}" for path in there] or [f"{name}:"]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def read_owners(record: Path) -> Owners | None:
    """What the record in the directory `record` says; None for a layer that was built before there was such a file.
    FormatError, StorageError."""
    path = record / OWNERS_FILE
    if not path.is_file():
        return None
    packages, by_path = set(), {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name, colon, place = line.partition(":")
        if not colon or not name:
            raise FormatError(what=str(path), field=f"line {number}", problem="names no package")
        packages.add(name)
        if place:
            by_path[place.removeprefix(" ")] = name
    return Owners(frozenset(packages), by_path)
