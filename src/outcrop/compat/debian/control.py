"""Paragraphs of `Name: value` lines, as all of Debian's control files have them, and the relations in such values.

Sources: deb822(5); Debian Policy, section 7.1 ("Syntax of relationship fields").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from outcrop.compat.debian.version import compare_versions
from outcrop.errors import FormatError

_RELATION = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9+.-]*)(?::[a-z0-9-]+)?"
    r"\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[A-Za-z0-9][^)\s]*)\s*\))?"
    r"\s*(?:\[[^]]*\])?\s*(?:<[^>]*>\s*)*"
)
_OLD_OPERATORS = {"<": "<=", ">": ">="}


def paragraph(text: str) -> dict[str, str]:
    """The fields of the paragraph `text`, by their names as they are written. A value of several lines keeps its line
    ends, without the space at the beginning of each."""
    fields: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if line[:1] in (" ", "\t"):
            lines.append(line[1:])
        elif line and not line.startswith("#"):
            name, _, value = line.partition(":")
            lines = [value.strip()]
            fields.setdefault(name, lines)
    return {name: "\n".join(value) for name, value in fields.items()}


@dataclass(frozen=True, slots=True)
class Relation:
    """`name`, in a version that stands in the relation `operator` to `version`; both empty where any will do."""

    name: str
    operator: str = ""
    version: str = ""

    def accepts(self, version: str) -> bool:
        """Whether a package of the right name with `version` will do. An empty one, of something that is provided
        without a version, only where none is demanded."""
        if not self.operator:
            return True
        if not version:
            return False
        order = compare_versions(version, self.version)
        return {"<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0}[self.operator]

    def __str__(self) -> str:
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name


Alternatives = tuple[Relation, ...]


def alternatives(text: str) -> Iterator[Alternatives]:
    """What a field such as `Depends` demands: each of these, by one of its alternatives. FormatError."""
    for clause in text.split(","):
        if clause.strip():
            yield tuple(_relation(one.strip()) for one in clause.split("|"))


def relations(text: str) -> tuple[Relation, ...]:
    """The relations of a field without alternatives, such as `Conflicts`."""
    return tuple(relation for clause in alternatives(text) for relation in clause)


def _relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text)
    if match is None:
        raise FormatError(what="a package's control file", field="a relation", problem=f"is {text!r}")
    operator = match["operator"] or ""
    return Relation(match["name"], _OLD_OPERATORS.get(operator, operator), match["version"] or "")
