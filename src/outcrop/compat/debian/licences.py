"""The licences of a package, as far as its own copyright file says.

Most packages have a file that machines can read (DEP-5). Of others only these licences are told: those that the file
refers to, as texts in `/usr/share/common-licenses`, and those that `licence_words.py` knows by their words. Short names
are those of the file: nobody has checked them.

Source: Debian's "Machine-readable debian/copyright file", version 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from outcrop.compat.debian.control import paragraph
from outcrop.compat.debian.deb_file import open_package
from outcrop.compat.debian.licence_words import licences_in_words
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.lock import LockedPackage
from outcrop.errors import OutcropError, StorageError, storage_error
from outcrop.whole_file import write_whole_file

_FORMAT = re.compile(r"\AFormat(?:-Specification)?:", re.IGNORECASE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")
_FILE_FIELDS = {"files", "license"}
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright")
_DOCUMENTS = re.compile(r"usr/share/doc/[^/]+")
_KNOWN = "licence-names-2"
"""Where beside the packages it is remembered what was read from them."""
_ELSEWHERE = "-> "
"""How it is remembered that a package's documents are another package's."""


def licences_of(mirror: PackageMirror, package: LockedPackage, others: Iterable[LockedPackage] = ()) -> tuple[str, ...]:
    """The licences of `package`, in the order of their names; empty where the package is not in `mirror`, or does not
    say. Where its documents are those of one of `others`, so are its licences."""
    by_name = {one.name: one for one in others}
    next_one: LockedPackage | None = package
    while next_one is not None:
        found = _licences_at(mirror, next_one)
        if not (found and found[0].startswith(_ELSEWHERE)):
            return found
        next_one = by_name.pop(found[0].removeprefix(_ELSEWHERE), None)  # each once: links may lead to each other
    return ()


def _licences_at(mirror: PackageMirror, package: LockedPackage) -> tuple[str, ...]:
    place = mirror.place(package.sha256)
    if not place.is_file():
        return ()
    known = mirror.directory / _KNOWN / package.sha256
    try:
        return tuple(known.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        read = _licences(place)
    except OSError as error:
        raise storage_error(error, str(known)) from error
    if read is None:
        return ()
    with suppress(OSError, StorageError):  # a full disk only makes the next look slower
        known.parent.mkdir(exist_ok=True)
        write_whole_file(known, "\n".join(read).encode())
    return read


def _licences(place: Path) -> tuple[str, ...] | None:
    """The licences in the package at `place`; None where it cannot be read, which is told where it is used."""
    elsewhere = ""
    try:
        with open_package(place) as opened:
            for path, entry in opened.entries():
                if entry.issym() and _DOCUMENTS.fullmatch(path):
                    elsewhere = elsewhere or entry.linkname.rstrip("/").rpartition("/")[2]
                if _COPYRIGHT.fullmatch(path) and entry.isfile():
                    return licences_in(b"".join(opened.contents(entry)).decode("utf-8", "replace"))
    except OutcropError:
        return None
    return (f"{_ELSEWHERE}{elsewhere}",) if elsewhere else ()


def _by_lower_case(fields: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in fields.items()}


def licences_in(text: str) -> tuple[str, ...]:
    """The short names of the licences that the copyright file `text` declares or refers to."""
    if not _FORMAT.match(text):
        return tuple(sorted({*_COMMON.findall(text), *licences_in_words(text)}))
    paragraphs = (_by_lower_case(paragraph(part)) for part in re.split(r"\n\s*\n", text))
    names = {fields["license"].partition("\n")[0].strip() for fields in paragraphs if fields.keys() >= _FILE_FIELDS}
    return tuple(sorted(name for name in names if name))
