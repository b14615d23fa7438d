"""A wheel in a layer: where its files go, and that it cannot put any elsewhere."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import stat
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from outcrop.compat.left_out import Drop, DropRules
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.relocate.tree import paths_present
from outcrop.compat.wheels.placing import PURE, PlacedWheel, WheelPlaces, place_wheel
from outcrop.errors import FormatError, StorageError
from tests.compat.wheels.wheels_made_here import MadeWheel

PREFIX = "/cvmfs/software.example.org/x"
DATA = "thing-1.0.data"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A layer with a Python and a shell."""
    made = tmp_path / "layer"
    (made / "usr/bin").mkdir(parents=True)
    for name in ("python3", "sh", "env"):
        (made / "usr/bin" / name).write_text("a program")
    return made


def placed(tree: Path, made: MadeWheel, *dropped: str) -> PlacedWheel:
    rules = PathRules(PREFIX.encode(), paths_present(tree))
    left_out = DropRules.of([Drop(dropped, "a reason", "some")] if dropped else [])
    return place_wheel(made.put(tree.parent), made.file, WheelPlaces(tree, rules, left_out))


def paths(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}


def refusal(tree: Path, made: MadeWheel) -> str:
    with pytest.raises(FormatError) as raised:
        placed(tree, made)
    assert made.file in raised.value.message
    return raised.value.message


def test_a_wheel_is_where_python_finds_it(tree: Path) -> None:
    before = paths(tree)
    placed(tree, MadeWheel(fields=["Requires-Dist: rich"]))
    assert paths(tree) - before == {
        f"{PURE}/{name}"
        for name in (
            "thing/__init__.py",
            "thing-1.0.dist-info/METADATA",
            "thing-1.0.dist-info/WHEEL",
            "thing-1.0.dist-info/INSTALLER",
            "thing-1.0.dist-info/RECORD",
        )
    }
    (found,) = distributions(path=[str(tree / PURE)])
    assert (found.name, found.version, found.requires) == ("thing", "1.0", ["rich"])
    assert found.read_text("INSTALLER") == "outcrop\n"


def test_files_go_to_the_places_of_their_kinds(tree: Path) -> None:
    made = MadeWheel(
        files={
            f"{DATA}/purelib/pure.py": b"",
            f"{DATA}/platlib/plat.py": b"",
            f"{DATA}/scripts/tool": b"#!python\nprint()\n",
            f"{DATA}/data/share/thing/data.txt": b"/usr/share",
        }
    )
    before = paths(tree)
    placed(tree, made)
    found = {path for path in paths(tree) - before if ".dist-info/" not in path}
    assert found == {f"{PURE}/pure.py", f"{PURE}/plat.py", "usr/bin/tool", "usr/share/thing/data.txt"}
    assert (tree / "usr/share/thing/data.txt").read_text() == "/usr/share"


def test_programs_run_the_layers_python(tree: Path) -> None:
    scripts = {
        "python": b"#!python\nprint('/usr/bin')\n",
        "windows": b"#!pythonw\nprint()\n",
        "by_env": b"#!/usr/bin/env python3\n",
        "shell": b"#!/bin/sh\n. /etc/profile\n",
    }
    made = MadeWheel(
        files={f"{DATA}/scripts/{name}": data for name, data in scripts.items()},
        entry_points="[console_scripts]\nthing = thing.cli:Main.run [extra]\n[other]\nx = y:z\n",
    )
    placed(tree, made)
    first = {path.name: path.read_text().splitlines()[0] for path in (tree / "usr/bin").iterdir()}
    assert first["thing"] == first["python"] == first["windows"] == f"#!{PREFIX}/usr/bin/python3"
    assert first["by_env"] == f"#!{PREFIX}/usr/bin/env python3"
    assert first["shell"] == f"#!{PREFIX}/bin/sh"
    assert "x" not in first
    text = (tree / "usr/bin/thing").read_text()
    assert "from thing.cli import Main" in text
    assert "Main.run()" in text
    for name in ("thing", *scripts):
        assert stat.S_IMODE((tree / "usr/bin" / name).stat().st_mode) == 0o755


def test_the_list_of_files_says_what_is_there(tree: Path) -> None:
    made = MadeWheel(
        files={"thing/__init__.py": b"text\n", f"{DATA}/scripts/tool": b"#!/bin/sh\n", f"{DATA}/data/share/d": b""},
        entry_points="[console_scripts]\nthing = thing:main\n",
    )
    placed(tree, made)
    found = next(iter(distributions(path=[str(tree / PURE)])))
    rows = list(csv.reader((found.read_text("RECORD") or "").splitlines()))
    listed = {os.path.normpath(f"{PURE}/{path}"): (digest, size) for path, digest, size in rows}
    assert listed.keys() == paths(tree) - {"usr/bin/python3", "usr/bin/sh", "usr/bin/env"}
    for path, (digest, size) in listed.items():
        data = (tree / path).read_bytes()
        if not path.endswith("/RECORD"):
            right = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={right}", str(len(data)))


