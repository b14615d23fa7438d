"""Why the kernel refuses a namespace, by its answer and by the settings that can be read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from outcrop.client.ladder.trial import Outcome
from outcrop.client.ladder.why import Restrictions, read_restrictions, why_no_fuse, why_no_namespace

REFUSED = Outcome(problem="Operation not permitted", errno=errno.EPERM)


@pytest.mark.parametrize(
    ("settings", "filtered", "outcome", "named", "hint"),
    [
        ({"kernel.unprivileged_userns_clone": "0"}, False, REFUSED, "unprivileged_userns_clone is 0", "sysctl"),
        ({"user.max_user_namespaces": "0"}, False, REFUSED, "max_user_namespaces", "sysctl user.max_user_namespaces"),
        (
            {"user.max_user_namespaces": "9"},
            False,
            Outcome(problem="no space", errno=errno.ENOSPC),
            "9 of them",
            "sysctl",
        ),
        ({"kernel.apparmor_restrict_unprivileged_userns": "1"}, False, REFUSED, "AppArmor", "profile"),
        ({}, True, REFUSED, "seccomp", "container"),
        ({}, False, REFUSED, "Operation not permitted", "administrator"),
    ],
)
def test_the_setting_that_forbids_is_named_with_what_allows_it(
    settings: dict[str, str], filtered: bool, outcome: Outcome, named: str, hint: str
) -> None:
    obstacle = why_no_namespace(outcome, Restrictions(settings, filtered))
    assert obstacle is not None
    assert named in obstacle.reason
    assert hint in obstacle.hint


def test_success_is_no_obstacle() -> None:
    assert why_no_namespace(Outcome("yes"), Restrictions({}, False)) is None


def test_settings_are_read_where_the_kernel_has_them(tmp_path: Path) -> None:
    (tmp_path / "sys" / "kernel").mkdir(parents=True)
    (tmp_path / "sys" / "kernel" / "unprivileged_userns_clone").write_text("0\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text("Name:\tx\nSeccomp:\t2\n")
    found = read_restrictions(tmp_path)
    assert found.settings == {"kernel.unprivileged_userns_clone": "0"}
    assert found.is_filtered


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOENT, "modprobe"), (errno.EACCES, "chmod")])
def test_a_missing_and_a_closed_device_have_different_hints(number: int, hint: str) -> None:
    assert hint in why_no_fuse(OSError(number, "so")).hint
