"""Copies of revisions in the cache directory, made once and used by every command after that.

    <cache directory>/checkouts/<name>/<root hash>[-<digest of the paths>]-<n>        the copy
    <cache directory>/checkouts/<name>/<root hash>[-<digest of the paths>]-<n>.files  what it holds
    <cache directory>/checkouts/<name>/<root hash>[-<digest of the paths>]-<n>.json   what it is

Variant links are filled in, so a copy holds for the values of the variables that its links name; they are written
down, and a command with other values gets a copy of its own. A copy appears whole or not at all. Of many processes that
want the same one, as in a parallel job, one makes it and the others wait. A copy that was not used for a while is
looked at (`copy_contents`); when it is damaged, another one is made, since programs may still run from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outcrop.client.ladder.copy_contents import write_down
from outcrop.client.ladder.turns import one_at_a_time
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, shown
from outcrop.errors import NotFound, StorageError, storage_error
from outcrop.progress import SILENT, Progress

if TYPE_CHECKING:
    from outcrop.client.repository import OpenRepository

CHECKOUTS_NAME = "checkouts"
_NAME_CHARACTERS = 12
_PRIVATE = 0o700
_DIRECTORY_MODE = 0o755
"""Root's copy may be for a command that gives up root's rights."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What a copy is. `variables` are what its links were filled in from; None for one that was not set."""

    root_catalog: str
    paths: list[str]
    variables: dict[str, str | None]

    def encode(self) -> str:
        """The record as it is written down, in JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, indent=2) + "\n"

    @classmethod
    def parse(cls, data: bytes) -> _Record:
        """What was written down; ValueError, LookupError or TypeError where that is not what we write."""
        document = json.loads(data)
        variables = {bytes.fromhex(name).hex(): value for name, value in dict(document["variables"]).items()}
        return cls(str(document["root_catalog"]), [str(path) for path in document["paths"]], variables)


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies below `directory`."""

    directory: Path

    @classmethod
    def below(cls, cache_directory: Path) -> Copies:
        """The copies in `cache_directory` or, where nothing can be written there, in a private directory of this
        user's among temporary files. Nothing is made yet. StorageError where that cannot be used either."""
        if cache_directory.is_absolute() and can_be_made(cache_directory / CHECKOUTS_NAME):
            return cls(cache_directory / CHECKOUTS_NAME)
        return cls(spare_directory() / CHECKOUTS_NAME)

    @property
    def ground(self) -> Path:
        """The directory that exists and in which the copies are, or will be."""
        return next(path for path in (self.directory, *self.directory.parents) if path.is_dir())

    def find(
        self,
        name: RepositoryName,
        root_catalog: str,
        paths: Sequence[RepositoryPath],
        variables: Mapping[bytes, bytes],
    ) -> Path | None:
        """The copy of `paths` (of everything, where there are none), None if there is none yet."""
        stem = _stem(root_catalog, paths)
        for sidecar in sorted((self.directory / name).glob(f"{stem}-*.json")):
            copy = sidecar.with_suffix("")
            record = _read(sidecar)
            if record is not None and copy.is_dir() and _holds_for(record, root_catalog, paths, variables):
                return copy
        return None

    def make(
        self,
        repository: OpenRepository,
        paths: Sequence[RepositoryPath],
        variables: Mapping[bytes, bytes],
        progress: Progress = SILENT,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> Path:
        """The copy of `paths` of the revision that `repository` shows, made if it is not there.

        StorageError where there is no room, NotFound or InvalidValue for a path that is no directory; whatever fails,
        no half copy is left."""
        # Most runs find a copy, and need nothing of this.
        from outcrop.client.checkout import CheckoutOptions, checkout
        from outcrop.client.checkout_place import unfinished
        from outcrop.client.checkout_plan import CheckoutPlan, plan_checkout
        from outcrop.client.ladder.links_beyond import links_beyond

        root_catalog = repository.root.digest.text
        directory = self.directory / repository.name
        try:
            # A parent that is made along with its child is as open as the umask says, and refused the next time.
            self.directory.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            self.directory.mkdir(mode=_PRIVATE, exist_ok=True)
            check_private(self.directory)
            directory.mkdir(mode=_PRIVATE, exist_ok=True)
        except OSError as error:
            raise storage_error(error) from error
        stem = _stem(root_catalog, paths)
        with one_at_a_time(directory / f"{stem}.lock"):
            found = self.find(repository.name, root_catalog, paths, variables)
            if found is not None:
                return found
            if not paths:
                _check_room(directory, repository)
            copy = _free_name(directory, stem)
            seen = _Watched(variables)
            options = CheckoutOptions(expand_links=seen)

            def copy_to(destination: Path, path: RepositoryPath) -> CheckoutPlan:
                plan = plan_checkout(repository.tree, path)
                checkout(plan, repository.tree, repository.contents, destination, options, progress, tell)
                return plan

            if not paths:
                copy_to(copy, ROOT)
            else:
                with unfinished(copy) as place:
                    parts = _topmost(paths)
                    for path in parts:
                        plan = copy_to(_made_way(place, path), path)
                        for link, target in links_beyond(repository.tree, plan.entries, parts, seen).items():
                            if not os.path.lexists(inner := _made_way(place, link)):
                                os.symlink(target, os.fsencode(inner))
                    place.chmod(_DIRECTORY_MODE)
            write_down(copy, contents_of(copy))
            _write(record_of(copy), _Record(root_catalog, [shown(path) for path in paths], seen.asked()))
            return copy


def _made_way(place: Path, path: RepositoryPath) -> Path:
    """Where `path` is in a copy that is made in `place`, with the directories that lead there."""
    inner = place / os.fsdecode(path).lstrip("/")
    inner.parent.mkdir(parents=True, exist_ok=True)
    return inner


def record_of(copy: Path) -> Path:
    """The file that says what `copy` is."""
    return copy.with_suffix(".json")


def contents_of(copy: Path) -> Path:
    """The file that says what `copy` holds."""
    return copy.with_suffix(".files")


def give_up(copy: Path) -> None:
    """Has nobody use `copy` from now on. It stays where it is: programs may run from it. StorageError where that cannot
    be."""
    try:
        record_of(copy).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error) from error


