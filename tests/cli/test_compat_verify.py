"""How a layer that does not pass is told."""

from __future__ import annotations

from pathlib import Path

from outcrop.cli.verification_view import failure
from outcrop.compat.verify.report import Check, Checked, Finding, Means, Report
from outcrop.errors import MissingCapability

PATH = Path("layer")


def test_what_the_machine_lacks_is_told_with_the_words_that_accept_it() -> None:
    report = Report(lacking={Means.MUSL: "it is not installed", Means.TRACER: "strace is not installed"})
    for means in (Means.TRACER, Means.MUSL):
        report.add(Check(f"by {means}", lambda: Checked(0), (means,)))
    error = failure(PATH, report)
    assert error.exit_code == MissingCapability.exit_code
    assert error.message == "a part of the proof is not available: this machine lacks musl, tracer"
    assert "`--without musl --without tracer` accepts that it is not proven" in error.hint


def test_what_is_wrong_is_told_first() -> None:
    report = Report(lacking={Means.TRACER: "strace is not installed"})
    report.add(Check("traced", lambda: Checked(0), (Means.TRACER,)))
    report.add(Check("links", lambda: Checked(1, (Finding("bin", "leads nowhere"),))))
    assert failure(PATH, report).message == "layer did not pass verification"
