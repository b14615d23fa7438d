"""What is known of single programs when a tree is moved to a prefix: files that stay as they are, and why."""

from __future__ import annotations

import re


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


UNTOUCHED = _any_of(
    r".*\.m4f",  # autoconf's frozen state counts its bytes
    r"usr/share/doc/.*",  # licences are passed on as they are
    r"usr/share/perl/[^/]*/(?:pod|Pod)/.*",  # read by people only
)
"""Paths of files that nothing is changed in."""

LOADER = _any_of(r"usr/lib/[^/]+/ld-linux[^/]*\.so\.\d+", r"usr/lib/[^/]+/ld-2[^/]*\.so")
"""glibc's dynamic loader."""

LIBC = _any_of(r"usr/lib/[^/]+/libc\.so\.6", r"usr/lib/[^/]+/libc-2[^/]*\.so")
"""glibc's main library."""

KEEPS_STRINGS = _any_of(
    # GCC's programs look for headers and libraries below `--sysroot`, which their specs give, and for each other from
    # where they are themselves.
    r"usr/bin/(?:[a-z0-9_]+-linux-gnu-)?(?:gcc|g\+\+|cpp|gfortran)-\d+",
    r"usr/lib(?:exec)?/gcc/.*/(?:cc1|cc1plus|f951|lto1|collect2|lto-wrapper)",
)
"""Programs that get the layer's loader and run path, and whose paths stay."""

KEPT_PATHS = (b"/var/tmp", b"/var/run", b"/var/lock", b"/var/spool", b"/var/mail")
"""What is the running machine's, although the layer has a directory of that name."""