def variables_of(copy: Path) -> frozenset[bytes]:
    """The names of the variables from which links of `copy` were filled in. NotFound where nothing says what it is."""
    record = _read(record_of(copy))
    if record is None:
        raise NotFound(what=str(copy), problem="is no copy that `outcrop run` made")
    return frozenset(map(bytes.fromhex, record.variables))


def spare_directory(suffix: str = "") -> Path:
    """A private directory of this user's among temporary files, for what the cache directory cannot hold. Its name ends
    in `suffix`; it is not made. StorageError where it cannot be used."""
    # Few need it, and it takes long to read.
    import tempfile

    spare = Path(tempfile.gettempdir()) / f"outcrop-{os.getuid()}{suffix}"
    check_private(spare)
    return spare


def can_be_made(directory: Path) -> bool:
    """Whether this user can write to `directory`, or can make it."""
    existing = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def check_private(directory: Path) -> None:
    """Checks that nobody else can put anything into `directory`, which may not exist yet but can then be made.

    StorageError otherwise."""
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        if can_be_made(directory):
            return
        raise StorageError(
            what=str(directory), problem="cannot be made", hint="name a directory that can be written"
        ) from None
    except OSError as error:
        raise storage_error(error) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise StorageError(
            what=str(directory),
            problem="may be written by others",
            hint=f"remove it: `rm -r {shlex.quote(str(directory))}`",
        )


class _Watched(Mapping[bytes, bytes]):
    """Variables, which remember what was asked for."""

    def __init__(self, variables: Mapping[bytes, bytes]) -> None:
        self._variables = variables
        self._asked: set[bytes] = set()

    def __getitem__(self, name: bytes) -> bytes:
        self._asked.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def asked(self) -> dict[str, str | None]:
        return {name.hex(): _hexadecimal(self._variables.get(name)) for name in sorted(self._asked)}


def _hexadecimal(value: bytes | None) -> str | None:
    """Bytes as a document can hold them, whatever they are."""
    return None if value is None else value.hex()


def _stem(root_catalog: str, paths: Sequence[RepositoryPath]) -> str:
    if not paths:
        return root_catalog
    digest = hashlib.sha256(b"\0".join(sorted(paths))).hexdigest()
    return f"{root_catalog}-{digest[:_NAME_CHARACTERS]}"


def _topmost(paths: Sequence[RepositoryPath]) -> list[RepositoryPath]:
    """`paths` without those that lie below another one."""
    return [path for path in sorted(set(paths)) if not any(is_below(path, other) for other in paths if other != path)]


def _holds_for(
    record: _Record, root_catalog: str, paths: Sequence[RepositoryPath], variables: Mapping[bytes, bytes]
) -> bool:
    return (
        record.root_catalog == root_catalog
        and sorted(record.paths) == sorted(shown(path) for path in paths)
        and all(_hexadecimal(variables.get(bytes.fromhex(name))) == value for name, value in record.variables.items())
    )


def _read(sidecar: Path) -> _Record | None:
    """What `sidecar` says; None where that is not what we write there."""
    try:
        return _Record.parse(sidecar.read_bytes())
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(sidecar: Path, record: _Record) -> None:
    temporary = sidecar.with_name(f".{sidecar.name}.{os.getpid()}")
    try:
        temporary.write_text(record.encode(), "utf-8")
        temporary.replace(sidecar)
    except OSError as error:
        raise storage_error(error) from error


def _free_name(directory: Path, stem: str) -> Path:
    """The first name that no copy has. One without a record was made by a process that died before it wrote it down."""
    number = 1
    while (directory / f"{stem}-{number}").exists():
        number += 1
    return directory / f"{stem}-{number}"


def _check_room(directory: Path, repository: OpenRepository) -> None:
    """Refuses a whole repository that cannot fit, by what its root catalog says of itself, before all catalogs are
    fetched."""
    catalog = repository.tree.catalog_at(ROOT)
    try:
        size = catalog.counters.total.file_size
    finally:
        catalog.close()
    status = os.statvfs(directory)
    room = status.f_bavail * status.f_frsize
    if size > room:
        raise StorageError(
            what=str(directory),
            problem=f"has room for {room:,} bytes, and the files of {repository.name} have {size:,}",
            hint="name the directories that the command needs: `outcrop run REPO /PATH /PATH -- COMMAND`",
        )
