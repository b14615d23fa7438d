"""The information attributes: what a mount tells of itself and its files by extended attributes that no listing shows.

Names and forms are the reference client's, so what asks a stock mount can ask ours: `getfattr -n user.fqrn /cvmfs/…`.

| attribute | on | says |
|---|---|---|
| `user.fqrn` `user.revision` `user.root_hash` `user.tag` | everything | what is mounted |
| `user.host` `user.host_list` `user.external_host` | everything | servers; the first is asked first |
| `user.proxy` | everything | the proxy by which that is reached now, `DIRECT` for none |
| `user.proxy_list` `user.proxy_list_external` | everything | all proxies, one a line |
| `user.timeout` `user.timeout_direct` | everything | seconds until a server is given up, with a proxy and without one |
| `user.external_timeout` | everything | the same without a proxy for external files |
| `user.rx` `user.ndownload` | everything | KiB that have come over the network, and how many objects |
| `user.speed` | everything | KiB a second while something was coming; `n/a` if nothing has |
| `user.pubkeys` `user.version` `user.pid` | everything | the keys, the client, its process |
| `user.expires` | everything | minutes until the next look for a new revision; a fixed revision never expires |
| `user.uptime` | everything | minutes since it was mounted |
| `user.inode_max` | everything | the highest inode number that was given so far |
| `user.maxfd` `user.usedfd` | everything | the limit of descriptors, and how many are in use |
| `user.nioerr` `user.timestamp_last_ioerr` | everything | requests that ended in an error, and when the last one did |
| `user.nclg` | everything | how many catalogs have been read |
| `user.catalog_counters` `user.repo_counters` | everything | statistics of the catalog here, and of the repository |
| `user.repo_metainfo` | everything | what the repository says of itself |
| `user.hash` `user.lhash` | files that are not chunked | the object's digest; the same for what the cache holds |
| `user.chunks` `user.chunk_list` `user.compression` `user.direct_io` `user.external_file` | files | how it is stored |
| `user.external_url` | external files | where its bytes come from |
| `user.rawlink` `xfsroot.rawlink` | links | the target as published (the kernel hides `user.…` on links) |
| `user.outcrop.status` | the root | everything that `outcrop mount status` shows, in JSON (`report`); ours alone |

A value of more than 64 KiB, as a very long chunk list has it, is too large for the kernel: `user.chunk_list~1` is its
second part, `~2` the third, and so on, as with the reference client; `~?` says how many parts there are.

Source: magic_xattr.cc and cvmfs.cc of CernVM-FS 2.12.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from urllib.parse import quote

from outcrop import __version__
from outcrop.client.mount.activity import Activity
from outcrop.client.mount.inodes import Node
from outcrop.client.mount.report import REPORT_ATTRIBUTE, report_of
from outcrop.client.mount.tree import MountedTree
from outcrop.client.network.state import NetworkState
from outcrop.client.network.traffic import Amount
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.counters import Counters
from outcrop.cvmfs.entry import Mark

PART_BYTES = 40_000
"""How long the parts of a long value are: what is read with a file system's usual limits in one go."""
_WHOLE_BYTES = 65536
_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about: the tree that is mounted, the entry, what the mount has done so far, and the highest inode
    number that it has given."""

    tree: MountedTree
    node: Node
    activity: Activity
    highest_number: int


_Answer = Callable[[Asked], str]


def information(asked: Asked, name: bytes) -> bytes | None:
    """The value of the information attribute `name`, or of a part of it (`~1`); None where there is none.

    May take as long as the network does if `takes_long` says so; raises OutcropError then.
    """
    attribute, sign, part = name.partition(b"~")
    value = _value(asked, attribute)
    if value is None or not sign:
        return value
    parts = max(-(-len(value) // PART_BYTES), 1)
    if part == b"?":
        return b"%d" % parts
    if not part.isdigit() or int(part) >= parts:
        return None
    return value[int(part) * PART_BYTES : (int(part) + 1) * PART_BYTES]


def takes_long(name: bytes) -> bool:
    """Whether the value of the attribute `name` may have to come over the network."""
    return name.partition(b"~")[0] in _SLOW


def _value(asked: Asked, name: bytes) -> bytes | None:
    entry = asked.node.entry
    if name == _REPORT:
        return report_of(asked.tree, asked.activity) if not asked.node.path else None
    answer = _OF_EVERYTHING.get(name)
    if answer is None and entry.is_file:
        answer = _OF_FILES.get(name)
        if answer is None and not entry.is_chunked:
            answer = _OF_WHOLE_FILES.get(name)
        if answer is None and entry.is_external:
            answer = _OF_EXTERNAL_FILES.get(name)
    if answer is None and entry.is_symlink and name in _RAW_LINK:
        return entry.symlink
    return None if answer is None else answer(asked).encode("utf-8", "surrogateescape")


def _lines(counters: Counters) -> str:
    return "".join(f"{name},{value}\n" for name, value in sorted(asdict(counters.total).items()))


def _catalog_counters(asked: Asked) -> str:
    catalog = asked.node.tree.catalog(asked.node.path)
    mountpoint = catalog.mountpoint.decode("utf-8", "surrogateescape")
    return f"catalog_hash: {catalog.digest}\ncatalog_mountpoint: {mountpoint}\n{_lines(catalog.counters)}"


def _chunk_list(asked: Asked) -> str:
    pieces = asked.node.tree.pieces(asked.node.path, asked.node.entry)
    rows = "".join(f"{piece.object.digest.text},{piece.offset},{piece.size}\n" for piece in pieces)
    return f"hash,offset,size\n{rows}"


def _chunks(asked: Asked) -> str:
    return str(len(asked.node.tree.pieces(asked.node.path, asked.node.entry)))


def _mark(mark: Mark) -> _Answer:
    return lambda asked: "1" if mark in asked.node.entry.marks else "0"


def _hash(asked: Asked) -> str:
    return asked.node.entry.digest.text if asked.node.entry.digest else ""


def _local_hash(asked: Asked) -> str:
    """What is in the cache has been checked when it is opened, so its digest is the one that it should have. An empty
    file is read without its object."""
    for piece in asked.node.tree.pieces(asked.node.path, asked.node.entry):
        if not piece.size:
            continue
        descriptor = asked.tree.open_cached(piece)
        if descriptor is None:
            return "Not in cache"
        os.close(descriptor)
    return _hash(asked)


def _expires(asked: Asked) -> str:
    about, activity = asked.tree.about, asked.activity
    if not about.follows:
        return "never (fixed root catalog)"
    last = activity.last_check.at if activity.last_check else activity.started
    return str(max(int(last + about.ttl - activity.clock()) // 60, 0))


def _external_url(asked: Asked) -> str:
    hosts = asked.tree.about.external.servers
    return f"{hosts[0].rstrip('/')}{quote(asked.node.path, safe='/~')}" if hosts else ""


def _received(asked: Asked) -> Amount:
    about = asked.tree.about
    return about.network.received + about.external.received


def _speed(asked: Asked) -> str:
    received = _received(asked)
    return str(int(received.bytes / _KIBIBYTE / received.seconds)) if received.seconds else "n/a"


def _proxies(state: NetworkState) -> str:
    return "".join(f"{proxy}\n" for proxy in state.proxies)


def _metainfo(asked: Asked) -> str:
    found = asked.tree.metainfo()
    return "metainfo not available" if found is None else found.decode("utf-8", "surrogateescape")[:_WHOLE_BYTES]


_NO_HOST = "internal error: no hosts defined"
_COMPRESSION_NAMES = {Compression.ZLIB: "zlib", Compression.NONE: "none"}
_RAW_LINK = (b"user.rawlink", b"xfsroot.rawlink")
_REPORT = REPORT_ATTRIBUTE.encode()
_OF_EVERYTHING: Mapping[bytes, _Answer] = {
    b"user.fqrn": lambda asked: asked.tree.about.fqrn,
    b"user.revision": lambda asked: str(asked.tree.about.revision),
    b"user.root_hash": lambda asked: asked.tree.about.root_hash,
    b"user.tag": lambda asked: asked.tree.about.tag,
    b"user.host": lambda asked: next(iter(asked.tree.about.network.servers), _NO_HOST),
    b"user.host_list": lambda asked: ";".join(asked.tree.about.network.servers) or _NO_HOST,
    b"user.external_host": lambda asked: next(iter(asked.tree.about.external.servers), _NO_HOST),
    b"user.proxy": lambda asked: asked.tree.about.network.proxy,
    b"user.proxy_list": lambda asked: _proxies(asked.tree.about.network),
    b"user.proxy_list_external": lambda asked: _proxies(asked.tree.about.external),
    b"user.timeout": lambda asked: f"{asked.tree.about.network.timeout:.0f}",
    b"user.timeout_direct": lambda asked: f"{asked.tree.about.network.timeout_direct:.0f}",
    b"user.external_timeout": lambda asked: f"{asked.tree.about.external.timeout_direct:.0f}",
    b"user.rx": lambda asked: str(_received(asked).bytes // _KIBIBYTE),
    b"user.ndownload": lambda asked: str(_received(asked).objects),
    b"user.speed": _speed,
    b"user.pubkeys": lambda asked: asked.tree.about.public_keys,
    b"user.version": lambda _asked: f"outcrop {__version__}",
    b"user.pid": lambda _asked: str(os.getpid()),
    b"user.expires": _expires,
    b"user.uptime": lambda asked: str(int(asked.activity.clock() - asked.activity.started) // 60),
    b"user.inode_max": lambda asked: str(asked.highest_number),
    b"user.maxfd": lambda _asked: str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    b"user.usedfd": lambda _asked: str(len(os.listdir("/proc/self/fd"))),
    b"user.nioerr": lambda asked: str(asked.activity.errors),
    b"user.timestamp_last_ioerr": lambda asked: str(int(asked.activity.last_error_at)),
    b"user.nclg": lambda asked: str(asked.tree.catalogs_loaded()),
    b"user.catalog_counters": _catalog_counters,
    b"user.repo_counters": lambda asked: _lines(asked.tree.catalog(b"").counters),
    b"user.repo_metainfo": _metainfo,
}
_OF_FILES: Mapping[bytes, _Answer] = {
    b"user.chunks": _chunks,
    b"user.chunk_list": _chunk_list,
    b"user.compression": lambda asked: _COMPRESSION_NAMES[asked.node.entry.compression],
    b"user.direct_io": _mark(Mark.DIRECT_IO),
    b"user.external_file": _mark(Mark.EXTERNAL),
}
_OF_WHOLE_FILES: Mapping[bytes, _Answer] = {b"user.hash": _hash, b"user.lhash": _local_hash}
_OF_EXTERNAL_FILES: Mapping[bytes, _Answer] = {b"user.external_url": _external_url}
_SLOW = frozenset(
    {b"user.catalog_counters", b"user.repo_counters", b"user.repo_metainfo", b"user.chunks", b"user.chunk_list",
     b"user.lhash", _REPORT}
)  # fmt: skip
INFORMATION_PREFIXES = (b"user.", b"xfsroot.")
"""No information attribute begins otherwise, so most questions that programs ask are answered without a look."""
