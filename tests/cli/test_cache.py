"""`outcrop cache status|warm|evict|verify`"""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import pytest

from outcrop.cli.app import run
from outcrop.cli.registry import CommandPlace, NounPlace
from tests.cli.conftest import CommandLine, Outcome
from tests.cli.reading import arguments

SECTIONS = {
    "Cache": {
        "cache": NounPlace(
            "The cache.",
            {verb: CommandPlace(f"outcrop.cli.cache_{verb}", verb) for verb in ("status", "warm", "evict", "verify")},
        )
    }
}


@pytest.fixture
def cache(outcrop: CommandLine, capsysbinary: pytest.CaptureFixture[bytes]) -> CommandLine:
    """Calls `outcrop cache …`."""

    def call(*words: str) -> Outcome:
        capsysbinary.readouterr()
        code = run(("cache", *words), SECTIONS)
        # A command that has ended pins nothing; this process goes on.
        gc.collect()
        out, err = capsysbinary.readouterr()
        return Outcome(code, out.decode(), err.decode())

    return call


def objects() -> list[Path]:
    return sorted((Path(os.environ["HOME"]) / ".cache/outcrop/objects").glob("??/*"))


def document(answer: Outcome) -> dict[str, object]:
    assert answer.code == 0, answer.err
    content: dict[str, object] = json.loads(answer.out)
    return content


def test_cache_that_is_not_there_yet_is_no_error(cache: CommandLine) -> None:
    answer = cache("status")
    assert answer.code == 0
    assert "not there yet" in answer.out
    assert cache("verify").code == 1


