"""What a layer is made of, as data: `layer.toml` and one file for each set of packages beside it.

    # compat/base.toml
    purpose = "a shell and the tools that scripts expect"
    families = ["x86_64"]          # by default all; `releases` alike
    optional = true                # only with `--with base`
    ships = false                  # only there while the layer is built

    [[package]]
    name = "bash"
    names = { trixie = "…" }       # where a release calls it otherwise
    reason = "the shell of users and of `startprefix`"
    gentoo = "app-shells/bash"
    programs = ["bash"]
    stands_for = ["…"]             # dependencies of easyconfigs that need not be built, since this is there
    answers = { bash = "usage" }   # to `--version`, where that does not end with 0: what it says, or the exit code

    [[wheel]]                      # what the release does not have: Python's, pinned by digest
    name = "archspec"
    version = "0.2.7"
    file = "archspec-0.2.7-py3-none-any.whl"
    sha256 = "…"
    reason = "names processors"
    programs = ["archspec"]

`gentoo` is the atom by which Gentoo Prefix knows the package. `layer.toml` names the back end and the release, and says
what belongs to no package: which dependencies are left out, which paths are not unpacked, which files are the host's. A
stack's own `compat` directory is laid over the files that come with Outcrop: a set of the same name replaces one, lists
in `layer.toml` grow, and `keep` names rules of `[[drop]]` that do not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outcrop.compat.debian.packages import SHA256
from outcrop.compat.declared_files import (
    INSTRUCTIONS_FILE,
    LAYER_FILE,
    LIBRARIES_FILE,
    SCRIPTS_FILE,
    STANDARD_DIRECTORY,
)
from outcrop.compat.family import FAMILIES, Family
from outcrop.compat.gentoo.settings import ATOM, GentooSettings, check_settings
from outcrop.compat.left_out import RULE_NAME, Drop, DropRules
from outcrop.compat.locales import parse_locale
from outcrop.compat.verify.choices import parse_choices
from outcrop.compat.verify.elsewhere import parse_elsewhere
from outcrop.compat.wheels.names import wheel_name
from outcrop.errors import FormatError, InvalidValue, storage_error
from outcrop.toml_text import decoded, read_text

_NO_SETS = (INSTRUCTIONS_FILE, LIBRARIES_FILE, SCRIPTS_FILE)

TRUSTED_DIRECTORIES = 3
"""The C library's loader has an array of four directories, of which the last is that of the layer's libraries."""

_RECORDED_HINT = "another Outcrop has built it: name the stack's directory with `--stack`, or build it anew"
_ROOM_HINT = "name fewer; a directory can hold links to what is in others"
_PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VARIABLE = re.compile(r"[A-Z0-9_]+")
_PYTHON = re.compile(r"python(\d\.\d+)(?:-minimal|-nopie)?|(pypy\d*)")
"""Debian's packages of interpreters: CPython's by its version, PyPy's by its name."""


ProgramAnswer = int | str
"""What a program answers to `--version`: its exit code, or what it says if it does not end with 0, as a regular
expression."""


class WantedPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package that a set names, and why. `programs`: what users run of it; each must start, and end with 0 when it is
    asked for its version, or as `answers` say. `stands_for`: software of EasyBuild's that a stack on top filters, since
    the package is there."""

    name: str
    reason: str
    gentoo: str = ""
    programs: tuple[str, ...] = ()
    stands_for: tuple[str, ...] = ()
    answers: dict[str, ProgramAnswer] = {}
    names: dict[str, str] = {}
    families: tuple[str, ...] = ()

    def name_in(self, release: str) -> str:
        return self.names.get(release, self.name)


class WantedWheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Python wheel that a set names, by its file and that file's digest, and why."""

    name: str
    version: str
    file: str
    sha256: str
    reason: str
    gentoo: str = ""
    programs: tuple[str, ...] = ()
    answers: dict[str, ProgramAnswer] = {}
    families: tuple[str, ...] = ()


class PackageSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A set: its file's name is its own."""

    purpose: str
    package: tuple[WantedPackage, ...] = ()
    wheel: tuple[WantedWheel, ...] = ()
    families: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    optional: bool = False
    ships: bool = True
    name: str = ""

    def holds_for(self, family: Family, release: str) -> bool:
        return (not self.families or family.name in self.families) and (not self.releases or release in self.releases)


class Exclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dependency that a layer does without."""

    name: str
    reason: str


class Uncompiled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Python files below the layer, as globs, that get no bytecode. All others must have some: one that Python cannot
    compile ends the build."""

    paths: tuple[str, ...]
    reason: str


class HostLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A path of the layer that is the host's: a link to `host` that a site can redirect by a variable of its client,
    whose name ends in `variable`, by default made of the path. Only layers of `back_ends` have it, all where there are
    none."""

    path: str
    host: str
    reason: str
    variable: str = ""
    back_ends: tuple[str, ...] = ()

    @property
    def variable_name(self) -> str:
        """The end of the variable's name, such as `ETC_PASSWD`."""
        return self.variable or re.sub(r"[^A-Z0-9]+", "_", self.path.upper())


class HostPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A path of the host that the layer's programs ask for as it is, with all below it: no site can redirect it."""

    path: str
    reason: str


class DeclaredLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link that no package has, since a script makes it when the package is installed."""

    path: str
    target: str
    reason: str


class KnownEffect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What scripts of `packages` do by `commands`, both globs, and why a layer needs it not."""

    commands: tuple[str, ...]
    reason: str
    packages: tuple[str, ...] = ("*",)


class _ScriptsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    effect: tuple[KnownEffect, ...] = ()


