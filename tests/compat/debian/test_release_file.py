"""The description of Debian's repositories, "Release files"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outcrop.compat.debian.release_file import parse_release
from outcrop.errors import FormatError, TrustError
from tests.compat.debian.archive_made_here import NOW, MadeSuite

DIGEST = "0123456789abcdef" * 4
TEXT = f"""\
Origin: Debian
Label: Debian
Suite: stable-updates
Version: 12-updates
Codename: bookworm-updates
Date: Sat, 13 Jun 2026 08:21:17 UTC
Valid-Until: Sat, 20 Jun 2026 08:21:17 UTC
Acquire-By-Hash: yes
Architectures: all amd64 arm64
Components: main contrib non-free-firmware non-free
Description: Debian 12 - Updates
MD5Sum:
 d41d8cd98f00b204e9800998ecf8427e 0 main/binary-amd64/Packages.xz
SHA256:
 {DIGEST}     7312 main/binary-amd64/Packages
 {DIGEST.upper()} 12 main/binary-arm64/Packages.xz
"""


def test_a_release_file_is_read() -> None:
    release = parse_release(TEXT, "InRelease")
    assert (release.suite, release.codename, release.version) == ("stable-updates", "bookworm-updates", "12-updates")
    assert release.date == datetime(2026, 6, 13, 8, 21, 17, tzinfo=UTC)
    assert release.valid_until == datetime(2026, 6, 20, 8, 21, 17, tzinfo=UTC)
    assert release.architectures == {"all", "amd64", "arm64"}
    assert release.digests == {
        "main/binary-amd64/Packages": (DIGEST, 7312),
        "main/binary-arm64/Packages.xz": (DIGEST, 12),
    }


@pytest.mark.parametrize("zone", ["UTC", "GMT", "Z", "+0000"])
def test_a_date_in_any_word_for_utc_is_read(zone: str) -> None:
    assert parse_release(TEXT.replace("UTC", zone), "InRelease").date == datetime(2026, 6, 13, 8, 21, 17, tzinfo=UTC)


def test_a_day_of_one_digit_is_read() -> None:
    text = TEXT.replace("Sat, 13 Jun 2026", "Sat,  6 Jun 2026")
    assert parse_release(text, "InRelease").date == datetime(2026, 6, 6, 8, 21, 17, tzinfo=UTC)


@pytest.mark.parametrize("field", ["Date", "SHA256"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(FormatError, match=f"InRelease is malformed: {field}"):
        parse_release(TEXT.replace(f"{field}:", "Other:"), "InRelease")


@pytest.mark.parametrize("field", ["Date", "Valid-Until"])
@pytest.mark.parametrize("date", ["tomorrow", "2026-06-13", "Sat, 33 Jun 2026 08:21:17 UTC"])
def test_what_is_no_date_is_refused(field: str, date: str) -> None:
    lines = [f"{field}: {date}" if line.startswith(f"{field}:") else line for line in TEXT.splitlines()]
    with pytest.raises(FormatError, match=field):
        parse_release("\n".join(lines), "InRelease")


@pytest.mark.parametrize(
    "line",
    [
        f"{DIGEST} 7312",
        f"{DIGEST} many main/x",
        f"{DIGEST} -1 main/x",
        f"{DIGEST[1:]} 1 main/x",
        f"{DIGEST} 1 main/x y",
        f"{'g' * 64} 1 main/x",
        f"{'../' * 21}x 1 main/x",
    ],
)
def test_a_line_without_a_digest_a_size_and_a_path_is_refused(line: str) -> None:
    with pytest.raises(FormatError, match="SHA256"):
        parse_release(f"{TEXT} {line}\n", "InRelease")


def test_weaker_digests_are_not_read() -> None:
    text = TEXT.replace("SHA256:", "SHA1:")
    with pytest.raises(FormatError, match="SHA256"):
        parse_release(text, "InRelease")


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(FormatError):
        parse_release("", "InRelease")


def test_a_current_release_is_accepted() -> None:
    release = parse_release(MadeSuite("bookworm").release({}), "InRelease")
    release.require_current(NOW, "InRelease")


def test_an_expired_release_is_refused() -> None:
    release = parse_release(MadeSuite("bookworm", valid_until=NOW).release({}), "InRelease")
    release.require_current(NOW, "InRelease")
    with pytest.raises(TrustError, match=r"it was good until 2026-06-15 12:00 UTC"):
        release.require_current(NOW + timedelta(seconds=1), "InRelease")


def test_a_release_from_the_future_is_refused() -> None:
    release = parse_release(MadeSuite("bookworm", date=NOW + timedelta(hours=1)).release({}), "InRelease")
    with pytest.raises(TrustError, match="yet to come"):
        release.require_current(NOW, "InRelease")


def test_a_release_without_an_end_does_not_expire() -> None:
    # As those of stable, which change with each point release only.
    release = parse_release(MadeSuite("bookworm", valid_until=None).release({}), "InRelease")
    assert release.valid_until is None
    release.require_current(NOW + timedelta(days=4000), "InRelease")
