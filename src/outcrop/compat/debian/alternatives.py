"""The links that packages ask `update-alternatives` for when they are installed, read from their scripts' text.

`/usr/bin/awk` is such a link. Variables that a script sets once, to plain words, are read; what it computes is not: a
stack declares such links.
Source: update-alternatives(1).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_CALL = re.compile(r"(?m)^(?!\s*#)[^\n]*?\bupdate-alternatives\s+(?P<words>[^\n;&|]*)")
_LITERAL = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9_.+-]+)+")
_PRIORITY = re.compile(r"-?[0-9]+")
_SET = re.compile(r"(?:\A|[\s;])(?:for\s+(?P<loop>\w+)|(?P<name>[A-Za-z_]\w*)=(?P<value>[^\s;]*))")
_PLAIN = re.compile(r"[A-Za-z0-9_.+/-]+")
_USED = re.compile(r"\$(?:(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\})")
_WITH_VALUE = ("--altdir", "--admindir", "--log", "--instdir", "--root")


@dataclass(frozen=True, slots=True)
class Alternative:
    """`link` is to point to `target`; of several with the same `master`, the one with the highest `priority` wins. A
    slave's master is another link, with which it goes."""

    link: str
    target: str
    priority: int
    master: str = ""


def alternatives_of(script: str) -> Iterator[Alternative]:
    """What `script` asks for, in words that can be read."""
    values = _plain_values(script)
    for call in _CALL.finditer(script.replace("\\\n", " ")):
        text = _USED.sub(lambda used: values.get(used["bare"] or used["braced"], used[0]), call["words"])
        try:
            words = shlex.split(text)
        except ValueError:
            continue
        yield from _asked(_after_options(words))


def _plain_values(script: str) -> dict[str, str]:
    """The variables that `script` sets in one place only, to a plain word."""
    places: dict[str, list[str]] = {}
    for found in _SET.finditer(script):
        places.setdefault(found["name"] or found["loop"], []).append(found["value"] or "")
    return {name: values[0] for name, values in places.items() if len(values) == 1 and _PLAIN.fullmatch(values[0])}


def _after_options(words: list[str]) -> list[str]:
    while words and words[0] != "--install":
        words = words[2 if words[0] in _WITH_VALUE else 1 :]
    return words[1:]


def _asked(words: list[str]) -> Iterator[Alternative]:
    if len(words) < 4 or not _PRIORITY.fullmatch(words[3]):
        return
    link, target, priority = words[0], words[2], int(words[3])
    if not (_LITERAL.fullmatch(link) and _LITERAL.fullmatch(target)):
        return
    yield Alternative(link, target, priority)
    for place, word in enumerate(words):
        slave = words[place + 1 : place + 4]
        if word == "--slave" and len(slave) == 3 and _LITERAL.fullmatch(slave[0]) and _LITERAL.fullmatch(slave[2]):
            yield Alternative(slave[0], slave[2], priority, link)


def chosen(asked: Iterable[Alternative]) -> dict[str, str]:
    """Each link's target: that of the highest priority, and of equal ones the first, with its own slaves."""
    groups: list[tuple[Alternative, list[Alternative]]] = []
    for one in asked:
        if not one.master:
            groups.append((one, []))
        elif groups:
            groups[-1][1].append(one)
    best: dict[str, tuple[Alternative, list[Alternative]]] = {}
    for group in groups:
        master = group[0]
        if master.link not in best or master.priority > best[master.link][0].priority:
            best[master.link] = group
    links = {one.link: one.target for master, slaves in best.values() for one in (*slaves, master)}
    return dict(sorted(links.items()))
