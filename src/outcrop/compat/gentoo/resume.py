"""Where a build goes on that was stopped. Pure.

Each stage has a digest of what goes into it and into all before it. A stage is noted when it begins and when it is
finished. A build goes on at the first stage that is not finished. Where a digest is another one than noted, something
that goes in was changed: the build begins again there if Portage can bring an existing prefix in line with the change,
otherwise from nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import msgspec

from outcrop.toml_text import read_text
from outcrop.whole_file import write_whole_file

FORMAT = 1


class Again(Enum):
    """How a stage is done again when what goes into it was changed. A `LAST` one takes away what the others need, and
    can itself be done as often as one likes."""

    FROM_NOTHING = 1
    IN_PLACE = 2
    LAST = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, with the digest of all that it depends on."""

    name: str
    digest: str
    again: Again


class StageMark(msgspec.Struct, frozen=True):
    """A stage that began. `finished` is the time in UTC, or empty."""

    stage: str
    digest: str
    finished: str = ""


class BuildState(msgspec.Struct, frozen=True):
    """The stages that began, in their order."""

    format: int = FORMAT
    marks: tuple[StageMark, ...] = ()


@dataclass(frozen=True, slots=True)
class GoingOn:
    """The first stage to do, as a number; whether from nothing; the stage whose inputs were changed, or empty."""

    first: int
    anew: bool = False
    changed: str = ""


def staged(inputs: Iterable[tuple[str, str, Again]]) -> tuple[Stage, ...]:
    """The stages of `inputs`: the name, what goes in as a text, how it is done again."""
    stages, digest = [], ""
    for name, text, again in inputs:
        digest = hashlib.sha256(f"{digest}\n{name}\n{text}".encode()).hexdigest()
        stages.append(Stage(name, digest, again))
    return tuple(stages)


def where_to_go_on(stages: Sequence[Stage], state: BuildState) -> GoingOn:
    """Where the build of `stages` goes on after what `state` notes."""
    begun = {mark.stage for mark in state.marks}
    torn_down = any(stage.again is Again.LAST and stage.name in begun for stage in stages)
    for number, stage in enumerate(stages):
        if number >= len(state.marks):
            return GoingOn(number)
        mark = state.marks[number]
        if (mark.stage, mark.digest) != (stage.name, stage.digest):
            if stage.again is Again.LAST or (stage.again is Again.IN_PLACE and not torn_down):
                return GoingOn(number, changed=stage.name)
            return GoingOn(0, anew=True, changed=stage.name)
        if not mark.finished:
            return GoingOn(number)
    return GoingOn(len(stages))


def begun(state: BuildState, number: int, stage: Stage) -> BuildState:
    """`state` once `stage`, the one of this `number`, has begun: what later ones have done holds no more."""
    return BuildState(marks=(*state.marks[:number], StageMark(stage.name, stage.digest)))


def finished(state: BuildState, moment: str) -> BuildState:
    """`state` once the stage that began last is finished."""
    *before, mark = state.marks
    return BuildState(marks=(*before, msgspec.structs.replace(mark, finished=moment)))


def read_state(path: Path) -> BuildState:
    """The state in `path`; the empty one where there is none that this Outcrop can read. StorageError."""
    if not path.exists():
        return BuildState()
    try:
        state = msgspec.json.decode(read_text(path).encode(), type=BuildState)
    except msgspec.DecodeError:
        return BuildState()
    return state if state.format == FORMAT else BuildState()


def write_state(path: Path, state: BuildState) -> None:
    """Writes `state` so that it survives a power cut; StorageError."""
    write_whole_file(path, msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n", durable=True)
