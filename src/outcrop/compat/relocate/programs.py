"""What is known of single programs when a tree is moved to a prefix: files that stay as they are, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


UNTOUCHED = _any_of(
    r".*\.m4f",  # autoconf's frozen state counts its bytes
    r"usr/share/doc/.*",  # licences are passed on as they are
    r"usr/share/perl/[^/]*/(?:pod|Pod)/.*",  # read by people only
    # What autotools copy into the sources of others, who build elsewhere, too. Automake's modules are its own.
    r"usr/share/(?:autoconf|aclocal(?:-[^/]*)?)/.*\.m4",
    r"usr/share/automake-[^/]*/(?!Automake/).*",
    r"usr/share/(?:autoconf/build-aux|gettext/po|intltool)/.*",
    r"usr/share/gettext/(?:config\.rpath|gettext\.h)",
    r"usr/share/misc/config\.(?:guess|sub)",
)
"""Paths of files that nothing is changed in."""

LOADER = _any_of(r"usr/lib/[^/]+/ld-linux[^/]*\.so\.\d+", r"usr/lib/[^/]+/ld-2[^/]*\.so")
"""glibc's dynamic loader."""

LIBC = _any_of(r"usr/lib/[^/]+/libc\.so\.6", r"usr/lib/[^/]+/libc-2[^/]*\.so")
"""glibc's main library."""

COMPILERS = _any_of(r"usr/lib(?:exec)?/gcc/.*/(?:cc1|cc1plus|f951|lto1)")
"""GCC's compilers proper."""

COMPILERS_KEEP = (b"/usr/include", b"/usr/local/include")
"""Directories before which they put `--sysroot`, which the specs give: these stay."""

KEPT_PATHS = (b"/var/tmp", b"/var/run", b"/var/lock", b"/var/spool", b"/var/mail")
"""What is the running machine's, although the layer has a directory of that name."""


@dataclass(frozen=True, slots=True)
class Edit:
    """In the files that match `path`, `old` becomes `new`. In programs it has as many bytes: a path that is nowhere.
    That is done before paths are moved, or `afterwards`, where the prefix is not before it."""

    path: re.Pattern[str]
    old: bytes
    new: bytes
    afterwards: bool = False


_PERL = _any_of(r"usr/bin/perl(?:5[.\d]*)?", r"usr/lib/[^/]+/libperl\.so\.[.\d]+")
_PERLS_SETTINGS = _any_of(r"usr/lib/[^/]+/perl(?:-base|/[^/]+)/Config(?:_heavy)?\.p[lm]")
_DRIVERS = _any_of(r"usr/bin/[a-z0-9_]+-linux-gnu-(?:gcc|g\+\+|cpp|gfortran|gcc-ar|gcc-nm|gcc-ranlib)-\d+")
_MODULES = _any_of(r"usr/share/modules/init/.*", r"usr/lib/[^/]+/modulecmd\.tcl")

EDITS = (
    # The drivers put `/usr/lib/gcc/` together from two numbers in their code (x86_64). Everything of that kind they
    # also look for beside themselves.
    Edit(_DRIVERS, b"\xb8/usr/lib", b"\xb8/dev/nul"),
    Edit(_DRIVERS, b"\xb8lib/gcc/", b"\xb8nul/gcc/"),
    # On aarch64 they load them from the text, to which nothing else refers once that has moved.
    Edit(_DRIVERS, b"\0/usr/lib/gcc/\0", b"\0/dev/null/gc/\0", afterwards=True),
    # From a text of its own, Perl makes the places where modules of former versions of 5.40 would be.
    Edit(_PERL, b"/usr/local/lib/", b"/dev/null/lib//", afterwards=True),
    Edit(_PERL, b"/usr/local/share/", b"/dev/null/share//", afterwards=True),
    # The default is an array in the program. What `locale -a` lists is told by a script in its place.
    Edit(_any_of(r"usr/bin/locale"), b"\0/usr/lib/locale\0", b"\0/dev/null/lcale\0"),
    # Where the code forms its address in two places (riscv64): Python takes it for its prefix where it finds no other.
    Edit(_any_of(r"usr/bin/python3\.\d+"), b"\0/usr\0", b"\0/dev\0", afterwards=True),
    # Programs in Go know the lengths of their strings.
    Edit(_any_of(r"usr/bin/git-lfs"), b"/usr/share/locale", b"/dev/null/.locale"),
    # So a script finds out whether `;` separates paths: it looks for a shell where it must not find one.
    Edit(_any_of(r"usr/bin/autoconf"), b"PATH='/bin;/bin'", b"PATH='/dev/null;/dev/null'"),
    # Where modules look for libraries. `/lib` alone, between spaces, could be anything elsewhere.
    Edit(_PERLS_SETTINGS, b" /lib'", b" /usr/lib'"),
    Edit(_PERLS_SETTINGS, b" /lib ", b" /usr/lib "),
    # Behind a variable with what comes before the command, which ends in a space where it is not empty.
    Edit(_MODULES, b"}/usr/bin/tclsh", b"} /usr/bin/tclsh"),
)
"""Paths that are part of instructions or of arrays, where nothing longer fits, and such as no rule would find."""
