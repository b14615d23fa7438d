"""A relocated pack of any form holds what relocation makes of the repository, the same bytes each time, and says so."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.pack.formats import form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import select_paths
from outcrop.client.pack.staging import Relocation
from outcrop.client.pack.verification import verify_pack
from outcrop.client.relocate.plan import plan_relocation
from outcrop.client.relocate.prefix import prefix
from outcrop.client.relocate.record import decode_record, encode_record
from outcrop.client.relocate.relocation import relocate
from outcrop.client.tree import Tree
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.errors import CommandFailed, InvalidValue, OutcropError
from tests.client.pack.packs import NAMES, made, need_programs, unpacked
from tests.client.pack.software import OLD, TARGET, TO, compiled_software, held, relocated_files, software
from tests.client.pack.test_packing import FullDisk, digest
from tests.client.published import Published
from tests.client.relocate.test_real_programs import host_interpreter, needs_tools

AT = RepositoryPath(TARGET.path)
RECORD = ".outcrop-relocation.json"

each_form = pytest.mark.parametrize("name", NAMES)


def relocated(output: Path, *, at: RepositoryPath = ROOT, to: Relocation = TO) -> Path:
    return made(software(), output, at=at, relocation=to)


@each_form
@pytest.mark.parametrize("at", [ROOT, AT])
def test_every_form_holds_what_relocation_makes_of_the_repository(
    tmp_path: Path, name: str, at: RepositoryPath
) -> None:
    need_programs(name)
    with unpacked(relocated(tmp_path / name, at=at), tmp_path) as root:
        place = root / os.fsdecode(at[1:])
        assert held(place) == relocated_files()
        assert (place / "lib" / "one").samefile(place / "lib" / "two")
        assert (place / "bin" / "script").stat().st_mode & 0o777 == 0o555
        assert place.joinpath("share").stat().st_mode & 0o777 == 0o555
        assert {path.lstat().st_mtime for path in root.rglob("*")} == {1_500_000_000}
        found = verify_pack(root)
        assert (found.problems, found.relocated_to, found.relocated) == ((), TARGET, 6)


@each_form
def test_same_input_makes_the_same_bytes(tmp_path: Path, name: str) -> None:
    need_programs(name)
    digests = set()
    for number, mask in enumerate((0o022, 0o077)):
        (tmp_path / str(number)).mkdir()
        before = os.umask(mask)
        try:
            output = relocated(tmp_path / str(number) / name)
        finally:
            os.umask(before)
        if output.is_file():
            output.chmod(0o644)
        digests.add(digest(output))
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.zst", "x.oci", "x.oci.tar"])
def test_archives_and_images_are_checked_as_they_are(tmp_path: Path, name: str) -> None:
    need_programs(name)
    found = verify_pack(relocated(tmp_path / name, at=AT))
    assert (found.problems, found.relocated_to, found.relocated) == ((), TARGET, 6)


def test_it_is_what_relocating_a_copy_makes(tmp_path: Path) -> None:
    packed = relocated(tmp_path / "packed")
    copied = made(software(), tmp_path / "copied", at=ROOT)
    relocate(plan_relocation(copied, OLD, TARGET))
    assert held(packed) == held(copied)
    assert (packed / RECORD).read_bytes() == (copied / RECORD).read_bytes()


def test_manifest_has_both_digests_of_what_was_changed(tmp_path: Path) -> None:
    document = json.loads((relocated(tmp_path / "x") / ".outcrop-pack.json").read_text())
    assert document["relocated"]["from"] == str(OLD)
    assert document["relocated"]["to"] == str(TARGET)
    plain = json.loads((made(software(), tmp_path / "plain", at=ROOT) / ".outcrop-pack.json").read_text())
    before = {entry["path"]: entry for entry in plain["entries"]}
    changed = [entry for entry in document["entries"] if "original" in entry]
    assert [entry["path"] for entry in changed] == [
        "/bin/far", "/bin/script", "/bin/tool", "/lib/a.py", "/lib/a.pyc", "/lib/one",
    ]  # fmt: skip
    for entry in changed:
        kept = {member: before[entry["path"]][member] for member in entry["original"]}
        assert entry["original"] == kept
        assert entry["original"] != {member: entry[member] for member in kept}


def test_files_that_nobody_may_read_are_relocated_too_and_stay_so(tmp_path: Path) -> None:
    published = Published()
    closed = published.file(b"closed", OLD.path, mode=0o100200)
    published.sign(published.catalog({b"/closed": closed}))
    output = made(published, tmp_path / "x.tar", at=ROOT, relocation=TO)
    with tarfile.open(output) as archive:
        assert archive.getmember("closed").mode == 0o200
        data = archive.extractfile("closed")
        assert data is not None
        assert data.read() == TARGET.path
    assert verify_pack(output).problems == ()


def change_bytes(root: Path) -> None:
    path = root / "bin" / "tool"
    path.write_bytes(path.read_bytes().replace(b"\0/s/soft//", b"\0/s/sofa//"))


def change_elsewhere(root: Path) -> None:
    path = root / "lib" / "a.py"
    path.write_bytes(path.read_bytes().replace(b"HERE", b"LIES"))


def change_link(root: Path) -> None:
    (root / "bin" / "far").unlink()
    (root / "bin" / "far").symlink_to("/etc/passwd")


def forget_a_place(root: Path) -> None:
    """The file and the record agree with each other, and still it is not what relocation makes."""
    path = root / "lib" / "a.py"
    path.write_bytes(path.read_bytes().replace(TARGET.padded(len(OLD)), OLD.path))
    record = decode_record((root / RECORD).read_bytes())
    kept = tuple(change for change in record.changes if change.path != b"lib/a.py")
    (root / RECORD).write_bytes(encode_record(replace(record, changes=kept)))


NEITHER = "is neither as the repository has it nor what relocation makes of it"


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (change_bytes, (f"/bin/tool {NEITHER}",)),
        (change_elsewhere, (f"/lib/a.py {NEITHER}",)),
        (change_link, ("/bin/far leads to /etc/passwd, not /s/soft/bin/tool",)),
        (forget_a_place, (f"/{RECORD} has other bytes",)),
        (lambda root: (root / "share" / "other").write_bytes(b"x"), ("/share/other has 1 bytes, not 32",)),
        (lambda root: (root / "bin" / "more").touch(), ("/bin/more is not in the manifest",)),
    ],
)
def test_a_change_after_the_relocation_is_named(
    tmp_path: Path, change: Callable[[Path], object], problems: tuple[str, ...]
) -> None:
    root = relocated(tmp_path / "x")
    change(root)
    assert verify_pack(root).problems == problems


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    root = relocated(tmp_path / "x")
    (root / RECORD).unlink()
    problems = verify_pack(root).problems
    assert f"/{RECORD} is missing" in problems
    assert f"/bin/tool {NEITHER}" in problems


def test_an_interrupted_relocation_is_named(tmp_path: Path) -> None:
    root = relocated(tmp_path / "x")
    record = decode_record((root / RECORD).read_bytes())
    (root / RECORD).write_bytes(encode_record(replace(record, states=(TARGET, prefix("/s/other")))))
    assert f"/{RECORD} says that a relocation was interrupted" in verify_pack(root).problems


@pytest.mark.parametrize("to", ["/s/another", str(OLD)])
def test_a_pack_that_was_taken_elsewhere_since_is_right(tmp_path: Path, to: str) -> None:
    root = relocated(tmp_path / "x")
    relocate(plan_relocation(root, None, prefix(to)))
    found = verify_pack(root)
    assert found.problems == ()
    assert found.relocated_to == (None if to == str(OLD) else prefix(to))


@pytest.mark.parametrize("at", [ROOT, AT])
def test_a_plain_pack_that_was_relocated_since_is_right_and_its_changes_are_found(
    tmp_path: Path, at: RepositoryPath
) -> None:
    root = made(software(), tmp_path / "x", at=at)
    place = root / os.fsdecode(at[1:])
    relocate(plan_relocation(place, OLD, TARGET))
    found = verify_pack(root)
    assert (found.problems, found.relocated_to, found.relocated) == ((), TARGET, 6)
    change_elsewhere(place)
    assert verify_pack(root).problems == (f"{os.fsdecode(at)}/lib/a.py {NEITHER}",)


def test_a_repository_with_a_record_of_its_own_is_packed_as_it_is_only(tmp_path: Path) -> None:
    published = Published()
    tree = relocated(tmp_path / "tree")
    data = (tree / RECORD).read_bytes()
    published.sign(published.catalog({b"/" + RECORD.encode(): published.file(RECORD.encode(), data)}))
    assert verify_pack(made(published, tmp_path / "x", at=ROOT)).problems == ()
    with pytest.raises(InvalidValue, match="stands where a relocated pack says"):
        made(published, tmp_path / "y", at=ROOT, relocation=TO)


@pytest.mark.fault
@each_form
def test_full_disk_leaves_nothing_and_says_so(tmp_path: Path, name: str) -> None:
    need_programs(name)
    published = software()
    assert published.root is not None
    contents = FullDisk(published, tmp_path / "cache")
    tree = Tree(contents, published.root, published.name)
    request = PackRequest(PackImage(select_paths(tree, [ROOT]), ROOT), form_of(tmp_path / name), relocation=TO)
    with pytest.raises(OutcropError, match="the disk is full"):
        pack(request, tree, contents, tmp_path / name)
    assert os.listdir(tmp_path) == ["cache"]


@each_form
def test_target_that_is_too_long_leaves_nothing(tmp_path: Path, name: str) -> None:
    need_programs(name)
    with pytest.raises(InvalidValue, match="too long"):
        relocated(tmp_path / name, to=Relocation(OLD, prefix("/" + "s" * len(OLD))))
    assert os.listdir(tmp_path) == ["cache"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A repository with a real program."""
    return compiled_software(tmp_path_factory.mktemp("compiled") / "files", host_interpreter())


