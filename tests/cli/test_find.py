"""`outcrop find`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.reading import arguments
from tests.client.published import Published, library
from tests.faulty_server import Site, serving

EVERYTHING = [
    "/", "/README", "/absolute", "/circle", "/latest", "/out", "/shelf", "/shelf/inner", "/shelf/inner/two",
    "/shelf/one", "/variant",
]  # fmt: skip


def test_everything_is_found_in_order(outcrop: CommandLine, tmp_path: Path) -> None:
    assert outcrop("find", *arguments(tmp_path)).out.splitlines() == EVERYTHING


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["/shelf"], ["/shelf", "/shelf/inner", "/shelf/inner/two", "/shelf/one"]),
        (["--type", "d"], ["/", "/shelf", "/shelf/inner"]),
        (["--type", "f"], ["/README", "/shelf/inner/two", "/shelf/one"]),
        (["--type", "l"], ["/absolute", "/circle", "/latest", "/out", "/variant"]),
        (["--name", "*e"], ["/absolute", "/circle", "/shelf/one"]),
        (["--type", "f", "--name", "[ot]*"], ["/shelf/inner/two", "/shelf/one"]),
        (["--name", "nothing"], []),
        (["-a", "--name", "hidden"], ["/hidden"]),
    ],
)
def test_what_is_found_can_be_narrowed(
    outcrop: CommandLine, tmp_path: Path, options: list[str], found: list[str]
) -> None:
    answer = outcrop("find", *arguments(tmp_path), *options)
    assert (answer.code, answer.out.splitlines()) == (0, found)


@pytest.mark.parametrize(("options", "count"), [([], 11), (["--name", "README"], 1), (["--name", "nothing"], 0)])
def test_json_is_one_document(outcrop: CommandLine, tmp_path: Path, options: list[str], count: int) -> None:
    document = json.loads(outcrop("find", "--json", *arguments(tmp_path), *options).out)
    assert len(document) == count


def test_only_catalogs_are_fetched(outcrop: CommandLine, tmp_path: Path) -> None:
    _, *key = arguments(tmp_path)
    site = Site({f"books.example.org/{name}": data for name, data in _lasting().files.items()})
    with serving(site) as url:
        assert outcrop("find", f"{url}/books.example.org", *key).code == 0
    assert {name[-1] for name in site.requests if "/data/" in name} == {"C", "X"}


def _lasting() -> Published:
    from outcrop.cvmfs.objects import WHITELIST_NAME
    from tests.cli.reading import NEVER
    from tests.client.published import signed_whitelist

    published = library()
    published.files[WHITELIST_NAME] = signed_whitelist(published.whitelist(expires=NEVER), published.owner.master)
    return published


def test_repository_of_another_name_says_which_option_names_it(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("find", *arguments(tmp_path), "--fqrn", "other.example.org")
    assert answer.code == 4
    assert "`--fqrn books.example.org`" in answer.err
