"""What scripts of packages would have done, and nobody did: all but what `scripts.toml` declares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from outcrop.compat.debian.scripts import Effect
from outcrop.compat.declared_files import SCRIPTS_FILE, STANDARD_DIRECTORY
from outcrop.compat.left_out import glob_pattern
from outcrop.compat.package_sets import KnownEffect, parse_effects
from outcrop.toml_text import read_text


def known_effects(own: Iterable[KnownEffect] = ()) -> tuple[KnownEffect, ...]:
    """What is declared with Outcrop, and what a stack declares of its `own`. FormatError, StorageError."""
    standard = STANDARD_DIRECTORY / SCRIPTS_FILE
    return (*parse_effects(read_text(standard), str(standard)), *own)


def undone(effects: Mapping[str, Iterable[Effect]], known: Iterable[KnownEffect]) -> dict[str, tuple[Effect, ...]]:
    """Those of each package's `effects` that nothing `known` covers, for packages that have such, in their order."""
    covers = [(_any_of(one.packages), _any_of(one.commands)) for one in known]
    found = {}
    for name, several in effects.items():
        commands = [command for packages, command in covers if packages.fullmatch(name)]
        if left := tuple(one for one in several if not any(command.fullmatch(one.command) for command in commands)):
            found[name] = left
    return found


def _any_of(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(glob_pattern, globs)))
