"""`test` and `grep`, as configuration files use them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from outcrop.cvmfs.client_configuration_conditions import (
    CannotJudge,
    FileState,
    NoFiles,
    bracket_holds,
    grep_holds,
)


class OneFile:
    """`/file` with three lines, and a link that leads nowhere."""

    def read(self, path: str) -> bytes | None:
        return b'ID=debian\nVERSION="12 (bookworm)"\nlatin \xe9\n' if path == "/file" else None

    def state(self, path: str) -> FileState | None:
        if path == "/dangling":
            return FileState(is_symlink=True, exists=False)
        return FileState(is_file=True, size=3) if path == "/file" else None

    def names(self, _path: str) -> Sequence[str]:
        return ()


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        ([], False),
        ([""], False),
        (["-f"], True),
        (["!"], True),
        (["!", ""], True),
        (["-z", ""], True),
        (["-n", ""], False),
        (["-lt", "5"], False),
        (["a", "=", "a"], True),
        (["a", "==", "a"], True),
        (["!", "=", "!"], True),
        (["-z", "=", "-z"], True),
        (["10", "-gt", "9"], True),
        (["010", "-eq", "10"], True),
        (["x", "-eq", "1"], False),
        (["", "-eq", ""], False),
        (["!", "a", "=", "b"], True),
        (["(", "a", ")"], True),
        (["a", "-a", ""], False),
        (["a", "-o", ""], True),
        (["a", "=", "a", "-a", "b", "=", "b"], True),
        (["a", "=", "b", "-o", "!", "-f", "/nothing"], True),
        (["(", "a", "=", "b", ")", "-o", "-n", "x"], True),
        (["a", "b", "c"], False),
        (["a", "=", "b", "c", "d"], False),
        (["(", "a", "=", "a", "-o", "b"], False),
        (["-f", "/file"], True),
        (["-s", "/file"], True),
        (["-x", "/file"], False),
        (["-f", ""], False),
        (["-e", "/dangling"], False),
        (["-L", "/dangling"], True),
        (["-d", "/nothing"], False),
    ],
)
def test_test(arguments: list[str], holds: bool) -> None:
    assert bracket_holds(arguments, OneFile()) is holds


@pytest.mark.parametrize("arguments", [["-w", "/file"], ["a", "-nt", "b"], ["a", "<", "b"], ["x"] * 100])
def test_test_that_cannot_be_judged(arguments: list[str]) -> None:
    with pytest.raises(CannotJudge):
        bracket_holds(arguments, NoFiles())


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        (["-q", "debian", "/file"], True),
        (["-q", "ubuntu\\|debian", "/file"], True),
        (["-q", "wheezy\\|jessie", "/file"], False),
        (["-q", "^ID=d.*n$", "/file"], True),
        (["-qi", "DEBIAN", "/file"], True),
        (["-q", "12 (book", "/file"], True),
        (["-qE", "^(x)", "/nothing"], None),
        (["-E", "-q", "ID|XX", "/file"], True),
        (["-qF", "d.b", "/file"], False),
        (["-q", "[0-9][0-9]", "/file"], True),
        (["-q", '[^A-Za-z0-9 =_"()]', "/file"], True),
        (["-qs", "x", "/nothing"], False),
        (["-q", "-e", "nope", "-e", "ID", "--", "/file"], True),
        (["-q", "a\\+", "/file"], None),
        (["-q", "[[:digit:]]", "/file"], None),
        (["-q", "*", "/file"], None),
        (["-c", "x", "/file"], None),
        (["-q", "x"], None),
    ],
)
def test_grep(arguments: list[str], holds: bool | None) -> None:
    if holds is None:
        with pytest.raises(CannotJudge):
            grep_holds(arguments, OneFile())
    else:
        assert grep_holds(arguments, OneFile()) is holds
