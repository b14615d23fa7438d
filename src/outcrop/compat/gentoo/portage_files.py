"""The files that Portage reads, as texts by their paths below the prefix. Pure.

`base_files` are there before the bootstrap: they decide how everything is built, so a change of theirs begins a layer
anew. `package_files` are written after it: Portage brings an existing prefix in line with a change of theirs. Sources:
portage(5), make.conf(5), and the layout that `bootstrap-prefix.sh` makes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from outcrop.compat.family import Family
from outcrop.compat.gentoo.settings import GentooSettings, PackageSettings
from outcrop.compat.package_sets import LayerDescription

REPOSITORIES = "var/db/repos"
GENTOO_TREE = f"{REPOSITORIES}/gentoo"
PROFILE_LINK = "etc/portage/make.profile"
SOURCE_ARCHIVES = "var/cache/distfiles"
SET = "outcrop"
"""The set of all that a layer ships."""

_PORTAGE = "etc/portage"
# The script's own file is `0100_…`, and later files win.
_MAKE_CONF = f"{_PORTAGE}/make.conf/0200_outcrop.conf"
_FILE = "outcrop"
_GLIBC = "sys-libs/glibc"
_FEATURES = "noman noinfo nodoc -news"


def base_files(settings: GentooSettings, family: Family, prefix: PurePosixPath) -> dict[str, str]:
    """What holds for every package: variables, masks, and the repository of ebuilds, which never renews itself."""
    packages = settings.packages_for(family)
    variables = {"FEATURES": f"${{FEATURES}} {_FEATURES}", "USE": " ".join(("${USE}", *settings.use))}
    return _without_empty(
        {
            _MAKE_CONF: "".join(f'{name}="{value}"\n' for name, value in (variables | settings.variables).items()),
            f"{_PORTAGE}/repos.conf/gentoo.conf": (
                f"[DEFAULT]\nmain-repo = gentoo\n\n[gentoo]\nlocation = {prefix}/{GENTOO_TREE}\nauto-sync = no\n"
            ),
            f"{_PORTAGE}/package.mask/{_FILE}": _listed((one, [one.atom]) for one in packages if one.mask),
            f"{_PORTAGE}/package.unmask/{_FILE}": _listed((one, [one.atom]) for one in packages if one.unmask),
        }
    )


def _charset(locale: str) -> str:
    return locale.partition(".")[2].partition("@")[0]


def package_files(
    description: LayerDescription, family: Family, shipped: Iterable[str], prefix: PurePosixPath
) -> dict[str, str]:
    """What holds for single packages, the overlays, the locales, and the set of the atoms `shipped`."""
    settings = description.gentoo
    packages = settings.packages_for(family)
    files = {
        f"{_PORTAGE}/package.use/{_FILE}": _listed((one, [one.atom, *one.use]) for one in packages if one.use),
        f"{_PORTAGE}/package.accept_keywords/{_FILE}": _listed(
            (one, [one.atom, *one.keywords]) for one in packages if one.keywords
        ),
        f"{_PORTAGE}/sets/{SET}": "".join(f"{atom}\n" for atom in shipped),
        "var/lib/portage/world_sets": f"@{SET}\n",
        "etc/locale.gen": "".join(f"{name} {_charset(name)}\n" for name in description.locales),
    }
    environments = {one.atom: one.environment for one in packages if one.environment}
    if description.trusted_directories:
        # A variable of glibc's own make: the loader looks there before its other directories.
        places = ":".join(f"{prefix}/{place}" for place in description.trusted_directories)
        given = environments.get(_GLIBC, {})
        environments[_GLIBC] = given | {"EXTRA_EMAKE": f"user-defined-trusted-dirs={places}"}
    for number, (atom, variables) in enumerate(environments.items(), start=1):
        name = f"{_FILE}-{number}.conf"
        files[f"{_PORTAGE}/env/{name}"] = "".join(f'{key}="{value}"\n' for key, value in variables.items())
        files[f"{_PORTAGE}/package.env/{_FILE}"] = files.get(f"{_PORTAGE}/package.env/{_FILE}", "") + f"{atom} {name}\n"
    for overlay in settings.overlay:
        files[f"{_PORTAGE}/repos.conf/{overlay.name}.conf"] = (
            f"[{overlay.name}]\nlocation = {prefix}/{REPOSITORIES}/{overlay.name}\nauto-sync = no\n"
        )
    if names := " ".join(overlay.name for overlay in settings.overlay if overlay.eclasses):
        files[f"{_PORTAGE}/repos.conf/eclass-overrides.conf"] = f"[DEFAULT]\neclass-overrides = {names}\n"
    return _without_empty(files)


def account_files(name: str, number: int) -> dict[str, str]:
    """`passwd` and `group` of a machine with one account: the script asks who runs it, and writes it down."""
    return {
        "passwd": f"root:x:0:0:root:/root:/bin/sh\n{name}:x:{number}:{number}::/tmp:/bin/sh\n",
        "group": f"root:x:0:\n{name}:x:{number}:\n",
    }


def digest_of_files(files: Mapping[str, str]) -> str:
    """One digest of all paths and texts."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def _listed(entries: Iterable[tuple[PackageSettings, Iterable[str]]]) -> str:
    """A line each, below its reason."""
    return "".join(f"# {' '.join(one.reason.split())}\n{' '.join(words)}\n" for one, words in entries)


def _without_empty(files: Mapping[str, str]) -> dict[str, str]:
    return {path: text for path, text in files.items() if text}
