"""The manifest: every line in both directions, and every line that can be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.cvmfs.signed_text import SignedText
from tests.cvmfs.refusal import refused
from tests.cvmfs.samples import NAMES, sample
from tests.cvmfs.strategies import manifests

SHA1 = "0123456789abcdef0123456789abcdef01234567"
LINES = {
    "C": SHA1,
    "B": "36864",
    "R": "d41d8cd98f00b204e9800998ecf8427e",
    "D": "240",
    "S": "7",
    "G": "yes",
    "A": "no",
    "L": SHA1,
    "N": "test.example.org",
    "X": SHA1 + "-rmd160",
    "H": SHA1,
    "T": "1700000000",
    "M": SHA1,
    "Y": SHA1 + "-shake128",
}


def text_of(lines: dict[str, str]) -> bytes:
    return "".join(f"{letter}{value}\n" for letter, value in lines.items()).encode()


@pytest.mark.property
@given(manifests)
def test_encoded_and_back(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.encode()) == manifest
    assert Manifest.parse(manifest.encode()).encode() == manifest.encode()


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_are_written_byte_for_byte(name: str) -> None:
    signed = SignedText.parse(sample(name).files[MANIFEST_NAME], "the manifest")
    assert Manifest.parse(signed.text).encode() == signed.text
    assert signed.encode() == sample(name).files[MANIFEST_NAME]


def test_every_line_is_read() -> None:
    manifest = Manifest.parse(text_of(LINES))
    assert manifest == Manifest(
        repository=manifest.repository,
        revision=manifest.revision,
        root_catalog=Digest.parse(SHA1),
        root_catalog_size=36864,
        certificate=Digest(Algorithm.RMD160, bytes.fromhex(SHA1)),
        ttl=240,
        published_at=1700000000,
        history=Digest.parse(SHA1),
        metainfo=Digest.parse(SHA1),
        reflog=Digest(Algorithm.SHAKE128, bytes.fromhex(SHA1)),
        micro_catalog=Digest.parse(SHA1),
        garbage_collectable=True,
        alternative_paths=False,
    )
    assert (manifest.repository, manifest.revision) == ("test.example.org", 7)
    assert manifest.encode() == text_of(LINES)


def test_order_does_not_matter_and_the_last_of_two_lines_wins() -> None:
    shuffled = dict(sorted(LINES.items(), reverse=True))
    assert Manifest.parse(b"S1\n" + text_of(shuffled)) == Manifest.parse(text_of(LINES))


def test_unknown_letters_are_passed_over() -> None:
    assert Manifest.parse(text_of(LINES) + b"Zone\nZtwo\nq\n") == Manifest.parse(text_of(LINES))


@pytest.mark.parametrize("letter", "CRDSNX")
def test_a_line_that_must_be_there(letter: str) -> None:
    with refused(f"line {letter}"):
        Manifest.parse(text_of({key: value for key, value in LINES.items() if key != letter}))


@pytest.mark.parametrize("letter", "BGALHTMY")
def test_a_line_that_may_be_missing(letter: str) -> None:
    Manifest.parse(text_of({key: value for key, value in LINES.items() if key != letter}))


DIGEST_MISTAKES = ["", SHA1[:-1], SHA1.upper(), SHA1 + "C", SHA1 + "-md5", "x" * 40]
NUMBER_MISTAKES = ["", "-1", "1.5", "0x10", " 1", "1 ", "1_000", "18446744073709551616", "9" * 5000, "1e3"]
SWITCH_MISTAKES = ["", "Yes", "1", "true", "yes "]


@pytest.mark.parametrize(
    ("letter", "value"),
    [
        *[(letter, value) for letter in "CXHMYL" for value in DIGEST_MISTAKES],
        *[(letter, value) for letter in "BDST" for value in NUMBER_MISTAKES],
        *[(letter, value) for letter in "GA" for value in SWITCH_MISTAKES],
        *[("N", value) for value in ("", "nodot", "a b.org", "../../etc/x.org", "a.org\r", "a.org\0")],
        ("R", "d41d8cd98f00b204e9800998ecf8427f"),
        ("R", ""),
        ("T", "253402300800"),
    ],
)
def test_a_malformed_line_is_named(letter: str, value: str) -> None:
    with refused(f"line {letter} ("):
        Manifest.parse(text_of(LINES | {letter: value}))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"", "last line"),
        (text_of(LINES)[:-1], "last line"),
        (text_of(LINES) + b"\n", "a line"),
        (text_of(LINES) + b"Z\xc3\xa4\n", "Z\\xc3"),
    ],
)
def test_malformed_texts(text: bytes, field: str) -> None:
    with refused(field):
        Manifest.parse(text)
