"""`outcrop ls`, and what all commands that read a repository share."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.reading import arguments
from tests.client.published import Published, keys, library, link_entry
from tests.faulty_server import Site, serving

VISIBLE = ["README", "absolute", "circle", "latest", "out", "shelf", "variant"]


def test_root_is_listed_by_default(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("ls", *arguments(tmp_path))
    assert (answer.code, answer.out.split("\n"), answer.err) == (0, [*VISIBLE, ""], "")


def test_hidden_entries_are_listed_on_request(outcrop: CommandLine, tmp_path: Path) -> None:
    assert "hidden" in outcrop("ls", "-a", *arguments(tmp_path)).out.split()


def test_path_may_be_written_in_any_way(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    for path in ("shelf", "/shelf/", "./shelf//", "absolute"):
        assert outcrop("ls", repository, path, *key).out == "inner\none\n"
    assert outcrop("ls", repository, "/README", *key).out == "README\n"


def test_long_listing_has_type_links_size_time_and_target(outcrop: CommandLine, tmp_path: Path) -> None:
    rows = [line.split() for line in outcrop("ls", "-l", *arguments(tmp_path)).out.splitlines()]
    by_name = {row[5]: row for row in rows}
    assert by_name["README"] == ["-rw-r--r--", "1", "9", "2017-07-14", "02:40:00", "README"]
    assert by_name["shelf"][:3] == ["drwxr-xr-x", "3", "4096"]
    assert by_name["latest"][6:] == ["->", "shelf/one"]


def test_long_listing_of_a_link_shows_the_link(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    assert "absolute -> " in outcrop("ls", "-l", repository, "/absolute", *key).out
    assert "one" in outcrop("ls", "-l", repository, "/absolute/", *key).out


def test_json_has_everything(outcrop: CommandLine, tmp_path: Path) -> None:
    document = json.loads(outcrop("ls", "--json", *arguments(tmp_path)).out)
    assert [entry["path"] for entry in document] == VISIBLE
    assert document[0]["type"] == "file"
    assert document[0]["size"] == 9
    assert document[3]["target"] == "shelf/one"


def test_names_come_out_as_they_went_in(outcrop: CommandLine, tmp_path: Path) -> None:
    published = Published()
    names = [b"latin1-\xe9", "ünï".encode(), b"new\nline"]
    root = published.catalog({b"/" + name: published.file(name, b"") for name in names})
    answer = outcrop("ls", *arguments(tmp_path, published.sign(root)))
    assert os.fsencode(answer.out) == b"latin1-\xe9\nnew\nline\n" + "ünï\n".encode()


def test_names_that_are_not_utf8_have_their_bytes_in_json(outcrop: CommandLine, tmp_path: Path) -> None:
    published = Published()
    entries = {b"/" + name: published.file(name, b"") for name in (b"latin1-\xe9", "ünï%".encode())}
    entries[b"/link"] = link_entry(b"link", b"to \xff")
    repository, *key = arguments(tmp_path, published.sign(published.catalog(entries)))
    text = outcrop("ls", "--json", repository, *key).out
    assert "udc" not in text
    latin, link, plain = json.loads(text)
    assert (latin["path"], latin["path_bytes"]) == ("latin1-\ufffd", "latin1-%E9")
    assert (link["target"], link["target_bytes"]) == ("to \ufffd", "to%20%FF")
    assert plain["path"] == "ünï%"
    assert not plain.keys() & {"path_bytes", "target_bytes"}
    shown = json.loads(
        outcrop("stat", "--json", repository, b"/latin1-\xe9".decode(errors="surrogateescape"), *key).out
    )
    assert (shown["path"], shown["path_bytes"]) == ("/latin1-\ufffd", "/latin1-%E9")
    found = json.loads(outcrop("find", "--json", repository, *key).out)
    assert [one["path_bytes"] for one in found if "path_bytes" in one] == ["/latin1-%E9"]


@pytest.mark.parametrize("option", ["--tag", "--root-hash", "--revision"])
def test_option_that_says_nothing_is_not_the_current_revision(
    outcrop: CommandLine, tmp_path: Path, option: str
) -> None:
    answer = outcrop("ls", *arguments(tmp_path), option, "")
    assert (answer.code, answer.out) == (2, "")
    assert option in answer.err
    assert "\nhint: " in answer.err


def test_root_hash_that_is_none_is_no_damage(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("ls", *arguments(tmp_path), "--root-hash", "zz")
    assert answer.code == 2
    assert "'zz'" in answer.err
    assert "hint: `outcrop stat REPO /` shows" in answer.err


def test_root_hash_that_no_server_has_is_a_revision_that_is_not_there(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("ls", *arguments(tmp_path), "--root-hash", "20" * 20)
    assert answer.code == 1
    assert f"the revision of books.example.org with the root catalog {'20' * 20} does not exist" in answer.err
    assert "hint: no server has that catalog" in answer.err


def test_tilde_in_an_option_is_the_home_directory(outcrop: CommandLine, tmp_path: Path, home: Path) -> None:
    repository, _, key = arguments(tmp_path)
    (home / "k.pub").write_bytes(Path(key).read_bytes())
    assert outcrop("ls", repository, "--key=~/k.pub", "--cache=~/kept").code == 0
    assert any((home / "kept").iterdir())


def test_owned_repository_is_read_by_its_name(outcrop: CommandLine, tmp_path: Path) -> None:
    arguments(tmp_path)
    data = Path(os.environ["HOME"]) / ".local/share/outcrop"
    data.mkdir(parents=True)
    storage = tmp_path / "some server" / "books.example.org"
    (data / "books.example.org.toml").write_text(f'storage = "{storage}"\n')
    (data / "books.example.org.pub").write_bytes(keys().public_pem)
    assert outcrop("ls", "books.example.org").out.split() == VISIBLE
    answer = outcrop("ls", "other.example.org")
    assert answer.code == 1
    assert "known are books.example.org" in answer.err


def test_key_may_come_from_the_environment(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, _, key = arguments(tmp_path)
    os.environ["OUTCROP_KEY"] = key
    assert outcrop("ls", repository).code == 0


def test_cache_is_where_it_is_said_to_be(outcrop: CommandLine, tmp_path: Path) -> None:
    outcrop("ls", *arguments(tmp_path), "--cache", str(tmp_path / "kept here"))
    assert list((tmp_path / "kept here").glob("??/*"))


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["/nothing"], 1, "/nothing in books.example.org does not exist"),
        (["--fqrn", "other.example.org"], 4, "`--fqrn books.example.org`"),
        (["--name", "other.example.org"], 4, "`--fqrn books.example.org`"),
        (["--tag", "v1"], 1, "a history of books.example.org"),
        (["--root-hash", "xyz"], 2, "`--root-hash` is no digest"),
        (["--revision", "1", "--tag", "v1"], 1, "says several things"),
        (["/../x"], 1, "cannot lead to anything"),
    ],
)
def test_mistakes_are_told_in_one_sentence_with_a_hint(
    outcrop: CommandLine, tmp_path: Path, more: list[str], code: int, words: str
) -> None:
    answer = outcrop("ls", *arguments(tmp_path), *more)
    assert (answer.code, answer.out) == (code, "")
    assert words in answer.err
    assert "hint:" in answer.err or code == 1


def test_server_that_is_not_there_is_a_network_error(outcrop: CommandLine, tmp_path: Path) -> None:
    _, *key = arguments(tmp_path)
    with serving(Site()) as url:
        pass
    answer = outcrop("ls", f"{url}/books.example.org", *key)
    assert answer.code == 6
    assert "refused" in answer.err


def test_older_revision_than_seen_is_refused_from_one_command_to_the_next(outcrop: CommandLine, tmp_path: Path) -> None:
    new = arguments(tmp_path, library(revision=2))
    assert outcrop("ls", *new).code == 0
    answer = outcrop("ls", *arguments(tmp_path, library(revision=1)))
    assert answer.code == 4
    assert "this machine has seen 2" in answer.err


def test_rotten_cache_is_mended_and_told_of(outcrop: CommandLine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    read = ["cat", *arguments(tmp_path)[:1], "/README", *arguments(tmp_path)[1:], "--cache", str(cache)]
    assert outcrop(*read).out == "Read me.\n"
    for path in cache.glob("??/*"):
        if path.stat().st_size == len("Read me.\n"):
            path.write_text("Bad me.!\n")
    answer = outcrop(*read)
    assert answer.out == "Read me.\n"
    assert "a damaged file in the cache was thrown away" in answer.err
