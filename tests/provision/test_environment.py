"""How the virtual environment is made and heals, with a stand-in for Python that notes what it was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.environment import Environment

STAND_IN = """#!/bin/sh
# `-m venv DIR` copies this script to where the environment's Python belongs; `-m pip` is noted; all else succeeds.
case "$2" in
    venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    pip)
        echo "$*" >>pip.log
        if [ -e full-disk ]; then mkdir -p .venv/lib/python3/site-packages/half; exit 1; fi
        test ! -e no-network
        ;;
esac
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose directory has spaces and accents in its name."""
    root = tmp_path / "a tré e"
    (root / "requirements").mkdir(parents=True)
    for name in ("backend", "runtime", "docs"):
        (root / "requirements" / f"{name}.txt").write_text(f"# {name}\n")
    (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (root / "python").write_text(STAND_IN)
    (root / "python").chmod(0o755)
    return root


def provide(tree: Path) -> bool:
    return Environment(tree, str(tree / "python")).provide("docs")


def pip_calls(tree: Path) -> list[str]:
    log = tree / "pip.log"
    return log.read_text().splitlines() if log.exists() else []


def test_fresh_tree_gets_the_backend_then_the_pins_then_itself(tree: Path) -> None:
    assert provide(tree)
    backend, pins, project = pip_calls(tree)
    assert "--require-hashes -r requirements/backend.txt" in backend
    assert "--require-hashes --no-build-isolation -r requirements/runtime.txt -r requirements/docs.txt" in pins
    assert "--no-deps --no-build-isolation --editable ." in project


def test_second_time_nothing_is_installed(tree: Path) -> None:
    provide(tree)
    assert provide(tree)
    assert len(pip_calls(tree)) == 3


def test_changed_pins_are_installed_and_nothing_else(tree: Path) -> None:
    provide(tree)
    (tree / "requirements" / "docs.txt").write_text("# newer\n")
    assert provide(tree)
    assert len(pip_calls(tree)) == 4
    assert pip_calls(tree)[-1].endswith("-r requirements/docs.txt")


def test_pip_that_gave_up_before_it_began_leaves_the_environment_as_it_was(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "no-network").touch()
    assert not provide(tree)
    assert "hint: check the network" in capsys.readouterr().err
    (tree / ".venv" / "kept").touch()
    (tree / "no-network").unlink()
    assert provide(tree)
    assert (tree / ".venv" / "kept").exists()


def test_environment_in_which_pip_stopped_half_way_is_made_anew(tree: Path) -> None:
    (tree / "full-disk").touch()
    assert not provide(tree)
    (tree / "full-disk").unlink()
    assert provide(tree)
    assert not (tree / ".venv" / "lib" / "python3" / "site-packages" / "half").exists()
    assert len(pip_calls(tree)) == 1 + 3


def test_environment_whose_set_up_was_killed_is_made_anew(tree: Path) -> None:
    provide(tree)
    (tree / ".venv" / ".being-provisioned").touch()
    assert provide(tree)
    assert len(pip_calls(tree)) == 6


def test_environment_whose_python_is_gone_is_made_anew(tree: Path) -> None:
    provide(tree)
    (tree / ".venv" / "bin" / "python").unlink()
    assert provide(tree)
    assert len(pip_calls(tree)) == 6


def test_tree_that_was_moved_installs_itself_again(tree: Path) -> None:
    provide(tree)
    moved = tree.rename(tree.parent / "moved")
    assert provide(moved)
    assert pip_calls(moved)[-1].endswith("--editable .")
    assert len(pip_calls(moved)) == 4
