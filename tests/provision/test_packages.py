from __future__ import annotations

from pathlib import Path

import pytest

from provision.machine import is_there
from provision.packages import (
    PackageManager,
    Probe,
    SystemPackage,
    described,
    install_plan,
    missing_for,
    read_list,
    readable_command,
)
from provision.pins import GOALS

LIST = Path(__file__).parents[2] / "provision" / "system-packages.toml"

FUSE = SystemPackage(
    name="fuse",
    purpose="mounts",
    goals=("demo", "test"),
    without="only root can mount",
    required=False,
    probe=Probe(commands=("fusermount3",)),
    names={PackageManager.APT: ("fuse3",), PackageManager.DNF: ("fuse3",), PackageManager.ZYPPER: ("fuse3",)},
    dnf_first=(),
)
LMOD = SystemPackage(
    name="lmod",
    purpose="modules",
    goals=("demo",),
    without="no modules",
    required=False,
    probe=Probe(files=("/usr/share/lmod/lmod",)),
    names={PackageManager.APT: ("lmod",), PackageManager.DNF: ("Lmod",), PackageManager.ZYPPER: ("lua-lmod",)},
    dnf_first=("epel-release",),
)
VENV = SystemPackage(
    name="python-venv",
    purpose="environments",
    goals=("test",),
    without="nothing",
    required=True,
    probe=Probe(python_module="ensurepip"),
    names={
        PackageManager.APT: ("python{python}-venv",),
        PackageManager.DNF: ("python{python}",),
        PackageManager.ZYPPER: ("python3",),
    },
    dnf_first=(),
)


def nothing_is_there(_probe: Probe) -> bool:
    return False


def test_only_what_the_goal_uses_is_missing() -> None:
    assert missing_for("demo", [FUSE, LMOD, VENV], nothing_is_there) == (FUSE, LMOD)


def test_what_is_there_is_not_missing() -> None:
    assert missing_for("demo", [FUSE, LMOD], lambda probe: probe == FUSE.probe) == (LMOD,)


def test_apt_installs_without_questions_and_without_recommended_packages() -> None:
    command = install_plan([FUSE], PackageManager.APT, "3.11").install
    assert command[:2] == ("apt-get", "install")
    assert {"--yes", "--no-install-recommends"} < set(command)
    assert command[-1] == "fuse3"


def test_names_follow_the_python_in_use() -> None:
    assert install_plan([VENV], PackageManager.APT, "3.12").install[-1] == "python3.12-venv"


def test_extra_repository_comes_first_where_packages_need_it() -> None:
    assert [command[-1] for command in install_plan([LMOD], PackageManager.DNF, "3.11").first] == ["epel-release"]
    assert install_plan([LMOD], PackageManager.APT, "3.11").first == ()


def test_packages_can_also_be_installed_one_by_one() -> None:
    plan = install_plan([FUSE, LMOD], PackageManager.ZYPPER, "3.11")
    assert [command[-1] for command in plan.one_by_one] == ["fuse3", "lua-lmod"]


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        (PackageManager.APT, "sudo apt-get install fuse3 lmod"),
        (PackageManager.DNF, "sudo dnf install epel-release && sudo dnf install fuse3 Lmod"),
        (PackageManager.ZYPPER, "sudo zypper install fuse3 lua-lmod"),
    ],
)
def test_user_without_privileges_is_shown_a_command_to_type(manager: PackageManager, expected: str) -> None:
    assert readable_command(install_plan([FUSE, LMOD], manager, "3.11")) == expected


def test_what_is_missing_is_told_with_its_purpose_and_its_loss() -> None:
    assert described([FUSE], with_loss=True) == ["  fuse  mounts", "        without it: only root can mount"]


def test_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match="x: unknown fields yum"):
        read_list('[[package]]\nname = "x"\nyum = ["x"]\n')


def test_committed_list_is_complete() -> None:
    packages = read_list(LIST.read_text(encoding="utf-8"))
    assert len({package.name for package in packages}) == len(packages)
    for package in packages:
        assert set(package.goals) <= set(GOALS), package.name
        assert package.purpose, package.name
        assert package.without, package.name
        assert all(package.names[manager] for manager in PackageManager), package.name
        assert package.probe != Probe(), package.name


def test_probe_finds_programs_files_and_modules(tmp_path: Path) -> None:
    (tmp_path / "lmod-8.7").mkdir()
    assert is_there(Probe(commands=("sh",)))
    assert is_there(Probe(files=(f"{tmp_path}/lmod-*",)))
    assert is_there(Probe(python_module="json"))
    assert not is_there(Probe(("no-such-program",), (f"{tmp_path}/no-such-file",), "no_such_module"))
