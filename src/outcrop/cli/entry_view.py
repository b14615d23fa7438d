"""How entries of a repository are shown: as a line like that of `ls -l`, and as a JSON object."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from urllib.parse import quote_from_bytes

from outcrop.cvmfs.entry import Entry, EntryKind

_NOT_A_DATE = "-"


def mode_text(entry: Entry) -> str:
    """Type and permissions, as `ls` writes them."""
    return stat.filemode(entry.mode)


def moment_text(entry: Entry) -> str:
    """The time of last change, in UTC to the second."""
    try:
        return f"{datetime.fromtimestamp(entry.mtime, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return _NOT_A_DATE


def decoded(raw: bytes) -> str:
    """Bytes of a name or target as text; what is not UTF-8 becomes surrogates, which come out as they went in."""
    return raw.decode("utf-8", "surrogateescape")


def text_document(name: str, text: str) -> dict[str, str]:
    """`text`, decoded by `decoded`, as the member `name` of a JSON object, fit for every reader of JSON.

    What is not UTF-8 is U+FFFD there; then the member `<name>_bytes` has all of it percent-encoded (RFC 3986)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogateescape")
        return {name: raw.decode("utf-8", "replace"), f"{name}_bytes": quote_from_bytes(raw)}
    return {name: text}


def size_text(entry: Entry) -> str:
    """The size in bytes, or a device's major and minor number."""
    if entry.kind.is_device:
        return f"{os.major(entry.size)}, {os.minor(entry.size)}"
    return str(entry.size)


def entry_document(path: str, entry: Entry, target: bytes) -> dict[str, object]:
    """Everything that `stat` of a mounted repository says of `entry`. `target` is where a link leads, filled in."""
    document: dict[str, object] = {
        **text_document("path", path),
        "type": entry.kind.name.lower(),
        "mode": f"{entry.permissions:04o}",
        "size": 0 if entry.kind.is_device else entry.size,
        "mtime": entry.mtime,
        "mtime_ns": entry.mtime_ns,
        "uid": entry.uid,
        "gid": entry.gid,
        "links": entry.linkcount,
    }
    if entry.is_symlink:
        document |= text_document("target", decoded(target))
    if entry.kind is EntryKind.FILE and entry.digest is not None:
        document["digest"] = entry.digest.text
    if entry.kind.is_device:
        document["device"] = [os.major(entry.size), os.minor(entry.size)]
    if entry.is_hidden:
        document["hidden"] = True
    return document
