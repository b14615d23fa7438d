"""`outcrop config show` and `outcrop config list`"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest

from outcrop.cli import config_list, config_show
from outcrop.cli.console import Console
from outcrop.errors import NotFound
from tests.client.stock_site import LOCAL_DOMAIN_CONF, Site, plain_site


@pytest.fixture
def site(tmp_path: Path, home: Path) -> Site:
    site = plain_site(tmp_path).write(
        {
            "domain.d/example.org.conf": LOCAL_DOMAIN_CONF,
            "default.local": 'CVMFS_REPOSITORIES=books\nCVMFS_HTTP_PROXY="http://me:secret@p1:3128|http://p2:3128"\n',
            "default.d/50-x.conf": "CVMFS_DEFAULT_DOMAIN=example.org\nCVMFS_HTTP_PROXY=http://me:secret@old:1\n",
            "domain.d/example.org.local": "CVMFS_TIMEOUT=3\n",
        }
    )
    os.environ["OUTCROP_CVMFS_ETC"] = str(site.etc)
    own = home / ".config/outcrop"
    own.mkdir(parents=True)
    (own / "config.toml").write_text(
        '[network]\nretries = 4\n[repositories."tools.example.com"]\nservers = ["/srv/tools"]\nkeys = ["k.pub"]\n'
    )
    return site


def answer(command: click.Command, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    capfd.readouterr()
    command.main(list(arguments), obj=Console(), standalone_mode=False)
    return capfd.readouterr().out


def test_settings_are_shown(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    lines = answer(config_show.command, capfd, "books").splitlines()
    rows = [tuple(line.split(None, 1)) for line in lines]
    assert ("repository", "books.example.org") in rows
    assert ("servers", "http://local.example.org/cvmfs/books.example.org") in rows
    assert ("keys", str(site.etc / "keys/example.org")) in rows
    assert ("timeout", "3") in rows
    assert ("retries", "4") in rows
    assert "secret" not in "\n".join(lines)


def test_origin_says_file_line_and_what_was_overrode(site: Site, capfd: pytest.CaptureFixture[str], home: Path) -> None:
    text = answer(config_show.command, capfd, "books.example.org", "--origin")
    default = site.etc / "default.conf"
    timeout = text[text.index("timeout = 3") :].splitlines()[:3]
    assert timeout[1] == f"    from {site.etc}/domain.d/example.org.local:1"
    assert timeout[2].startswith(f"    over 5 from {default}:")
    retries = text[text.index("retries = 4") :].splitlines()
    assert retries[1] == f"    from {home}/.config/outcrop/config.toml"
    assert retries[2].startswith(f"    over 1 from {default}:")
    assert "parallel = 16\n    from built in\n" in text
    assert "secret" not in text


def test_json_has_origins_too(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    document = json.loads(answer(config_show.command, capfd, "books", "--json"))
    assert document["repository"] == "books.example.org"
    by_name = {setting["name"]: setting for setting in document["settings"]}
    assert by_name["servers"]["variable"] == "CVMFS_SERVER_URL"
    assert by_name["servers"]["origin"] == f"{site.etc}/domain.d/example.org.conf:3"
    assert by_name["timeout"]["overrode"][0]["value"] == "5"
    assert by_name["proxies"]["values"][0].count("|") == 1


def test_value_that_is_refused_is_not_taken_for_the_origin(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.write({"domain.d/example.org.local": "CVMFS_TIMEOUT=-1\nCVMFS_TIMEOUT_DIRECT=0\n"})
    local = f"{site.etc}/domain.d/example.org.local"
    text = answer(config_show.command, capfd, "books.example.org", "--origin")
    assert f"timeout = 5\n    from built in ({local}:1 is not used)\n    over 5 from {site.etc}/default.conf:" in text
    assert f"timeout direct = 10\n    from built in ({local}:2 is not used)\n" in text
    document = json.loads(answer(config_show.command, capfd, "books", "--origin", "--json"))
    (timeout,) = (setting for setting in document["settings"] if setting["name"] == "timeout")
    assert (timeout["origin"], timeout["not_used"]) == ("built in", {"value": "-1", "origin": f"{local}:1"})
    everything = answer(config_show.command, capfd, "books.example.org", "--origin", "--all")
    assert f"CVMFS_TIMEOUT = -1\n    from {local}:1\n" in everything


def test_json_says_what_the_own_file_overrode(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    document = json.loads(answer(config_show.command, capfd, "books", "--json"))
    (retries,) = (setting for setting in document["settings"] if setting["name"] == "retries")
    assert [one["value"] for one in retries["overrode"]] == ["1"]
    assert retries["overrode"][0]["origin"].startswith(f"{site.etc}/default.conf:")


def test_all_shows_the_variables_as_they_are(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    text = answer(config_show.command, capfd, "books", "--all")
    assert "CVMFS_USER" in text
    assert "secret" not in text


def test_repository_of_the_own_file_is_shown(site: Site, capfd: pytest.CaptureFixture[str], home: Path) -> None:
    assert site.etc.is_dir()
    text = answer(config_show.command, capfd, "tools.example.com", "--origin")
    assert f"servers = /srv/tools\n    from {home}/.config/outcrop/config.toml" in text


@pytest.mark.usefixtures("site")
def test_unknown_repository_comes_with_the_known_ones(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotFound) as caught:
        answer(config_show.command, capfd, "books.elsewhere.org")
    assert "books.example.org, tools.example.com" in caught.value.hint


def test_list_says_where_each_comes_from(site: Site, capfd: pytest.CaptureFixture[str], home: Path) -> None:
    rows = [line.split() for line in answer(config_list.command, capfd).splitlines()]
    assert rows == [
        ["books.example.org", str(site.etc)],
        ["tools.example.com", f"{home}/.config/outcrop/config.toml"],
        ["*.example.org", str(site.etc)],
    ]
    document = json.loads(answer(config_list.command, capfd, "--json"))
    assert document[2] == {"repository": "*.example.org", "domain": True, "source": str(site.etc)}


def test_empty_list_says_what_to_do(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    os.environ["OUTCROP_CVMFS_ETC"] = str(tmp_path)
    config_list.command.main([], obj=Console(), standalone_mode=False)
    assert "config.toml" in capfd.readouterr().err
