"""A list of paths is read as plain text or as a trace, and says which line is neither."""

from __future__ import annotations

import json

import pytest

from outcrop.client.cache.wanted_paths import WantedPath, asked_path, wanted_paths
from outcrop.client.trace.access import Access, encode_trace
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.errors import FormatError, InvalidValue
from outcrop.strace.asked_paths import AccessKind

BOOKS = RepositoryName("books.example.org")
TOOL = RepositoryPath(b"/bin/tool")


def wanted(*lines: str) -> list[WantedPath]:
    return list(wanted_paths(lines, BOOKS, "the list"))


def test_what_a_trace_says_of_contents_is_kept() -> None:
    trace = encode_trace(Access(BOOKS, TOOL, kind, True) for kind in AccessKind).decode()
    contents = {one.name for one, found in zip(AccessKind, wanted(*trace.splitlines()), strict=True) if found.contents}
    assert contents == {"OPEN", "EXEC"}


@pytest.mark.parametrize("line", ["bin/tool", "/cvmfs/books.example.org/bin/tool\n", '{"path": "//bin/tool"}'])
def test_a_path_may_be_written_as_users_write_it(line: str) -> None:
    assert wanted("", line) == [WantedPath(TOOL)]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", ROOT),
        ("/cvmfs/books.example.org", ROOT),
        ("/cvmfs/books.example.org/", ROOT),
        ("/cvmfs/books.example.org/bin/tool", TOOL),
        ("bin/tool", TOOL),
        ("/cvmfs/other.example.org", b"/cvmfs/other.example.org"),
    ],
)
def test_a_user_may_name_a_path_as_it_is_seen_in_a_mount(text: str, path: bytes) -> None:
    assert asked_path(text, BOOKS) == path


def test_what_can_be_no_path_is_refused() -> None:
    with pytest.raises(InvalidValue):
        asked_path("/bin/../tool", BOOKS)


@pytest.mark.parametrize(
    "line",
    [
        "/cvmfs/other.example.org/bin/tool",
        "/bin/../tool",
        '{"path": 7}',
        '{"path": "/\\ud800"}',
        json.dumps({"path": "/bin/tool", "repository": "other.example.org"}),
        json.dumps({"path": "/bin/tool", "repository": [1]}),
    ],
)
def test_what_is_no_path_of_the_repository_is_passed_over(line: str) -> None:
    assert wanted(line, "/bin/tool") == [WantedPath(TOOL)]


@pytest.mark.parametrize("line", ["/cvmfs/other.example.org/x", '{"path": "/x", "repository": "other.example.org"}'])
def test_a_list_may_be_of_another_repository(line: str) -> None:
    assert wanted(line) == []


@pytest.mark.parametrize("line", ["/bin/tool\0", "\x1b[31m/bin/tool", "\x7fELF"])
def test_a_line_with_control_characters_is_of_no_list(line: str) -> None:
    with pytest.raises(FormatError, match="line 2 has control characters") as caught:
        wanted("/bin/tool", line)
    assert "`outcrop trace -o FILE -- CMD` writes such files" in caught.value.hint


@pytest.mark.parametrize("lines", [(), ("", "  "), ('{"note": "no path"}',), ("/bin/../tool",)])
def test_a_list_that_names_no_path_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="no line names a path"):
        wanted(*lines)


def test_a_kind_that_no_trace_has_wants_the_contents() -> None:
    assert wanted('{"path": "/bin/tool", "kind": ["stat"]}') == [WantedPath(TOOL)]


@pytest.mark.parametrize("line", ["{", '{"path": ', "{} {}", '{"path": "' + "x" * 100_000 + '"}'])
def test_a_line_that_begins_like_a_trace_and_is_none_is_refused(line: str) -> None:
    with pytest.raises(FormatError, match="line 2 is neither a path nor a JSON object"):
        wanted("/bin/tool", line)