class Together(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Packages that Debian keeps apart, and that are no trouble to each other in a layer."""

    packages: tuple[str, ...]
    reason: str


class _LayerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    back_end: str = ""
    release: str = ""
    suites: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    trusted_directories: tuple[str, ...] = ()
    standard_sets: bool = True
    exclude: tuple[Exclusion, ...] = ()
    together: tuple[Together, ...] = ()
    drop: tuple[Drop, ...] = ()
    keep: tuple[str, ...] = ()
    uncompiled: tuple[Uncompiled, ...] = ()
    host: tuple[HostLink, ...] = ()
    host_path: tuple[HostPath, ...] = ()
    link: tuple[DeclaredLink, ...] = ()
    gentoo: GentooSettings = GentooSettings()


@dataclass(frozen=True, slots=True)
class LayerDescription:
    """All that is declared of a layer. `suites` is empty for the release's usual ones; `trusted_directories` are where
    the loader looks first among its own, relative to the prefix; `instructions` and `libraries` are the
    texts of the stack's own lists for a verification, `effects` what the stack itself declares of scripts. What has a
    default is not in every record: layers were built before there was such a declaration."""

    back_end: str
    release: str
    suites: tuple[str, ...]
    locales: tuple[str, ...]
    trusted_directories: tuple[str, ...]
    sets: tuple[PackageSet, ...]
    exclusions: tuple[Exclusion, ...]
    together: tuple[Together, ...]
    drops: tuple[Drop, ...]
    host_links: tuple[HostLink, ...]
    links: tuple[DeclaredLink, ...]
    gentoo: GentooSettings
    uncompiled: tuple[Uncompiled, ...] = ()
    instructions: str = ""
    effects: tuple[KnownEffect, ...] = ()
    libraries: str = ""
    host_paths: tuple[HostPath, ...] = ()

    def sets_for(self, family: Family, asked_for: Iterable[str] = ()) -> tuple[PackageSet, ...]:
        """The sets of `family`'s layer, with the optional ones that are asked for. InvalidValue for an unknown one."""
        asked = set(asked_for)
        unknown = asked - {one.name for one in self.sets}
        if unknown:
            raise InvalidValue(
                what=f"the set {min(unknown)}",
                problem="is not declared",
                hint=f"there are {', '.join(sorted(one.name for one in self.sets))}",
            )
        return tuple(
            one
            for one in self.sets
            if one.holds_for(family, self.release) and (not one.optional or one.name in asked)
        )  # fmt: skip

    def dropped(self) -> DropRules:
        """Says of each path, relative to the layer, whether it is unpacked."""
        return DropRules.of(self.drops)


def wanted_names(sets: Sequence[PackageSet], family: Family, release: str) -> dict[str, WantedPackage]:
    """The packages that `sets` name, by the name that they have in `release`, each once."""
    found: dict[str, WantedPackage] = {}
    for one in sets:
        for package in one.package:
            if not package.families or family.name in package.families:
                found.setdefault(package.name_in(release), package)
    return found


def wanted_wheels(sets: Sequence[PackageSet], family: Family) -> dict[str, WantedWheel]:
    """The wheels that `sets` name, by name. InvalidValue where two files of one name are wanted."""
    found: dict[str, WantedWheel] = {}
    for one in sets:
        for wheel in one.wheel:
            if wheel.families and family.name not in wheel.families:
                continue
            if found.setdefault(wheel.name, wheel).sha256 != wheel.sha256:
                raise InvalidValue(
                    what=f"the wheel {wheel.name}",
                    problem=f"is wanted as {found[wheel.name].file} and as {wheel.file}",
                    hint="leave one of the two out of the sets",
                )
    return found


def wanted_programs(sets: Sequence[PackageSet], family: Family, release: str) -> dict[str, ProgramAnswer]:
    """The programs that `sets` name, in the order of their names, and what each answers."""
    wanted: list[WantedPackage | WantedWheel] = [*wanted_names(sets, family, release).values()]
    wanted += wanted_wheels(sets, family).values()
    found = {name: one.answers.get(name, 0) for one in wanted for name in one.programs}
    return dict(sorted(found.items()))


def require_one_python(names: Iterable[str]) -> None:
    """Raises InvalidValue unless `names` hold one Python, in one version, or none."""
    versions = sorted({match[1] or match[2] for name in names if (match := _PYTHON.fullmatch(name))})
    if len(versions) > 1:
        raise InvalidValue(
            what="the sets",
            problem=f"bring Python {' and '.join(versions)} into one layer",
            hint="a layer has exactly one Python: leave the packages of the other out",
        )


def read_description(own: Path | None = None) -> LayerDescription:
    """The layer that `own`, a stack's `compat` directory, describes; without one, the one that comes with Outcrop.

    Raises FormatError naming the file and the field, NotFound, StorageError."""
    base, sets = _read_directory(STANDARD_DIRECTORY)
    if own is None:
        return _description(base, sets)
    try:
        return _laid_over(base, sets, own)
    except FormatError as error:
        if error.hint != FormatError.default_hint:
            raise
        # It is no data from elsewhere, but a file of the stack.
        raise FormatError(hint=f"mend {error.fields['what']} and try again", **error.fields) from error


def _laid_over(base: _LayerFile, sets: dict[str, PackageSet], own: Path) -> LayerDescription:
    """What `own` describes over the standard file `base` and `sets`."""
    over, own_sets = _read_directory(own)
    of_the_stack = _of_the_stack(own)
    if not over.standard_sets:
        over = msgspec.structs.replace(over, back_end=over.back_end or base.back_end)
        _kept((), over, str(own / LAYER_FILE))
        described = _description(over, own_sets, of_the_stack)
        _require_room(described, own)
        return described
    merged = _LayerFile(
        back_end=over.back_end or base.back_end,
        release=over.release or base.release,
        suites=over.suites or base.suites,
        locales=over.locales or base.locales,
        trusted_directories=over.trusted_directories or base.trusted_directories,
        exclude=(*base.exclude, *over.exclude),
        together=(*base.together, *over.together),
        drop=_kept(base.drop, over, str(own / LAYER_FILE)),
        uncompiled=(*base.uncompiled, *over.uncompiled),
        host=(*base.host, *over.host),
        host_path=(*base.host_path, *over.host_path),
        link=(*base.link, *over.link),
        gentoo=over.gentoo.over(base.gentoo),
    )
    described = _description(merged, sets | own_sets, of_the_stack)
    _require_room(described, own)
    return described


def _kept(standard: tuple[Drop, ...], over: _LayerFile, what: str) -> tuple[Drop, ...]:
    """The rules of a layer: the `standard` ones that a stack neither does without nor replaces, and its own."""
    known = {rule.name for rule in standard if rule.name}
    for name in over.keep:
        if name not in known:
            there = f"the rules are {', '.join(sorted(known))}" if known else "there are no standard rules"
            raise FormatError(what=what, field="keep", problem=f"names {name}; {there}")
    gone = {*over.keep, *(rule.name for rule in over.drop if rule.name)}
    return (*(rule for rule in standard if rule.name not in gone), *over.drop)


def parse_description(data: bytes, what: str) -> LayerDescription:
    """The description that `data`, of a layer's record, is; `what` names it in a FormatError."""
    try:
        found = msgspec.json.decode(data, type=LayerDescription)
    except msgspec.DecodeError as error:
        raise FormatError(
            what=what, field="the sets", problem=f"are not accepted: {error}", hint=_RECORDED_HINT
        ) from error
    _check_description(found, what)
    return found


@dataclass(frozen=True, slots=True)
class _OfTheStack:
    """What only a stack's own directory says."""

    instructions: str = ""
    effects: tuple[KnownEffect, ...] = ()
    libraries: str = ""


_NOTHING = _OfTheStack()


def _of_the_stack(own: Path) -> _OfTheStack:
    """What the directory `own` says. Two of its files are recorded as they are and read when a layer is verified: what
    is wrong in them is told now, before a record has it."""
    instructions, scripts, libraries = (own / name for name in (INSTRUCTIONS_FILE, SCRIPTS_FILE, LIBRARIES_FILE))
    found = _OfTheStack(_text_of(instructions), parse_effects(_text_of(scripts), str(scripts)), _text_of(libraries))
    for family in FAMILIES:
        tuple(parse_choices(found.instructions, family, str(instructions)))
    parse_elsewhere(found.libraries, str(libraries))
    return found


def _text_of(path: Path) -> str:
    return read_text(path) if path.is_file() else ""


def _description(
    layer: _LayerFile, sets: dict[str, PackageSet], of_the_stack: _OfTheStack = _NOTHING
) -> LayerDescription:
    return LayerDescription(
        layer.back_end,
        layer.release,
        layer.suites,
        layer.locales,
        layer.trusted_directories,
        tuple(sets[name] for name in sorted(sets)),
        layer.exclude,
        layer.together,
        layer.drop,
        tuple(link for link in {one.path: one for one in layer.host}.values() if _holds(link, layer.back_end)),
        tuple({link.path: link for link in layer.link}.values()),
        layer.gentoo,
        layer.uncompiled,
        of_the_stack.instructions,
        of_the_stack.effects,
        of_the_stack.libraries,
        tuple({one.path: one for one in layer.host_path}.values()),
    )


def _holds(link: HostLink, back_end: str) -> bool:
    return not link.back_ends or back_end in link.back_ends


def _read_directory(directory: Path) -> tuple[_LayerFile, dict[str, PackageSet]]:
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == ".toml")
        files = [path for path in found if path.name not in _NO_SETS]
    except OSError as error:
        raise storage_error(error, str(directory)) from error
    layer, sets = _LayerFile(), {}
    for path in files:
        if path.name == LAYER_FILE:
            layer = decoded(read_text(path), _LayerFile, str(path))
            _check_description(_description(layer, {}), str(path))
        else:
            sets[path.stem] = parse_set(read_text(path), path.stem, str(path))
    return layer, sets


