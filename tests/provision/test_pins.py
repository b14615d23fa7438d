from __future__ import annotations

import re
from pathlib import Path

import pytest

from provision.pins import GOALS, environment_plan, files_for, fingerprint, read_record, written_record

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
WANTED = {"backend": "b1", "runtime": "r1", "test": "t1", "project": "p1"}


def test_empty_environment_gets_everything_in_order() -> None:
    plan = environment_plan("test", WANTED, {})
    assert plan.files == ("backend", "runtime", "test")
    assert plan.project


def test_environment_that_has_everything_gets_nothing() -> None:
    assert environment_plan("test", WANTED, {**WANTED, "docs": "d1"}).is_empty


def test_only_changed_pins_are_installed_again() -> None:
    plan = environment_plan("test", WANTED, {**WANTED, "runtime": "r0"})
    assert plan.files == ("runtime",)
    assert not plan.project


def test_tree_that_was_moved_installs_itself_again() -> None:
    assert environment_plan("test", WANTED, {**WANTED, "project": "p0"}).project


def test_record_reads_back() -> None:
    assert read_record(written_record(WANTED)) == WANTED


def test_cut_off_record_counts_for_what_it_still_says() -> None:
    assert read_record("backend b1\nrunt") == {"backend": "b1"}


def test_fingerprint_tells_where_one_content_ends() -> None:
    assert fingerprint(b"ab", b"c") != fingerprint(b"a", b"bc")


@pytest.mark.parametrize("name", sorted({name for goal in GOALS for name in files_for(goal)}))
def test_every_pin_has_hashes(name: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8"))
    pins = [entry for entry in entries if not entry.startswith("#")]
    assert pins
    for pin in pins:
        assert re.match(r"[a-z0-9._-]+==\S+", pin), pin.splitlines()[0]
        assert "--hash=sha256:" in pin, pin.splitlines()[0]
