"""The repositories that hold the tree: two by our own publisher, one with its bytes outside, by hand.

The publisher makes no external files. So that repository has catalogs that are written here, row by row.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from outcrop.cvmfs.catalog_edit import nested_mountpoint, nested_root
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import WHITELIST_NAME
from outcrop.cvmfs.xattrs import Xattrs
from tests.client.alike.every_entry import AS_ROOT, LARGE, NAMES_OF, NESTED, THINGS, Thing, truth, write_tree
from tests.client.alike.seen import Seen, View
from tests.client.published import Published, signed_whitelist
from tests.client.reading import Reader
from tests.faulty_server import Site, serving

ROOT = Path(__file__).resolve().parents[3]
ZIPPED = b"/random"
"""The external file that lies compressed on its server."""

INSIDE = b"/setuid"
"""The file of the external repository that is an object like others."""

CHUNK_BYTES = 1_000_000
_SECONDS = 60
_CREATED: Mapping[str, tuple[str, ...]] = {"shake128": ("--hash", "shake128"), "none": ("--compressor", "none")}
_INGESTED = ("--at", "/", "--allow-privileged", "--allow-world-writable", *(() if AS_ROOT else ("--owner", "0:0")))

MAKES = ("shake128", "none", "external")
"""The makes of repositories."""


@dataclass(frozen=True)
class Made:
    """A repository that is served: its address, its key, and where its external files are."""

    name: RepositoryName
    directory: Path
    url: str
    key: Path
    external: str = ""
    root: Seen | None = None

    @property
    def reading(self) -> list[str]:
        """The options of every command that reads it."""
        return ["--key", str(self.key), *(["--external", self.external] if self.external else [])]

    def truth(self, *, filled_in: bool) -> View:
        """What everybody must see of it. The root is the repository's own, since what is published is laid over it."""
        known = truth(filled_in=filled_in)
        return known if self.root is None else {**known, "": self.root}


@contextmanager
def served(directory: Path) -> Iterator[Mapping[str, Made]]:
    """The repository of every make below the new directory `directory`, served within the block."""
    publish(directory)
    outside = publish_external(directory)
    site = Site({f"outside/{os.fsdecode(path[1:])}": data for path, data in outside.items()})
    for make in MAKES:
        top = directory / name_of(make)
        for path in top.rglob("*"):
            if path.is_file():
                site.files[f"{name_of(make)}/{path.relative_to(top)}"] = path.read_bytes()
    with serving(site) as url:
        yield {
            make: Made(
                name_of(make),
                directory / name_of(make),
                f"{url}/{name_of(make)}",
                directory / f"{name_of(make)}.pub",
                f"{url}/outside" if make == "external" else "",
                None if make == "external" else _root(directory / name_of(make), directory),
            )
            for make in MAKES
        }


def _root(repository: Path, directory: Path) -> Seen:
    """The root of the repository as it was created."""
    reader = Reader(directory / "reader", now=datetime.now(UTC))
    key = repository.with_name(f"{repository.name}.pub")
    with reader.open(repository, name=RepositoryName(repository.name), key=key) as opened:
        root = opened.tree.entry(b"")
    return Seen(root.mode, root.mtime * 10**9 + (root.mtime_ns or 0), root.uid, root.gid)


def name_of(make: str) -> RepositoryName:
    """The name of the repository of this make."""
    return RepositoryName(f"{make}.example.org")


def publish(directory: Path) -> None:
    """Publishes the tree into a repository of each make that our publisher has, below `directory`."""
    tree, data = directory / "tree", directory / "data"
    write_tree(tree)
    for make, options in _CREATED.items():
        name = name_of(make)
        for line in (
            ["create", name, "--storage", str(directory), *options],
            ["ingest", name, str(tree), *_INGESTED],
        ):
            _outcrop("repo", *line, "--quiet", OUTCROP_DATA_DIR=str(data))
        shutil.copy(data / f"{name}.pub", directory / f"{name}.pub")


