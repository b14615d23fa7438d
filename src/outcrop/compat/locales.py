"""Locales, as the C library names them: `ca_ES.UTF-8@valencia` is a language, a character set, and perhaps a modifier.

The C library looks for one in a directory with the character set in small letters (`ca_ES.utf8@valencia`); it is made
from a source without it (`ca_ES@valencia`). Source: glibc's manual, "Locale Names"; `intl/l10nflist.c`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from outcrop.errors import InvalidValue

SOURCES = "usr/share/i18n/locales"
CHARACTER_SETS = "usr/share/i18n/charmaps"

_NAME = re.compile(
    r"(?P<language>[A-Za-z]+(?:_[A-Za-z0-9]+)?)\.(?P<charset>[A-Za-z0-9_-]+)(?:@(?P<modifier>[a-z0-9]+))?"
)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Locale:
    """A locale by the parts of its name; `modifier` is empty without one."""

    name: str
    language: str
    charset: str
    modifier: str

    @property
    def source(self) -> str:
        """The name of the text that it is made from."""
        return self.language + self._at

    @property
    def directory(self) -> str:
        """Where the C library looks for it, below its directory of locales."""
        return f"{self.language}.{_normal(self.charset)}{self._at}"

    @property
    def _at(self) -> str:
        return f"@{self.modifier}" if self.modifier else ""


def parse_locale(name: str) -> Locale | None:
    """The locale that `name` is; None where it has no character set, or no form at all."""
    match = _NAME.fullmatch(name)
    return Locale(name, match["language"], match["charset"], match["modifier"] or "") if match else None


def same_charset(one: str, other: str) -> bool:
    """Whether two names, such as UTF-8 and utf8, are of one character set."""
    return _normal(one) == _normal(other)


def _normal(charset: str) -> str:
    return re.sub(r"[^a-z0-9]", "", charset.lower())


def locales_to_make(tree: Path, names: Iterable[str]) -> tuple[Locale, ...]:
    """The locales `names`, each with its character set as the layer `tree`, whose packages are unpacked, calls it.

    InvalidValue unless the packages have all that they are made from."""
    wanted = list(names)
    sources = sorted(path.name for path in (tree / SOURCES).glob("*"))
    charsets = sorted({path.name.removesuffix(".gz") for path in (tree / CHARACTER_SETS).glob("*")})
    if wanted and not (sources and (tree / "usr/bin/localedef").exists()):
        raise InvalidValue(
            what=f"the locale {wanted[0]}",
            problem="cannot be made: no package has its source, or the program that makes it",
            hint="add the packages `locales` and `libc-bin` to a set, or declare `locales = []`",
        )
    found = []
    for name in wanted:
        locale = parse_locale(name)
        if locale is None or locale.source not in sources:
            close = get_close_matches(locale.source if locale else name, sources, _SHOWN)
            raise _refused(
                name, "is not among those that the release has", f"there is {', '.join(close)}" if close else ""
            )
        charset = next((one for one in charsets if same_charset(one, locale.charset)), None)
        if charset is None:
            raise _refused(name, f"has the character set {locale.charset}, which is not known")
        found.append(replace(locale, charset=charset))
    return tuple(found)


def _refused(name: str, problem: str, instead: str = "") -> InvalidValue:
    hint = f"mend `locales` in `layer.toml`: {instead or 'a name is like en_US.UTF-8, or ca_ES.UTF-8@valencia'}"
    return InvalidValue(what=f"the locale {name}", problem=problem, hint=hint)
