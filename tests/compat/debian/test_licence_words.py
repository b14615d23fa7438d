"""Licences by their words: whole texts, and no guesses."""

from __future__ import annotations

import pytest

from outcrop.compat.debian import licence_words
from outcrop.compat.debian.licence_words import LicencePart, digest_of, licences_in_words, words_of
from outcrop.compat.debian.licences import licences_in

TEXTS = {
    name: gap.join(" ".join(f"{name} {part}{number}," for number in range(60)) for part in ("word", "end"))
    for name, gap in (("Info-ZIP", " [...] "), ("MIT", "\n"), ("PSF-2.0", " [...] "))
}
"""Made up, with a gap or without."""


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {name: [words_of(part) for part in text.split("[...]")] for name, text in TEXTS.items()}
    made = {
        name: tuple(LicencePart(part[0], len(part), digest_of(part)) for part in found) for name, found in parts.items()
    }
    monkeypatch.setattr(licence_words, "KNOWN", made)


LGPL = """\
The overall license for libxcrypt is the GNU Lesser General Public
License, version 2.1 (or, at your option, any later version); see
the file COPYING.LIB for the full terms of this license.
"""


def copy_of(name: str) -> str:
    return (
        "Copyright 2026 Somebody\n\n"
        + TEXTS[name].replace("[...]", "2025, 2026, Some Body, and others")
        + "\nThe end.\n"
    )


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_whole_text_is_told_whatever_its_lines_and_marks(name: str) -> None:
    text = copy_of(name)
    assert licences_in(text) == (name,)
    assert licences_in("".join(f" * {line}\n" for line in text.upper().splitlines())) == (name,)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_text_that_lacks_or_changes_a_word_is_not_told(name: str) -> None:
    words = copy_of(name).split()
    assert licences_in(" ".join(words)) == (name,)
    for place in range(20, len(words) - 10, 40):
        if not {"2025,", "others"} & set(words[place - 8 : place + 8]):  # what stands for a gap may be anything
            assert licences_in(" ".join((*words[:place], "otherwise", *words[place:]))) == ()
    assert licences_in(" ".join(words[: len(words) // 2])) == ()


def test_a_text_that_goes_on_with_a_condition_is_another_licence() -> None:
    text = TEXTS["MIT"] + "\nExcept as contained in this notice, the name of the X Consortium shall not be used\n"
    assert licences_in(text) == ()


def test_several_texts_are_all_told_beside_what_is_referred_to() -> None:
    text = copy_of("PSF-2.0") + copy_of("MIT") + "/usr/share/common-licenses/GPL-2\n"
    assert licences_in(text) == ("GPL-2", "MIT", "PSF-2.0")


def test_the_gnu_licence_of_all_is_told_with_its_version() -> None:
    assert list(licences_in_words(LGPL)) == ["LGPL-2.1+"]
    assert list(licences_in_words(LGPL.replace("Lesser ", "").replace("2.1", "3"))) == ["GPL-3+"]


@pytest.mark.parametrize(
    "text",
    [
        "It is under the MIT License.",
        "The license is the GNU General Public License.",
        LGPL.replace("(or, at your option, any later version)", ""),
        LGPL.replace("is the GNU", "is not the GNU"),
        "Copyright Zack Weinberg; LGPL (v2.1 or later)",
    ],
)
def test_a_name_alone_is_not_enough(text: str) -> None:
    assert licences_in(text) == ()
