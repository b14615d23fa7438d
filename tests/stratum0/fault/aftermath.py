"""What must hold when a command was interrupted at any moment: everything is as before or as after, and nobody has to
lend a hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.objects import REFLOG_NAME, WHITELIST_NAME
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.storage.directory import TEMPORARY_DIRECTORIES
from outcrop.stratum0.check.owned import trusted_by
from outcrop.stratum0.check.repository import FULL, check_repository
from outcrop.stratum0.collection.collect import collect_garbage
from outcrop.stratum0.collection.retention import Window
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import record_path
from outcrop.stratum0.transactions.lease import Leases
from outcrop.stratum0.transactions.transaction_record import transaction_names, transactions_home
from tests.conformance import section16
from tests.stratum0.collecting import needed
from tests.stratum0.fault.commands import CommandServer
from tests.stratum0.fault.scenario import NAME, Action, Scenario
from tests.stratum0.reading import entries, published_manifest

_AUTOMATIC = "generic-"


@dataclass(frozen=True, slots=True)
class State:
    """What a repository says. Automatic tags are named for the moment, so that only their revision tells anything."""

    revision: int
    tags: tuple[tuple[str, int], ...]
    entries: dict[bytes, Entry] = field(repr=False)
    whitelist_days: int
    transactions: tuple[str, ...] = field(compare=False)
    """Those that are open. Publishing one and ending it are two steps: there is a moment between them."""

    @property
    def summary(self) -> str:
        """What it says, in a line."""
        return f"revision {self.revision}, {len(self.entries)} entries, tags {self.tags}, {self.transactions}"


def state_of(directory: Path) -> State | None:
    """What the repository in `directory / "data"` says; None if there is none yet."""
    data = directory / "data"
    if not record_path(data, NAME).exists():
        return None
    repository = OwnedRepository.open(data, NAME)
    manifest = published_manifest(repository.store)
    whitelist = Whitelist.parse(SignedText.parse(repository.store.read(WHITELIST_NAME), WHITELIST_NAME).text)
    return State(
        manifest.revision,
        tuple(sorted((_plain(tag.name), tag.revision) for tag in repository.tags(manifest))),
        entries(repository.store),
        (whitelist.expires - datetime.now(UTC)).days,
        tuple(sorted({*transaction_names(transactions_home(data, NAME)), *Leases(data, NAME).transactions()})),
    )


def _plain(tag: str) -> str:
    return _AUTOMATIC if tag.startswith(_AUTOMATIC) else tag


class Aftermath:
    """What holds after an interruption of `action`."""

    def __init__(self, scenario: Scenario, server: CommandServer, action: Action) -> None:
        self.action = action
        self._scenario = scenario
        self._server = server
        directory = self.begin()
        self._before = state_of(directory)
        self._after = self._succeed(directory, action)
        self._files = set(_files_of_owner(directory))
        self._following = self._succeed(directory, scenario.next_publish)
        self._files |= set(_files_of_owner(directory))

    def begin(self) -> Path:
        """The directory that the action begins from, as it was."""
        return self._scenario.begin(self.action.setting)

    def require(self, directory: Path, *, thoroughly: bool, is_done: bool = False) -> None:
        """Fails unless the repository in `directory` is whole, and the next command goes on from there.

        `thoroughly` asks the independent check of the format as well, and garbage collection, which must then leave
        nothing that nobody needs. With `is_done` the action has said that it was carried out."""
        found = state_of(directory)
        wanted = (self._after,) if is_done else (self._before, self._after)
        assert found in wanted, f"neither before nor after: {found and found.summary}"
        if found is not None:
            _require_clean(directory)
            if thoroughly:
                # A reflog is written before the manifest: one that knows of more is what an interruption leaves.
                _require_format(directory, but_for=REFLOG_NAME)
        if found is None or found != self._after or found.transactions != self._after.transactions:
            # The same command, given again.
            state = self._succeed(directory, self.action)
            assert state == self._after, f"given again, it led to {state.summary}"
            assert state.transactions == self._after.transactions, f"left open: {state.transactions}"
        if found == self._after or not self.action.clears_up:
            state = self._succeed(directory, self._scenario.next_publish)
            assert state.revision == self._following.revision, state.summary
            assert state.entries.keys() == self._following.entries.keys(), state.summary
        storage = directory / "data" / "storage" / NAME
        temporary = [path for name in TEMPORARY_DIRECTORIES for path in (storage / name).rglob("*")]
        leftovers = [path for path in temporary if path.is_file()]
        leftovers += [directory / "data" / file for file in set(_files_of_owner(directory)) - self._files]
        assert not leftovers, f"left over: {leftovers}"
        if thoroughly:
            _require_clean(directory)
            _require_nothing_unneeded(directory)
            _require_format(directory)

    def _succeed(self, directory: Path, action: Action) -> State:
        ended = self._server.run(directory, action.arguments)
        assert ended.code == 0, f"{action.name}: {ended}"
        state = state_of(directory)
        assert state is not None
        return state


def _require_clean(directory: Path) -> None:
    """Fails unless our own check, which reads every object, finds nothing."""
    repository = OwnedRepository.open(directory / "data", NAME)
    report = check_repository(repository.store, trusted_by(repository, datetime.now(UTC)), FULL)
    assert report.is_clean, [str(problem) for problem in report.problems]


def _require_format(directory: Path, but_for: str = "") -> None:
    """Fails unless the check that shares no code with ours finds nothing, but for the file of that name."""
    repository = OwnedRepository.open(directory / "data", NAME)
    keys = [repository.keys.public_key.read_bytes()]
    found = section16.check_repository(Path(repository.store.address), keys, NAME, now=datetime.now(UTC))
    violations = [violation for violation in found if violation.where != but_for]
    assert not violations, violations


def _require_nothing_unneeded(directory: Path) -> None:
    repository = OwnedRepository.open(directory / "data", NAME)
    now = int(datetime.now(UTC).timestamp())
    collect_garbage(repository, Window.of_days(0, now), now=now)
    there = set(repository.store.names())
    assert there == needed(repository), there ^ needed(repository)


def _files_of_owner(directory: Path) -> Iterator[str]:
    """What lies in the data directory besides the storage."""
    data = directory / "data"
    for path in data.rglob("*"):
        if not path.is_relative_to(data / "storage"):
            yield str(path.relative_to(data))
