"""What happens to transactions from the command line: one function a scenario."""

from __future__ import annotations

import json
import os

from outcrop.stratum0.transactions.overlay import Way
from tests.stratum0.transaction_owner import NAME, Owner, outcrop, small_tree, started


def command_runs_in_the_view_and_its_exit_code_is_the_answer(owner: Owner) -> None:
    script = "pwd; echo $OUTCROP_VIEW; mkdir new; echo x > new/file; exit 7"
    options = ("--path", "/build", "--by", owner.way.value)
    owner.ingest(small_tree(owner.directory / "tree"), at="/build")
    assert "is no such command" in outcrop(owner, "transaction", NAME, *options, "--", "no such command", code=127)
    outcrop(owner, "abort", NAME)
    with started(owner, "transaction", NAME, *options, "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        place, view = process.stdout.read().decode().splitlines()
        assert process.wait() == 7
    assert place == f"{view}/build"
    (listed,) = json.loads(outcrop(owner, "transaction", NAME, "--list", "--json"))
    assert (listed["path"], listed["stage"], listed["mounted"]) == ("/build", "open", True)
    assert listed["transaction"] in outcrop(owner, "transaction", NAME, "--list")
    again = outcrop(owner, "transaction", NAME, "--resume", listed["transaction"], "--", "cat", "new/file")
    assert again == "x\n"
    busy = outcrop(owner, "transaction", NAME, "--path", "/build/base", "--dry-run", code=8)
    assert listed["holder"] in busy
    assert "+ /build/new (2 entries)" in outcrop(owner, "publish", NAME, "--dry-run")
    published = json.loads(outcrop(owner, "publish", NAME, "-m", "by a command", "--tag", "first", "--json"))
    assert (published["published"], published["added"]) == (True, 2)
    assert "/build/new/file" in owner.paths()
    publishing = ("--publish", "--author", "ada", "-m", "at once", "--", "mkdir", "more")
    assert f"{NAME} is now revision 4: 1 added" in outcrop(owner, "transaction", NAME, *options, *publishing)
    (logged,) = json.loads(outcrop(owner, "log", NAME, "-n", "1", "--json"))
    assert (logged["author"], logged["message"]) == ("ada", "at once")
    owner.require_nothing_left()


def command_is_published_if_it_ends_well(owner: Owner) -> None:
    options = ("--by", owner.way.value, "--publish", "--", "sh", "-c")
    outcrop(owner, "transaction", NAME, *options, "echo x > kept")
    outcrop(owner, "transaction", NAME, *options, "echo x > lost; exit 3", code=3)
    assert owner.paths() == {"/kept"}
    owner.require_nothing_left()


def document_is_all_that_a_command_leaves_on_standard_output(owner: Owner) -> None:
    options = ("--by", owner.way.value, "--path", "/j", "--json")
    script = ("--", "sh", "-c", "mkdir -p x; echo hi >x/y; echo noise")
    published = json.loads(outcrop(owner, "transaction", NAME, *options, "--publish", *script))
    assert (published["published"], published["added"]) == (True, 3)
    opened = json.loads(outcrop(owner, "transaction", NAME, *options, *script))
    assert owner.transactions.names() == [opened["transaction"]]
    assert (opened["path"], opened["exit_code"]) == ("/j", 0)
    outcrop(owner, "abort", NAME)
    with started(owner, "transaction", NAME, *options, "--publish", "--", "sh", "-c", "echo noise; exit 3") as process:
        assert process.stdout is not None
        lost = json.loads(process.stdout.read())
        assert (process.wait(), lost["published"], lost["exit_code"]) == (3, False, 3)
    owner.require_nothing_left()


def command_runs_at_the_path_or_beside_the_file_there(owner: Owner) -> None:
    owner.ingest(small_tree(owner.directory / "tree"), at="/v")
    options = ("--by", owner.way.value, "--publish", "--json")

    def run(path: str, command: str) -> dict[str, object]:
        found = json.loads(outcrop(owner, "transaction", NAME, "--path", path, *options, "--", "sh", "-c", command))
        assert isinstance(found, dict)
        return found

    before = owner.revision
    assert run("/v/base/file", "test -f file && echo more >> file")["changed"] == 1
    assert run("/new/deep", "true")["published"] is False
    assert run("/new/deep", "rmdir ../deep")["published"] is False
    assert owner.revision == before + 1
    assert run("/new/deep", "mkdir kept")["added"] == 3
    assert owner.paths() >= {"/new/deep/kept"}
    complaint = outcrop(owner, "transaction", NAME, "--path", "/v/base/file/below", *options, "--", "true", code=7)
    assert "is below something that is not a directory" in complaint
    owner.require_nothing_left()


def view_shows_where_it_is_asked_for(owner: Owner) -> None:
    place = owner.directory / "größer, schöner: weiter"
    place.mkdir()
    opened = json.loads(outcrop(owner, "transaction", NAME, "--by", owner.way.value, "--at", str(place), "--json"))
    assert opened["view"] == str(place)
    assert opened["visible"] == (owner.way is not Way.NAMESPACE)
    assert os.path.ismount(place) == opened["visible"]
    (place / "occupied").mkdir(parents=True, exist_ok=True)
    assert "is in use by" in outcrop(owner, "transaction", NAME, "--by", owner.way.value, code=8)
    outcrop(owner, "abort", NAME)
    assert not os.path.ismount(place)
    owner.require_nothing_left()


def all_are_aborted(owner: Owner) -> None:
    for path in ("/a", "/b"):
        outcrop(owner, "transaction", NAME, "--by", owner.way.value, "--path", path)
    assert "is one of 2" in outcrop(owner, "abort", NAME, code=1)
    planned = outcrop(owner, "abort", NAME, "--all", "--dry-run")
    assert planned.count("would be thrown away") == 2
    assert len(owner.transactions.names()) == 2
    assert len(json.loads(outcrop(owner, "abort", NAME, "--all", "--json"))) == 2
    assert "no open transaction" in outcrop(owner, "abort", NAME, "--all")
    owner.require_nothing_left()
