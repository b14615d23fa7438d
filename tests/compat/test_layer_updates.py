"""A security update of one library: plan, test repository, promotion by digest, rollback; and what is not let through.

The layer has a library and its user, from an archive made here, so nothing but the archive's server is on the way.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from outcrop.compat.record import LAYER_FILE, REDIRECTIONS_FILE, layer_digest
from tests.compat.layer_publisher import (
    FAMILY,
    LATER_USER,
    MENDED,
    NEEDS_TOOLS,
    PLACE,
    PRODUCTION,
    TESTS,
    Publisher,
    library,
    user,
)

pytestmark = NEEDS_TOOLS


def test_a_library_goes_from_its_plan_to_tests_to_users_and_back(
    publisher: Publisher, archives: dict[str, str]
) -> None:
    before = publisher.published(archives["old"])
    layer = publisher.place / "tree" / PLACE
    old_library = publisher.shown(PRODUCTION)

    # A lock that changes the library and nothing else, and the layer that it makes.
    told = publisher.update(archives["mended"], layer).stdout
    assert "libthing1" in told
    assert "thing-user" not in told
    layer = publisher.build(archives["mended"], "--lock", "new.json", "--author", "Ada", "-m", "the library is mended")
    (log,) = layer.glob("reprod/*/changelog.txt")
    assert "\nby Ada\n\n    the library is mended\n\nSince the layer of " in log.read_text()
    assert "  changed  libthing1 1.0-1 -> 1.0-1+deb12u1\n" in log.read_text()
    steps = (log.parent / "build.log").read_text()
    assert "not done, of the scripts of thing-user: adduser --system thing\n" in steps
    assert "ldconfig" not in steps
    answer = publisher.json("compat", "publish", "--for-tests", str(layer), TESTS)
    digest = str(answer["digest"])
    assert answer["before"] == before
    assert answer["packages"] == [{"name": "libthing1", "source": "thing", "before": "1.0-1", "after": "1.0-1+deb12u1"}]
    assert (answer["libraries"], answer["breaks"]) == (["libthing.so.1"], [])
    assert publisher.shown(PRODUCTION) == old_library

    # What was tested is what users get, to the byte; the log says what it is.
    would = publisher("compat", "promote", TESTS, PRODUCTION, digest[:12], "--dry-run").stderr
    assert "would become" in would
    publisher("compat", "promote", TESTS, PRODUCTION, digest[:12], "--author", "ada")
    assert publisher.shown(PRODUCTION) == publisher.shown(TESTS) != old_library
    history = publisher("repo", "log", PRODUCTION).stdout
    assert "thing 1.0-1 -> 1.0-1+deb12u1" in history
    assert "ada" in history

    # And back, while something else that was published in between stays.
    (publisher.place / "more").mkdir()
    (publisher.place / "more" / "news").write_text("news\n")
    publisher("repo", "ingest", PRODUCTION, str(publisher.place / "more"), "--at", "/more")
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == before
    assert publisher.shown(PRODUCTION) == old_library
    assert publisher.shown(PRODUCTION, "more/news") == b"news\n"

    # A rollback can be rolled back.
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == digest
    assert publisher("compat", "rollback", PRODUCTION, "2026.06", "--to", before[:16]).stdout.strip() == before


ROOT = "/cvmfs/software.example.org"
DEFAULTS = f"{ROOT}/defaults"
HOSTS = """
trusted_directories = ["lib/override", "lib/nvidia", "lib/amd"]

