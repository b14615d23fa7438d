"""What a run of EasyBuild says: events of our hooks, and the lines that tell why an installation failed. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import msgspec

MEANINGFUL_LINES = 12
"""Enough for a compiler's message with its context, few enough for one screen."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_COMMAND_OUTPUT = re.compile(r"output \(stdout \+ stderr\)\s+->\s+(?P<path>/\S+)")
_ERROR_LINE = re.compile(r"^ERROR: (?P<problem>.+)$", re.MULTILINE)
_TELLING = re.compile(
    r"\berror:|\bfatal\b|\*\*\*.*\bError \d+|undefined reference|cannot find|no such file|illegal instruction"
    r"|segmentation fault",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"\b(warning|note):")


class EventKind(Enum):
    """What the hooks tell."""

    BEGUN = "begun"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """One line of the hooks' file. `module` is empty for a failure, which EasyBuild tells without it."""

    event: EventKind
    module: str = ""
    problem: str = ""


def parse_events(data: bytes) -> tuple[tuple[BuildEvent, ...], int]:
    """The events in `data`, and how many bytes of it they take; a last line without an end is left for later.

    A damaged line (the disk was full) is left out: events only tell of progress, the tree tells what is complete.
    """
    whole = data[: data.rfind(b"\n") + 1]
    events = []
    for line in whole.splitlines():
        with suppress(msgspec.DecodeError):
            events.append(msgspec.json.decode(line, type=BuildEvent))
    return tuple(events), len(whole)


def command_output_path(log: str) -> str | None:
    """Where the output of the last failed command is, as the build saw it."""
    found = _COMMAND_OUTPUT.findall(_COLOUR.sub("", log))
    return str(found[-1]) if found else None


def error_of(log: str) -> str:
    """EasyBuild's own last error line, or an empty string."""
    found = _ERROR_LINE.findall(_COLOUR.sub("", log))
    return str(found[-1]).strip() if found else ""


def meaningful_lines(output: str, limit: int = MEANINGFUL_LINES) -> tuple[str, ...]:
    """The last lines of a command's `output` that lead up to its failure, without blank ones.

    When a line that tells of an error comes before the last `limit` lines (parallel makes go on for a while), the
    lines around it are taken instead.
    """
    lines: Sequence[str] = [line.rstrip() for line in output.splitlines() if line.strip()]
    telling = [place for place, line in enumerate(lines) if _TELLING.search(line) and not _HARMLESS.search(line)]
    if telling and telling[0] < len(lines) - limit:
        start = max(0, telling[0] - 2)
        return tuple(lines[start : start + limit])
    return tuple(lines[-limit:])
