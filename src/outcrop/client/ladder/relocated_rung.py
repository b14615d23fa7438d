"""The rung of a relocated copy: nothing is shown at `/cvmfs`, the software runs from where its copy lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from outcrop.client.ladder.launch import become
from outcrop.client.ladder.new_place import environment_in_new_place, in_new_place
from outcrop.client.ladder.relocated import contents_of, is_there, place_for, relocate
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.rung import Become, environment_of
from outcrop.client.ladder.shown_copy import copy_for, is_sound, noexec_obstacle
from outcrop.client.ladder.ways import Obstacle, Way
from outcrop.errors import MissingCapability, OutcropError

_ANY_COPY = Path("/any")


@dataclass(frozen=True, slots=True)
class Relocated:
    """A relocated copy. The command's words and environment name it instead of `/cvmfs/<name>`."""

    request: RunRequest
    way: Way = Way.RELOCATED

    def obstacle(self) -> Obstacle | None:
        request = self.request
        if request.relocator is None:
            return Obstacle("relocation: this build of outcrop has none")
        try:
            place_for(_ANY_COPY, request.prefix, request.relocate_to, request.environment)
        except OutcropError as error:
            return Obstacle(f"relocation: {error.message}", error.hint)
        return noexec_obstacle(request)

    def prepare(self) -> Become:
        request = self.request
        copy = copy_for(request)
        place = place_for(copy, request.prefix, request.relocate_to, request.environment)
        if is_there(place, copy) and not is_sound(request, copy, place, contents_of(place)):
            copy = copy_for(request)
            place = place_for(copy, request.prefix, request.relocate_to, request.environment)
        if not is_there(place, copy):
            if request.relocator is None:
                raise MissingCapability(what="relocation", problem="this build of outcrop has none")
            request.note(f"a copy of {request.name} that runs from {place} is being made; it is used again")
            relocate(copy, place, request.prefix, request.relocator)
        return InRelocatedCopy(request, copy, place)


@dataclass(frozen=True, slots=True)
class InRelocatedCopy:
    """Turns this process into a command that runs from `place`, which is the relocated form of `copy`."""

    request: RunRequest
    copy: Path
    place: Path

    def __call__(self, command: Sequence[str]) -> NoReturn:
        old, new = self.request.prefix, PurePosixPath(self.place)
        environment = environment_of(self.request, Way.RELOCATED, new)
        become(in_new_place(command, old, new), environment_in_new_place(environment, old, new))
