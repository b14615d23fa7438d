"""`outcrop cat`"""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.reading import arguments
from tests.client.published import CONTENTS, Published, directory_entry, library


def test_files_come_one_after_the_other(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("cat", repository, "/README", "shelf/inner/two", *key)
    assert answer.out.encode() == CONTENTS[b"/README"] + CONTENTS[b"/shelf/inner/two"]


@pytest.mark.parametrize("path", ["/shelf/one", "/latest", "/absolute/one"])
def test_chunks_are_put_together_and_links_followed(outcrop: CommandLine, tmp_path: Path, path: str) -> None:
    repository, *key = arguments(tmp_path)
    assert outcrop("cat", repository, path, *key).out.encode() == CONTENTS[b"/shelf/one"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/shelf", "/shelf is not a regular file"),
        ("/nothing", "/nothing in books.example.org does not exist"),
        ("/out", "leads out of the repository"),
        ("/circle", "circle of symbolic links"),
    ],
)
def test_what_is_no_file_is_told(outcrop: CommandLine, tmp_path: Path, path: str, words: str) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("cat", repository, path, *key)
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.err
    assert "\nhint: " in answer.err


def test_what_is_neither_file_nor_directory_is_told(outcrop: CommandLine, tmp_path: Path) -> None:
    published = Published()
    pipe = replace(directory_entry(b"pipe"), mode=stat.S_IFIFO | 0o644, size=0)
    repository, *key = arguments(tmp_path, published.sign(published.catalog({b"/pipe": pipe})))
    answer = outcrop("cat", repository, "/pipe", *key)
    assert "/pipe is not a regular file\n\nhint: `outcrop stat books.example.org /pipe`" in answer.err


def test_nothing_is_written_that_was_not_verified(outcrop: CommandLine, tmp_path: Path) -> None:
    published = library()
    for path, data in list(published.files.items()):
        if path.endswith("P"):
            published.files[path] = data[:-1] + b"!"
    repository, *key = arguments(tmp_path, published)
    answer = outcrop("cat", repository, "/shelf/one", *key)
    assert (answer.code, answer.out) == (5, "")


def test_at_least_one_path_is_needed(outcrop: CommandLine, tmp_path: Path) -> None:
    assert outcrop("cat", *arguments(tmp_path)).code == 2
