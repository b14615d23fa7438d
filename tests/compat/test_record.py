from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from outcrop.cli.author import login_and_host
from outcrop.compat.changelog import UNTOLD, Occasion
from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import read_lock, render_lock
from outcrop.compat.package_sets import LayerDescription, read_description
from outcrop.compat.record import (
    FILES,
    LAYER_FILE,
    LOCK_FILE,
    REDIRECTIONS_FILE,
    SETS_FILE,
    BuildLog,
    Difference,
    LayerOrigin,
    description_in,
    differences,
    digest_in,
    digests,
    earlier_layer,
    following,
    latest_record,
    layer_digest,
    recorded_description,
    recorded_digest,
    recorded_layout,
    recorded_lock,
    recorded_origin,
    recorded_redirections,
    write_record,
)
from outcrop.compat.redirection import redirections
from outcrop.compat.relocate.tree import FileChanges
from outcrop.cvmfs.names import repository_name
from outcrop.errors import FormatError, NotFound, StorageError
from tests.compat.test_lock import LOCK

MOMENT = datetime(2026, 6, 15, 12, 30, 5, tzinfo=UTC)
LAYOUT = LayerLayout(
    repository_name("software.example.org"), "2026.06", family_named("aarch64"), PurePosixPath("/mnt"), "OURS_"
)
SHA256SUM = shutil.which("sha256sum")
TREES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "-> x"]))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small layer."""
    root = tmp_path / "layer"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "a").write_bytes(b"program")
    (root / "usr" / "bin" / "with a space").write_bytes(b"")
    (root / "usr" / "bin" / "é\\x2d").write_bytes(b"x")
    (root / "usr" / "bin" / "b").symlink_to("a")
    (root / "bin").symlink_to("usr/bin")
    (root / "etc").symlink_to("/nowhere")
    return root


def recorded(
    tree: Path,
    moment: datetime = MOMENT,
    *changes: FileChanges,
    description: LayerDescription | None = None,
    occasion: Occasion = UNTOLD,
) -> Path:
    log = BuildLog()
    log.say(MOMENT, "begun")
    tool = tree.parent / "tool"
    if not tool.exists():
        tool.write_text("#!/bin/sh\necho tool 1.2\necho more\n")
        tool.chmod(0o755)
    return write_record(
        tree,
        LAYOUT,
        moment,
        render_lock(LOCK),
        description or read_description(),
        changes,
        log,
        [[str(tool), "--version"]],
        occasion=occasion,
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_every_file_and_link_of_a_tree_has_a_digest(tree: Path) -> None:
    assert digests(tree) == {
        "usr/bin/a": sha256(b"program"),
        "usr/bin/with a space": sha256(b""),
        "usr/bin/é\\x2d": sha256(b"x"),
        "usr/bin/b": "-> a",
        "bin": "-> usr/bin",
        "etc": "-> /nowhere",
    }


def test_only_the_records_of_the_tree_itself_are_passed_over(tree: Path) -> None:
    before = digests(tree)
    recorded(tree)
    assert digests(tree) == before
    (tree / "usr" / "reprod").mkdir()
    (tree / "usr" / "reprod" / "x").touch()
    assert digests(tree).keys() - before.keys() == {"usr/reprod/x"}


def test_what_is_neither_a_file_nor_a_link_has_no_digest(tree: Path) -> None:
    before = digests(tree)
    os.mkfifo(tree / "usr" / "pipe")
    (tree / "usr" / "empty").mkdir()
    assert digests(tree) == before


def test_a_tree_that_has_no_files_has_no_digests(tmp_path: Path) -> None:
    assert digests(tmp_path) == {}


def test_a_tree_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="none"):
        digests(tmp_path / "none")


def test_differences_come_in_the_order_of_their_paths() -> None:
    before = {"same": "1", "gone": "2", "changed": "3", "link": "-> a"}
    after = {"same": "1", "new": "4", "changed": "5", "link": "-> b"}
    assert differences(before, after) == (
        Difference("changed", "3", "5"),
        Difference("gone", "2", ""),
        Difference("link", "-> a", "-> b"),
        Difference("new", "", "4"),
    )


@pytest.mark.property
@given(TREES, TREES)
def test_differences_lead_from_one_tree_to_the_other(before: dict[str, str], after: dict[str, str]) -> None:
    changed = dict(before)
    for one in differences(before, after):
        assert one.before != one.after
        assert before.get(one.path, "") == one.before
        changed.pop(one.path, None)
        if one.after:
            changed[one.path] = one.after
    assert changed == after
    assert differences(before, before) == ()


def test_a_record_says_how_a_layer_was_made(tree: Path) -> None:
    changes = FileChanges("usr/bin/a", "elf", 2, [b"/usr/lib"], [b"/etc\xff"], [], "")
    directory = recorded(tree, MOMENT, changes)
    assert directory == tree / "reprod" / "20260615_123005UTC"
    assert {path.name for path in directory.iterdir()} == {
        "layer.json",
        "lock.json",
        "sets.json",
        "relocation.json",
        "tools.json",
        "redirections.json",
        "files.sha256",
        "build.log",
        "changelog.txt",
    }
    assert read_lock(directory / LOCK_FILE) == LOCK
    assert json.loads((directory / "sets.json").read_text())["release"] == "bookworm"
    assert json.loads((directory / "relocation.json").read_text()) == [
        {"path": "usr/bin/a", "kind": "elf", "moved": 2, "lengths": ["/usr/lib"], "left": ["/etc\\xff"]}
    ]
    tools = json.loads((directory / "tools.json").read_text())
    assert {"outcrop", "python", "kernel", "tool"} <= tools.keys()
    assert tools["tool"] == "tool 1.2"
    assert (directory / "build.log").read_text() == "2026-06-15T12:30:05Z begun\n"


def test_digests_of_a_record_are_of_files_only_and_in_order(tree: Path) -> None:
    lines = (recorded(tree) / FILES).read_text().splitlines()
    assert lines[0] == f"{sha256(b'program')}  usr/bin/a"
    assert [line[66:] for line in lines] == ["usr/bin/a", "usr/bin/with a space", "usr/bin/é\\x2d"]


@pytest.mark.integration
@pytest.mark.skipif(SHA256SUM is None, reason="sha256sum, which checks a record's digests, is not installed")
def test_a_record_is_read_by_sha256sum(tree: Path) -> None:
    (tree / os.fsdecode(b"usr/bin/latin-\xe9")).write_bytes(b"x")
    command = [str(SHA256SUM), "--check", "--strict", str(recorded(tree) / FILES)]
    assert subprocess.run(command, cwd=tree, capture_output=True, check=False).returncode == 0
    (tree / "usr" / "bin" / "a").write_bytes(b"changed")
    assert subprocess.run(command, cwd=tree, capture_output=True, check=False).returncode == 1


def test_a_path_that_is_no_utf_8_is_recorded(tree: Path) -> None:
    path = os.fsdecode(b"usr/bin/latin-\xe9")
    (tree / path).write_bytes(b"x")
    directory = recorded(tree, MOMENT, FileChanges(path, "text", 1))
    assert b"latin-\xe9" in (directory / FILES).read_bytes()
    assert "latin-" in (directory / "relocation.json").read_text()


def test_a_record_is_the_same_for_the_same_tree(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "other", symlinks=True)
    one, other = recorded(tree), recorded(tmp_path / "other")
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_a_record_is_never_written_over(tree: Path) -> None:
    recorded(tree)
    with pytest.raises(StorageError):
        recorded(tree)


def test_the_newest_record_is_found(tree: Path) -> None:
    assert latest_record(tree) is None
    recorded(tree, datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC))
    newest = recorded(tree)
    (tree / "reprod" / "99999999_000000UTC").touch()
    (tree / "reprod" / "notes").mkdir()
    assert latest_record(tree) == newest


def test_a_record_says_which_layer_it_is_and_what_it_is_made_of(tree: Path) -> None:
    recorded(tree)
    assert recorded_layout(tree) == LAYOUT
    assert recorded_lock(tree) == LOCK
    assert recorded_origin(tree) == LayerOrigin(LOCK.release, LOCK.sets)


def test_the_sets_of_a_record_are_those_that_it_was_built_from(tree: Path, tmp_path: Path) -> None:
    own = tmp_path / "compat"
    own.mkdir()
    (own / "instructions.toml").write_text("# none\n")
    description = read_description(own)
    directory = recorded(tree, description=description)
    assert description_in(directory) == description
    assert description.instructions == "# none\n"


@pytest.mark.parametrize("changed", [{"sets": 1}, {"links": [{"path": "../x", "target": "y", "reason": "z"}]}])
def test_sets_that_a_record_cannot_mean_are_told_with_the_way_around_them(tree: Path, changed: dict[str, Any]) -> None:
    path = recorded(tree) / SETS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(FormatError, match=r"sets\.json"):
        description_in(path.parent)


def test_a_record_from_before_there_was_a_declaration_has_none_of_it(tree: Path) -> None:
    path = recorded(tree) / SETS_FILE
    document = json.loads(path.read_text())
    for name in ("uncompiled", "instructions", "effects", "libraries"):
        del document[name]
    path.write_text(json.dumps(document))
    found = description_in(path.parent)
    assert (found.uncompiled, found.effects, found.sets) == ((), (), read_description().sets)


def test_a_record_says_who_built_a_layer_and_why_if_they_say_so(tree: Path) -> None:
    directory = recorded(tree, occasion=Occasion("Ada\n<ada@example.org>", "libonig\nis mended"))
    layer = json.loads((directory / LAYER_FILE).read_text())
    assert (layer["author"], layer["message"]) == ("Ada <ada@example.org>", "libonig\nis mended")
    text = (directory / "changelog.txt").read_text()
    assert text.startswith("2026-06-15 12:30 UTC: software.example.org 2026.06 for aarch64, ")
    assert "\nby Ada <ada@example.org>\n\n    libonig\n    is mended\n" in text


def test_a_record_says_nothing_of_account_and_machine_unasked(tree: Path) -> None:
    directory = recorded(tree)
    told = b"".join(path.read_bytes() for path in directory.iterdir())
    assert b"by somebody who is not named" in told
    for secret in (login_and_host(), socket.gethostname(), str(tree.parent)):
        assert re.search(rb"\b" + re.escape(secret.encode()) + rb"\b", told) is None, secret


def test_a_record_has_no_passwords(tree: Path) -> None:
    mirrors = ("https://ada:secret@mirror.example.org/gentoo?token=secret",)
    description = read_description()
    gentoo = structs.replace(description.gentoo, mirrors=mirrors)
    directory = recorded(tree, description=dataclasses.replace(description, gentoo=gentoo))
    assert description_in(directory).gentoo.mirrors == ("https://mirror.example.org/gentoo",)
    assert "secret" not in (directory / SETS_FILE).read_text()


def test_a_record_is_for_everybody_to_read_whatever_its_builder_s_mask_is(tree: Path) -> None:
    before = os.umask(0o077)
    try:
        directory = recorded(tree)
    finally:
        os.umask(before)
    places = [tree / "reprod", directory]
    assert {stat.S_IMODE(place.stat().st_mode) for place in places} == {0o755}
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o644}


def test_a_layer_follows_the_one_whose_place_it_takes(tree: Path, tmp_path: Path) -> None:
    assert following(UNTOLD, tree) == UNTOLD
    first = recorded(tree, occasion=Occasion("Ada"))
    since = following(UNTOLD, tree).since
    assert since is not None
    assert since.name == f"the layer of 2026-06-15 12:30 UTC ({digest_in(first)[:16]})"
    assert since == earlier_layer(first / LOCK_FILE)
    second = recorded(tree, datetime(2026, 7, 1, tzinfo=UTC), occasion=following(Occasion("Eve"), tree))
    text = (second / "changelog.txt").read_text()
    assert text.index("by Eve") < text.index(f"The packages are those of {since.name}.") < text.index("by Ada")
    (second / LAYER_FILE).write_text("{")
    assert following(UNTOLD, tree) == UNTOLD


def test_a_lock_that_is_in_no_record_can_be_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_bytes(render_lock(LOCK))
    since = earlier_layer(tmp_path / "old.json")
    assert (since.name, since.changelog) == ("what another lock names", "")
    assert since.contents.versions == {one.name: one.version for one in LOCK.packages}


def test_a_record_has_the_links_that_a_site_can_redirect(tree: Path) -> None:
    assert recorded_redirections(tree) is None
    directory = recorded(tree)
    assert recorded_redirections(tree) == redirections(LAYOUT, read_description())
    (directory / REDIRECTIONS_FILE).unlink()
    assert recorded_redirections(tree) is None


def test_links_of_the_repository_count_in_the_digest_and_those_of_older_records_do_not(tree: Path) -> None:
    before = layer_digest(tree)
    directory = recorded(tree)
    after = layer_digest(tree)
    assert before != after == recorded_digest(tree)
    text = (directory / REDIRECTIONS_FILE).read_text()
    (directory / REDIRECTIONS_FILE).write_text(text.replace('"default": "/etc/passwd"', '"default": "/etc/shadow"'))
    assert layer_digest(tree) != after
    (directory / REDIRECTIONS_FILE).unlink()
    changed(directory, digest_format=None)
    assert layer_digest(tree) == before


def changed(record: Path, **fields: object | None) -> None:
    """Changes `fields` of the record's layer.json; None takes one away."""
    document = json.loads((record / LAYER_FILE).read_text()) | fields
    (record / LAYER_FILE).write_text(json.dumps({name: one for name, one in document.items() if one is not None}))


