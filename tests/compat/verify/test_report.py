"""A check that was not made is no proof: who did not ask for that is told so, and the verdict names it."""

from __future__ import annotations

import pytest

from outcrop.compat.verify.report import Check, Checked, Finding, Means, Report

GOOD = Check("good", lambda: Checked(3))
WRONG = Check("wrong", lambda: Checked(3, (Finding("usr/bin/ls", "is wrong"),)))
EMPTY = Check("empty", lambda: Checked(0))


def fails() -> Checked:
    raise AssertionError("it is not made")


TRACED = Check("traced", fails, (Means.TRACER,))
EMULATED = Check("emulated", fails, (Means.MUSL, Means.QEMU))


def report(*checks: Check, lacking: dict[Means, str] | None = None, without: tuple[Means, ...] = ()) -> Report:
    made = Report(frozenset(without), lacking or {})
    for check in checks:
        made.add(check)
    return made


def test_what_passes_is_proven() -> None:
    found = report(GOOD)
    assert (found.passed, found.unproven, found.verdict) == (True, (), "all checks passed")


def test_what_the_machine_lacks_is_a_finding() -> None:
    found = report(GOOD, TRACED, lacking={Means.TRACER: "strace is not installed"})
    assert not found.passed
    assert found.lacks == (Means.TRACER,)
    (finding,) = found.results[1].checked.findings
    assert finding == Finding("tracer", "is missing, so nothing was looked at: strace is not installed")
    assert found.verdict == "not proven: traced"


@pytest.mark.parametrize("lacking", [{}, {Means.TRACER: "strace is not installed"}])
def test_who_asked_for_it_is_told_in_the_verdict(lacking: dict[Means, str]) -> None:
    found = report(GOOD, TRACED, lacking=lacking, without=(Means.TRACER,))
    assert found.passed
    assert [(one.name, one.not_made) for one in found.unproven] == [("traced", "left out by --without tracer")]
    assert found.verdict == "all checks that were made passed; not proven: traced"


def test_one_that_is_missing_is_enough() -> None:
    found = report(EMULATED, lacking={Means.QEMU: "no"})
    assert found.lacks == (Means.QEMU,)
    assert report(EMULATED, lacking={Means.QEMU: "no"}, without=(Means.MUSL,)).passed


def test_nothing_to_look_at_is_no_proof() -> None:
    found = report(GOOD, EMPTY)
    assert found.passed
    assert found.verdict == "all checks that were made passed; not proven: empty"


def test_what_is_wrong_outweighs_what_is_missing() -> None:
    found = report(WRONG, TRACED, lacking={Means.TRACER: "no"})
    assert found.lacks == ()
    assert found.verdict == "the layer is not what it promises"


def test_checks_at_the_same_time_are_reported_in_order() -> None:
    made = Report()

    def wrong(name: str) -> Check:
        return Check(name, lambda: Checked(1, (Finding(name, "is wrong"),)))

    checks = [wrong(name) for name in ("a", "b", "c")]
    assert [result.name for result in made.add_together(checks)] == ["a", "b", "c"]
    assert [result.checked.findings[0].subject for result in made.results] == ["a", "b", "c"]
    assert not made.passed
