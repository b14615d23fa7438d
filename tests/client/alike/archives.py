"""What is seen in a tar archive, and in the layer of an OCI image: read with Python's `tarfile`, nothing unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from tests.client.alike.seen import Seen, View, of_bytes

_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
_XATTR = "SCHILY.xattr."


def archived(archive: Path, place: str) -> View:
    """What is seen at `place` in `archive`, and below it."""
    found: dict[str, Seen] = {}
    first: dict[str, str] = {}
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as opened:
        for member in opened:
            path = f"/{member.name.removeprefix('./').rstrip('/')}"
            assert path not in found, path
            if member.islnk():
                first[path] = f"/{member.linkname.removeprefix('./')}"
                found[path] = found[first[path]]
            else:
                found[path] = _seen(opened, member)
    groups: dict[str, list[str]] = {}
    for path in found:
        groups.setdefault(first.get(path, path), []).append(path)
    view = {}
    for path, seen in found.items():
        if path == place or path.startswith(f"{place}/"):
            names = [] if stat.S_ISDIR(seen.mode) else sorted(groups[first.get(path, path)])
            inner = tuple(name.removeprefix(place) for name in names)
            view[path.removeprefix(place)] = replace(seen, names=inner, links=len(names) or 1)
    return view


def _seen(opened: tarfile.TarFile, member: tarfile.TarInfo) -> Seen:
    size, digest, middle = 0, "", ""
    if member.isreg():
        file = opened.extractfile(member)
        assert file is not None
        size, digest, middle = of_bytes(file.read())
    # What `tarfile` makes of a time is a float, which has no room for all nanoseconds.
    moment = Decimal(member.pax_headers.get("mtime", str(int(member.mtime))))
    xattrs = {
        name.removeprefix(_XATTR): os.fsencode(value).hex()
        for name, value in member.pax_headers.items()
        if name.startswith(_XATTR)
    }
    return Seen(
        mode=_TYPES[member.type] | member.mode,
        mtime_ns=int(moment * 10**9),
        uid=member.uid,
        gid=member.gid,
        size=size,
        digest=digest,
        middle=middle,
        target=member.linkname if member.issym() else "",
        xattrs=tuple(sorted(xattrs.items())),
    )


def only_layer(layout: Path) -> Path:
    """The only layer of the OCI layout `layout`, found by way of its index; every digest on the way is checked."""
    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    (layer,) = json.loads(_blob(layout, manifest["digest"]).read_text())["layers"]
    return _blob(layout, layer["digest"])


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, text = digest.partition(":")
    path = layout / "blobs" / algorithm / text
    assert hashlib.sha256(path.read_bytes()).hexdigest() == text
    return path
