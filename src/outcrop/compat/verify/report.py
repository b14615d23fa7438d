"""What a verification finds: one result a check, with all that is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from outcrop.compat.process_group import ending_together


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: with `subject` (a path, a program, a job), and in one sentence, what."""

    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What one look at a layer gave: how many things were looked at, what is wrong with them, and which could not be
    looked at, and why."""

    number: int
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A check that was made: `seconds` is how long it took."""

    name: str
    checked: Checked
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.checked.findings


@dataclass(slots=True)
class Report:
    """All results, in the order in which the checks were made."""

    results: list[Result] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)

    def add(self, name: str, check: Callable[[], Checked]) -> Result:
        """Makes the check `name` and keeps what it gives."""
        self.results.append(_made(name, check))
        return self.results[-1]

    def add_together(self, checks: Mapping[str, Callable[[], Checked]]) -> Iterator[Result]:
        """Makes `checks`, by name, two at a time; each result in their order, when it is there."""
        with ThreadPoolExecutor(2, thread_name_prefix="check") as pool, ending_together():
            for future in [pool.submit(_made, name, check) for name, check in checks.items()]:
                self.results.append(future.result())
                yield self.results[-1]


def _made(name: str, check: Callable[[], Checked]) -> Result:
    started = time.monotonic()
    found = check()
    return Result(name, found, time.monotonic() - started)


def checked(number: int, findings: Iterable[Finding], skipped: Iterable[Finding] = ()) -> Checked:
    """A look at `number` things."""
    return Checked(number, tuple(findings), tuple(skipped))
