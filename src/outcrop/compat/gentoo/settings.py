"""What a Gentoo Prefix is built from: the table `[gentoo]` of `layer.toml`.

    [gentoo]
    mirrors = ["https://…"]                # have `snapshots/` and `distfiles/`; the first that answers is used
    use = ["-X"]                           # flags for every package
    variables = { MAKEOPTS = "-j4" }       # further lines of make.conf

    [gentoo.snapshot]                      # the tree of ebuilds as it was on a day
    date = "20260615"
    sha256 = "…"                           # of `snapshots/portage-20260615.tar.xz`

    [gentoo.bootstrap]                     # Prefix's own script
    url = "https://…/bootstrap-prefix.sh"
    sha256 = "…"

    [gentoo.profiles]
    x86_64 = "default/linux/amd64/23.0/no-multilib/prefix/kernel-3.2+"

    [[gentoo.overlay]]
    name = "eessi"
    url = "https://…/gentoo-overlay.git"
    commit = "…"                           # 40 digits

    [[gentoo.package]]                     # what Portage is told of one package
    atom = "sys-auth/sssd"
    use = ["-daemon"]
    reason = "the daemon is the host's"

Everything that decides what is built is named by a digest or a commit. A stack's table is laid over the one that comes
with Outcrop: single values replace, lists grow, an overlay of the same name replaces one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

import msgspec

from outcrop.compat.family import FAMILIES, Family
from outcrop.errors import FormatError, InvalidValue

ATOM = re.compile(
    r"(?:[<>]=?|[=~])?(?:[A-Za-z0-9_][\w+.-]*|\*)/(?:[A-Za-z0-9_][\w+.-]*\*?|\*)(?::[\w+./=*-]+)?(?:::[A-Za-z0-9_][\w-]*)?"
)
"""What names packages, without USE flags in brackets. Source: Gentoo's package manager specification, section 8.3."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9_][\w-]*")
_FLAG = re.compile(r"(?:[A-Z][A-Z0-9_]*:|-\*|[+-]?[A-Za-z0-9][\w+@.-]*)")
_KEYWORD = re.compile(r"\*\*|[~-]?\*|[~-]?[a-z0-9-]+")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_PROFILE = re.compile(r"[A-Za-z0-9_][\w.+-]*(?:/[A-Za-z0-9_][\w.+-]*)*")
_UNFIT_FOR_ADDRESSES = re.compile(r"[\s'\"\\$`]")
_UNFIT_FOR_QUOTES = re.compile(r"[\"\n\\`]")
_SCHEMES = ("http", "https", "file")
_GIT_SCHEMES = (*_SCHEMES, "ssh", "git")


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tree of ebuilds of a day, as one archive."""

    date: str
    sha256: str

    @property
    def name(self) -> str:
        return f"portage-{self.date}.tar.xz"


class Bootstrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The script `bootstrap-prefix.sh`."""

    url: str
    sha256: str


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further repository of ebuilds. With `eclasses`, its classes go before Gentoo's own, for all packages."""

    name: str
    url: str
    commit: str
    eclasses: bool = False


class PackageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Portage is told of the packages that `atom` names. `environment`: variables while they are built."""

    atom: str
    reason: str
    use: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    mask: bool = False
    unmask: bool = False
    environment: dict[str, str] = {}
    families: tuple[str, ...] = ()


class GentooSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table. `snapshot` and `bootstrap` may be left to the stack."""

    mirrors: tuple[str, ...] = ()
    snapshot: Snapshot | None = None
    bootstrap: Bootstrap | None = None
    profiles: dict[str, str] = {}
    use: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    overlay: tuple[Overlay, ...] = ()
    package: tuple[PackageSettings, ...] = ()

    def over(self, base: GentooSettings) -> GentooSettings:
        """These settings laid over `base`."""
        return GentooSettings(
            mirrors=self.mirrors or base.mirrors,
            snapshot=self.snapshot or base.snapshot,
            bootstrap=self.bootstrap or base.bootstrap,
            profiles=base.profiles | self.profiles,
            use=(*base.use, *self.use),
            variables=base.variables | self.variables,
            overlay=tuple({one.name: one for one in (*base.overlay, *self.overlay)}.values()),
            package=(*base.package, *self.package),
        )

    def without_passwords(self) -> GentooSettings:
        """These settings with addresses that anybody may read: without an account and what goes with it."""
        return msgspec.structs.replace(
            self,
            mirrors=tuple(map(_open_address, self.mirrors)),
            bootstrap=self.bootstrap and msgspec.structs.replace(self.bootstrap, url=_open_address(self.bootstrap.url)),
            overlay=tuple(msgspec.structs.replace(one, url=_open_address(one.url)) for one in self.overlay),
        )

    def packages_for(self, family: Family) -> tuple[PackageSettings, ...]:
        return tuple(one for one in self.package if not one.families or family.name in one.families)


