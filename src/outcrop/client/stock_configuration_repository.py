"""Configuration repositories: files of stock configurations that come as a repository of their own.

Where the repository is mounted, it is read there. Elsewhere its `/etc/cvmfs` is fetched and verified like everything
else, and kept as a copy in the state directory, not in a cache: keys in it are believed like files of the site.

    <directory>/<name>/current.json         {"root_catalog": "…", "keys": "…", "checked": 1795227010}
    <directory>/<name>/<root catalog>/etc/cvmfs/…

For an hour the copy is taken as it is. After that the repository is asked whether it has changed. The whole question,
answer and copy included, is bounded in time. Where it fails, the copy that is there serves on; if there is none, the
site's own files have to do. Either is told of, and is no error.

Symbolic links within the repository become copies of what they lead to; those that lead elsewhere are left out.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from outcrop.client.address import RepositoryAddress
from outcrop.client.keys import load_keys
from outcrop.client.known_repository import KnownRepository
from outcrop.client.state import keys_digest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import InvalidValue, NetworkError, NotFound, OutcropError, StorageError

if TYPE_CHECKING:
    from outcrop.client.repository import OpenRepository
    from outcrop.client.tree import Located

CHECK_SECONDS = 3600.0
"""How long a copy is taken as it is: the time after which stock clients look again, by their repositories' settings."""
BUDGET_SECONDS = 20.0
"""How long the whole question may take. A site without a network waits so long once an hour, then has its answer."""
RETRY_SECONDS = 300.0
"""How long after a failure nothing is asked again, so that not every command waits."""
MOUNT_SECONDS = 3.0
"""How long a mounted configuration repository may take to answer; one that hangs counts as not mounted."""
MAXIMUM_FILES = 5_000
MAXIMUM_FILE_BYTES = 1024 * 1024
MAXIMUM_BYTES = 32 * 1024 * 1024
"""Bounds of a copy. The largest one known has 80 files of together 200 kB."""

_TREE = RepositoryPath(b"/etc/cvmfs")
_POINTER = "current.json"
_ABANDONED_SECONDS = 24 * 3600.0


class _Pointer(msgspec.Struct, frozen=True):
    """Which copy is the current one, and the keys that it was verified with. `failed` is when asking last failed."""

    root_catalog: str = ""
    keys: str = ""
    checked: float = 0.0
    failed: float = 0.0


@dataclass(frozen=True, slots=True)
class _Copy:
    place: Path
    root_catalog: str


def _open(address: RepositoryAddress) -> OpenRepository:
    from outcrop.client.repository import open_repository

    return open_repository(address)


class ConfigurationCopies:
    """The copies below `directory`. `open_` opens a repository, `now` tells the time in seconds."""

    def __init__(
        self,
        directory: Path,
        open_: Callable[[RepositoryAddress], OpenRepository] = _open,
        now: Callable[[], float] = time.time,
        budget: float = BUDGET_SECONDS,
    ) -> None:
        self._directory = directory
        self._open = open_
        self._now = now
        self._budget = budget

    def place(
        self,
        name: RepositoryName,
        mountpoint: Path,
        known: Callable[[], KnownRepository],
        tell: Callable[[str], None],
    ) -> Path | None:
        """The directory that stands for the root of the repository `name`, or None; never an error.

        `mountpoint` is where it is mounted, if it is; `known` says how it is reached; `tell` hears what is amiss."""
        if _answers(mountpoint / "etc/cvmfs", MOUNT_SECONDS):
            return mountpoint
        try:
            repository = known()
            if not repository.servers:
                tell(f"the configuration repository {name} is not used: no server of it is known")
                return None
            keys = keys_digest(load_keys(repository.keys))
            return self._place(repository, keys, tell)
        except OutcropError as error:
            tell(f"the configuration repository {name} is not used: {error}")
            return None

    def _place(self, repository: KnownRepository, keys: str, tell: Callable[[str], None]) -> Path | None:
        home = self._directory / repository.name
        pointer = _read_pointer(home)
        if pointer.keys != keys:
            pointer = _Pointer(keys=keys, failed=pointer.failed if not pointer.keys else 0.0)
        place = home / pointer.root_catalog if pointer.root_catalog else None
        if place is not None and not place.is_dir():
            place, pointer = None, _Pointer(keys=keys)
        age = self._now() - pointer.checked
        if place is not None and 0 <= age < CHECK_SECONDS:
            return place
        serves = "the copy from before is used" if place is not None else "only the files of this machine are used"
        if 0 <= self._now() - pointer.failed < RETRY_SECONDS:
            tell(f"the configuration repository {repository.name} could not be asked; {serves}")
            return place
        try:
            copy = self._within_budget(repository, pointer.root_catalog)
        except OutcropError as error:
            tell(f"the configuration repository {repository.name} cannot be asked ({error}); {serves}")
            _write_pointer(home, msgspec.structs.replace(pointer, failed=self._now()))
            return place
        _write_pointer(copy.place.parent, _Pointer(copy.root_catalog, keys, self._now()))
        _remove_abandoned(copy.place.parent, copy.root_catalog, self._now())
        return copy.place

    def _within_budget(self, repository: KnownRepository, current: str) -> _Copy:
        """Asks in a thread of its own, which is left behind when the time is over: a server, a disk or a name service
        may hang at any point of it."""
        outcome: list[_Copy | Exception] = []

        def ask() -> None:
            try:
                outcome.append(self._ask(repository, current))
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=ask, daemon=True, name=f"configuration of {repository.name}")
        thread.start()
        thread.join(self._budget)
        if not outcome:
            raise NotFound(what=f"an answer within {self._budget:.0f} s")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _ask(self, repository: KnownRepository, current: str) -> _Copy:
        """The current copy: the one that is there, or a new one."""
        address = RepositoryAddress(
            repository.name,
            repository.servers,
            repository.keys,
            network=replace(repository.network, retries=0),
            blacklists=repository.blacklists,
        )
        with self._open(address) as opened:
            root = opened.root.digest.text
            home = self._directory / repository.name
            if opened.by_kept_proofs and current:
                # The copy that is there is as new, and the next command need not wait for the network, too.
                raise NetworkError(what="each of its servers", problem="was asked, and none answers")
            if root == current:
                return _Copy(home / root, root)
            try:
                home.mkdir(parents=True, exist_ok=True)
                return _Copy(_copied(opened, home / root), root)
            except (OSError, StorageError):
                # Nothing can be kept, as in a home that is read-only: this run has it, and the next one asks again.
                private = tempfile.mkdtemp(prefix="outcrop-configuration-")
                atexit.register(_remove_own, private, os.getpid())
                return _Copy(_copied(opened, Path(private) / root), root)


