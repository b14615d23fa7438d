"""A trace file reads as it was written, and what is none is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.trace.access import Access, encode_trace, parse_trace
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.errors import FormatError
from outcrop.strace.asked_paths import AccessKind

BOOKS = RepositoryName("books.example.org")
LINE = {"repository": BOOKS, "path": "/bin/tool", "kind": "exec", "found": True}

names = st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
accesses = st.builds(
    Access,
    st.just(BOOKS),
    st.lists(names, max_size=4).map(lambda parts: RepositoryPath(b"".join(b"/" + part for part in parts))),
    st.sampled_from(AccessKind),
    st.booleans(),
)


@pytest.mark.property
@given(st.lists(accesses, unique=True))
def test_trace_reads_as_it_was_written(written: list[Access]) -> None:
    assert parse_trace(encode_trace(written), "the trace") == tuple(written)


def test_line_is_plain_json() -> None:
    access = Access(BOOKS, RepositoryPath(b"/bin/tool"), AccessKind.EXEC, True)
    assert json.loads(encode_trace([access, access])) == LINE


def test_root_and_members_of_the_future_are_read() -> None:
    line = json.dumps({**LINE, "path": "/", "size": 7}).encode()
    assert parse_trace(b"\n" + line + b"\n\n", "the trace")[0].path == ROOT


@pytest.mark.parametrize(
    "change",
    [
        {"path": "a"},
        {"path": "/a/../b"},
        {"path": "/a//b"},
        {"path": ""},
        {"path": None},
        {"path": "/\ud800"},
        {"kind": "read"},
        {"found": 1},
        {"repository": "nodomain"},
    ],
)
def test_line_that_no_trace_has_is_refused(change: dict[str, object]) -> None:
    data = json.dumps(LINE) + "\n" + json.dumps({**LINE, **change})
    with pytest.raises(FormatError, match="line 2"):
        parse_trace(data.encode(), "the trace")


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b"x" * 100_000, b"[" * 20_000])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="line 1"):
        parse_trace(data, "the trace")
