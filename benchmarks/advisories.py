"""Advisories as Debian's security tracker and as OSV give them, made up for the packages of a lock."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

from outcrop.compat.audit.tracker import NOT_AFFECTED_VERSION
from outcrop.compat.lock import Lock

SEED = 5
FAULTS_OF_A_SOURCE = 150
FIXABLE_EVERY = 3
"""Of a lock's source package, the first fault and every third one can be mended."""

_NEWEST = "999:1"
_RELEASES = ("bullseye", "bookworm", "trixie", "forky", "sid")
_WORDS = ("buffer", "crafted", "denial", "of", "service", "overflow", "parser", "remote", "allows", "attackers", "via")
_DESCRIPTION_WORDS = 30
_ECOSYSTEM = "Debian"
_RELEASE_NUMBERS = (11, 12, 13, 14)
_NEWEST_OF = {_ECOSYSTEM: _NEWEST, "PyPI": "999!1"}
_LISTED_VERSIONS = 20


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


def write_records(path: Path, lock: Lock, number: int) -> int:
    """Writes an archive of `number` records of OSV, the first of them about the shipped packages and the wheels of
    `lock`; how many of all can be mended."""
    words = random.Random(SEED)
    debian = sorted({package.source for package in lock.packages if package.ships})
    known = [(_ECOSYSTEM, source) for source in debian] + [("PyPI", wheel.name) for wheel in lock.wheels]
    about = [one for one in known for _ in range(FAULTS_OF_A_SOURCE)]
    about = about[:number] + [(_ECOSYSTEM, f"another-source-{index // 9}") for index in range(number - len(about))]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, (ecosystem, name) in enumerate(about):
            fault = f"DEBIAN-CVE-2026-{index:06}"
            archive.writestr(f"{fault}.json", json.dumps(_record(words, fault, ecosystem, name, index)))
    return len([index for index in range(min(number, len(known) * FAULTS_OF_A_SOURCE)) if not index % FIXABLE_EVERY])


def _record(words: random.Random, fault: str, ecosystem: str, name: str, number: int) -> dict[str, object]:
    fixed = NOT_AFFECTED_VERSION if number % FIXABLE_EVERY else _NEWEST_OF[ecosystem]
    suffixes = [""] if ecosystem == "PyPI" else [f":{release}" for release in _RELEASE_NUMBERS]
    return {
        "schema_version": "1.7.3",
        "id": fault,
        "modified": "2026-01-01T00:00:00Z",
        "upstream": [fault.removeprefix("DEBIAN-")],
        "details": " ".join(words.choices(_WORDS, k=_DESCRIPTION_WORDS)),
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [
            {
                "package": {"ecosystem": f"{ecosystem}{suffix}", "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
                "versions": [f"0.{one}-1" for one in range(_LISTED_VERSIONS)],
                "ecosystem_specific": {"urgency": "not yet assigned"},
            }
            for suffix in suffixes
        ],
        "references": [{"type": "ADVISORY", "url": "https://security-tracker.debian.org/tracker/" + fault}],
    }


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