def _answers(directory: Path, seconds: float) -> bool:
    """Whether `directory` is one, found out within `seconds`: a mount whose server is gone may never answer."""
    answer: list[bool] = []

    def look() -> None:
        with suppress(OSError):
            answer.append(bool(os.listdir(directory)))

    thread = threading.Thread(target=look, daemon=True, name=f"is {directory} there")
    thread.start()
    thread.join(seconds)
    return answer == [True]


def _copied(opened: OpenRepository, target: Path) -> Path:
    """`target`, which appears whole or not at all; StorageError or OSError where it cannot be written."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name[:8]}-", dir=target.parent))
    try:
        total = count = 0
        for located, relative in _files(opened):
            data = _content(opened, located)
            count, total = count + 1, total + len(data)
            if count > MAXIMUM_FILES or total > MAXIMUM_BYTES:
                raise InvalidValue(what=f"/etc/cvmfs of {opened.name}", problem="is too large to be a configuration")
            path = temporary / os.fsdecode(relative.lstrip(b"/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        temporary.chmod(0o755)
        try:
            temporary.rename(target)
        except OSError:
            # Another process was quicker.
            if not target.is_dir():
                raise
        return target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(opened: OpenRepository) -> Iterator[tuple[Located, bytes]]:
    """The files below `/etc/cvmfs`, each with the path that it has in the copy."""
    for located in opened.tree.walk(_TREE, hidden=True):
        found = located
        if located.entry.is_symlink:
            try:
                found = opened.tree.resolve(located.path, {})
            except (NotFound, InvalidValue):
                continue
        if found.entry.is_file and found.entry.size <= MAXIMUM_FILE_BYTES:
            yield found, located.path


def _content(opened: OpenRepository, located: Located) -> bytes:
    data = bytearray()
    for piece in opened.tree.pieces(located.path, located.entry):
        with open(opened.contents.open(piece), "rb") as file:
            data += file.read()
    return bytes(data)


def _read_pointer(home: Path) -> _Pointer:
    """What is noted below `home`. Where nothing can be read, the repository is asked, and verified, again."""
    try:
        return msgspec.json.decode((home / _POINTER).read_bytes(), type=_Pointer)
    except (OSError, msgspec.DecodeError):
        return _Pointer()


def _write_pointer(home: Path, pointer: _Pointer) -> None:
    """Notes which copy is the current one; where that cannot be kept, the next run asks again."""
    temporary = home / f".{_POINTER}.{os.getpid()}"
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(msgspec.json.encode(pointer) + b"\n")
            temporary.replace(home / _POINTER)
        finally:
            temporary.unlink(missing_ok=True)


def _remove_own(directory: str, process: int) -> None:
    # A forked child has our list of what to do at the end, and must leave its parent's files alone.
    if os.getpid() == process:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_abandoned(home: Path, current: str, now: float) -> None:
    """Takes away copies of older revisions. For a day they stay, since another process may be reading them."""
    with suppress(OSError):
        for path in home.iterdir():
            if path.is_dir() and path.name != current and now - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
