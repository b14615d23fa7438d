"""`outcrop compat update --publish`: from known faults to the repository for tests in one command, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.compat.debian.archive_made_here import MadeKey
from tests.compat.layer_publisher import (
    FAMILY,
    LIBRARY,
    MENDED,
    NEEDS_TOOLS,
    PLACE,
    PRODUCTION,
    TESTS,
    VERSIONS,
    Publisher,
    archives_served,
    library,
    user,
    write_stack,
)

pytestmark = [*NEEDS_TOOLS, pytest.mark.xdist_group("layer-updates")]


@dataclass(frozen=True)
class Updater:
    """A publisher whose repositories have the old layer, with the digest `before`, a copy of which is in its directory
    `old`; and archives by name."""

    publisher: Publisher
    urls: dict[str, str]
    before: str

    def __call__(self, *words: str, to: str = "mended", code: int = 0) -> subprocess.CompletedProcess[str]:
        """The update of the old layer to what the archive `to` has, published for tests."""
        where = ("--debian-mirror", self.urls[to], "--keyring", str(self.publisher.key.keyring))
        faults = ("--security", "--advisories", "tracker.json")
        return self.publisher("compat", "update", *faults, "--publish", TESTS, *where, *words, "old", code=code)

    def without_proof(self, *words: str, to: str = "mended", code: int = 0) -> subprocess.CompletedProcess[str]:
        """The same, unverified: the layer has no shell to be verified with."""
        return self("--no-verify", *words, to=to, code=code)

    def revision(self) -> str:
        """That of the repository for tests."""
        return self.publisher("repo", "log", TESTS).stdout.splitlines()[0]

    def built(self) -> list[Path]:
        """The layers that updates have built."""
        return list((self.publisher.place / "data" / "updates").glob(f"*/{PLACE}"))


@pytest.fixture(scope="module")
def made(archive_key: MadeKey) -> Iterator[Updater]:
    """The machine that all tests begin from."""
    with tempfile.TemporaryDirectory() as place:
        publisher = Publisher(Path(place), archive_key)
        write_stack(publisher.place / "stack")
        for name in (PRODUCTION, TESTS):
            publisher("repo", "create", name)
        with archives_served(publisher) as urls:
            before = publisher.published(urls["old"])
            shutil.copytree(publisher.place / "tree" / PLACE, publisher.place / "old", symlinks=True)
            known = {"status": "resolved", "fixed_version": VERSIONS["mended"], "urgency": "high"}
            tracker = {"thing": {"CVE-2026-0001": {"releases": {"bookworm": known}}}}
            (publisher.place / "tracker.json").write_text(json.dumps(tracker))
            yield Updater(publisher, urls, before)


@pytest.fixture
def update(made: Updater, tmp_path: Path) -> Updater:
    """A copy of it."""
    shutil.copytree(made.publisher.place, tmp_path, symlinks=True, dirs_exist_ok=True)
    return replace(made, publisher=Publisher(tmp_path, made.publisher.key))


def test_one_command_leads_from_a_fault_to_the_repository_for_tests(update: Updater) -> None:
    publisher = update.publisher
    would = update.without_proof("--dry-run")
    assert "libthing1: 1.0-1 -> 1.0-1+deb12u1 (thing is to be updated)" in would.stderr
    assert "would fetch 1 file" in would.stderr
    assert f"would publish it in {TESTS}, in the place of {update.before[:16]}" in would.stderr
    assert (would.stdout, update.built()) == ("", [])

    done = update.without_proof("--lock", "new.json", "-m", "the library is mended")
    digest = done.stdout.strip()
    assert len(digest) == 64
    assert "without having been verified" in done.stderr
    assert "1 library changed" in done.stderr
    assert "the library is mended" in update.revision()
    assert f'"version":"{VERSIONS["mended"]}"' in (publisher.place / "new.json").read_text()
    following = f"outcrop compat promote {TESTS} {PRODUCTION} {digest[:16]}"
    assert f"once it is tested: `{following}`" in done.stderr
    assert publisher.shown(TESTS) != publisher.shown(PRODUCTION)
    publisher(*following.split()[1:])
    assert publisher.shown(TESTS) == publisher.shown(PRODUCTION)

    # The same command, given again, finds that all is done.
    revision = update.revision()
    again = update.without_proof()
    assert again.stdout.strip() == digest
    assert "is this layer already" in again.stderr
    assert update.revision() == revision
    answer = json.loads(update.without_proof("--json").stdout)
    assert (answer["digest"], answer["next"], answer["plan"]["publish"]) == (digest, following, False)


def test_a_layer_that_is_not_verified_is_not_published_and_not_built_twice(update: Updater) -> None:
    revision = update.revision()
    refused = update("--json", code=1)
    answer = json.loads(refused.stdout)
    assert not answer["verification"]["passed"]
    assert "programs start in an empty root" in {one["name"] for one in answer["verification"]["checks"]}
    assert (answer["publication"], answer["digest"], answer["next"]) == (None, None, None)
    assert f"did not pass verification, so {TESTS} stays as it is" in refused.stderr
    assert update.revision() == revision
    (tree,) = update.built()
    records = os.listdir(tree / "reprod")
    told = update.without_proof()
    assert "was built before" in told.stderr
    assert os.listdir(tree / "reprod") == records
    assert update.revision() != revision


def test_an_update_that_takes_away_what_is_needed_is_reported_and_not_published(update: Updater) -> None:
    revision = update.revision()
    refused = update.without_proof("--json", to="broken", code=1)
    answer = json.loads(refused.stdout)
    (found,) = answer["interfaces"]["breaks"]
    assert (found["user"], found["library"]) == ("usr/bin/thing-user", "libthing.so.1")
    assert answer["publication"] is None
    assert "does not give usr/bin/thing-user what it needs" in " ".join(refused.stderr.split())
    assert update.revision() == revision
    # A dry run knows it by now, since the layer is built.
    assert "answer is not given any more" in update.without_proof("--dry-run", to="broken", code=1).stderr
    update.without_proof("--allow-breaks", to="broken")
    assert update.revision() != revision


def test_what_stands_on_the_layer_of_users_is_asked_too(update: Updater) -> None:
    publisher = update.publisher
    software = publisher.place / "software"
    software.mkdir()
    library(publisher.place, MENDED)
    (software / "later").write_bytes(user(publisher.place))
    (software / "later").chmod(0o755)
    publisher("repo", "ingest", PRODUCTION, str(software), "--at", f"/versions/2026.06/software/linux/{FAMILY.name}")
    refused = update.without_proof("--software", PRODUCTION, "--allow-breaks", "--json", to="broken")
    breaks = json.loads(refused.stdout)["interfaces"]["breaks"]
    assert f"/versions/2026.06/software/linux/{FAMILY.name}/later" in {one["user"] for one in breaks}


def test_without_a_layer_in_the_repository_for_tests_interfaces_are_those_of_the_old_one(update: Updater) -> None:
    update.publisher("repo", "ingest", TESTS, "--delete", f"/{PLACE}")
    answer = json.loads(update.without_proof("--allow-breaks", "--json", to="broken").stdout)
    assert answer["interfaces"]["libraries"] == ["libthing.so.1"]
    assert answer["publication"]["before"] is None


def test_only_packages_change_whatever_the_stack_says_by_now(update: Updater) -> None:
    (update.publisher.place / "stack" / "compat" / "more.toml").write_text('purpose = "more"\n')
    shutil.copytree(update.publisher.place / "stack" / "compat", update.publisher.place / "compat")
    update.without_proof()
    (new,) = update.built()
    (before,) = (update.publisher.place / "old").glob("reprod/*/sets.json")
    (after,) = new.glob("reprod/*/sets.json")
    assert after.read_bytes() == before.read_bytes()
    assert (new / LIBRARY).read_bytes() != (update.publisher.place / "old" / LIBRARY).read_bytes()


def test_a_layer_with_a_record_of_an_older_outcrop_is_updated_as_a_stack_describes_it(update: Updater) -> None:
    (sets,) = (update.publisher.place / "old").glob("reprod/*/sets.json")
    recorded = json.loads(sets.read_text())
    sets.write_text(json.dumps(recorded | {"links": 1}))
    refused = update.without_proof(code=3).stderr
    assert "name the stack's directory with `--stack`" in " ".join(refused.split())
    assert update.built() == []
    update.without_proof("--stack", "stack")
    (new,) = update.built()
    (after,) = new.glob("reprod/*/sets.json")
    assert json.loads(after.read_text()) == recorded


def test_the_same_packages_with_other_declarations_are_another_layer(update: Updater) -> None:
    first = update.without_proof().stdout.strip()
    declared = update.publisher.place / "stack" / "compat" / "layer.toml"
    with declared.open("a") as file:
        file.write('\n[[drop]]\npaths = ["usr/bin/thing-user"]\nreason = "nobody runs it"\n')
    second = update.without_proof("--stack", "stack")
    assert "is this layer already" not in second.stderr
    assert second.stdout.strip() != first
    assert len(update.built()) == 2
    again = update.without_proof("--stack", "stack")
    assert "is this layer already" in again.stderr
    assert again.stdout == second.stdout


def test_where_nothing_is_to_be_mended_nothing_is_done(update: Updater) -> None:
    tracker = update.publisher.place / "tracker.json"
    tracker.write_text(tracker.read_text().replace(VERSIONS["mended"], VERSIONS["old"]))
    told = update.without_proof()
    assert "nothing to update" in told.stderr
    assert (told.stdout, update.built()) == ("", [])


def test_an_update_that_makes_no_sense_is_refused_before_anything_is_built(update: Updater) -> None:
    publisher = update.publisher
    where = ("--debian-mirror", update.urls["mended"], "--keyring", str(publisher.key.keyring))
    named = ("compat", "update", "--source", "thing", *where)
    assert "has to be tested first" in publisher(*named, "--publish", PRODUCTION, "old", code=1).stderr
    lock = next((publisher.place / "old").glob("reprod/*/lock.json"))
    assert "wants a layer's directory" in publisher(*named, "--publish", TESTS, str(lock), code=2).stderr
    assert "--tree means something with --publish only" in publisher(*named, "--tree", "x", "old", code=2).stderr
    other = publisher(*named, "--publish", TESTS, "--tree", "tree", "old", code=1).stderr
    assert "already exists" in other
    assert "build the update elsewhere, with `--tree`" in other
    assert "nowhere.example.org" in publisher(*named, "--publish", "nowhere.example.org", "old", code=1).stderr
    assert update.built() == []