def test_what_a_layer_leaves_out_is_left_out_of_wheels(tree: Path) -> None:
    made = MadeWheel(files={"thing/a.py": b"", f"{DATA}/data/share/man/man1/thing.1": b"", f"{DATA}/scripts/tool": b""})
    left_out = placed(tree, made, "usr/share/man/**", "usr/bin/tool").left_out
    assert {(one.rule, one.path) for one in left_out} == {
        ("some", "usr/share/man/man1/thing.1"),
        ("some", "usr/bin/tool"),
    }
    assert not (tree / "usr/share").exists()
    assert not (tree / "usr/bin/tool").exists()
    record = (tree / PURE / "thing-1.0.dist-info/RECORD").read_text()
    assert "thing/a.py" in record
    assert "man1" not in record
    assert "tool" not in record


def test_the_same_wheel_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    made = MadeWheel(
        files={f"thing/{name}.py": b"x" for name in "zaqb"}, entry_points="[console_scripts]\nb = a:b\na = b:c\n"
    )
    placed(tree, made)
    placed(tmp_path / "other", made)
    for path in paths(tmp_path / "other"):
        assert (tree / path).read_bytes() == (tmp_path / "other" / path).read_bytes()


def test_executable_files_stay_so(tree: Path) -> None:
    entry = zipfile.ZipInfo("thing/run.sh")
    entry.external_attr = 0o104777 << 16
    placed(tree, MadeWheel(entries=[(entry, b"#!/bin/sh\n")]))
    assert stat.S_IMODE((tree / PURE / "thing/run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((tree / PURE / "thing/__init__.py").stat().st_mode) == 0o644
    assert (tree / PURE / "thing/run.sh").read_text() == "#!/bin/sh\n"


# ---- What is refused ----


def test_a_file_of_a_package_is_not_overwritten(tree: Path) -> None:
    (tree / PURE / "thing").mkdir(parents=True)
    (tree / PURE / "thing/__init__.py").write_text("the package's")
    said = refusal(tree, MadeWheel())
    assert f"the path '{PURE}/thing/__init__.py' is there already: a package or another wheel has it" in said
    assert (tree / PURE / "thing/__init__.py").read_text() == "the package's"


@pytest.mark.parametrize("name", ["python3", "sh"])
def test_a_program_of_a_package_is_not_overwritten(tree: Path, name: str) -> None:
    assert "is there already" in refusal(tree, MadeWheel(entry_points=f"[console_scripts]\n{name} = thing:main\n"))
    assert (tree / "usr/bin" / name).read_text() == "a program"


def test_a_wheel_does_not_overwrite_its_own_program(tree: Path) -> None:
    made = MadeWheel(files={f"{DATA}/scripts/thing": b"other"}, entry_points="[console_scripts]\nthing = thing:main\n")
    assert "is there already" in refusal(tree, made)


def test_a_file_where_a_directory_is_is_refused(tree: Path) -> None:
    (tree / PURE).mkdir(parents=True)
    (tree / PURE / "thing").write_text("a file")
    assert "is there already" in refusal(tree, MadeWheel())


def test_nothing_is_written_through_links(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tree / PURE).mkdir(parents=True)
    (tree / PURE / "thing").symlink_to(tmp_path / "outside")
    assert "leaves the tree" in refusal(tree, MadeWheel())
    (tree / PURE / "other").symlink_to(tmp_path / "outside/new")
    assert "is there already" in refusal(tree, MadeWheel(files={"other": b""}))
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("name", ["../../etc/cron", "/etc/cron", "..", "a/../../b", "a//b"])
def test_a_program_whose_name_leads_elsewhere_is_refused(tree: Path, name: str) -> None:
    assert "leaves its place" in refusal(tree, MadeWheel(entry_points=f"[console_scripts]\n{name} = thing:main\n"))


@pytest.mark.parametrize(
    "text",
    [
        "[console_scripts]\nthing = thing\n",
        "[console_scripts]\nthing = import os; x:y\n",
        "[console_scripts]\nthing\n",
        "thing = thing:main\n",
        "[console_scripts]\nthing = a:b\nthing = c:d\n",
    ],
)
def test_entry_points_that_are_none_are_refused(tree: Path, text: str) -> None:
    assert "the archive is not accepted" in refusal(tree, MadeWheel(entry_points=text))


def test_headers_are_refused(tree: Path) -> None:
    said = refusal(tree, MadeWheel(files={f"{DATA}/headers/thing.h": b""}))
    assert "is for a place that a layer does not have (headers)" in said


def test_an_unknown_kind_of_files_is_refused(tree: Path) -> None:
    assert "valid .data subdirectory" in refusal(tree, MadeWheel(files={f"{DATA}/elsewhere/x": b""}))


def test_a_program_for_a_processor_is_refused(tree: Path) -> None:
    assert "is a program for one kind of processor" in refusal(tree, MadeWheel(files={"thing/lib.so": b"\x7fELF\2\1"}))


@pytest.mark.parametrize("version", ["Wheel-Version: 2.0", "Other: 1"])
def test_a_format_that_is_not_known_is_refused(tree: Path, version: str) -> None:
    assert "support version 1.x" in refusal(tree, MadeWheel(wheel=f"{version}\nRoot-Is-Purelib: true\n"))


def test_a_tree_that_takes_no_files_is_told(tree: Path) -> None:
    (tree / "usr/lib").mkdir()
    (tree / "usr/lib/python3").symlink_to("python3")  # leads to itself
    with pytest.raises(StorageError):
        placed(tree, MadeWheel())
