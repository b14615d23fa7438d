from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from outcrop.cli.compat_rebuild import command
from outcrop.cli.console import Console
from outcrop.compat.rebuild import compared, original_layer, original_of_record
from outcrop.compat.record import LAYER_FILE, LOCK_FILE, layer_digest, require_record
from outcrop.errors import NotFound
from tests.compat.test_record import LAYOUT, recorded


def made(place: Path) -> Path:
    """A small layer in the directory `place`."""
    (place / "usr" / "bin").mkdir(parents=True)
    (place / "usr" / "bin" / "a").write_bytes(b"program")
    (place / "usr" / "bin" / "b").symlink_to("a")
    return place


@pytest.fixture
def again(tmp_path: Path) -> Path:
    """What was built a second time."""
    tree = made(tmp_path / "again")
    recorded(tree)
    return tree


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """The lock in the record of the first layer."""
    return recorded(made(tmp_path / "first")) / LOCK_FILE


def as_first_format(tree: Path) -> str:
    """Makes the layer `tree` one from before its record counted; its digest."""
    path = require_record(tree) / LAYER_FILE
    document = json.loads(path.read_text())
    del document["digest_format"]
    path.write_text(json.dumps(document))
    digest = layer_digest(tree)
    path.write_text(json.dumps(document | {"digest": digest}))
    return digest


def test_equal_layers_have_no_differences(tmp_path: Path, lock: Path, again: Path) -> None:
    assert compared(original_layer(tmp_path / "first"), again) == ()
    assert compared(original_of_record(lock), again) == ()
    assert original_of_record(lock).layout == LAYOUT


def test_what_may_be_executed_is_compared(tmp_path: Path, lock: Path, again: Path) -> None:
    (again / "usr/bin/a").chmod(0o755)
    (one,) = compared(original_layer(tmp_path / "first"), again)
    assert (one.path, one.after) == ("usr/bin/a", f"{one.before} (executable)")
    (one,) = compared(original_of_record(lock), again)
    assert one.path == "links, what may be executed, or the lock"


def test_links_are_compared(tmp_path: Path, lock: Path, again: Path) -> None:
    (again / "usr/bin/b").unlink()
    assert [one.path for one in compared(original_layer(tmp_path / "first"), again)] == ["usr/bin/b"]
    assert len(compared(original_of_record(lock), again)) == 1


def test_a_record_alone_says_which_file_differs(lock: Path, again: Path) -> None:
    (again / "usr/bin/a").write_bytes(b"another")
    assert [one.path for one in compared(original_of_record(lock), again)] == ["usr/bin/a"]


def test_a_record_alone_says_whether_the_lock_is_the_same(lock: Path, again: Path) -> None:
    other = require_record(again) / LOCK_FILE
    other.write_text(other.read_text() + "\n")
    assert len(compared(original_of_record(lock), again)) == 1


def test_a_layer_with_a_digest_of_the_first_format_can_be_built_again(tmp_path: Path, lock: Path, again: Path) -> None:
    as_first_format(tmp_path / "first")
    assert compared(original_of_record(lock), again) == ()
    (again / "usr/bin/a").chmod(0o755)
    assert len(compared(original_of_record(lock), again)) == 1


def test_a_lock_that_is_in_no_record_says_nothing_of_a_prefix(tmp_path: Path, lock: Path) -> None:
    lock.rename(tmp_path / "layer.json.lock")
    with pytest.raises(NotFound, match="record"):
        original_of_record(tmp_path / "layer.json.lock")


def test_without_a_layer_and_without_a_lock_there_is_nothing_to_build(tmp_path: Path) -> None:
    ended = CliRunner().invoke(command, ["--tree", str(tmp_path / "t")], obj=Console())
    assert ended.exit_code == 2
    assert "PATH, or --lock FILE" in ended.output