def _outcrop(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "outcrop", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        timeout=_SECONDS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def publish_external(directory: Path) -> Mapping[bytes, bytes]:
    """Writes the external repository below `directory`; what its server of external files has, by path."""
    name = name_of("external")
    published = Published(name=name)
    outside: dict[bytes, bytes] = {}
    rows = {path: _row(path, thing, published, outside) for path, thing in THINGS.items()}
    within = {path: row for path, row in rows.items() if path.startswith(NESTED + b"/")}
    above = {path: row for path, row in rows.items() if path and path not in within}
    nested = published.catalog(within, NESTED, root=nested_root(rows[NESTED]))
    above[NESTED] = nested_mountpoint(rows[NESTED])
    chunks = {LARGE: _chunks(THINGS[LARGE].data)}
    published.sign(published.catalog(above, nested=[nested], chunks=chunks, root=rows[b""]))
    # Commands go by the machine's clock.
    now = datetime.now(UTC).replace(microsecond=0)
    whitelist = published.whitelist(issued=now - timedelta(days=1), expires=now + timedelta(days=30))
    published.files[WHITELIST_NAME] = signed_whitelist(whitelist, published.owner.master)
    published.write(directory / name)
    (directory / f"{name}.pub").write_bytes(published.owner.public_pem)
    return outside


def write_outside(files: Mapping[bytes, bytes], directory: Path) -> None:
    """Writes external files below the new directory `directory`."""
    for path, data in files.items():
        place = Path(os.fsdecode(os.fsencode(directory) + path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def _chunks(data: bytes) -> Sequence[Chunk]:
    pieces = [(at, data[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES)]
    return [Chunk(at, len(piece), Digest.of(piece)) for at, piece in pieces]


def _row(path: bytes, thing: Thing, published: Published, outside: dict[bytes, bytes]) -> Entry:
    """The catalog's row for `path`; the bytes of the file that it is go to where they belong."""
    seconds, nanoseconds = divmod(thing.mtime_ns, 10**9)
    names = NAMES_OF[path]
    row = {
        "name": path.rpartition(b"/")[2],
        "mode": thing.mode,
        "mtime": seconds,
        "mtime_ns": nanoseconds,
        "uid": thing.owner[0],
        "gid": thing.owner[1],
        "xattrs": Xattrs.of(thing.xattrs),
    }
    if stat.S_ISDIR(thing.mode):
        row |= {"size": 4096, "linkcount": 2 + sum(1 for other in THINGS if _is_directory_in(other, path))}
    elif stat.S_ISLNK(thing.mode):
        row |= {"size": len(thing.target), "symlink": thing.target}
    elif stat.S_ISREG(thing.mode):
        row |= {"size": len(thing.data), "linkcount": len(names)}
        if len(names) > 1:
            row |= {"hardlink_group": 1 + sorted(set(NAMES_OF.values())).index(names)}
        row |= _content(path, thing.data, published, outside)
    return Entry(**row)  # type: ignore[arg-type]


def _is_directory_in(path: bytes, directory: bytes) -> bool:
    return path != b"" and path.rpartition(b"/")[0] == directory and stat.S_ISDIR(THINGS[path].mode)


def _content(path: bytes, data: bytes, published: Published, outside: dict[bytes, bytes]) -> dict[str, object]:
    if path in (INSIDE, NESTED + b"/.cvmfscatalog"):
        return {"digest": published.add(data)}
    if path == ZIPPED:
        outside[path] = zlib.compress(data)
        return {"digest": Digest.of(outside[path]), "marks": Mark.EXTERNAL}
    outside[path] = data
    if path == LARGE:
        return {"digest": None, "marks": Mark.EXTERNAL | Mark.CHUNKED, "compression": Compression.NONE}
    return {"digest": Digest.of(data), "marks": Mark.EXTERNAL, "compression": Compression.NONE}
