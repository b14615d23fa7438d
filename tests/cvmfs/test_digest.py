"""Digests: known answers, texts in both directions, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.digest import Algorithm, Digest, Hasher
from outcrop.errors import FormatError
from tests.cvmfs.refusal import refused
from tests.cvmfs.strategies import algorithms, digests

SHA1_TEXT = "da39a3ee5e6b4b0d3255bfef95601890afd80709"

KNOWN_ANSWERS = [
    (Algorithm.SHA1, b"", SHA1_TEXT),
    (Algorithm.SHA1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (Algorithm.RMD160, b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31-rmd160"),
    (Algorithm.RMD160, b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc-rmd160"),
    (Algorithm.SHAKE128, b"", "7f9c2ba4e88f827d616045507605853ed73b8093-shake128"),
    (Algorithm.SHAKE128, b"abc", "5881092dd818bf5cf8a3ddb793fbcba74097d5c5-shake128"),
]


@pytest.mark.parametrize(("algorithm", "data", "text"), KNOWN_ANSWERS)
def test_known_answers(algorithm: Algorithm, data: bytes, text: str) -> None:
    assert Digest.of(data, algorithm).text == text


@pytest.mark.property
@given(digests)
def test_text_and_back(digest: Digest) -> None:
    assert Digest.parse(digest.text) == digest
    assert Digest.parse(digest.text).text == digest.text == str(digest)


@pytest.mark.property
@given(st.lists(st.binary()), algorithms)
def test_pieces_have_the_digest_of_the_whole(pieces: list[bytes], algorithm: Algorithm) -> None:
    hasher = Hasher(algorithm)
    for piece in pieces:
        hasher.update(memoryview(piece))
    assert Digest.of_pieces(pieces, algorithm) == Digest.of(b"".join(pieces), algorithm) == hasher.digest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        SHA1_TEXT.upper(),
        SHA1_TEXT[:-1],
        SHA1_TEXT + "0",
        SHA1_TEXT + "C",
        SHA1_TEXT[:-1] + "g",
        SHA1_TEXT[:-1] + "\n",
        " " + SHA1_TEXT[1:],
        SHA1_TEXT[:-1] + "\N{ARABIC-INDIC DIGIT ONE}",
        SHA1_TEXT + "-RMD160",
        SHA1_TEXT + "-rmd161",
        SHA1_TEXT + "-shake12",
        SHA1_TEXT + "-shake256",
        SHA1_TEXT + "-sha1",
        SHA1_TEXT[:32],
        "-rmd160" + SHA1_TEXT,
    ],
)
def test_no_other_text_is_a_digest(text: str) -> None:
    with refused("line X"):
        Digest.parse(text, what="the manifest", field="line X")


@pytest.mark.property
@given(st.binary().filter(lambda raw: len(raw) != 20))
def test_a_digest_has_20_bytes(raw: bytes) -> None:
    with refused("length"):
        Digest(Algorithm.SHA1, raw)


@pytest.mark.property
@given(st.text(max_size=60))
def test_text_that_parses_is_the_text_that_is_written(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except FormatError:
        return
    assert digest.text == text


@pytest.mark.parametrize("algorithm", Algorithm)
def test_labels(algorithm: Algorithm) -> None:
    assert Algorithm.from_label(algorithm.label) is algorithm
    assert Algorithm.from_label(algorithm.label.upper()) is algorithm


def test_md5_is_no_algorithm_for_contents() -> None:
    with pytest.raises(ValueError, match="md5"):
        Algorithm.from_label("md5")