def parse_effects(text: str, what: str) -> tuple[KnownEffect, ...]:
    """What `text` declares of packages' scripts; `what` names it in a FormatError."""
    found = decoded(text, _ScriptsFile, what).effect
    for one in found:
        if not one.reason.strip():
            raise FormatError(what=what, field="reason", problem=f"is empty for {', '.join(one.commands)}")
    return found


def parse_set(text: str, name: str, what: str) -> PackageSet:
    """The set `name` that `text` describes; FormatError."""
    found = msgspec.structs.replace(decoded(text, PackageSet, what), name=name)
    known = {family.name for family in FAMILIES}
    parts: tuple[WantedPackage | WantedWheel, ...] = (*found.package, *found.wheel)
    if not parts:
        raise FormatError(what=what, field="the set", problem="names neither a package nor a wheel")
    for family in (*found.families, *(one for part in parts for one in part.families)):
        if family not in known:
            raise FormatError(what=what, field="families", problem=f"names {family}, which is not known")
    for package in found.package:
        for package_name in (package.name, *package.names.values()):
            if not _PACKAGE_NAME.fullmatch(package_name):
                raise FormatError(what=what, field="name", problem=f"{package_name!r} is not the name of a package")
    for part in parts:
        if not part.reason.strip():
            raise FormatError(what=what, field=f"reason of {part.name}", problem="is empty")
        for program in part.answers.keys() - set(part.programs):
            raise FormatError(what=what, field=f"answers of {part.name}", problem=f"name {program}, not in `programs`")
        for program, answer in part.answers.items():
            _check_answer(answer, f"answers of {part.name}: {program}", what)
    for wheel in found.wheel:
        _check_wheel(wheel, what)
    if found.wheel and not found.ships:
        raise FormatError(what=what, field="ships", problem="is false, and there is no use for wheels in building")
    for package in found.package:
        if package.gentoo and not ATOM.fullmatch(package.gentoo):
            raise FormatError(
                what=what, field=f"gentoo of {package.name}", problem=f"{package.gentoo!r} is not an atom"
            )
    return found


