"""Reads everything of a repository in one way, and tells what came of it. What mounts does so in a process of its own,
which `machine` starts.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

from outcrop.client.address import RepositoryAddress
from outcrop.client.ladder.climb import climb, rungs_for
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.ways import Way
from outcrop.client.layered.server import LayeredService
from outcrop.client.mount.kernel import MountOptions
from outcrop.client.mount.processes import RunningMount, mounted, served
from outcrop.client.mount.repository_tree import open_mounted_tree
from outcrop.client.network.settings import DEFAULT_NETWORK, NetworkSettings
from outcrop.client.owners import AS_PUBLISHED
from outcrop.client.reading_settings import CURRENT
from outcrop.client.repository import ClientSettings, OpenRepository, open_repository
from outcrop.client.trust import NO_BLACKLIST, Blacklist
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import OutcropError
from tests.client.attacks import shown_files
from tests.client.attacks.shown_files import read_all
from tests.client.published import NAME

DAEMONLESS, MOUNT, LAYERS = "daemonless", "mount", "layers"
"""By the library alone, over FUSE, and by layers that show for everybody."""
RUNS = (Way.EROFS.value, Way.OVERLAY.value)
"""By layers that one command sees."""

NOTES = "notes"
"""The file with what a run tells its user before it begins."""

TIMEOUT_SECONDS = 2.0
"""So that what is slow is given up soon: for connecting, and for a stall."""


@dataclass(frozen=True)
class Order:
    """What is to be read: from which servers, by the machine in `directory`, at which time, in which `way`. Without
    `patience`, what is slow is given up soon."""

    directory: str
    servers: tuple[str, ...]
    key: str
    now: str
    name: str = NAME
    forbidden: tuple[str, ...] = ()
    way: str = DAEMONLESS
    patience: bool = True

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Order:
        values = json.loads(path.read_text())
        return cls(**{**values, "servers": tuple(values["servers"]), "forbidden": tuple(values["forbidden"])})

    def place(self, name: str) -> Path:
        return Path(self.directory) / name

    @property
    def repository(self) -> RepositoryName:
        return repository_name(self.name)

    def address(self) -> RepositoryAddress:
        soon = NetworkSettings(timeout=TIMEOUT_SECONDS, timeout_direct=TIMEOUT_SECONDS, retries=0)
        network = DEFAULT_NETWORK if self.patience else soon
        return RepositoryAddress(self.repository, self.servers, (Path(self.key),), network=network)

    def settings(self) -> ClientSettings:
        forbidden = frozenset(Digest.parse(one) for one in self.forbidden)
        return ClientSettings(
            cache_directory=self.place("cache"),
            state_directory=self.place("state"),
            blacklist=Blacklist(forbidden) if forbidden else NO_BLACKLIST,
            now=lambda: datetime.fromisoformat(self.now),
        )


@dataclass
class Answer:
    """What came of it: files read whole, what went wrong by path, and the error that kept the repository from opening
    (its class and its sentence)."""

    files: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    sentence: str = ""

    @classmethod
    def refused(cls, error: OutcropError) -> Answer:
        return cls(refusal=type(error).__name__, sentence=str(error))

    def save(self, path: Path) -> None:
        files = {name: base64.b64encode(data).decode() for name, data in self.files.items()}
        path.write_text(json.dumps({**asdict(self), "files": files}))

    @classmethod
    def load(cls, path: Path) -> Answer:
        """The answer that lies at `path`. What `shown_files` wrote is one, too."""
        values = json.loads(path.read_text())
        return cls(**{**values, "files": {name: base64.b64decode(text) for name, text in values["files"].items()}})


def answer_beside(order: Path) -> Path:
    """Where the answer to the order in the file `order` lies."""
    return order.with_suffix(".answer")


def read_without_a_mount(order: Order) -> Answer:
    """Reads by the library alone."""
    answer = Answer()
    try:
        with open_repository(order.address(), order.settings()) as repository:
            _read_tree(repository, answer)
    except OutcropError as error:
        return Answer.refused(error)
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


def open_mount_of(
    order: Order, mountpoint: Path, address: RepositoryAddress, settings: ClientSettings
) -> AbstractContextManager[RunningMount]:
    """What `address` has, mounted in the way that `order` says."""
    opening = partial(open_mounted_tree, address, settings)
    log = order.place("log")
    if order.way == LAYERS:
        service = LayeredService(opening, settings.cache_directory, AS_PUBLISHED)
        return served(service, MountOptions(order.name, mountpoint, True), log)
    return mounted(opening, mountpoint, source=order.name, log=log)


def read_by_the_kernel(order: Order, answer: Path) -> None:
    """Reads what the kernel shows, and writes the answer to the file `answer`. May turn this process into another
    program that does."""
    answer.unlink(missing_ok=True)
    try:
        if order.way in RUNS:
            _read_by_a_run(order, answer)
        else:
            _read_by_a_mount(order, answer)
    except OutcropError as error:
        Answer.refused(error).save(answer)


def _read_by_a_mount(order: Order, answer: Path) -> None:
    mountpoint = order.place("mount")
    mountpoint.mkdir(exist_ok=True)
    with open_mount_of(order, mountpoint, order.address(), order.settings()):
        found = read_all(str(mountpoint))
    answer.write_text(json.dumps(found))


def _read_by_a_run(order: Order, answer: Path) -> NoReturn:
    """Turns this process into a command that reads, as `outcrop run --way` does. What a user would be warned of lies in
    the file `NOTES` then."""
    notes: list[str] = []
    request = RunRequest(
        order.repository, order.address, order.settings(), CURRENT, log=order.place("log"), tell=notes.append
    )
    ready = climb(rungs_for(request), Way(order.way))
    order.place(NOTES).write_text("\n".join(notes))
    ready.become([sys.executable, "-I", "-S", shown_files.__file__, str(request.prefix), str(answer)])
