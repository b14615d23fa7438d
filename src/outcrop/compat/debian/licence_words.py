"""Licences that a text states in words which leave no doubt.

- It has the whole text of a known licence, whatever its lines, marks and cases are. The text is known by the digests of
  its parts; between these is what differs from one copy to another: years, names, a sentence of a later edition.
- It says that the GNU licence of a version, or any later one, is that of all.

A text that goes on with another condition is another licence (X11's is MIT's with a sentence more), and not told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LicencePart:
    """Words of a licence that are the same in each copy: the first, how many, and the beginning of the SHA-256 of all,
    in small letters with a space between."""

    first: str
    count: int
    digest: str

    def ends(self, words: Sequence[str], begin: int, most: int) -> Iterator[int]:
        """Where the part ends in `words`, if it begins at `begin` or at most `most` words behind."""
        for place in range(begin, min(begin + most + 1, len(words) - self.count + 1)):
            if words[place] == self.first and digest_of(words[place : place + self.count]) == self.digest:
                yield place + self.count


KNOWN = {
    "Info-ZIP": (
        LicencePart("for", 18, "a85388bf4efb267ba0e1c27954f71714"),
        LicencePart("this", 134, "dad5adc80a7b2ed118e55e2b3ea8c2e3"),
        LicencePart("the", 224, "622077cd0a84b5743b3320fb495d4452"),
    ),
    "MIT": (LicencePart("permission", 163, "0cf21bdfd1964a97a8615e1285348458"),),
    "PSF-2.0": (
        LicencePart("1", 95, "a8459e9e46bfa2c416c32c0d235d0078"),
        LicencePart("python", 266, "afc8f312961a597730c525b9b1de3ade"),
    ),
    "TCL": (LicencePart("the", 307, "ced8a153530272fd2aab673b74e100fb"),),
}

_GAP_WORDS = 150
"""As many as may be between two parts: the most are the names of Info-ZIP's authors, 79."""

_GOES_ON = ["except", "as", "contained", "in", "this", "notice"]
_OVERALL = re.compile(
    r"\bthe (?:overall )?licen[cs]e (?:for|of) \w+ is the gnu (lesser |library )?general public licen[cs]e version (\d)"
    r"(?: (\d))? or at your option any later version\b"
)


def licences_in_words(text: str) -> Iterator[str]:
    """The short names of the licences that `text` states, as SPDX and Debian write them."""
    words = words_of(text)
    yield from (name for name, parts in KNOWN.items() if _has(words, parts, 0, len(words)))
    for kind, major, minor in _OVERALL.findall(" ".join(words)):
        yield f"{'L' if kind else ''}GPL-{major}{f'.{minor}' if minor else ''}+"


def words_of(text: str) -> list[str]:
    """The words of `text`, in small letters."""
    return re.findall(r"\w+", text.lower())


def digest_of(words: Sequence[str]) -> str:
    """By which a part with these `words` is known."""
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:32]


def _has(words: Sequence[str], parts: Sequence[LicencePart], begin: int, most: int) -> bool:
    """Whether the `parts` follow each other in `words`, the first at most `most` words behind `begin`."""
    if not parts:
        return words[begin : begin + len(_GOES_ON)] != _GOES_ON
    return any(_has(words, parts[1:], end, _GAP_WORDS) for end in parts[0].ends(words, begin, most))