[[host]]
path = "etc/passwd"
host = "/etc/passwd"
reason = "accounts"
"""


def links_below(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): os.readlink(path) for path in directory.rglob("*") if path.is_symlink()}


def as_older(layer: Path) -> str:
    """Makes `layer` one from before there were links for sites; its digest."""
    (record,) = layer.glob("reprod/*")
    (record / REDIRECTIONS_FILE).unlink()
    document = json.loads((record / LAYER_FILE).read_text())
    del document["digest_format"]
    (record / LAYER_FILE).write_text(json.dumps(document))
    digest = layer_digest(layer)
    (record / LAYER_FILE).write_text(json.dumps(document | {"digest": digest}))
    return digest


def checked_out(publisher: Publisher, repository: str, path: str, *words: str, **settings: str) -> dict[str, str]:
    """The links below `path`, as a reader with these `settings` sees them."""
    copy = publisher.place / "links"
    shutil.rmtree(copy, ignore_errors=True)
    publisher("checkout", repository, str(copy), "--path", path, *words, settings=settings)
    return links_below(copy)


def test_links_for_sites_come_with_a_layer_and_stay_when_it_goes(
    publisher: Publisher, archives: dict[str, str]
) -> None:
    older = as_older(publisher.build(archives["old"]))
    publisher("compat", "publish", f"tree/{PLACE}", PRODUCTION)
    assert checked_out(publisher, PRODUCTION, "/").keys() == {f"{PLACE}/bin", f"{PLACE}/lib"}

    with (publisher.place / "stack/compat/layer.toml").open("a") as file:
        file.write(HOSTS)
    digest = publisher.published(archives["old"])
    assert digest != older
    shared = {
        "defaults/compat/etc/passwd": "$(EESSI_COMPAT_ETC_PASSWD:-/etc/passwd)",
        "defaults/override": f"$(EESSI_LIB_OVERRIDE_DEFAULT:-{ROOT}/host_injections/lib/override)",
        "defaults/nvidia": f"$(EESSI_NVIDIA_OVERRIDE_DEFAULT:-{ROOT}/host_injections/lib/nvidia)",
        "defaults/amd": f"$(EESSI_AMD_OVERRIDE_DEFAULT:-{ROOT}/host_injections/lib/amd)",
        "host_injections": "$(EESSI_HOST_INJECTIONS:-/opt/eessi)",
    }
    tree = publisher.place / "tree"
    assert {path: os.readlink(tree / path) for path in shared} == shared
    for repository in (TESTS, PRODUCTION):
        seen = checked_out(publisher, repository, "/")
        assert {path: seen[path] for path in shared} == shared
        assert seen[f"{PLACE}/etc/passwd"] == f"$(EESSI_202606_COMPAT_ETC_PASSWD:-{DEFAULTS}/compat/etc/passwd)"
        assert seen[f"{PLACE}/usr/lib/override"] == f"$(EESSI_202606_LIB_OVERRIDE:-{DEFAULTS}/override)"

    # A reader's variables redirect at both levels.
    seen = checked_out(publisher, PRODUCTION, "/", "--expand-links", EESSI_202606_COMPAT_ETC_PASSWD="/site/passwd")
    assert (seen[f"{PLACE}/etc/passwd"], seen["defaults/compat/etc/passwd"]) == ("/site/passwd", "/etc/passwd")
    seen = checked_out(publisher, PRODUCTION, "/", "--expand-links", EESSI_COMPAT_ETC_PASSWD="/site/passwd")
    assert seen[f"{PLACE}/etc/passwd"] == f"{DEFAULTS}/compat/etc/passwd"
    assert seen["defaults/compat/etc/passwd"] == "/site/passwd"
    seen = checked_out(publisher, PRODUCTION, "/", "--expand-links", EESSI_HOST_INJECTIONS="/site")
    assert seen["host_injections"] == "/site"

    # They come once; what is different is mended, and what a site's owner made otherwise stays.
    again = publisher.json("compat", "publish", str(tree / PLACE), PRODUCTION)
    assert (again["published"], again["links"]) == (False, [])
    changed = publisher.place / "changed"
    (changed / "defaults").mkdir(parents=True)
    (changed / "defaults/override").symlink_to("/dev/null")
    (changed / "host_injections").symlink_to("/srv/injections")
    publisher("repo", "ingest", PRODUCTION, str(changed), "--at", "/")
    again = publisher.json("compat", "publish", str(tree / PLACE), PRODUCTION)
    assert (again["published"], again["links"]) == (True, ["/defaults/override"])
    assert again["links_before"] == {"/defaults/override": "/dev/null"}
    seen = checked_out(publisher, PRODUCTION, "/")
    assert (seen["defaults/override"], seen["host_injections"]) == (shared["defaults/override"], "/srv/injections")

    # A rollback takes the layer back, and leaves what other layers lead to.
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == older
    seen = checked_out(publisher, PRODUCTION, "/")
    assert seen.keys() >= shared.keys()
    assert f"{PLACE}/usr/lib/override" not in seen
    publisher("repo", "check", PRODUCTION)


def test_a_layer_that_was_deleted_comes_back(publisher: Publisher, archives: dict[str, str]) -> None:
    first = publisher.published(archives["old"])
    second = publisher.published(archives["mended"])
    there = publisher.shown(PRODUCTION)
    publisher("repo", "ingest", PRODUCTION, "--delete", f"/{PLACE}")
    (publisher.place / "more").mkdir()
    (publisher.place / "more" / "news").write_text("news\n")
    publisher("repo", "ingest", PRODUCTION, str(publisher.place / "more"), "--at", "/more")

    # The deletion is the last change of the layer, so it is what is taken back; the news stay.
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == second
    assert publisher.shown(PRODUCTION) == there
    assert publisher.shown(PRODUCTION, "more/news") == b"news\n"

    # What was there before the deletion can be named, too; and what was there before is what comes next.
    publisher("repo", "ingest", PRODUCTION, "--delete", f"/{PLACE}")
    back = publisher("compat", "rollback", PRODUCTION, "2026.06", "--to", first[:16])
    assert back.stdout.strip() == first
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == second


def test_the_only_layer_that_was_deleted_comes_back(publisher: Publisher, archives: dict[str, str]) -> None:
    only = publisher.published(archives["old"])
    publisher("repo", "ingest", PRODUCTION, "--delete", f"/{PLACE}")
    would = publisher("compat", "rollback", PRODUCTION, "2026.06", "--dry-run")
    assert "would become" in would.stderr
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == only


def test_a_layer_whose_catalogs_the_publisher_split_is_the_one_that_was_built(
    publisher: Publisher, archives: dict[str, str]
) -> None:
    """Splitting puts files into directories, by size and by the owner's rules; a whole layer has entries enough."""
    (publisher.place / "rules").mkdir()
    (publisher.place / "rules" / ".cvmfsdirtab").write_text(f"/{PLACE}/usr/bin\n")
    for name in (TESTS, PRODUCTION):
        settings = publisher.place / "data" / f"{name}.toml"
        text = settings.read_text()
        for key, value in (("maximum_catalog_entries", 10), ("minimum_catalog_entries", 3)):
            text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        settings.write_text(text)
        publisher("repo", "ingest", name, str(publisher.place / "rules"), "--at", "/")
    before = publisher.published(archives["old"])
    found = publisher("find", "--all", PRODUCTION, f"/{PLACE}").stdout.split()
    assert f"/{PLACE}/usr/bin/.cvmfscatalog" in found
    assert any(path.endswith("/.cvmfsautocatalog") for path in found)

    digest = publisher.published(archives["mended"])
    assert digest != before
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == before