def _open_address(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def pinned_snapshot(settings: GentooSettings) -> Snapshot:
    """The snapshot; InvalidValue where none is named."""
    if settings.snapshot is None:
        raise _missing("snapshot", 'name `date = "…"` and `sha256 = "…"` in `[gentoo.snapshot]` of `layer.toml`')
    return settings.snapshot


def pinned_bootstrap(settings: GentooSettings) -> Bootstrap:
    """The script; InvalidValue where none is named."""
    if settings.bootstrap is None:
        raise _missing("bootstrap script", "name `url` and `sha256` in `[gentoo.bootstrap]` of `layer.toml`")
    return settings.bootstrap


def profile_for(settings: GentooSettings, family: Family) -> str:
    """The profile of `family`; InvalidValue where none is named."""
    if family.name not in settings.profiles:
        raise _missing(f"profile for {family.name}", "name it in `[gentoo.profiles]` of `layer.toml`")
    return settings.profiles[family.name]


def _missing(what: str, hint: str) -> InvalidValue:
    return InvalidValue(what="the back end gentoo-prefix", problem=f"is given no {what}", hint=hint)


def check_settings(settings: GentooSettings, what: str) -> None:
    """Raises FormatError for what cannot be meant; `what` is the file's name."""
    check = _Check(what)
    for url in settings.mirrors:
        check.address("mirrors", url)
    check.all_match("use", settings.use, _FLAG, "a USE flag")
    check.lines("variables", settings.variables)
    check.families("profiles", settings.profiles)
    check.all_match("profiles", settings.profiles.values(), _PROFILE, "a profile")
    if settings.snapshot is not None:
        check.day("snapshot.date", settings.snapshot.date)
        check.all_match("snapshot.sha256", [settings.snapshot.sha256], _SHA256, "a SHA-256")
    if settings.bootstrap is not None:
        check.address("bootstrap.url", settings.bootstrap.url)
        check.all_match("bootstrap.sha256", [settings.bootstrap.sha256], _SHA256, "a SHA-256")
    for overlay in settings.overlay:
        field = f"overlay.{overlay.name}"
        check.all_match("overlay.name", [overlay.name], _NAME, "the name of a repository")
        if overlay.name == "gentoo":
            check.refuse("overlay.name", "is gentoo, which is the snapshot's")
        check.address(f"{field}.url", overlay.url, _GIT_SCHEMES)
        check.all_match(f"{field}.commit", [overlay.commit], _COMMIT, "a commit of 40 digits")
    for package in settings.package:
        field = f"package.{package.atom}"
        check.all_match("package.atom", [package.atom], ATOM, "an atom")
        check.all_match(f"{field}.use", package.use, _FLAG, "a USE flag")
        check.all_match(f"{field}.keywords", package.keywords, _KEYWORD, "a keyword")
        check.lines(f"{field}.environment", package.environment)
        check.families(f"{field}.families", package.families)
        if not package.reason.strip():
            check.refuse(f"{field}.reason", "is empty")


@dataclass(frozen=True, slots=True)
class _Check:
    """Checks of single fields; `what` is the file's name."""

    what: str

    def refuse(self, field: str, problem: str) -> NoReturn:
        raise FormatError(
            what=self.what, field=f"gentoo.{field}", problem=problem, hint=f"mend {self.what} and try again"
        )

    def all_match(self, field: str, values: Iterable[str], pattern: re.Pattern[str], kind: str) -> None:
        for value in values:
            if not pattern.fullmatch(value):
                self.refuse(field, f"has {value!r}, which is not {kind}")

    def address(self, field: str, url: str, schemes: tuple[str, ...] = _SCHEMES) -> None:
        if urlsplit(url).scheme not in schemes or _UNFIT_FOR_ADDRESSES.search(url):
            self.refuse(field, f"has {url!r}, which is not an address")

    def lines(self, field: str, variables: Mapping[str, str]) -> None:
        self.all_match(field, variables, _VARIABLE, "the name of a variable")
        for name, value in variables.items():
            if _UNFIT_FOR_QUOTES.search(value):
                self.refuse(f"{field}.{name}", "has a quote, a backslash or more than one line")

    def families(self, field: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in {family.name for family in FAMILIES}:
                self.refuse(field, f"names {name}, which is not known")

    def day(self, field: str, date: str) -> None:
        try:
            datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            self.refuse(field, f"has {date!r}, which is not a day like 20260615")
