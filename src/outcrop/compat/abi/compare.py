"""Whether a library that takes another's place breaks anything that was built on the old one.

What is looked at is what the loader looks at, and a little more: names and versions of symbols that somebody needs, the
library's own name, whether a symbol is still code or data, and the size of data, which programs copy to themselves.
What is inside types is not seen: that an update keeps it is the distribution's promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from outcrop.compat.abi.symbols import Definition, Interface, Symbol

PRIVATE = "_PRIVATE"
"""The end of a version's name by which a library says: only for those that are built with me."""


@dataclass(frozen=True, slots=True)
class Break:
    """The file `user` needs something that `library` gives no more."""

    user: str
    library: str
    problem: str


def breaks(
    old: Mapping[str, Interface], new: Mapping[str, Interface], users: Mapping[str, Interface]
) -> tuple[Break, ...]:
    """What breaks when the libraries `old` become `new`, both by their paths, for the files `users`, by theirs."""
    old_names, new_names = _by_name(old), _by_name(new)
    found: list[Break] = []
    for name in sorted(old_names.keys() - new_names.keys()):
        found += [
            Break(user, name, "is not there any more")
            for user, interface in sorted(users.items())
            if name in interface.libraries
        ]
    for name in sorted(old_names.keys() & new_names.keys()):
        lost = _lost(old_names[name], new_names[name])
        for user, interface in sorted(users.items()):
            if name in interface.libraries:
                found += [Break(user, name, problem) for problem in _problems(name, interface, lost, new_names[name])]
    return tuple(found)


def _by_name(libraries: Mapping[str, Interface]) -> dict[str, Interface]:
    return {interface.soname: interface for interface in libraries.values() if interface.soname}


def _lost(old: Interface, new: Interface) -> dict[Symbol, str]:
    """What of `old` is not in `new` as it was, and how."""
    given = {definition.symbol: definition for definition in new.gives}
    lost = {}
    for definition in old.gives:
        problem = _change(definition, given.get(definition.symbol))
        if problem:
            lost[definition.symbol] = problem
    return lost


def _change(before: Definition, after: Definition | None) -> str:
    if after is None:
        return "is not given any more"
    if before.is_data != after.is_data:
        return f"is {'data' if after.is_data else 'code'} now"
    if before.size != after.size:
        return f"has {after.size} bytes instead of {before.size}"
    return ""


def _problems(name: str, user: Interface, lost: Mapping[Symbol, str], new: Interface) -> Iterable[str]:
    for library, version in sorted(user.needed_versions):
        if library == name and version not in new.versions and not version.endswith(PRIVATE):
            yield f"the version {version} is not defined any more"
    for need in user.needs:
        belongs = need.library in ("", name)
        if belongs and not need.weak and need.symbol in lost and not need.symbol.version.endswith(PRIVATE):
            yield f"{need.symbol} {lost[need.symbol]}"
    for copied in user.gives:
        if copied.is_data and copied.symbol in lost:
            yield f"{copied.symbol} {lost[copied.symbol]}"
