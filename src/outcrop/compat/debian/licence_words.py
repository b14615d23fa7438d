"""Licences that a text states in words which leave no doubt.

- It has the whole text of a licence in `licence_texts/`, whatever its lines, marks and cases are. `[...]` there stands
  for what differs from one copy to another: years, names, a sentence of a later edition.
- It says that the GNU licence of a version, or any later one, is that of all.

A text that goes on with another condition is another licence (X11's is MIT's with a sentence more), and not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

_TEXTS = Path(__file__).with_name("licence_texts")
_GAP = "[...]"
_GAP_WORDS = 150
"""As many as may be in the place of a gap: the most are the names of Info-ZIP's authors, 79."""

_GOES_ON = "(?! except as contained in this notice)"
_OVERALL = re.compile(
    r"\bthe (?:overall )?licen[cs]e (?:for|of) \w+ is the gnu (lesser |library )?general public licen[cs]e version (\d)"
    r"(?: (\d))? or at your option any later version\b"
)


def licences_in_words(text: str) -> Iterator[str]:
    """The short names of the licences that `text` states, as SPDX and Debian write them."""
    words = _words(text)
    yield from (name for name, pattern in _patterns().items() if pattern.search(words))
    for kind, major, minor in _OVERALL.findall(words):
        yield f"{'L' if kind else ''}GPL-{major}{f'.{minor}' if minor else ''}+"


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    gap = rf"(?: \w+){{0,{_GAP_WORDS}}}? "
    patterns = {}
    for path in sorted(_TEXTS.glob("*.txt")):
        parts = map(_words, path.read_text(encoding="utf-8").split(_GAP))
        patterns[path.stem] = re.compile(rf"\b{gap.join(parts)}\b{_GOES_ON}")
    return patterns
