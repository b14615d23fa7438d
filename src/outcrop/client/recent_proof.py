"""The revision that was proved current a moment ago, so that a command which is run again and again asks no server.

The rules:

- What is kept was proved by this user's own process and lies in the state directory, beside what has been seen.
- It holds for as long as a mount would go on without a look: the repository's time to live, though never longer than
  `LONGEST_SECONDS`, nor beyond the end of the whitelist or the age that the repository promises for its records.
- It answers the same question only: the same words and the same settings in the environment.
- It is void as soon as any file that had a say has changed: configuration, keys, blacklists, and what this machine has
  seen of the repository, since another reader may have seen a newer revision.

The file is a cache. One that is damaged, or cannot be written, costs a question to a server.

    {"format": 2, "root_catalog": "90af6b…", "at": <seconds since 1970>, "until": …, "files": {"<path>": "<stamp>"},
     "variables": {"<name>": "<value>"}}

The variables are what the configuration says of those that links of the repository name, null for one of which it says
nothing, so that it need not be read either.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from outcrop.client.stamps import TOO_MANY, stamp_of
from outcrop.errors import StorageError
from outcrop.whole_file import write_whole_file

if TYPE_CHECKING:
    from outcrop.client.trust import TrustedManifest

LONGEST_SECONDS = 3600.0
"""A repository may state a time to live of years; nobody expects that of a command."""

_FORMAT = 2
_NAME_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Proved:
    """A root catalog that was proved at `at`, and may be taken for current until `until` (seconds since 1970) as long
    as `files` have the stamps that are with them. `variables` are what the configuration says for links, as far as that
    was asked for."""

    root_catalog: str
    at: float
    until: float
    files: Mapping[str, str]
    variables: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecentProof:
    """What is kept in the file `path`."""

    path: Path
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, state_directory: Path, repository: str, question: Sequence[str]) -> RecentProof:
        """What is kept of `repository` for `question`: the words and settings that say how it is read."""
        digest = hashlib.sha256("\0".join(question).encode("utf-8", "surrogateescape")).hexdigest()
        return cls(state_directory / "proved" / f"{repository}-{digest[:_NAME_CHARACTERS]}.json")

    def kept(self) -> Proved | None:
        """All that is kept; None if that does not hold any more."""
        try:
            document = json.loads(self.path.read_bytes())
            is_ours = document["format"] == _FORMAT
            files = {str(path): str(stamp) for path, stamp in dict(document["files"]).items()}
            variables = {
                str(name): None if value is None else str(value) for name, value in dict(document["variables"]).items()
            }
            kept = Proved(
                str(document["root_catalog"]), float(document["at"]), float(document["until"]), files, variables
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        holds = is_ours and kept.at <= self.clock() < kept.until
        return kept if holds and all(stamp_of(path) == stamp for path, stamp in files.items()) else None

    def keep(self, root_catalog: str, until: float, files: Iterable[Path]) -> None:
        """Keeps that `root_catalog` was proved now, until `until` (seconds since 1970) and as long as `files` stay what
        they are. Where that is not possible, nothing happens."""
        stamps = {os.fspath(path): stamp_of(path) for path in files}
        if TOO_MANY not in stamps.values():
            self._write(Proved(root_catalog, self.clock(), until, stamps))

    def keep_variables(self, variables: Mapping[str, str | None]) -> None:
        """Adds to what is kept, if that still holds, what the configuration says of `variables`."""
        kept = self.kept()
        if kept is not None:
            self._write(replace(kept, variables=variables))

    def _write(self, proved: Proved) -> None:
        document = {"format": _FORMAT, **{name: getattr(proved, name) for name in proved.__slots__}}
        # Where it cannot be written, the next run asks again.
        with suppress(OSError, StorageError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole_file(self.path, json.dumps(document).encode())


def holds_until(trusted: TrustedManifest, now: float) -> float:
    """Until when (seconds since 1970) `trusted`, proved at `now`, may be taken for current without a look."""
    ends = [now + min(float(trusted.manifest.ttl), LONGEST_SECONDS), trusted.whitelist.expires.timestamp()]
    freshness = trusted.seen.freshness
    if freshness is not None and freshness.announcement is not None and freshness.issued is not None:
        ends.append(freshness.issued + freshness.announcement.maximum_age)
    return min(ends)