@pytest.mark.parametrize(
    "fields",
    [
        {"repository": "other.example.org"},
        {"version": "2025.06"},
        {"family": "x86_64"},
        {"mount_root": "/srv"},
        {"variable_prefix": "THEIRS_"},
        {"digest_format": 1},
        {"digest_format": None},
    ],
)
def test_which_layer_it_is_counts_in_its_digest_and_so_does_the_format(
    tree: Path, fields: dict[str, object | None]
) -> None:
    directory = recorded(tree)
    changed(directory, **fields)
    assert layer_digest(tree) != recorded_digest(tree)


def test_the_lock_counts_in_a_layer_s_digest(tree: Path) -> None:
    directory = recorded(tree)
    lock = directory / LOCK_FILE
    lock.write_text(lock.read_text() + "\n")
    assert layer_digest(tree) != recorded_digest(tree)


def test_who_built_a_layer_when_and_why_does_not_count_in_its_digest(tree: Path) -> None:
    first = digest_in(recorded(tree))
    second = recorded(tree, datetime(2026, 7, 1, tzinfo=UTC), occasion=Occasion("Ada", "again"))
    assert digest_in(second) == layer_digest(tree) == first


def test_an_older_layer_keeps_its_digest_whatever_its_record_says(tree: Path) -> None:
    directory = recorded(tree)
    changed(directory, digest_format=None)
    before = layer_digest(tree)
    (directory / LOCK_FILE).unlink()
    changed(directory, version="2025.06")
    assert layer_digest(tree) == before


