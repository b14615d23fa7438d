from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.locales import locales_to_make, parse_locale, same_charset
from outcrop.errors import InvalidValue


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What packages bring that locales are made from."""
    for name in ("i18n/locales/ca_ES", "i18n/locales/ca_ES@valencia", "i18n/locales/en_US", "i18n/charmaps/UTF-8.gz"):
        path = tmp_path / "usr/share" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/localedef").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "source", "directory"),
    [
        ("en_US.UTF-8", "en_US", "en_US.utf8"),
        ("ca_ES.UTF-8@valencia", "ca_ES@valencia", "ca_ES.utf8@valencia"),
        ("eo.UTF-8", "eo", "eo.utf8"),
        ("de_DE.ISO-8859-15@euro", "de_DE@euro", "de_DE.iso885915@euro"),
    ],
)
def test_a_locale_has_a_source_and_a_directory(name: str, source: str, directory: str) -> None:
    locale = parse_locale(name)
    assert locale is not None
    assert (locale.source, locale.directory) == (source, directory)


@pytest.mark.parametrize("name", ["", "en_US", "ca_ES@valencia.UTF-8", "../en_US.UTF-8", "en_US.UTF-8 ", "en_US./etc"])
def test_what_is_no_locale_s_name_is_none(name: str) -> None:
    assert parse_locale(name) is None


def test_character_sets_are_called_as_the_packages_call_them(tree: Path) -> None:
    found = locales_to_make(tree, ["en_US.utf8", "ca_ES.UTF-8@valencia"])
    assert [(one.source, one.charset, one.directory) for one in found] == [
        ("en_US", "UTF-8", "en_US.utf8"),
        ("ca_ES@valencia", "UTF-8", "ca_ES.utf8@valencia"),
    ]
    assert same_charset("UTF-8\n", "utf8")


@pytest.mark.parametrize(
    ("name", "problem", "hint"),
    [
        ("en_UK.UTF-8", "is not among those that the release has", "en_US"),
        ("ca_ES.UTF-8@madrid", "is not among those that the release has", "ca_ES"),
        ("en_US.KOI-9", "has the character set KOI-9, which is not known", "UTF-8"),
    ],
)
def test_a_locale_that_cannot_be_made_is_refused_by_its_name(tree: Path, name: str, problem: str, hint: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        locales_to_make(tree, ["en_US.UTF-8", name])
    assert caught.value.message == f"the locale {name} {problem}"
    assert hint in caught.value.hint


def test_locales_without_the_package_that_has_their_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"en_US\.UTF-8 cannot be made") as caught:
        locales_to_make(tmp_path, ["en_US.UTF-8"])
    assert "`locales`" in caught.value.hint
    assert locales_to_make(tmp_path, []) == ()
