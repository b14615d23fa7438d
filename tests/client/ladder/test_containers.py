"""The command lines of other tools."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from outcrop.client.ladder.containers import apptainer_line, bubblewrap_line, proot_line
from outcrop.client.ladder.root_plan import plan_root
from tests.client.ladder.pretended_host import PretendedHost

PLACE = PurePosixPath("/cvmfs/books.example.org")


def test_bubblewrap_covers_a_place_that_is_there() -> None:
    plan = plan_root(PLACE, PretendedHost("/cvmfs/", "/cvmfs/books.example.org/"))
    line = bubblewrap_line("bwrap", plan, Path("/copy"), "/home", ["cat", "x"])
    assert line == ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--ro-bind", "/copy", str(PLACE),
                    "--chdir", "/home", "--", "cat", "x"]  # fmt: skip


def test_bubblewrap_builds_a_root_where_the_place_is_missing() -> None:
    plan = plan_root(PLACE, PretendedHost("/usr/", "/bin -> usr/bin", "/cvmfs/", "/cvmfs/a.org/"))
    line = bubblewrap_line("bwrap", plan, Path("/copy"), "/", ["true"])
    words = " ".join(line)
    for part in (
        "--dev-bind-try /usr /usr", "--symlink usr/bin /bin", "--dir /cvmfs",
        "--dev-bind-try /cvmfs/a.org /cvmfs/a.org",
    ):  # fmt: skip
        assert part in words
    assert line.index("--dir") < line.index("/cvmfs/a.org")


def test_apptainer_runs_the_image_with_the_copy_in_its_place() -> None:
    line = apptainer_line("apptainer", "base.sif", Path("/copy"), PLACE, "/home", ["cat", "x"])
    assert line == ["apptainer", "exec", "--bind", f"/copy:{PLACE}:ro", "--pwd", "/home", "base.sif", "cat", "x"]


def test_proot_shows_the_copy_in_its_place() -> None:
    line = proot_line("proot", Path("/copy"), PLACE, "/home", ["cat", "x"])
    assert line == ["proot", "-b", f"/copy:{PLACE}", "-w", "/home", "cat", "x"]
