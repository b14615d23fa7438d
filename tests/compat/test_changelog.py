from __future__ import annotations

from datetime import UTC, datetime

from outcrop.compat.changelog import (
    EarlierLayer,
    LayerContents,
    Occasion,
    PackageChange,
    changelog,
    package_changes,
    told_mirrors,
)

MOMENT = datetime(2026, 6, 15, 12, 30, 5, tzinfo=UTC)
OLD = LayerContents("bookworm", ("base",), {"libonig5": "6.9.8-1", "foo": "1.0", "bash": "5.2"})
NEW = LayerContents("bookworm", ("base", "mine"), {"libonig5": "6.9.8-1+deb12u1", "jq": "1.6", "bash": "5.2"})

WHOLE = """\
2026-06-15 12:30 UTC: a layer, 3 packages of bookworm
by Ada Lovelace <ada@example.org>

    libonig is mended

Since the layer of May:
  sets     base -> base mine
  removed  foo 1.0
  added    jq 1.6
  changed  libonig5 6.9.8-1 -> 6.9.8-1+deb12u1

2026-05-01 09:00 UTC: a layer, 3 packages of bookworm
by Eve

No layer before it was named.
"""
EARLIER = "2026-05-01 09:00 UTC: a layer, 3 packages of bookworm\nby Eve\n\nNo layer before it was named.\n"


def test_a_changelog_says_what_is_new_and_goes_on_with_that_of_the_layer_before() -> None:
    since = EarlierLayer("the layer of May", OLD, EARLIER)
    occasion = Occasion("Ada Lovelace <ada@example.org>", "libonig is mended\n", since)
    assert changelog("a layer", NEW, occasion, MOMENT) == WHOLE


def test_the_first_changelog_names_no_packages() -> None:
    told = changelog("a layer", OLD, Occasion("Eve"), datetime(2026, 5, 1, 9, tzinfo=UTC))
    assert told == EARLIER


def test_an_equal_layer_is_said_to_be_equal() -> None:
    told = changelog("a layer", OLD, Occasion(since=EarlierLayer("the layer of May", OLD)), MOMENT)
    assert told.endswith("\nThe packages are those of the layer of May.\n")


def test_changes_have_both_versions() -> None:
    assert package_changes(OLD, NEW) == (
        PackageChange("foo", "1.0", ""),
        PackageChange("jq", "", "1.6"),
        PackageChange("libonig5", "6.9.8-1", "6.9.8-1+deb12u1"),
    )


def test_a_mirror_is_named_only_if_everybody_knows_it() -> None:
    urls = (
        "http://mirror.debian.org/debian",
        "https://mirror.debian.org/debian-security",
        "https://ada:secret@packages.internal.example.org/debian?token=secret",
        "http://notdebian.org/debian",
        "http://10.0.0.1/debian",
    )
    assert told_mirrors(urls) == ("mirror.debian.org", "a mirror that is not named")