def proven(*command: str, target: str = str(TARGET)) -> Relocation:
    return Relocation(OLD, prefix(target), (f"{target}/{command[0]}", *command[1:]), 2)


@needs_tools
@pytest.mark.integration
@each_form
def test_the_packed_program_is_proven_before_its_image_is_made(tmp_path: Path, program: Published, name: str) -> None:
    need_programs(name)
    told: list[str] = []
    output = made(program, tmp_path / name, at=ROOT, relocation=proven("bin/script"), told=told)
    with unpacked(output, tmp_path) as root:
        assert verify_pack(root).problems == ()
    assert not Path("/s").exists()
    assert [path for path in tmp_path.iterdir() if "unfinished" in path.name] == []


@needs_tools
@pytest.mark.integration
@each_form
def test_a_leftover_is_an_error_that_names_the_file_and_leaves_nothing(
    tmp_path: Path, program: Published, name: str
) -> None:
    need_programs(name)
    with pytest.raises(CommandFailed) as caught:
        made(program, tmp_path / name, at=ROOT, relocation=proven("bin/pieces"))
    assert f"still asks for {OLD}/share/greeting" in str(caught.value)
    assert "/s/soft/bin/pieces holds a part of the prefix" in str(caught.value)
    assert os.listdir(tmp_path) == ["cache"]


@needs_tools
@pytest.mark.integration
def test_a_program_cannot_change_what_it_is_to_prove(tmp_path: Path, program: Published) -> None:
    root = made(program, tmp_path / "x", at=ROOT, relocation=proven("bin/writes"))
    assert (root / "share" / "greeting").read_bytes() == b"hello from the pack\n"
    assert verify_pack(root).problems == ()


@needs_tools
@pytest.mark.integration
def test_a_directory_is_proven_at_the_place_where_it_will_lie(tmp_path: Path, program: Published) -> None:
    short = Path("/tmp") / f"o{os.getpid():x}"
    try:
        root = made(
            program, short, at=ROOT, cache=tmp_path / "cache", relocation=proven("bin/tell", target=str(short))
        )  # fmt: skip
        assert (root / "bin" / "tell").exists()
    finally:
        shutil.rmtree(short, ignore_errors=True)