@pytest.mark.parametrize("number", [0, 3])
def test_a_digest_of_an_unknown_format_is_refused(tree: Path, number: int) -> None:
    changed(recorded(tree), digest_format=number)
    with pytest.raises(FormatError, match="digest_format"):
        layer_digest(tree)


@pytest.mark.parametrize("path", ["versions/x", "defaults", "defaults/../x", "/defaults/x", "host_injections/x", ""])
def test_links_of_a_record_that_lie_anywhere_else_are_told(tree: Path, path: str) -> None:
    directory = recorded(tree)
    text = (directory / REDIRECTIONS_FILE).read_text()
    (directory / REDIRECTIONS_FILE).write_text(
        text.replace('"path": "defaults/compat/etc/passwd"', f'"path": "{path}"')
    )
    with pytest.raises(FormatError, match=r"redirections\.json"):
        recorded_redirections(tree)


def test_the_sets_of_a_record_are_read_as_they_were(tree: Path) -> None:
    record = recorded(tree)
    assert recorded_description(tree) == read_description()
    (record / SETS_FILE).write_text("{}")
    with pytest.raises(FormatError, match="the sets are not accepted"):
        recorded_description(tree)


def test_a_directory_without_a_record_is_told(tree: Path) -> None:
    for asked in (recorded_layout, recorded_lock):
        with pytest.raises(NotFound, match="record"):
            asked(tree)


