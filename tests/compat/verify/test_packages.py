"""Sets, lock, record and tree of a layer compared, and the file that says which package a file is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.lock import FORMAT, Lock, LockedPackage
from outcrop.compat.owners import GENERATED, OWNERS_FILE, owners_text, read_owners
from outcrop.compat.verify.packages import wanted_packages
from outcrop.errors import FormatError, NotFound

RECORD = "reprod/20261122_000000UTC"


def package(name: str, *, ships: bool = True) -> LockedPackage:
    return LockedPackage(name, "1", "all", name, "1", "0" * 64, 1, 1, f"pool/{name}.deb", "", ships)


LOCK = Lock(FORMAT, "bookworm", "x86_64", (), (), (), (package("bash"), package("doc"), package("gcc", ships=False)))
BROUGHT = {"bash": ("usr/bin/bash", "usr/bin/rbash", "usr/share/gone"), "doc": ()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/bash").write_text("program")
    (tmp_path / "usr/bin/rbash").symlink_to("bash")
    (tmp_path / "startprefix").write_text("made")
    (tmp_path / RECORD).mkdir(parents=True)
    (tmp_path / RECORD / OWNERS_FILE).write_bytes(owners_text(tmp_path, BROUGHT))
    return tmp_path


def problems(tree: Path, *wanted: str, lock: Lock = LOCK) -> dict[str, str]:
    return {one.subject: one.problem for one in wanted_packages(tree, lock, wanted).findings}


def test_the_record_says_whose_each_file_is(tree: Path) -> None:
    text = (tree / RECORD / OWNERS_FILE).read_text()
    assert text == "bash: usr/bin/bash\nbash: usr/bin/rbash\ndoc:\n"
    owners = read_owners(tree / RECORD)
    assert owners is not None
    assert owners.packages == {"bash", "doc"}
    assert owners.by_path == {"usr/bin/bash": "bash", "usr/bin/rbash": "bash"}


def test_odd_names_come_back(tmp_path: Path) -> None:
    (tmp_path / "a: b").write_text("")
    (tmp_path / OWNERS_FILE).write_bytes(owners_text(tmp_path, {"odd": ["a: b"]}))
    owners = read_owners(tmp_path)
    assert owners is not None
    assert owners.by_path == {"a: b": "odd"}


@pytest.mark.parametrize("text", ["nothing\n", ": path\n"])
def test_a_damaged_record_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / OWNERS_FILE).write_text(text)
    with pytest.raises(FormatError, match="line 1"):
        read_owners(tmp_path)


def test_a_set_that_nobody_declares_is_told(tree: Path) -> None:
    (finding,) = wanted_packages(tree, LOCK, ["bash"], ["gone"]).findings
    assert (finding.subject, finding.problem) == ("the set gone", "is in the layer's lock, and is not declared")


def test_what_is_wanted_is_there(tree: Path) -> None:
    assert problems(tree, "bash", "doc") == {}
    assert wanted_packages(tree, LOCK, ["bash"]).number == 2


def test_bytecode_without_its_source_is_told(tree: Path) -> None:
    for name in ("here.cpython-311.pyc", "here.opt-1.cpython-311.pyc", "gone.cpython-311.pyc"):
        place = tree / "usr/lib/python3" / "__pycache__" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    (tree / "usr/lib/python3/here.py").touch()
    (tree / "usr/lib/python3/here.opt-1.py").touch()
    found = problems(tree, "bash")
    pyc = "usr/lib/python3/__pycache__/gone.cpython-311.pyc"
    assert found[pyc] == "is bytecode whose source is not there"
    assert not any("here.cpython" in path or "opt-1" in path for path, told in found.items() if "bytecode" in told)


def test_a_wanted_package_that_does_not_ship_is_told(tree: Path) -> None:
    missing = "is named by a set, and the layer's lock does not have it"
    assert problems(tree, "bash", "gcc", "vim") == {"gcc": missing, "vim": missing}


def test_a_locked_package_of_which_nothing_is_recorded_is_told(tree: Path) -> None:
    (tree / RECORD / OWNERS_FILE).write_text("bash: usr/bin/bash\ngcc:\n")
    assert problems(tree) == {
        "doc": "is in the lock, and the record has nothing of it",
        "gcc": "is in the record, and not among what the lock ships",
    }


def test_a_link_of_a_package_that_is_gone_is_told(tree: Path) -> None:
    (tree / "usr/bin/rbash").unlink()
    assert problems(tree) == {"usr/bin/rbash": "is not there; the package bash has it"}


def test_a_file_from_nowhere_is_told(tree: Path) -> None:
    (tree / "usr/bin/stray").write_text("")
    assert problems(tree) == {"usr/bin/stray": "is from no package, and is nothing that finishing a layer makes"}


def test_a_layer_without_such_a_record_is_left_alone(tree: Path) -> None:
    (tree / RECORD / OWNERS_FILE).unlink()
    found = wanted_packages(tree, LOCK, ["bash"])
    assert not found.findings
    assert [one.subject for one in found.skipped] == [OWNERS_FILE]


def test_no_layer_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        wanted_packages(tmp_path, LOCK, [])


@pytest.mark.parametrize(
    "path", ["startprefix", "usr/lib/locale/de_DE.utf8/LC_TIME", "usr/lib/python3/__pycache__/a.cpython-311.pyc"]
)
def test_what_finishing_makes_is_known(path: str) -> None:
    assert GENERATED.fullmatch(path)
    assert not GENERATED.fullmatch(f"more/{path}x")
