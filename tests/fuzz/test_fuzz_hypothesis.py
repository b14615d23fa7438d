"""Every parser on random bytes, on bytes that look like its input, and on well-formed inputs with something changed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import ALLOWED, TARGETS, Target

EXAMPLES = 60
"""For each target: together they take a few seconds. `make fuzz` is the long search."""


@st.composite
def changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """`seed` with a few places overwritten, cut out or filled with something new."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        end = begin + draw(st.sampled_from([0, 1, 2, 4, 8, 20, len(data)]))
        data[begin:end] = draw(
            st.one_of(
                st.binary(max_size=9),
                st.sampled_from([b"\0", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\n", b"-", b"--\n", b"-1", b"9" * 30]),
                st.just(bytes(data[: end - begin])),
            )
        )
    return bytes(data)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    alphabet = sorted(set(b"".join(target.seeds())))
    like_it = st.lists(st.sampled_from(alphabet), max_size=100).map(bytes)
    return st.one_of(st.binary(max_size=300), like_it, *(changed(seed) for seed in target.seeds()))


@pytest.mark.property
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_rubbish_ends_in_an_error_of_ours(target: Target, data: st.DataObject) -> None:
    with contextlib.suppress(*ALLOWED):
        target.parse(data.draw(inputs(target)))


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_searches_begin_inside_the_parser(target: Target) -> None:
    for seed in target.seeds():
        target.parse(seed)