@pytest.mark.parametrize(
    "changed", [{"family": "ppc64"}, {"repository": "no name/"}, {"version": 1}, {"family": None}, {"mount_root": None}]
)
def test_a_layer_that_a_record_cannot_mean_is_told_by_the_record_s_name(
    tree: Path, changed: dict[str, object | None]
) -> None:
    path = recorded(tree) / LAYER_FILE
    document: dict[str, Any] = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    with pytest.raises(FormatError, match=r"layer\.json"):
        recorded_layout(tree)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "/elsewhere/x"},
        {"version": "../../x"},
        {"variable_prefix": "X$(id)_"},
        {"variable_prefix": ""},
        {"mount_root": "mnt"},
        {"mount_root": "/mnt/../etc"},
        {"mount_root": "/mnt;id"},
        {"prefix": "/mnt/software.example.org/versions/2025.06/compat/linux/aarch64"},
    ],
)
def test_a_record_that_leads_out_of_its_place_is_refused_by_the_field(tree: Path, changed: dict[str, str]) -> None:
    path = recorded(tree) / LAYER_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(FormatError, match=next(iter(changed))):
        recorded_layout(tree)


def test_a_record_need_not_say_its_prefix(tree: Path) -> None:
    path = recorded(tree) / LAYER_FILE
    path.write_text(
        json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "prefix"})
    )
    assert recorded_layout(tree) == LAYOUT


def test_a_record_without_one_of_its_files_is_told(tree: Path) -> None:
    directory = recorded(tree)
    (directory / LAYER_FILE).write_text("{")
    with pytest.raises(FormatError, match=r"layer\.json"):
        recorded_layout(tree)
    (directory / LAYER_FILE).unlink()
    with pytest.raises(NotFound, match=r"layer\.json"):
        recorded_layout(tree)
