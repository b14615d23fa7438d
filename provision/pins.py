"""Which files of pinned Python packages a goal needs, and which of them are not installed yet. No effects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

BACKEND = "backend"
"""Installed before everything else: it builds what comes as source only."""

PROJECT = "project"
"""Outcrop itself, installed last and in place."""

_GOALS = {
    "demo": ("runtime",),
    "test": ("runtime", "test"),
    "fault": ("runtime", "test"),
    "bench": ("runtime", "test"),
    # mypy checks the tests too, so it needs what they import.
    "lint": ("runtime", "test", "lint"),
    "docs": ("runtime", "docs"),
    "fuzz": ("runtime", "test", "fuzz"),
    "pins": ("pins",),
}

GOALS = tuple(_GOALS)


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """The files to install from (names without `.txt`), in order; `project`: install Outcrop itself after them."""

    files: tuple[str, ...]
    project: bool

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.project


def files_for(goal: str) -> tuple[str, ...]:
    """The requirement files that `goal` needs, the backend first."""
    return (BACKEND, *_GOALS[goal])


def fingerprint(*contents: bytes) -> str:
    """What changes whenever one of `contents` does."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def environment_plan(goal: str, wanted: Mapping[str, str], installed: Mapping[str, str]) -> EnvironmentPlan:
    """What must still be installed for `goal`.

    `wanted` and `installed` hold a fingerprint for each requirement file, and for the project itself.
    """
    return EnvironmentPlan(
        files=tuple(name for name in files_for(goal) if installed.get(name) != wanted[name]),
        project=installed.get(PROJECT) != wanted[PROJECT],
    )


def read_record(text: str) -> dict[str, str]:
    """The fingerprints in a record of what is installed: lines of a name and a fingerprint."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def written_record(fingerprints: Mapping[str, str]) -> str:
    """The text that `read_record` reads."""
    return "".join(f"{name} {value}\n" for name, value in sorted(fingerprints.items()))