def test_a_library_that_loses_what_others_need_stays_out(publisher: Publisher, archives: dict[str, str]) -> None:
    publisher.published(archives["old"])
    old = publisher.place / "old"
    shutil.copytree(publisher.place / "tree" / PLACE, old, symlinks=True)
    publisher.update(archives["broken"], old)
    layer = publisher.build(archives["broken"], "--lock", "new.json")
    refused = publisher("compat", "publish", "--for-tests", str(layer), TESTS, code=1).stderr
    assert "does not give usr/bin/thing-user what it needs: answer is not given any more" in " ".join(refused.split())
    report = publisher("compat", "abi", str(old), str(layer), code=1)
    assert "usr/bin/thing-user" in report.stdout
    publisher("compat", "publish", "--for-tests", "--allow-breaks", str(layer), TESTS)


def test_what_was_built_on_top_counts_too(publisher: Publisher, archives: dict[str, str]) -> None:
    publisher.published(archives["mended"])
    software = publisher.place / "software"
    software.mkdir()
    library(publisher.place, MENDED)
    (software / "later").write_bytes(user(publisher.place, LATER_USER))
    (software / "later").chmod(0o755)
    publisher("repo", "ingest", PRODUCTION, str(software), "--at", f"/versions/2026.06/software/linux/{FAMILY.name}")
    layer = publisher.build(archives["old"])
    refused = " ".join(publisher("compat", "publish", str(layer), PRODUCTION, code=1).stderr.split())
    assert "more is not given any more" in refused
    assert f"/versions/2026.06/software/linux/{FAMILY.name}/later" in refused
    # The repository for tests has nothing on top, but can be told where that is.
    publisher("compat", "publish", "--for-tests", str(layer), TESTS, "--software", PRODUCTION, code=1)
    publisher("compat", "publish", "--for-tests", str(layer), TESTS)


