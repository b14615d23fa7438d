"""What Portage and the bootstrap script say: how far they are, and why they stopped. Pure.

Source: Portage's `_emerge/` and `bootstrap-prefix.sh`; messages that it has in every version of the last years.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from outcrop.software.build_log import meaningful_lines

LAST_WORDS = 3
"""Lines that are told of a failure; the rest is in the log."""

_FOR_A_TERMINAL = re.compile(r"\x1b\[[0-9;]*m|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)")
"""Colours, and titles of a window."""
_EMERGING = re.compile(r"^>>> Emerging (?:binary )?\((\d+) of (\d+)\) (\S+?)(?:::\S+)?\s*$", re.MULTILINE)
_FAILED = re.compile(r"^ \* ERROR: (\S+?)(?:::\S+)? failed \((.+) phase\):", re.MULTILINE)
_BUILD_LOG = re.compile(r"^>>>\s+'(/\S+/build\.log)'", re.MULTILINE)
_PROBLEM = re.compile(
    r"^(?:emerge: there are no (?:ebuilds|sets) .*|!!! All ebuilds that could satisfy .*|Error: circular dependencies.*"
    r"|The following .* changes are necessary to proceed:.*|!!! Multiple package instances within a single .*"
    r"|Error: The above package list contains packages which cannot .*|!!! Couldn't download .*)$",
    re.MULTILINE,
)
_ERROR = re.compile(r"^!!! (\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Emerging:
    """Portage builds `package`, the `number`th of `total`."""

    package: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, in words, and Portage's own log of it by its path in the prefix; empty where there is none."""

    problem: str
    build_log: str


def emerging(text: str) -> Emerging | None:
    """The package that Portage began last in `text`."""
    found = _EMERGING.findall(_FOR_A_TERMINAL.sub("", text))
    return Emerging(found[-1][2], int(found[-1][0]), int(found[-1][1])) if found else None


def failure(text: str, code: int) -> Failure:
    """Why a command that wrote `text` ended with `code`."""
    text = _FOR_A_TERMINAL.sub("", text)
    logs = _BUILD_LOG.findall(text)
    build_log = logs[-1] if logs else ""
    if failed := _FAILED.findall(text):
        package, phase = failed[-1]
        return Failure(f"{package} failed to {phase}", build_log)
    if problems := _PROBLEM.findall(text):
        return Failure(problems[0].removeprefix("emerge: ").removeprefix("!!! ").rstrip(".:"), build_log)
    if errors := _ERROR.findall(text):
        return Failure(errors[-1].strip(), build_log)
    words = meaningful_lines(text, LAST_WORDS)
    return Failure(" / ".join(line.strip() for line in words) or f"exit code {code}", build_log)
