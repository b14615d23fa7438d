"""Relocating trees on a disk: what changes, what stays, and what an interruption leaves."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.relocate.changes import Change, Place, PlaceKind, Reason, Style
from outcrop.client.relocate.plan import RelocationPlan, plan_relocation
from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.client.relocate.record import RECORD_NAME, Record, encode_record, load_record
from outcrop.client.relocate.relocation import check_link, make_link, relocate
from outcrop.errors import AlreadyExists, IntegrityError, InvalidValue, NotFound
from tests.client.relocate.trees import AGE, NEW, OLD, OTHER, contents, looks, make_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


def relocated(tree: Path, target: Prefix, original: Prefix | None = None, workers: int = 1) -> RelocationPlan:
    plan = plan_relocation(tree, original, target, workers=workers)
    relocate(plan, workers=workers)
    return plan


def test_every_kind_of_file_gets_the_new_prefix(tree: Path) -> None:
    relocated(tree, NEW, OLD)
    padded = NEW.padded(len(OLD))
    tool = (tree / "bin" / "tool").read_bytes()
    assert tool.count(padded + b"/") == 3
    assert (tree / "bin" / "script").read_bytes() == b"#!/s/one/bin/sh\nexec /s/one/bin/tool\n"
    assert os.readlink(tree / "bin" / "link") == "/s/one/bin/tool"
    assert os.readlink(tree / "bin" / "near") == "tool"
    assert (tree / "lib" / "a.py").read_bytes() == b"HERE = '%s/lib'\n" % padded
    assert (tree / os.fsdecode(b"na\xffme")).read_bytes() == NEW.path


def test_modes_times_owners_and_hard_links_stay(tree: Path) -> None:
    before = looks(tree)
    relocated(tree, NEW, OLD)
    assert looks(tree) == before
    assert (tree / "bin" / "script").samefile(tree / "bin" / "script-too")
    assert (tree / "bin" / "tool").samefile(tree / "bin" / "tool-too")
    assert (tree / RECORD_NAME).stat().st_mtime_ns == AGE


def test_names_outside_of_the_tree_keep_their_contents(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "cache-object"
    os.link(tree / "bin" / "tool", outside)
    before = outside.read_bytes()
    relocated(tree, NEW, OLD)
    assert outside.read_bytes() == before
    assert (tree / "bin" / "tool").read_bytes() != before
    assert (tree / "bin" / "tool").samefile(tree / "bin" / "tool-too")


def test_planning_changes_nothing(tree: Path) -> None:
    before = contents(tree), looks(tree)
    plan = plan_relocation(tree, OLD, NEW)
    assert len(plan.pending) == 6
    assert (contents(tree), looks(tree)) == before
    assert not (tree / RECORD_NAME).exists()


def test_there_and_back_is_the_same_tree(tree: Path) -> None:
    before = contents(tree), looks(tree)
    relocated(tree, NEW, OLD)
    relocated(tree, OTHER)
    relocated(tree, OLD)
    assert (contents(tree), looks(tree)) == before
    assert not (tree / RECORD_NAME).exists()


def test_by_way_of_another_prefix_is_the_same(tree: Path, tmp_path: Path) -> None:
    relocated(tree, NEW, OLD)
    relocated(tree, OTHER)
    direct = make_tree(tmp_path / "direct")
    relocated(direct, OTHER, OLD)
    assert contents(tree) == contents(direct)
    assert (tree / RECORD_NAME).read_bytes() == (direct / RECORD_NAME).read_bytes()


def test_relocating_again_to_the_same_place_changes_nothing(tree: Path) -> None:
    relocated(tree, NEW, OLD)
    before = contents(tree), (tree / RECORD_NAME).read_bytes()
    plan = relocated(tree, NEW, OLD)
    assert plan.pending == ()
    assert (contents(tree), (tree / RECORD_NAME).read_bytes()) == before


def test_several_processes_do_the_same_as_one(tree: Path, tmp_path: Path) -> None:
    for number in range(450):
        (tree / f"file{number}").write_bytes(OLD.path + b"/%d" % number)
    other = tmp_path / "other"
    os.system(f"cp -a '{tree}' '{other}'")
    relocated(tree, NEW, OLD, workers=2)
    relocated(other, NEW, OLD)
    assert contents(tree) == contents(other)
    assert (tree / RECORD_NAME).read_bytes() == (other / RECORD_NAME).read_bytes()


def test_files_that_came_later_are_relocated_too(tree: Path) -> None:
    relocated(tree, NEW, OLD)
    (tree / "bin" / "later").write_bytes(OLD.path + b"/later")
    plan = relocated(tree, OTHER)
    assert (tree / "bin" / "later").read_bytes() == b"/scratch/another/one/later"
    assert len(plan.changes) == 7


def test_files_that_were_replaced_are_taken_as_new(tree: Path) -> None:
    relocated(tree, NEW, OLD)
    (tree / "bin" / "script").unlink()
    (tree / "bin" / "script").write_bytes(OLD.path + b"/new")
    (tree / "lib" / "a.py").chmod(0o644)
    (tree / "lib" / "a.py").write_bytes(b"nothing any more")
    relocated(tree, OTHER)
    assert (tree / "bin" / "script").read_bytes() == b"/scratch/another/one/new"
    assert (tree / "lib" / "a.py").read_bytes() == b"nothing any more"


@pytest.mark.parametrize("target", [NEW, OTHER, OLD])
def test_an_interrupted_relocation_goes_on(tree: Path, tmp_path: Path, target: Prefix) -> None:
    before = contents(tree), looks(tree)
    plan = plan_relocation(tree, OLD, NEW)
    for made in range(len(plan.pending) + 1):
        # What a kill leaves: the record of all changes, some of them made, one half made, a file under its own name.
        unfinished = Record(OLD, (OLD, NEW), tuple(planned.change for planned in plan.changes), plan.findings)
        relocate(replace(plan, changes=plan.changes[:made]))
        (tree / RECORD_NAME).write_bytes(encode_record(unfinished))
        (tree / "bin" / "tool").chmod(0o755)
        with (tree / "bin" / "tool").open("r+b") as stream:
            stream.seek(next(p.change for p in plan.changes if p.change.path == b"bin/tool").places[0].offset)
            stream.write(NEW.padded(len(OLD)))
        (tree / "bin" / "tool").chmod(0o4555)
        (tree / ".outcrop-relocating-1234").write_bytes(b"half")
        relocated(tree, target)
        expected = make_tree(tmp_path / f"expected{made}")
        if target != OLD:
            relocated(expected, target, OLD)
        assert contents(tree) == contents(expected)
        if target != OLD:
            relocated(tree, OLD)
        assert contents(tree) == before[0]


def test_a_file_that_changed_meanwhile_is_not_touched(tree: Path) -> None:
    plan = plan_relocation(tree, OLD, NEW)
    (tree / "bin" / "tool").chmod(0o755)
    (tree / "bin" / "tool").write_bytes(b"something else")
    with pytest.raises(IntegrityError, match="no more as it was"):
        relocate(plan)
    assert (tree / "bin" / "tool").read_bytes() == b"something else"
    record = load_record(tree)
    assert record is not None
    assert not record.complete


def test_hashed_bytecode_is_reported_where_its_source_changes(tree: Path) -> None:
    bytecode = tree / "lib" / "__pycache__" / "a.cpython-311.pyc"
    (tree / "lib" / "__pycache__").chmod(0o755)
    for path in (bytecode, bytecode.with_name("b.cpython-311.pyc")):
        path.write_bytes(b"\xa7\r\r\n\3\0\0\0" + bytes(8) + b"\xfa\x1b" + OLD.path + b"/lib")
    plan = plan_relocation(tree, OLD, NEW)
    hashed = [finding.path for finding in plan.findings if finding.reason is Reason.HASHED_BYTECODE]
    assert hashed == [b"lib/__pycache__/a.cpython-311.pyc"]


def test_the_manifest_of_a_pack_stays(tree: Path) -> None:
    (tree / ".outcrop-pack.json").write_bytes(OLD.path)
    relocated(tree, NEW, OLD)
    assert (tree / ".outcrop-pack.json").read_bytes() == OLD.path


def test_places_that_other_rules_found_are_changed_back(tree: Path) -> None:
    relocated(tree, NEW, OLD)
    record = load_record(tree)
    assert record is not None
    odd = Change(b"lib/untouched", Style.PADDED, 64, (Place(0, PlaceKind.TEXT),))
    (tree / "lib" / "untouched").write_bytes(NEW.padded(len(OLD)).ljust(64))
    (tree / RECORD_NAME).write_bytes(encode_record(replace(record, changes=(*record.changes, odd))))
    relocated(tree, OLD)
    assert (tree / "lib" / "untouched").read_bytes() == OLD.path.ljust(64)


def test_what_is_left_is_reported(tree: Path) -> None:
    plan = plan_relocation(tree, OLD, NEW)
    assert [(finding.path, finding.reason) for finding in plan.findings] == [(b"lib/untouched", Reason.INNER)]


def test_a_tree_that_does_not_say_its_prefix_is_asked_for_it(tree: Path) -> None:
    with pytest.raises(InvalidValue, match="does not say") as caught:
        plan_relocation(tree, None, NEW)
    assert "--from" in caught.value.hint


def test_a_wrong_prefix_is_refused(tree: Path) -> None:
    relocated(tree, NEW, OLD)
    with pytest.raises(InvalidValue, match="relocated to /s/one"):
        plan_relocation(tree, prefix("/cvmfs/elsewhere"), OTHER)


def test_the_same_prefix_is_refused(tree: Path) -> None:
    with pytest.raises(InvalidValue, match="built for already"):
        plan_relocation(tree, OLD, OLD)


def test_a_missing_tree_is_said(tmp_path: Path) -> None:
    for original in (OLD, None):
        with pytest.raises(NotFound) as missing:
            plan_relocation(tmp_path / "nowhere", original, NEW)
        assert "`outcrop checkout REPO DIR`" in missing.value.hint
        (tmp_path / "file").touch()
        with pytest.raises(InvalidValue, match="not a directory"):
            plan_relocation(tmp_path / "file", original, NEW)


def test_a_short_link_is_made_once(tree: Path, tmp_path: Path) -> None:
    link = prefix(str(tmp_path / "l"))
    assert not check_link(link, tree)
    make_link(link, tree)
    make_link(link, tree)
    assert (tmp_path / "l").samefile(tree)
    (tmp_path / "taken").touch()
    with pytest.raises(AlreadyExists):
        check_link(prefix(str(tmp_path / "taken")), tree)
