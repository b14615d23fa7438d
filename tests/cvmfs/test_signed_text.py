"""The envelope of manifests and whitelists, and the small texts in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.fields import timestamp, timestamp_text, unsigned
from outcrop.cvmfs.signed_text import MAXIMUM_SIGNED_TEXT_BYTES, SignedText, digest_for_signing
from outcrop.errors import IntegrityError
from tests.cvmfs.refusal import refused
from tests.cvmfs.strategies import algorithms

TEXT = b"Sone\nStwo\n"


def envelope(text: bytes = TEXT, signature: bytes = b"signature") -> SignedText:
    return SignedText(text, Digest.of(text), signature)


@pytest.mark.property
@given(
    st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line and line != b"--"), min_size=1),
    algorithms,
    st.binary(min_size=1),
)
def test_encoded_and_back(lines: list[bytes], algorithm: Algorithm, signature: bytes) -> None:
    text = b"".join(line + b"\n" for line in lines)
    signed = SignedText(text, digest_for_signing(text, algorithm), signature)
    assert SignedText.parse(signed.encode(), "a text") == signed


def test_the_signature_is_over_the_text_of_the_digest() -> None:
    signed = SignedText(TEXT, Digest.of(TEXT, Algorithm.SHAKE128), b"s")
    assert signed.signed_bytes == Digest.of(TEXT, Algorithm.SHAKE128).text.encode()


def test_a_separator_within_the_signature_means_nothing() -> None:
    assert SignedText.parse(envelope(signature=b"\n--\n\n").encode(), "a text").signature == b"\n--\n\n"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "`--` line"),
        (TEXT, "`--` line"),
        (TEXT + b"-- \n", "`--` line"),
        (TEXT + b"--\n", "digest line"),
        (TEXT + b"--\n" + Digest.of(TEXT).text.encode(), "digest line"),
        (TEXT + b"--\n" + Digest.of(TEXT).text.upper().encode() + b"\nx", "digest line"),
        (TEXT + b"--\n\xff\nx", "digest line"),
        (envelope(signature=b"").encode(), "signature"),
        (envelope(TEXT * MAXIMUM_SIGNED_TEXT_BYTES).encode(), "length"),
    ],
)
def test_malformed_envelopes(data: bytes, field: str) -> None:
    with refused(field):
        SignedText.parse(data, "a text")


def test_a_changed_text_does_not_have_its_digest() -> None:
    with pytest.raises(IntegrityError, match="a text"):
        SignedText.parse(envelope().encode().replace(b"Sone", b"Sten"), "a text")


def test_a_text_without_a_last_newline_cannot_be_signed() -> None:
    with refused("end"):
        digest_for_signing(b"S1", Algorithm.SHA1)


@pytest.mark.property
@given(st.datetimes(timezones=st.just(UTC)))
def test_dates_and_back(moment: datetime) -> None:
    text = timestamp_text(moment)
    assert len(text) == 14
    assert timestamp(text, what="a text", field="a date") == moment.replace(microsecond=0)


def test_dates_are_written_in_utc() -> None:
    assert timestamp_text(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "20251231230000"


@pytest.mark.property
@given(st.integers(0, 2**64 - 1))
def test_numbers_and_back(number: int) -> None:
    assert unsigned(str(number), what="a text", field="a number") == number


@pytest.mark.parametrize("text", ["\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT ONE}", "+1", "11"])
def test_numbers_out_of_range(text: str) -> None:
    with refused("a number"):
        unsigned(text, what="a text", field="a number", maximum=10)
