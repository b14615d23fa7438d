"""The copy that several rungs show: found by its root hash, or made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from outcrop.client.ladder.copies import Copies, contents_of, give_up, variables_of
from outcrop.client.ladder.copy_contents import damaged, is_due
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.ways import Obstacle
from outcrop.client.recent_proof import Proved, holds_until
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from outcrop.client.repository import OpenRepository


def copy_for(request: RunRequest) -> Path:
    """The copy that `request` asks for, made if need be.

    A copy of a root hash that was asked for, or that was proved current a moment ago, is found without any network.
    Raises what reading the repository raises, and StorageError where there is no room."""
    copies = Copies.below(request.settings.cache_directory)
    kept = None if request.recent is None else request.recent.kept()
    variables = _LinkVariables(request, {} if kept is None else kept.variables)
    root = _known_root(request, kept)
    found = None if root is None else copies.find(request.name, root, request.paths, variables)
    if found is not None and is_sound(request, found, found, contents_of(found)):
        return found
    # Only who has no copy yet, or an old one, needs the code that reads repositories.
    from outcrop.client.ladder.own_cache import opened

    with opened(request) as repository:
        _keep_proof(request, repository)
        found = copies.find(request.name, repository.root.digest.text, request.paths, variables)
        if found is None or not is_sound(request, found, found, contents_of(found)):
            found = copies.make(repository, request.paths, variables, request.progress, request.tell)
        if request.recent is not None:
            names = map(os.fsdecode, variables_of(found))
            request.recent.keep_variables({name: request.address().variables.get(name) for name in names})
        return found


class _LinkVariables(Mapping[bytes, bytes]):
    """What links are filled in from (`link_variables`). `configured` is what the configuration is known to say; for
    other variables that the environment lacks, it is read."""

    def __init__(self, request: RunRequest, configured: Mapping[str, str | None]) -> None:
        self._request = request
        self._configured = {
            os.fsencode(name): None if value is None else os.fsencode(value) for name, value in configured.items()
        }
        self._environment = {os.fsencode(name): os.fsencode(value) for name, value in request.environment.items()}

    @cached_property
    def _all(self) -> Mapping[bytes, bytes]:
        from outcrop.client.known_repository import link_variables

        return link_variables(self._request.address(), self._request.environment)

    def __getitem__(self, name: bytes) -> bytes:
        if name in self._environment:
            return self._environment[name]
        if name not in self._configured:
            return self._all[name]
        configured = self._configured[name]
        if configured is None:
            raise KeyError(name)
        return configured

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def is_sound(request: RunRequest, copy: Path, tree: Path, contents: Path) -> bool:
    """Whether `tree`, which is `copy` or was made from it, is what `contents` says, as far as that has to be looked at.
    If it is not, `copy` is given up, and the user is told."""
    if not is_due(contents):
        return True
    wrong = damaged(tree, contents)
    if not wrong:
        return True
    what = f"{tree / wrong} is not what it was" if wrong != "?" else f"nothing says what {tree} held"
    request.tell(f"{what}, so another copy is made; remove that one when no program runs from it any more")
    give_up(copy)
    return False


def _known_root(request: RunRequest, kept: Proved | None) -> str | None:
    """The root catalog that is wanted, as far as that is known without a server."""
    if request.choice.root_catalog is not None:
        return request.choice.root_catalog.text
    return None if kept is None else kept.root_catalog


def _keep_proof(request: RunRequest, repository: OpenRepository) -> None:
    if request.recent is None or repository.by_kept_proofs:
        return
    from outcrop.client.address import open_store
    from outcrop.client.state import SeenRevisions
    from outcrop.storage.directory import DirectoryStore

    address = request.address()
    seen = SeenRevisions(request.settings.state_directory).path(request.name)
    # Whoever publishes on this machine sees at once what came of it.
    near = [store for store in map(open_store, address.servers) if isinstance(store, DirectoryStore)]
    manifests = [Path(store.address, MANIFEST_NAME) for store in near]
    until = holds_until(repository.trusted, request.recent.clock())
    files = (*request.places(), *address.keys, *address.blacklists, *manifests, seen)
    request.recent.keep(repository.root.digest.text, until, files)


def noexec_obstacle(request: RunRequest) -> Obstacle | None:
    """Why programs of a copy could not run: it would lie where none may, or nowhere at all."""
    try:
        directory = Copies.below(request.settings.cache_directory).ground
        if os.statvfs(directory).f_flag & os.ST_NOEXEC:
            hint = "let OUTCROP_CACHE_DIR name a directory on another file system"
            return Obstacle(f"cache: programs may not be run in {directory} (it is mounted noexec)", hint)
    except OutcropError as error:
        return Obstacle(f"cache: {error.message}", error.hint)
    except OSError as error:
        return Obstacle(f"cache: {error}")
    return None
