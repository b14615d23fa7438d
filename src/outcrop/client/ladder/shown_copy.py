"""The copy that several rungs show: found by its root hash, or made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from outcrop.client.ladder.copies import Copies, contents_of, give_up
from outcrop.client.ladder.copy_contents import damaged, is_due
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.ways import Obstacle
from outcrop.client.recent_proof import holds_until
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from outcrop.client.repository import OpenRepository


def copy_for(request: RunRequest) -> Path:
    """The copy that `request` asks for, made if need be.

    A copy of a root hash that was asked for, or that was proved current a moment ago, is found without any network.
    Raises what reading the repository raises, and StorageError where there is no room."""
    copies = Copies.below(request.settings.cache_directory)
    environment = {os.fsencode(name): os.fsencode(value) for name, value in request.environment.items()}
    root = _known_root(request)
    found = None if root is None else copies.find(request.name, root, request.paths, environment)
    if found is not None and is_sound(request, found, found, contents_of(found)):
        return found
    # Only who has no copy yet, or an old one, needs the code that reads repositories.
    from outcrop.client.ladder.own_cache import opened

    with opened(request) as repository:
        _keep_proof(request, repository)
        found = copies.find(request.name, repository.root.digest.text, request.paths, environment)
        if found is not None and is_sound(request, found, found, contents_of(found)):
            return found
        return copies.make(repository, request.paths, environment, request.progress, request.tell)


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


def _known_root(request: RunRequest) -> str | None:
    """The root catalog that is wanted, as far as that is known without a server."""
    if request.choice.root_catalog is not None:
        return request.choice.root_catalog.text
    return None if request.recent is None else request.recent.root_catalog()


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
