"""Reads everything of a repository in one way, and tells what came of it. For the mount, run as a program of its own:

    python -m tests.client.attacks.reading_once ORDER

where ORDER is a JSON file that `Order.save` wrote; the answer goes beside it.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from outcrop.client.address import RepositoryAddress
from outcrop.client.mount.processes import mounted
from outcrop.client.mount.repository_tree import RepositoryTree
from outcrop.client.repository import ClientSettings, OpenRepository, open_repository
from outcrop.client.trust import NO_BLACKLIST, Blacklist
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import repository_name
from outcrop.errors import OutcropError
from tests.client.published import NAME


@dataclass(frozen=True)
class Order:
    """What is to be read: from which servers, by the machine in `directory`, at which time."""

    directory: str
    servers: tuple[str, ...]
    key: str
    now: str
    name: str = NAME
    forbidden: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Order:
        values = json.loads(path.read_text())
        return cls(**{**values, "servers": tuple(values["servers"]), "forbidden": tuple(values["forbidden"])})

    def open(self) -> OpenRepository:
        directory = Path(self.directory)
        forbidden = frozenset(Digest.parse(one) for one in self.forbidden)
        settings = ClientSettings(
            cache_directory=directory / "cache",
            state_directory=directory / "state",
            blacklist=Blacklist(forbidden) if forbidden else NO_BLACKLIST,
            now=lambda: datetime.fromisoformat(self.now),
        )
        return open_repository(RepositoryAddress(repository_name(self.name), self.servers, (Path(self.key),)), settings)


@dataclass
class Answer:
    """What came of it: files read whole, what went wrong by path, and the error that kept the repository from opening
    (its class and its sentence). `seconds` is how long everything took."""

    files: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    sentence: str = ""
    seconds: float = 0.0

    def refuse(self, error: OutcropError) -> None:
        self.refusal, self.sentence = type(error).__name__, str(error)

    def save(self, path: Path) -> None:
        files = {name: base64.b64encode(data).decode() for name, data in self.files.items()}
        path.write_text(json.dumps({**asdict(self), "files": files}))

    @classmethod
    def load(cls, path: Path) -> Answer:
        values = json.loads(path.read_text())
        return cls(**{**values, "files": {name: base64.b64decode(text) for name, text in values["files"].items()}})


def read_without_a_mount(order: Order) -> Answer:
    """Reads by the library alone."""
    answer, began = Answer(), time.monotonic()
    try:
        with order.open() as repository:
            _read_tree(repository, answer)
    except OutcropError as error:
        answer.refuse(error)
    answer.seconds = time.monotonic() - began
    return answer


def _read_tree(repository: OpenRepository, answer: Answer) -> None:
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        try:
            children = repository.tree.children(directory)
        except OutcropError as error:
            answer.failures[os.fsdecode(directory)[1:]] = type(error).__name__
            continue
        for entry in children:
            path = directory + b"/" + entry.name
            if entry.is_directory:
                waiting.append(path)
                continue
            name = os.fsdecode(path)[1:]
            try:
                pieces = repository.tree.pieces(path, entry)
                answer.files[name] = b"".join(repository.contents.local_file(piece).read_bytes() for piece in pieces)
            except OutcropError as error:
                answer.failures[name] = type(error).__name__


def read_by_a_mount(order: Order) -> Answer:
    """Reads by the kernel, from a mount that ends with this call."""
    answer, began = Answer(), time.monotonic()
    mountpoint = Path(order.directory) / "mount"
    mountpoint.mkdir(exist_ok=True)
    try:
        with mounted(
            lambda: RepositoryTree(order.open()), mountpoint, source=order.name, log=Path(order.directory) / "log"
        ):
            for parent, _, names in os.walk(
                mountpoint, onerror=lambda error: _fail(answer, error, error.filename, mountpoint)
            ):
                for name in names:
                    path = Path(parent) / name
                    try:
                        answer.files[str(path.relative_to(mountpoint))] = path.read_bytes()
                    except OSError as error:
                        _fail(answer, error, str(path), mountpoint)
    except OutcropError as error:
        answer.refuse(error)
    answer.seconds = time.monotonic() - began
    return answer


def _fail(answer: Answer, error: OSError, path: str, mountpoint: Path) -> None:
    answer.failures[os.path.relpath(path, mountpoint)] = errno.errorcode.get(error.errno or 0, "?")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    read_by_a_mount(Order.load(place)).save(place.with_suffix(".answer"))
