"""The whitelist: every line in both directions, and every line that can be wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.objects import WHITELIST_NAME
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from tests.cvmfs.refusal import refused
from tests.cvmfs.samples import NAMES, sample
from tests.cvmfs.strategies import whitelists

FINGERPRINT = "F7:C8:" + ":".join(["AB"] * 18)
LINES = ["20261121020956", "E20461116020956", "Ntest.example.org", FINGERPRINT]


def text_of(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def with_line(number: int, line: str) -> bytes:
    return text_of([line if index == number else old for index, old in enumerate(LINES)])


@pytest.mark.property
@given(whitelists)
def test_encoded_and_back(whitelist: Whitelist) -> None:
    assert Whitelist.parse(whitelist.encode()) == whitelist
    assert Whitelist.parse(whitelist.encode()).encode() == whitelist.encode()


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_are_written_byte_for_byte(name: str) -> None:
    signed = SignedText.parse(sample(name).files[WHITELIST_NAME], "the whitelist")
    whitelist = Whitelist.parse(signed.text)
    without_comments = b"".join(line.split(b" ")[0] + b"\n" for line in signed.text.splitlines())
    assert whitelist.encode() == without_comments
    assert signed.encode() == sample(name).files[WHITELIST_NAME]


def test_every_line_is_read() -> None:
    lines = [*LINES[:3], "Vpkcs7", "Wcachain", FINGERPRINT, "# only a comment", f"{FINGERPRINT}-RMD160 # größer"]
    raw = bytes.fromhex(FINGERPRINT.replace(":", ""))
    assert Whitelist.parse(text_of(lines)) == Whitelist(
        repository=Whitelist.parse(text_of(LINES)).repository,
        issued=datetime(2026, 11, 21, 2, 9, 56, tzinfo=UTC),
        expires=datetime(2046, 11, 16, 2, 9, 56, tzinfo=UTC),
        fingerprints=(Digest(Algorithm.SHA1, raw), Digest(Algorithm.RMD160, raw)),
        demands_pkcs7=True,
        demands_certificate_chain=True,
    )


@pytest.mark.parametrize("separator", [" ", "\t", "#", " # "])
def test_what_follows_a_fingerprint_is_a_comment(separator: str) -> None:
    assert Whitelist.parse(with_line(3, f"{FINGERPRINT}{separator}text")) == Whitelist.parse(text_of(LINES))


DATE_MISTAKES = ["", "2026112102095", "202611210209560", "20261321020956", "20260230000000", "2026112102095x"]
DATE_MISTAKES += ["20261121250000", "20261121000060", "00001121000000", "2026 121020956", "+2026112102095"]


@pytest.mark.parametrize(
    ("number", "line", "field"),
    [
        *[(0, date, "line 1 (") for date in DATE_MISTAKES],
        *[(1, "E" + date, "line 2 (") for date in DATE_MISTAKES],
        (0, "E20261121020956", "line 1 ("),
        (1, "20461116020956", "line 2 ("),
        (1, "", "line 2 ("),
        *[
            (2, name, "line 3 (")
            for name in ("", "N", "Xtest.example.org", "Nnodot", "Na b.org", "N../x.org", "Nä.org")
        ],
        (3, FINGERPRINT[:-1], "fingerprint"),
        (3, FINGERPRINT + "-MD5", "fingerprint"),
        (3, FINGERPRINT.replace("F7", "G7"), "fingerprint"),
        (3, "vpkcs7", "fingerprint"),
        (3, "Vpkcs8", "fingerprint"),
    ],
)
def test_a_malformed_line_is_named(number: int, line: str, field: str) -> None:
    with refused(field):
        Whitelist.parse(with_line(number, line))


def test_a_demand_stands_before_the_fingerprints() -> None:
    with refused("fingerprint"):
        Whitelist.parse(text_of([*LINES, "Vpkcs7"]))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"", "head"),
        (text_of(LINES[:2]), "head"),
        (text_of(LINES)[:-1], "last line"),
        (text_of(LINES) + b"\xff\n", "text"),
    ],
)
def test_malformed_texts(text: bytes, field: str) -> None:
    with refused(field):
        Whitelist.parse(text)