def _check_answer(answer: ProgramAnswer, field: str, what: str) -> None:
    try:
        re.compile(str(answer))
    except re.error as error:
        raise FormatError(what=what, field=field, problem=f"is no regular expression: {error}") from error


def _check_wheel(wheel: WantedWheel, what: str) -> None:
    named = wheel_name(wheel.file, what)
    if (named.name, named.version) != (wheel.name, wheel.version):
        problem = f"is of {named.name} {named.version}, not of {wheel.name} {wheel.version}"
        raise FormatError(what=what, field=f"file of {wheel.name}", problem=problem)
    if not SHA256.fullmatch(wheel.sha256):
        raise FormatError(what=what, field=f"sha256 of {wheel.name}", problem="is no SHA-256")


def _require_room(layer: LayerDescription, own: Path) -> None:
    """Raises FormatError for more trusted directories than Debian's loader has room for; Gentoo's is built with any."""
    if layer.back_end != "gentoo-prefix" and len(layer.trusted_directories) > TRUSTED_DIRECTORIES:
        number = len(layer.trusted_directories)
        problem = f"names {number}, and the loader has room for {TRUSTED_DIRECTORIES} beside the layer's own"
        raise FormatError(what=str(own / LAYER_FILE), field="trusted_directories", problem=problem, hint=_ROOM_HINT)


def _check_description(layer: LayerDescription, what: str) -> None:
    parts: tuple[Exclusion | Drop | Uncompiled | Together | HostLink | HostPath | DeclaredLink, ...] = (
        *layer.exclusions, *layer.drops, *layer.uncompiled, *layer.together, *layer.host_links, *layer.host_paths,
        *layer.links,
    )  # fmt: skip
    for part in parts:
        if not part.reason.strip():
            raise FormatError(what=what, field="reason", problem=f"is empty in {part}")
    for name in (drop.name for drop in layer.drops if drop.name):
        if not RULE_NAME.fullmatch(name):
            raise FormatError(what=what, field="name", problem=f"{name!r} is not the name of a rule, such as man-pages")
    linked = (*(link.path for link in layer.host_links), *(link.path for link in layer.links))
    inside = (*linked, *layer.trusted_directories)
    for path in inside:
        if path.startswith("/") or not path.strip("./") or ".." in path.split("/"):
            raise FormatError(what=what, field=path, problem="is not a path below the layer")
    for link in layer.host_links:
        if not link.host.startswith("/"):
            raise FormatError(what=what, field=f"host of {link.path}", problem=f"{link.host!r} is not absolute")
        if not _VARIABLE.fullmatch(link.variable_name):
            raise FormatError(what=what, field=f"variable of {link.path}", problem=f"{link.variable!r} is no name")
    for one in layer.host_paths:
        if not one.path.startswith("/") or not one.path.strip("/") or "//" in one.path or "/../" in f"{one.path}/":
            raise FormatError(what=what, field="path", problem=f"{one.path!r} in `host_path` is no path of a host")
    for name in layer.locales:
        if parse_locale(name) is None:
            problem = f"has {name!r}, which is not like en_US.UTF-8 or ca_ES.UTF-8@valencia"
            raise FormatError(what=what, field="locales", problem=problem)
    check_settings(layer.gentoo, what)
