from __future__ import annotations

import pytest

from outcrop.compat.gentoo.portage_log import Emerging, Failure, emerging, failure

BUILD_FAILED = """\
>>> Emerging (2 of 7) sys-auth/munge-0.5.18::own
\x1b[31;01m * \x1b[39;49;00mERROR: sys-auth/munge-0.5.18::own failed (compile phase):
 *   emake failed
>>> Failed to emerge sys-auth/munge-0.5.18, Log file:

>>>  '/cvmfs/x/var/tmp/portage/sys-auth/munge-0.5.18/temp/build.log'
"""


def test_progress_is_the_package_that_began_last() -> None:
    text = ">>> Emerging (1 of 7) a/b-1::gentoo\nmore\n>>> Emerging (2 of 7) a/c-2.1-r3::own\n>>> Emerging (3 of"
    assert emerging(text) == Emerging("a/c-2.1-r3", 2, 7)
    assert emerging("nothing\n") is None


def test_a_package_that_fails_is_named_with_its_log() -> None:
    assert failure(BUILD_FAILED, 1) == Failure(
        "sys-auth/munge-0.5.18 failed to compile", "/cvmfs/x/var/tmp/portage/sys-auth/munge-0.5.18/temp/build.log"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'emerge: there are no ebuilds to satisfy "a/b".\n\nemerge: searching for similar names...\n',
            'there are no ebuilds to satisfy "a/b"',
        ),
        (
            '!!! All ebuilds that could satisfy "a/b" have been masked.\n!!! One of the following masked packages\n',
            'All ebuilds that could satisfy "a/b" have been masked',
        ),
        (
            "The following USE changes are necessary to proceed:\n (see portage(5))\n# required by a/b\n",
            "The following USE changes are necessary to proceed",
        ),
        (
            "\x1b]2;stage1: fetching\x07!!! downloading https://example.org/m4 failed!\n\nI tried running\n  stage1\n",
            "downloading https://example.org/m4 failed!",
        ),
        ("line 1\nline 2\nline 3\nline 4\n", "line 2 / line 3 / line 4"),
        ("", "exit code 1"),
    ],
)
def test_other_trouble_is_told_in_a_line(text: str, problem: str) -> None:
    assert failure(text, 1) == Failure(problem, "")
