"""Advisories as Debian's security tracker gives them, made up for the packages of a lock."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from outcrop.compat.audit.advisories import NOT_AFFECTED_VERSION
from outcrop.compat.lock import Lock

SEED = 5
FAULTS_OF_A_SOURCE = 150
FIXABLE_EVERY = 3
"""Of a lock's source package, the first fault and every third one can be mended."""

_NEWEST = "999:1"
_RELEASES = ("bullseye", "bookworm", "trixie", "forky", "sid")
_WORDS = ("buffer", "crafted", "denial", "of", "service", "overflow", "parser", "remote", "allows", "attackers", "via")
_DESCRIPTION_WORDS = 30


def write_advisories(path: Path, lock: Lock, size: int) -> int:
    """Writes a document of `size` bytes or a little more; how many faults of shipped packages in it can be mended.

    It begins with faults of the source packages of `lock`; the rest is about others."""
    words = random.Random(SEED)
    sources = sorted({package.source for package in lock.packages if package.ships})
    releases = tuple(dict.fromkeys((*_RELEASES, lock.release)))
    written = 0
    with path.open("w", encoding="utf-8") as file:
        separator = "{"
        for source in _names(sources):
            if written >= size and source not in sources:
                break
            faults = {f"CVE-2026-{number:05}": _fault(words, releases, number) for number in range(FAULTS_OF_A_SOURCE)}
            written += file.write(f"{separator}{json.dumps(source)}: {json.dumps(faults)}")
            separator = ",\n"
        file.write("}\n")
    return len(sources) * len(range(0, FAULTS_OF_A_SOURCE, FIXABLE_EVERY))


def _names(sources: list[str]) -> Iterator[str]:
    yield from sources
    number = 0
    while True:
        yield f"another-source-{number}"
        number += 1


def _fault(words: random.Random, releases: tuple[str, ...], number: int) -> dict[str, object]:
    fixed = NOT_AFFECTED_VERSION if number % FIXABLE_EVERY else _NEWEST
    return {
        "description": " ".join(words.choices(_WORDS, k=_DESCRIPTION_WORDS)),
        "debianbug": 1_000_000 + number,
        "scope": "remote",
        "releases": {
            release: {
                "status": "resolved",
                "repositories": {release: _NEWEST, f"{release}-security": _NEWEST},
                "fixed_version": fixed,
                "urgency": "medium",
            }
            for release in releases
        },
    }
