from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from outcrop.errors import InvalidValue, MissingCapability
from outcrop.process_group import run_group
from outcrop.software.sandbox import Bind, EntryKind, LocalHost, View, arguments, ensure_available

P = PurePosixPath


@dataclass(frozen=True)
class PretendedHost:
    """A host with these directories, files and links."""

    directories: frozenset[str] = frozenset({"/", "/dev", "/etc", "/proc", "/tmp", "/usr", "/usr/share"})
    files: frozenset[str] = frozenset({"/.dockerenv"})
    links: dict[str, str] = field(default_factory=lambda: {"/bin": "usr/bin"})

    def kind(self, path: P) -> EntryKind:
        if str(path) in self.links:
            return EntryKind.SYMLINK
        if str(path) in self.directories:
            return EntryKind.DIRECTORY
        return EntryKind.OTHER if str(path) in self.files else EntryKind.ABSENT

    def entries(self, path: P) -> Sequence[str]:
        everything = (P(name) for name in (*self.directories, *self.files, *self.links))
        return sorted(one.name for one in everything if one.parent == path and one != path)

    def link(self, path: P) -> str:
        return self.links[str(path)]


def pairs(line: Sequence[str], option: str) -> list[tuple[str, str]]:
    return [(line[at + 1], line[at + 2]) for at, word in enumerate(line) if word == option]


TREE = Bind(Path("/data/tree"), P("/cvmfs/software.example.org"), writable=True)


def test_the_root_is_made_anew_and_the_tree_is_bound_into_it() -> None:
    line = arguments(View((TREE,)), ["true"], PretendedHost())
    assert pairs(line, "--bind")[-1] == ("/data/tree", "/cvmfs/software.example.org")
    assert pairs(line, "--bind-try") == [(name, name) for name in ("/.dockerenv", "/etc", "/tmp", "/usr")]
    assert pairs(line, "--symlink") == [("usr/bin", "/bin")]
    assert pairs(line, "--dev-bind") == [("/dev", "/dev")]
    assert line[-2:] == ["--", "true"]
    assert "--unshare-net" not in line


def test_a_build_sees_no_network_and_writes_only_where_it_may() -> None:
    view = View((TREE,), network=False, host_writable=False, host_devices=False, isolated_processes=True)
    line = arguments(view, ["true"], PretendedHost())
    assert {"--unshare-net", "--unshare-pid", "--die-with-parent"} <= set(line)
    assert pairs(line, "--bind") == [("/data/tree", "/cvmfs/software.example.org")]
    assert ("/usr", "/usr") in pairs(line, "--ro-bind-try")
    assert line[line.index("--dev") + 1] == "/dev"
    assert line[line.index("--proc") + 1] == "/proc"


def test_a_build_may_be_another_user() -> None:
    line = arguments(View((TREE,), user=1000), ["true"], PretendedHost())
    assert line[line.index("--unshare-user") :][:5] == ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    assert "--unshare-user" not in arguments(View((TREE,)), ["true"], PretendedHost())


def test_the_parent_of_a_new_place_is_opened_so_that_the_host_gets_no_mount_point() -> None:
    host = PretendedHost(directories=PretendedHost().directories | {"/cvmfs", "/cvmfs/other.example.org"})
    line = arguments(View((TREE,)), ["true"], host)
    assert line[line.index("--dir") + 1] == "/cvmfs"
    assert ("/cvmfs/other.example.org", "/cvmfs/other.example.org") in pairs(line, "--bind-try")
    assert ("/cvmfs", "/cvmfs") not in pairs(line, "--bind-try")


def test_a_place_that_exists_on_the_host_is_covered() -> None:
    tmp = Bind(Path("/data/scratch"), P("/tmp"), writable=True)
    inside = Bind(Path("/data/mirror"), P("/tmp/outcrop/mirror"))
    line = arguments(View((tmp, inside)), ["true"], PretendedHost())
    assert ("/data/scratch", "/tmp") in pairs(line, "--bind")
    assert ("/data/mirror", "/tmp/outcrop/mirror") in pairs(line, "--ro-bind")
    assert ("/tmp", "/tmp") not in pairs(line, "--bind-try")


def test_an_environment_replaces_the_callers() -> None:
    line = arguments(View(environment={"PATH": "/bin"}, directory=P("/tmp")), ["true"], PretendedHost())
    assert "--clearenv" in line
    assert pairs(line, "--setenv") == [("PATH", "/bin")]
    assert line[line.index("--chdir") + 1] == "/tmp"


@pytest.mark.parametrize("target", ["cvmfs/x", "/", "/cvmfs/../etc", "/bin/below/a/link"])
def test_impossible_places_are_refused(target: str) -> None:
    with pytest.raises(InvalidValue):
        arguments(View((Bind(Path("/data"), P(target)),)), ["true"], PretendedHost())


def test_without_bubblewrap_the_package_is_named() -> None:
    with pytest.raises(MissingCapability) as caught:
        ensure_available(View(), PretendedHost(), lambda _name: None)
    assert "bubblewrap" in caught.value.hint


def ended(view: View, script: str) -> int:
    """The exit code of the shell's `script` in `view`."""
    program = ensure_available(view, LocalHost())
    return run_group(arguments(view, ["sh", "-c", script], LocalHost(), program)).returncode


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_a_tree_appears_at_its_final_place_and_the_host_stays_as_it_is(tmp_path: Path) -> None:
    tree = tmp_path / "träe with spaces"
    tree.mkdir()
    view = View((Bind(tree, P("/cvmfs/outcrop-test.example.org"), writable=True),), host_writable=False)
    assert ended(view, "echo there > /cvmfs/outcrop-test.example.org/file") == 0
    assert (tree / "file").read_text() == "there\n"
    assert ended(view, f"echo no > '{tmp_path}/refused'") != 0
    assert LocalHost().kind(P("/cvmfs/outcrop-test.example.org")) is EntryKind.ABSENT
