from __future__ import annotations

from tests.skip_budget import is_whole_suite, read_expected, verdict

EXPECTED = {"linux-x86_64-root": 2}


def test_as_many_skips_as_announced_pass() -> None:
    assert not verdict(2, "linux-x86_64-root", EXPECTED, binding=True).fails


def test_fewer_skips_than_announced_pass() -> None:
    assert not verdict(0, "linux-x86_64-root", EXPECTED, binding=True).fails


def test_more_skips_than_announced_fail_in_ci_with_both_numbers() -> None:
    judged = verdict(3, "linux-x86_64-root", EXPECTED, binding=True)
    assert judged.fails
    assert judged.line.startswith("3 tests were skipped, but tests/expected-skips.toml announces 2 ")


def test_more_skips_than_announced_are_only_told_elsewhere() -> None:
    assert not verdict(3, "linux-x86_64-root", EXPECTED, binding=False).fails


def test_machine_that_is_not_listed_may_skip_nothing() -> None:
    assert verdict(1, "linux-riscv64-user", EXPECTED, binding=True).fails


def test_a_part_of_the_suite_is_not_judged() -> None:
    assert is_whole_suite(["tests"], "", "")
    assert is_whole_suite(["tests/"], "", "")
    assert not is_whole_suite(["tests/cvmfs"], "", "")
    assert not is_whole_suite(["tests"], "whitelist", "")
    assert not is_whole_suite(["tests"], "", "fault")


def test_list_of_expected_skips_reads_as_numbers_by_machine() -> None:
    assert read_expected('[skips]\n"linux-x86_64-root" = 4 # FUSE\n') == {"linux-x86_64-root": 4}
