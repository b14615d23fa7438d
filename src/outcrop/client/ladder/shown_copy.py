"""The copy that several rungs show: found by its root hash, or made."""

from __future__ import annotations

import os
from pathlib import Path

from outcrop.client.ladder.copies import Copies
from outcrop.client.ladder.own_cache import opened
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.ways import Obstacle
from outcrop.errors import OutcropError


def copy_for(request: RunRequest) -> Path:
    """The copy that `request` asks for, made if need be.

    With a root hash that was asked for, a copy that is there is found without any network. Raises what reading the
    repository raises, and StorageError where there is no room."""
    copies = Copies.below(request.settings.cache_directory)
    environment = {os.fsencode(name): os.fsencode(value) for name, value in request.environment.items()}
    root = request.choice.root_catalog
    if root is not None:
        found = copies.find(request.name, root.text, request.paths, environment)
        if found is not None:
            return found
    with opened(request) as repository:
        found = copies.find(request.name, repository.root.digest.text, request.paths, environment)
        if found is not None:
            return found
        return copies.make(repository, request.paths, environment, request.progress, request.tell)


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
