"""What a layer leaves out of its packages: rules, each with a name and a reason, and which rule took what.

    # compat/layer.toml
    [[drop]]
    name = "manual-pages"
    paths = ["usr/share/man/**"]
    reason = "the layer has no man"

The rules that come with Outcrop hold for a stack's layer too, unless `keep = ["manual-pages"]` names them; one of the
stack's own with the same name replaces one. The record has a line for each file that was left out, `left-out.txt`: the
rule, the size in bytes, the package and the path.

    manual-pages 41203 bash: usr/share/man/man1/bash.1.gz
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from outcrop.errors import InvalidValue

LEFT_OUT_FILE = "left-out.txt"
RULE_NAME = re.compile(r"[a-z][a-z0-9-]*")

_GLOB_PARTS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
_GROUP = "rule"


def glob_pattern(path: str) -> str:
    """A regular expression for the paths that the glob `path` means: `*` stays within a directory, `**` does not."""
    parts = re.split(r"(\*\*|\*|\?)", path)
    return "".join(_GLOB_PARTS.get(part, re.escape(part)) for part in parts)


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths below the layer that are not unpacked, as globs: `*` stays within a directory, `**` does not, and a `!` at
    the beginning keeps what the others take."""

    paths: tuple[str, ...]
    reason: str
    name: str = ""

    def pattern(self) -> str:
        """A regular expression for the whole of such a path."""
        kept = "|".join(glob_pattern(path[1:]) for path in self.paths if path.startswith("!"))
        taken = "|".join(glob_pattern(path) for path in self.paths if not path.startswith("!"))
        return rf"(?!(?:{kept})\Z)(?:{taken})" if kept else rf"(?:{taken})"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or link of a package that is not in the layer: which rule took it, its path, its size in bytes."""

    rule: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class DropRules:
    """All rules of a layer; `pattern` matches what they take, in a group for each."""

    rules: tuple[Drop, ...]
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, rules: Iterable[Drop]) -> DropRules:
        """The `rules` together."""
        known = tuple(rules)
        groups = (f"(?P<{_GROUP}{number}>{rule.pattern()})" for number, rule in enumerate(known))
        return cls(known, re.compile("|".join(groups) or r"(?!)"))

    def rule_of(self, path: str) -> str | None:
        """The name of the first rule that takes `path`, relative to the layer (`-` for one without a name); None where
        none does."""
        match = self.pattern.fullmatch(path)
        if match is None or match.lastgroup is None:
            return None
        return self.rules[int(match.lastgroup.removeprefix(_GROUP))].name or "-"


def require_kept(left_out: Iterable[LeftOut], there: Iterable[str], needs: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Raises InvalidValue where a program or library of the layer needs a library that was left out. `there` are all
    paths of the layer; `needs` says of each file which libraries it asks for, by their names."""
    rules = {posixpath.basename(one.path): one.rule for one in left_out}
    for path in there:
        rules.pop(posixpath.basename(path), None)
    for path, names in needs:
        for name in names:
            if name in rules:
                raise InvalidValue(
                    what=path,
                    problem=f"needs {name}, which the rule {rules[name]} leaves out",
                    hint=f'name the rule in `layer.toml`: `keep = ["{rules[name]}"]`',
                )


def left_out_text(packages: Mapping[str, Iterable[LeftOut]]) -> bytes:
    """The document for a layer of whose `packages`, by name, this was left out."""
    lines = sorted(
        (one.rule, package, one.path, f"{one.rule} {one.size} {package}: {one.path}\n")
        for package, left_out in packages.items()
        for one in left_out
    )
    return "".join(line for *_, line in lines).encode("utf-8", "surrogateescape")
