"""The links that packages ask `update-alternatives` for when they are installed, read from their scripts' text.

`/usr/bin/awk` is such a link. What a script computes (a name in a variable) cannot be read; a set declares those.
Source: update-alternatives(1).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_CALL = re.compile(r"update-alternatives\s+(?:--quiet\s+|--verbose\s+)*--install\s+(?P<words>[^\n;&|]*)")
_LITERAL = re.compile(r"/[A-Za-z0-9_.+/-]+")


@dataclass(frozen=True, slots=True)
class Alternative:
    """`link` is to point to `target`; of several, the one with the highest `priority` wins."""

    link: str
    target: str
    priority: int


def alternatives_of(script: str) -> Iterator[Alternative]:
    """What `script` asks for, in words that can be read."""
    for call in _CALL.finditer(script.replace("\\\n", " ")):
        try:
            words = shlex.split(call["words"])
        except ValueError:
            continue
        if len(words) < 4 or not words[3].lstrip("-").isdigit():
            continue
        priority = int(words[3])
        pairs = [(words[0], words[2])]
        for place, word in enumerate(words):
            if word == "--slave" and place + 3 < len(words):
                pairs.append((words[place + 1], words[place + 3]))
        for link, target in pairs:
            if _LITERAL.fullmatch(link) and _LITERAL.fullmatch(target):
                yield Alternative(link, target, priority)


def chosen(asked: Iterable[Alternative]) -> dict[str, str]:
    """Each link's target: that of the highest priority, and of equal ones the first."""
    best: dict[str, Alternative] = {}
    for one in asked:
        if one.link not in best or one.priority > best[one.link].priority:
            best[one.link] = one
    return {link: best[link].target for link in sorted(best)}