def test_status_says_where_how_full_and_what_limits(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    cache("warm", repository, "/", *key)
    os.environ["OUTCROP_CACHE_LIMIT"] = "20M"
    os.environ["OUTCROP_CACHE_LOWER"] = str(tmp_path / "some server")
    answer = cache("status")
    assert ".cache/outcrop/objects" in answer.out
    assert "20 MiB" in answer.out
    first, lower = json.loads(cache("status", "--json").out)
    assert (first["limit"], first["writable"], first["own"]) == (20 * 1024**2, True, True)
    assert first["objects"]["files"] == len(objects())
    assert first["objects"]["bytes"] <= first["counted"]
    assert (lower["writable"], lower["limit"]) == (False, None)


def test_limit_that_is_none_is_told(cache: CommandLine) -> None:
    os.environ["OUTCROP_CACHE_LIMIT"] = "a lot"
    answer = cache("status")
    assert answer.code == 1
    assert "OUTCROP_CACHE_LIMIT is 'a lot', which is no size" in answer.err


def test_what_is_warm_can_be_read_without_the_server(cache: CommandLine, outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = document(cache("warm", repository, "/", "--json", *key))
    assert (answer["files"], answer["bytes"], answer["warmed"]) == (3, 60_019, True)
    for path in (tmp_path / "some server" / "books.example.org" / "data").glob("??/*"):
        if not path.name.endswith("X"):
            path.unlink()
    assert outcrop("cat", repository, "/README", *key).out == "Read me.\n"
    assert outcrop("ls", repository, "/shelf/inner", *key).out == "two\n"


def test_one_path_is_warmed_and_links_are_followed(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    assert document(cache("warm", repository, "/README", "--json", *key))["files"] == 1
    assert document(cache("warm", repository, "/latest", "--json", *key))["bytes"] == 60_000
    assert "/nothing" in cache("warm", repository, "/nothing", *key).err


@pytest.mark.parametrize(
    "text",
    [
        "/README\n/cvmfs/books.example.org/shelf/inner/two\n\n/cvmfs/other.example.org/x\n/not/there\n",
        '{"repository": "books.example.org", "path": "/README", "kind": "open", "found": true}\n'
        '{"path": "/shelf/inner/two", "kind": "exec"}\n'
        '{"path": "/shelf/one", "kind": "stat"}\n{"path": "/shelf", "kind": "directory"}\n'
        '{"repository": "other.example.org", "path": "/x"}\n{"note": "no path"}\n'
        '{"path": "/not/there", "kind": "open", "found": false}\n',
    ],
    ids=["text", "trace"],
)
def test_list_is_warmed_and_nothing_else(cache: CommandLine, tmp_path: Path, text: str) -> None:
    repository, *key = arguments(tmp_path)
    (tmp_path / "list").write_text(text)
    answer = document(cache("warm", repository, "--trace", str(tmp_path / "list"), "--json", *key))
    assert (answer["files"], answer["bytes"], answer["missing"]) == (2, 19, ["/not/there"])


@pytest.mark.parametrize("name", ["two\rparts", "two\x85parts", "two\u2028parts"])
def test_only_a_newline_ends_a_path_of_a_list(cache: CommandLine, tmp_path: Path, name: str) -> None:
    repository, *key = arguments(tmp_path)
    (tmp_path / "list").write_bytes(f"/README\n/{name}\n".encode())
    answer = document(cache("warm", repository, "--trace", str(tmp_path / "list"), "--json", *key))
    assert answer["missing"] == [f"/{name}"]


def test_list_that_is_none_is_refused_with_its_line(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    (tmp_path / "list").write_text('/README\n{"path": \n')
    answer = cache("warm", repository, "--trace", str(tmp_path / "list"), *key)
    assert answer.code == 3
    assert "line 2 is neither a path nor a JSON object" in answer.err
    assert cache("warm", repository, "--trace", str(tmp_path / "none"), *key).code == 7
    assert cache("warm", repository, *key).code == 2


def test_list_of_which_nothing_exists_is_an_error(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    (tmp_path / "list").write_text('{"path": "/not/\\u001bthere"}\n{"path": "/nor/this"}\n')
    answer = cache("warm", repository, "--trace", str(tmp_path / "list"), *key)
    assert answer.code == 1
    assert f"what {tmp_path}/list names of books.example.org (first /not/\\x1bthere) does not exist" in answer.err


def test_file_that_is_no_list_is_refused(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    (tmp_path / "list").write_bytes(bytes(range(256)) * 4)
    answer = cache("warm", repository, "--trace", str(tmp_path / "list"), *key)
    assert answer.code == 3
    assert "`outcrop trace -o FILE -- CMD` writes such files" in answer.err


def test_cache_that_takes_nothing_in_is_not_warm(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    (Path(os.environ["HOME"]) / ".cache").touch()
    answer = cache("warm", repository, "/", "--json", *key)
    assert answer.code == 7
    assert answer.out == ""
    assert "hint:" in answer.err


def test_more_than_the_limit_is_refused_before_it_is_fetched(
    cache: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.client.published import Published

    published = Published()
    entry = published.file(b"large", os.urandom(2_000_000))
    repository, *key = arguments(tmp_path, published.sign(published.catalog({b"/large": entry})))
    monkeypatch.setenv("OUTCROP_CACHE_LIMIT", "1M")
    answer = cache("warm", repository, "/", *key)
    assert answer.code == 1
    assert "the cache may hold 1 MiB" in answer.err


def test_dry_run_fetches_catalogs_only(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    assert "would be in the cache: 3 files" in cache("warm", repository, "/", "--dry-run", *key).out
    assert all(path.read_bytes().startswith(b"SQLite") for path in objects())


def test_everything_goes(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    cache("warm", repository, "/", *key)
    before = objects()
    assert document(cache("evict", "--all", "--dry-run", "--json"))["objects"] == len(before)
    assert objects() == before
    assert document(cache("evict", "--all", "--json"))["objects"] == len(before)
    assert objects() == []


def test_oldest_go_down_to_a_size(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    cache("warm", repository, "/", *key)
    oldest = objects()[0]
    os.utime(oldest, (1, 1))
    total = sum(-(-path.stat().st_size // 4096) * 4096 for path in objects())
    cache("evict", "--to", str(total - 1))
    assert not oldest.exists()
    assert len(objects()) > 3


def test_files_of_a_path_go(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    cache("warm", repository, "/", *key)
    before = len(objects())
    assert document(cache("evict", repository, "/README", "--dry-run", "--json", *key))["objects"] == 1
    assert document(cache("evict", repository, "/README", "--json", *key))["objects"] == 1
    assert len(objects()) == before - 1
    assert document(cache("evict", repository, "/README", "--json", *key))["objects"] == 0


@pytest.mark.parametrize(
    "words", [[], ["--all", "--to", "1G"], ["books.example.org"], ["--all", "books.example.org", "/x"]]
)
def test_one_way_to_evict_has_to_be_said(cache: CommandLine, words: list[str]) -> None:
    assert cache("evict", *words).code == 2


def test_sound_cache_is_told_so(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    cache("warm", repository, "/", *key)
    answer = document(cache("verify", "--json"))
    assert (answer["sound"], answer["unproven"], answer["damaged"]) == (len(objects()), 0, [])


def test_damage_is_told_and_taken_away(cache: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    cache("warm", repository, "/", *key)
    victim = next(path for path in objects() if path.read_bytes() == b"Read me.\n")
    victim.write_bytes(b"Bad me.!\n")
    answer = cache("verify")
    assert answer.code == 5
    assert f"{victim}: its bytes have changed" in answer.out
    assert "objects is damaged: the bytes of 1 object are not what they should be" in answer.err
    assert victim.exists()
    assert cache("verify", "--repair").code == 0
    assert not victim.exists()
    assert cache("verify").code == 0


@pytest.fixture
def site(cache: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache that a site has for its repository, by stock configuration files, with a limit of 3 MiB."""
    (url, *_) = arguments(tmp_path)
    shared = tmp_path / "shared cache"
    for name, text in {
        "default.conf": "CVMFS_QUOTA_LIMIT=3\nCVMFS_CLAIM_OWNERSHIP=yes\n",
        "config.d/books.example.org.conf": f"CVMFS_SERVER_URL='{url}'\nCVMFS_ALIEN_CACHE='{shared}'\n"
        f"CVMFS_PUBLIC_KEY='{next(tmp_path.rglob('*.pub'))}'\n",
    }.items():
        place = tmp_path / "etc" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    monkeypatch.setenv("OUTCROP_CVMFS_ETC", str(tmp_path / "etc"))
    return shared


def test_cache_and_limit_of_a_site_are_those_of_its_repository(cache: CommandLine, site: Path) -> None:
    name = "books.example.org"
    assert document(cache("warm", name, "/", "--json"))["files"] == 3
    (status,) = json.loads(cache("status", name, "--json").out)
    assert (status["directory"], status["limit"], status["objects"]["files"]) == (str(site), 3 * 1024**2, 6)
    (own,) = json.loads(cache("status", "--json").out)
    assert own["directory"] != str(site)
    assert not own["exists"]
    assert "6 objects" in cache("verify", name).out
    assert document(cache("evict", name, "/README", "--json"))["objects"] == 1
    assert document(cache("evict", name, "--to", "0", "--json"))["cache"] == str(site)
    assert json.loads(cache("status", name, "--json").out)[0]["objects"]["files"] == 0


def test_environment_and_options_come_before_the_site(
    cache: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "books.example.org"
    monkeypatch.setenv("OUTCROP_CACHE_LIMIT", "7M")
    assert json.loads(cache("status", name, "--json").out)[0]["limit"] == 7 * 1024**2
    (found,) = json.loads(cache("status", name, "--cache", str(tmp_path / "mine"), "--limit", "9M", "--json").out)
    assert (found["directory"], found["limit"]) == (str(tmp_path / "mine"), 9 * 1024**2)
    monkeypatch.setenv("OUTCROP_CACHE_DIR", str(tmp_path / "own"))
    assert json.loads(cache("status", name, "--json").out)[0]["directory"] == str(tmp_path / "own" / "objects")


def test_more_than_the_limit_of_the_site_is_refused(cache: CommandLine, site: Path, tmp_path: Path) -> None:
    (tmp_path / "etc" / "default.local").write_text("CVMFS_QUOTA_LIMIT=0\nCVMFS_CACHE_QUOTA_LIMIT=1\n")
    from tests.client.published import Published

    published = Published()
    entry = published.file(b"large", os.urandom(2_000_000))
    arguments(tmp_path, published.sign(published.catalog({b"/large": entry})))
    answer = cache("warm", "books.example.org", "/")
    assert answer.code == 1, answer
    assert "the cache may hold 1 MiB" in answer.err


def test_own_file_says_where_caches_are_for_every_repository(cache: CommandLine, tmp_path: Path) -> None:
    configuration = Path(os.environ["HOME"]) / ".config/outcrop/config.toml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(f'[cache]\ndirectory = "{tmp_path}/chosen"\nlimit = "5 MiB"\n')
    (found,) = json.loads(cache("status", "--json").out)
    assert (found["directory"], found["limit"]) == (str(tmp_path / "chosen"), 5 * 1024**2)


def test_what_is_asked_of_eviction_must_be_one_thing(cache: CommandLine, site: Path) -> None:
    for words in (
        ("books.example.org",),
        ("books.example.org", "--all"),
        ("books.example.org", "/README", "--to", "1M"),
        (),
    ):
        assert cache("evict", *words).code == 2, words
    assert cache("status", "unknown.example.org").code == 1