def test_a_layer_that_is_not_as_it_was_built_is_not_published(publisher: Publisher, archives: dict[str, str]) -> None:
    layer = publisher.build(archives["old"])
    (layer / "usr/bin/more").write_text("#!/bin/sh\n")
    told = publisher("compat", "publish", str(layer), PRODUCTION, code=5).stderr
    assert "usr/bin/more" in told
    (layer / "usr/bin/more").unlink()
    (layer / "usr/bin/thing-user").chmod(0o644)
    told = publisher("compat", "publish", str(layer), PRODUCTION, code=5).stderr
    assert "has the digest" in told


def smuggled(publisher: Publisher, layer: Path, at: str) -> None:
    """Puts the directory `layer` into the repository for tests by hand."""
    publisher("repo", "ingest", TESTS, "--delete", f"/{PLACE}")
    publisher("repo", "ingest", TESTS, str(layer), "--at", f"/{at}")


def test_a_record_that_was_changed_after_the_test_is_not_promoted(
    publisher: Publisher, archives: dict[str, str]
) -> None:
    digest = publisher.published(archives["old"])
    layer = publisher.place / "tree" / PLACE
    (record,) = layer.glob("reprod/*")
    lock, layer_file = (record / "lock.json").read_text(), (record / LAYER_FILE).read_text()

    # What the guard of the C library reads; and the same, passed off as a layer from before that counted.
    (record / "lock.json").write_text(lock.replace("1.0-1", "1.0-2"))
    smuggled(publisher, layer, PLACE)
    assert "has the digest" in publisher("compat", "promote", TESTS, PRODUCTION, digest, code=5).stderr
    document = json.loads(layer_file)
    del document["digest_format"]
    (record / LAYER_FILE).write_text(json.dumps(document))
    smuggled(publisher, layer, PLACE)
    assert "has the digest" in publisher("compat", "promote", TESTS, PRODUCTION, digest, code=5).stderr

    # The layer as it is, in the place of another version.
    (record / "lock.json").write_text(lock)
    (record / LAYER_FILE).write_text(layer_file)
    elsewhere = PLACE.replace("2026.06", "2025.06")
    smuggled(publisher, layer, elsewhere)
    told = publisher("compat", "promote", TESTS, PRODUCTION, digest, code=5).stderr
    assert f"has the record of the one at /{PLACE}" in " ".join(told.split())


def test_what_is_named_wrongly_is_told(publisher: Publisher, archives: dict[str, str]) -> None:
    digest = publisher.published(archives["old"])
    assert "does not work in" in publisher("compat", "publish", f"tree/{PLACE}", TESTS, code=1).stderr
    wrong = publisher("compat", "promote", TESTS, PRODUCTION, "0" * 12, code=1).stderr
    assert digest[:16] in wrong
    assert "too short" in publisher("compat", "promote", TESTS, PRODUCTION, digest[:4], code=1).stderr
    assert "an earlier layer" in publisher("compat", "rollback", PRODUCTION, "2026.06", code=1).stderr
    assert "an earlier layer" in publisher("compat", "rollback", PRODUCTION, "2025.06", code=1).stderr


def test_a_lock_is_not_built_as_another_release(publisher: Publisher, archives: dict[str, str]) -> None:
    layer = publisher.build(archives["old"])
    publisher.update(archives["mended"], layer)
    build = ("compat", "build", "--stack", "stack", "--lock", "new.json", "--tree", "more")
    told = publisher(*build, "--release", "trixie", code=1).stderr
    assert "the lock is of bookworm, not of trixie" in told
    assert publisher(*build, "--release", "bookworm", "--dry-run").stdout
    assert not (publisher.place / "more").exists()
