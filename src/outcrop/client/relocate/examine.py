"""What a file asks for when its tree is relocated: a function of its path, its bytes and the prefix, nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from outcrop.client.relocate.changes import NOTHING, Change, Examined, Finding, Place, PlaceKind, Reason, Style
from outcrop.client.relocate.elf import ElfString, LocatedString, read_elf
from outcrop.client.relocate.formats import SHEBANG, Format, counts_bytes, format_of, is_manual, is_text
from outcrop.client.relocate.places import Context, Data, Occurrences, find_places
from outcrop.client.relocate.prefix import Prefix
from outcrop.client.relocate.sealed import Inside, read_zip, search_compressed
from outcrop.errors import FormatError

SHEBANG_BYTES = 127
"""The longest `#!` line that every kernel takes whole; since Linux 5.1 it is 255 (BINPRM_BUF_SIZE, less the zero)."""

_HEAD_BYTES = 8192
_NAMES_SHOWN = 3
_ELF_KINDS = {
    ElfString.INTERPRETER: PlaceKind.INTERPRETER,
    ElfString.RUN_PATH: PlaceKind.RUN_PATH,
    ElfString.LIBRARY: PlaceKind.LIBRARY,
}
_PYTHON_SOURCE = b".py"
_CHECKED_HASH = 0b11
"""PEP 552: the flags of bytecode that is valid as long as its source has a certain hash."""


def examine(path: bytes, data: Data, original: Prefix, *, compiled: bool = False) -> Examined:
    """What the file `path` with the contents `data` asks for.

    `compiled`: bytecode was made of this source, and is only valid as long as the source keeps its length.
    """
    needle = original.path
    kind = format_of(path, data)
    if kind.is_compressed:
        return _compressed(path, data, kind, needle)
    if kind is Format.ZIP:
        return _zip(path, data, needle)
    if data.find(needle) < 0:
        return _written_otherwise(path, data, needle)
    if kind.is_sealed:
        return Examined(findings=(Finding(path, Reason.SEALED, _count(data, needle), kind.value),))
    if kind is Format.ELF:
        return _elf(path, data, needle)
    if kind is Format.BYTECODE:
        return _bytecode(path, data, needle)
    if kind is Format.ARCHIVE:
        found = find_places(data, needle, Context.BINARY)
        return _examined(path, Style.PADDED, _places(found, PlaceKind.ARCHIVE), found, data, needle)
    if is_text(data):
        return _text(path, data, needle, compiled)
    found = find_places(data, needle, Context.BINARY)
    return _examined(path, Style.PADDED, _with_shebang(data, found, PlaceKind.BINARY), found, data, needle)


def examine_link(path: bytes, target: bytes, directory: bytes, original: Prefix) -> Examined:
    """What the symbolic link `path` in `directory` (below the tree) asks for, which points to `target`."""
    slashes = len(target) - len(target.lstrip(b"/"))
    if slashes and original.holds(os.path.normpath(target[slashes - 1 :])):
        if target.startswith(original.path, slashes - 1):
            return Examined(Change(path, Style.EXACT, len(target), (Place(slashes - 1, PlaceKind.LINK),)))
        return Examined(findings=(Finding(path, Reason.ODD_LINK, detail=os.fsdecode(target)),))
    if not target.startswith(b"/"):
        climbed = os.path.normpath(os.path.join(directory, target))
        if climbed.startswith(b"../"):
            return Examined(findings=(Finding(path, Reason.CLIMBING_LINK, detail=os.fsdecode(target)),))
    return NOTHING


def _count(data: Data, needle: bytes) -> int:
    return len(re.findall(re.escape(needle), data))


def _places(found: Occurrences, kind: PlaceKind) -> tuple[Place, ...]:
    return tuple(Place(offset, kind) for offset in found.places)


def _with_shebang(data: Data, found: Occurrences, kind: PlaceKind) -> tuple[Place, ...]:
    """The places of a file whose first line may name its interpreter."""
    end = data.find(b"\n") if data[: len(SHEBANG)] == SHEBANG else -1
    return tuple(Place(offset, PlaceKind.SHEBANG if offset < end else kind) for offset in found.places)


def _examined(
    path: bytes,
    style: Style,
    places: tuple[Place, ...],
    found: Occurrences,
    data: Data,
    needle: bytes,
    more: Iterable[Finding] = (),
) -> Examined:
    findings = [*more]
    if found.inner:
        findings.append(Finding(path, Reason.INNER, found.inner))
    findings += _written_otherwise(path, data, needle).findings
    return Examined(Change(path, style, len(data), places) if places else None, tuple(findings))


def _written_otherwise(path: bytes, data: Data, needle: bytes) -> Examined:
    """Spellings of the prefix that are found, but not changed."""
    findings = []
    if b"\0" in data[:_HEAD_BYTES]:
        wide = needle.decode("ascii").encode("utf-16-le")
        if data.find(wide) >= 0:
            findings.append(Finding(path, Reason.UTF16, _count(data, wide)))
    else:
        escaped = needle.replace(b"/", rb"\/")
        if data.find(escaped) >= 0:
            findings.append(Finding(path, Reason.ESCAPED, _count(data, escaped)))
    return Examined(findings=tuple(findings)) if findings else NOTHING


def _text(path: bytes, data: Data, needle: bytes, compiled: bool) -> Examined:
    padded = counts_bytes(path) or (compiled and path.endswith(_PYTHON_SOURCE))
    found = find_places(data, needle, Context.TEXT)
    places = _with_shebang(data, found, PlaceKind.TEXT)
    more = []
    if places and places[0].kind is PlaceKind.SHEBANG:
        length = data.find(b"\n")
        if length > SHEBANG_BYTES:
            more.append(Finding(path, Reason.SHEBANG_LENGTH, detail=f"{length} bytes"))
    return _examined(path, Style.PADDED if padded else Style.EXACT, places, found, data, needle, more)


def _bytecode(path: bytes, data: Data, needle: bytes) -> Examined:
    found = find_places(data, needle, Context.BYTECODE)
    return _examined(path, Style.PADDED, _places(found, PlaceKind.BYTECODE), found, data, needle)


def hashed_bytecode(data: Data) -> bool:
    """Whether Python compares the bytecode `data` with its source by a hash (PEP 552)."""
    return int.from_bytes(data[4:8], "little") == _CHECKED_HASH


def _elf(path: bytes, data: Data, needle: bytes) -> Examined:
    # Few files ask for it, and every process that looks through files would pay for numpy.
    from outcrop.client.relocate.pointers import Pointers

    found = find_places(data, needle, Context.BINARY)
    try:
        elf = read_elf(data)
    except FormatError:
        # Whatever it is, it keeps its length.
        elf = None
    pointers = Pointers(data, elf) if elf and found.places else None
    strings = elf.strings if elf else ()
    places, shared = [], 0
    for offset in found.places:
        # Linkers let a string be the end of another one; what would lose its own beginning stays as it is.
        inside = any(offset < string.offset < offset + len(needle) for string in strings)
        kind = _elf_kind(offset, strings)
        if inside or (pointers and kind is PlaceKind.DATA and pointers.any_into(offset, len(needle))):
            shared += 1
        else:
            places.append(Place(offset, kind))
    more = [Finding(path, Reason.SHARED, shared)] if shared else []
    return _examined(path, Style.PADDED, tuple(places), found, data, needle, more)


def _elf_kind(offset: int, strings: tuple[LocatedString, ...]) -> PlaceKind:
    for string in strings:
        if string.offset <= offset < string.end:
            return _ELF_KINDS[string.kind]
    return PlaceKind.DATA


def _compressed(path: bytes, data: Data, kind: Format, needle: bytes) -> Examined:
    if is_manual(path):
        return NOTHING
    return Examined(findings=_inside(path, search_compressed(data, kind, needle), kind.value))


def _inside(path: bytes, inside: Inside, detail: str) -> tuple[Finding, ...]:
    findings = []
    if inside.count:
        findings.append(Finding(path, Reason.COMPRESSED, inside.count, detail))
    elif not inside.complete:
        findings.append(Finding(path, Reason.UNSEARCHED, detail=detail))
    return tuple(findings)


def _zip(path: bytes, data: Data, needle: bytes) -> Examined:
    layout = read_zip(data, needle)
    if layout is None:
        return Examined(findings=(Finding(path, Reason.UNSEARCHED, detail=Format.ZIP.value),))
    found = find_places(data[: layout.first], needle, Context.BINARY)
    places = _with_shebang(data, found, PlaceKind.BINARY)
    names = [os.fsdecode(name) for name in layout.inside.names]
    more = len(names) - _NAMES_SHOWN
    detail = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    findings = _inside(path, layout.inside, detail or Format.ZIP.value)
    return Examined(Change(path, Style.PADDED, len(data), places) if places else None, findings)
