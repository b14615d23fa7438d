from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.errors import InvalidValue
from outcrop.software.demo_stack import COMPILER, PROGRAMS, demo_checks, render, write_demo_stack
from outcrop.software.easystack import read_easystack


def test_every_easyconfig_is_rendered_where_easybuild_has_none(tmp_path: Path) -> None:
    stack = write_demo_stack(tmp_path, "11.4.0", "5.4.1", stock=[])
    assert stack.easyconfig_directory is not None
    assert {path.name for path in stack.easyconfig_directory.iterdir()} == {
        "GCCcore-11.4.0.eb",
        "GCC-11.4.0.eb",
        "seqtk-1.4-GCC-11.4.0.eb",
        "bzip2-1.0.8-GCCcore-11.4.0.eb",
        "lz4-1.9.4-GCCcore-11.4.0.eb",
    }
    (easystack,) = stack.easystacks()
    assert easystack.name == "demo-2026.06-eb-5.4.1-GCC-11.4.0.yml"
    assert [item.easyconfig for item in read_easystack(easystack).items] == [
        "seqtk-1.4-GCC-11.4.0.eb",
        "bzip2-1.0.8-GCCcore-11.4.0.eb",
        "lz4-1.9.4-GCCcore-11.4.0.eb",
    ]


def test_stock_easyconfigs_are_used_but_never_one_that_builds_gcc(tmp_path: Path) -> None:
    for name in ("l/lz4/lz4-1.9.4-GCCcore-12.2.0.eb", "g/GCCcore/GCCcore-12.2.0.eb"):
        (tmp_path / "stock" / name).parent.mkdir(parents=True)
        (tmp_path / "stock" / name).touch()
    stack = write_demo_stack(tmp_path / "stack", "12.2.0", "5.4.1", stock=[tmp_path / "stock"])
    assert stack.easyconfig_directory is not None
    names = {path.name for path in stack.easyconfig_directory.iterdir()}
    assert "lz4-1.9.4-GCCcore-12.2.0.eb" not in names
    assert "GCCcore-12.2.0.eb" in names


def test_another_compiler_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    write_demo_stack(tmp_path, "11.4.0", "5.4.1", stock=[])
    stack = write_demo_stack(tmp_path, "15.1.0", "5.4.1", stock=[])
    assert len(stack.easystacks()) == 1
    assert not [path for path in tmp_path.rglob("*") if "11.4.0" in path.name]


def test_an_unchanged_stack_is_not_written_again(tmp_path: Path) -> None:
    (easystack,) = write_demo_stack(tmp_path, "11.4.0", "5.4.1", stock=[]).easystacks()
    before = easystack.stat().st_mtime_ns
    write_demo_stack(tmp_path, "11.4.0", "5.4.1", stock=[])
    assert easystack.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", [software.name for software in (*COMPILER, *PROGRAMS)])
def test_every_template_names_the_compiler(name: str) -> None:
    text = render(name, "13.3.1")
    assert "13.3.1" in text
    assert "@" not in text
    compile(text, name, "exec")


@pytest.mark.parametrize("version", ["", "12", "12.2.0; rm -rf /", "../12.2"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(InvalidValue):
        write_demo_stack(tmp_path, version, "5.4.1", stock=[])


def test_the_known_answer_is_the_reverse_complement() -> None:
    (check,) = demo_checks("12.2.0")
    opposite = str.maketrans("ACGTRYSWKMN", "TGCAYRSWMKN")
    records = [record.split("\n", 1) for record in check.stdin.split(">")[1:]]
    answer = "".join(f">{name}\n{bases.replace(chr(10), '').translate(opposite)[::-1]}\n" for name, bases in records)
    assert answer == check.expected
