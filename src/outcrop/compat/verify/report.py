"""What a verification finds: one result a check, with all that is wrong, and what could not be proven."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

from outcrop.process_group import ending_together


class Means(StrEnum):
    """What a machine may lack for a check, by the names that `--without` knows."""

    DECODER = "iced-x86"
    MUSL = "musl"
    QEMU = "qemu"
    TRACER = "tracer"


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
class Check:
    """A look at a layer, and what it needs of the machine."""

    name: str
    look: Callable[[], Checked]
    needs: tuple[Means, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A check that was made: `seconds` is how long it took. `not_made` says why it was not."""

    name: str
    checked: Checked
    seconds: float
    not_made: str = ""

    @property
    def passed(self) -> bool:
        return not self.checked.findings


@dataclass(slots=True)
class Report:
    """All results, in the order in which the checks were made. Checks that need one of `without` are not made, as was
    asked for; those that need what is `lacking`, and why, are not made either, which is a finding."""

    without: frozenset[Means] = frozenset()
    lacking: dict[Means, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)

    @property
    def unproven(self) -> tuple[Result, ...]:
        """The checks that prove nothing, since they were not made, or had nothing to look at."""
        return tuple(result for result in self.results if result.not_made or not result.checked.number)

    @property
    def lacks(self) -> tuple[Means, ...]:
        """What this machine lacks, where nothing else is wrong."""
        wrong = [result for result in self.results if not result.passed]
        if not all(result.not_made for result in wrong):
            return ()
        names = {finding.subject for result in wrong for finding in result.checked.findings}
        return tuple(means for means in Means if means in names)

    @property
    def verdict(self) -> str:
        """What all checks together say, which names what is not proven."""
        names = ", ".join(result.name for result in self.unproven)
        if not self.passed:
            return f"not proven: {names}" if self.lacks else "the layer is not what it promises"
        return f"all checks that were made passed; not proven: {names}" if names else "all checks passed"

    def add(self, check: Check) -> Result:
        """Makes `check` and keeps what it gives."""
        self.results.append(self._made(check))
        return self.results[-1]

    def add_together(self, checks: Iterable[Check]) -> Iterator[Result]:
        """Makes `checks`, two at a time; each result in their order, when it is there."""
        with ThreadPoolExecutor(2, thread_name_prefix="check") as pool, ending_together():
            for future in [pool.submit(self._made, check) for check in checks]:
                self.results.append(future.result())
                yield self.results[-1]

    def _made(self, check: Check) -> Result:
        for means in check.needs:
            if means in self.without:
                return Result(check.name, Checked(0), 0, f"left out by --without {means}")
        for means in check.needs:
            if means in self.lacking:
                why = self.lacking[means]
                finding = Finding(means, f"is missing, so nothing was looked at: {why}")
                return Result(check.name, Checked(0, (finding,)), 0, why)
        started = time.monotonic()
        found = check.look()
        return Result(check.name, found, time.monotonic() - started)


def checked(number: int, findings: Iterable[Finding], skipped: Iterable[Finding] = ()) -> Checked:
    """A look at `number` things."""
    return Checked(number, tuple(findings), tuple(skipped))
