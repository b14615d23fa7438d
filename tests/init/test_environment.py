"""The variables that sourcing sets, without Lmod."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .conftest import MACHINE_PATH, Repository

pytestmark = pytest.mark.integration

PRINT_ENVIRONMENT = """
source "${INIT%/*}/eessi_environment_variables" || exit 7
env -0
"""


def variables(repository: Repository, environment: dict[str, str] | None = None, script: str = "") -> dict[str, str]:
    """The environment after sourcing, once whatever `script` does before is done."""
    told = repository.bash(script + PRINT_ENVIRONMENT, {"EESSI_SILENT": "1", **(environment or {})})
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    return dict(entry.split("=", 1) for entry in told.stdout.split("\0") if "=" in entry)


def test_every_variable_of_the_contract_is_set(repository: Repository) -> None:
    found = variables(repository)
    prefix, target = repository.prefix, "x86_64/intel/haswell"
    site = repository.root / "host_injections/2025.06/software/linux" / target
    assert {name: found.get(name) for name in found if name.startswith("EESSI_") or name == "EPREFIX"} == {
        "EESSI_SILENT": "1",
        "EESSI_PROC_CPUINFO": str(repository.home / "cpuinfo"),
        "EESSI_MACHINE_TYPE": "x86_64",
        "EESSI_VERSION": "2025.06",
        "EESSI_VERSION_DEFAULT": "2025.06",
        "EESSI_CVMFS_REPO": str(repository.root),
        "EESSI_PREFIX": str(prefix),
        "EESSI_INIT_PREFIX": str(prefix / "init"),
        "EESSI_OS_TYPE": "linux",
        "EESSI_CPU_FAMILY": "x86_64",
        "EPREFIX": str(prefix / "compat/linux/x86_64"),
        "EESSI_EPREFIX": str(prefix / "compat/linux/x86_64"),
        "EESSI_ARCHDETECT_OPTIONS": "x86_64/intel/icelake:x86_64/intel/cascadelake:x86_64/intel/skylake_avx512:"
        "x86_64/intel/haswell:x86_64/generic",
        "EESSI_SOFTWARE_SUBDIR": target,
        "EESSI_SOFTWARE_PATH": str(repository.target(target)),
        "EESSI_MODULEPATH": str(repository.target(target) / "modules/all"),
        "EESSI_SITE_SOFTWARE_PATH": str(site),
        "EESSI_SITE_MODULEPATH": str(site / "modules/all"),
    }
    assert "LMOD_RC" not in found
    assert found["PATH"] == MACHINE_PATH


def test_messages_are_those_that_other_tools_look_for(repository: Repository) -> None:
    told = repository.bash('source "${INIT%/*}/eessi_environment_variables"')
    lines = told.stdout.splitlines()
    assert lines[0] == f"Found EESSI repo @ {repository.prefix}!"
    assert "archdetect says x86_64/intel/haswell" in lines
    assert "Using x86_64/intel/haswell as software subdirectory." in lines
    assert "archdetect could not detect any accelerators" in lines


def test_a_machine_without_software_of_its_own_gets_generic_and_is_told(repository: Repository) -> None:
    shutil.rmtree(repository.target("x86_64/intel"))
    told = repository.bash('source "${INIT%/*}/eessi_environment_variables"')
    assert told.returncode == 0
    assert "This version has no software for x86_64/intel/icelake; the next that fits is x86_64/generic" in told.stdout
    assert "Using x86_64/generic as software subdirectory." in told.stdout


def test_a_version_without_software_for_the_machine_changes_nothing(repository: Repository) -> None:
    shutil.rmtree(repository.prefix / "software")
    told = repository.bash(
        """before=$(export -p)
        source "${INIT%/*}/eessi_environment_variables"; status=$?
        [[ $before == "$(export -p)" ]] && echo unchanged
        exit $status""",
        {"EESSI_SILENT": "1"},
    )
    assert (told.returncode, told.stdout) == (1, "unchanged\n")
    assert "ERROR: No software for x86_64/intel/icelake, " in told.stderr
    assert "hint: set EESSI_SOFTWARE_SUBDIR_OVERRIDE" in told.stderr


def test_a_version_that_is_not_there_ends_in_an_error(repository: Repository) -> None:
    told = repository.bash('source "${INIT%/*}/eessi_environment_variables"', {"EESSI_VERSION_OVERRIDE": "2031.01"})
    assert told.returncode == 1
    assert f"ERROR: EESSI repository at {repository.root}/versions/2031.01 not found!" in told.stderr


def test_a_version_with_a_suffix_has_a_software_layer_of_its_own(repository: Repository) -> None:
    shutil.copytree(repository.prefix, repository.root / "versions" / "2025.06-001")
    found = variables(repository, {"EESSI_VERSION_OVERRIDE": "2025.06-001"})
    assert found["EESSI_VERSION"] == "2025.06"
    assert found["EESSI_SOFTWARE_LAYER_VERSION_SUFFIX"] == "-001"
    assert found["EESSI_PREFIX"] == f"{repository.prefix}-001"
    assert "/host_injections/2025.06-001/" in found["EESSI_SITE_SOFTWARE_PATH"]


@pytest.mark.parametrize(
    ("environment", "subdir", "options"),
    [
        ({"EESSI_SOFTWARE_SUBDIR_OVERRIDE": "x86_64/generic"}, "x86_64/generic", "x86_64/generic"),
        (
            {"EESSI_ARCHDETECT_OPTIONS_OVERRIDE": "x86_64/amd/zen3:x86_64/generic"},
            "x86_64/generic",
            "x86_64/amd/zen3:x86_64/generic",
        ),
        ({"EESSI_CPU_FAMILY_OVERRIDE": "riscv64"}, "riscv64/generic", "riscv64/generic"),
        ({"EESSI_MACHINE_TYPE": "riscv64"}, "riscv64/generic", "riscv64/generic"),
    ],
)
def test_overrides_choose_the_target(
    repository: Repository, environment: dict[str, str], subdir: str, options: str
) -> None:
    repository.add_software("riscv64/generic")
    found = variables(repository, environment)
    assert found["EESSI_SOFTWARE_SUBDIR"] == subdir
    assert found["EESSI_ARCHDETECT_OPTIONS"] == options
    assert found["EESSI_CPU_FAMILY"] == subdir.partition("/")[0]


def test_an_unexported_override_counts_too(repository: Repository) -> None:
    found = variables(repository, script="EESSI_SOFTWARE_SUBDIR_OVERRIDE=x86_64/generic\n")
    assert found["EESSI_SOFTWARE_SUBDIR"] == "x86_64/generic"


def test_another_repository_can_be_named(repository: Repository, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(repository.root, other)
    assert variables(repository, {"EESSI_CVMFS_REPO_OVERRIDE": str(other)})["EESSI_CVMFS_REPO"] == str(other)


def test_the_repository_is_found_through_a_relative_path(repository: Repository) -> None:
    found = variables(repository, script='cd "${INIT%/*}/.." && INIT=init/../init/bash\n')
    assert found["EESSI_CVMFS_REPO"] == str(repository.root)


def test_the_repository_is_found_through_a_link_to_the_file(repository: Repository, tmp_path: Path) -> None:
    link = tmp_path / "my links" / "eessi_environment_variables"
    link.parent.mkdir()
    link.symlink_to(repository.start.with_name("eessi_environment_variables"))
    assert variables(repository, {"INIT": str(link)})["EESSI_CVMFS_REPO"] == str(repository.root)


def test_a_link_above_the_repository_is_kept_as_the_user_wrote_it(repository: Repository, tmp_path: Path) -> None:
    link = tmp_path / "cvmfs"
    link.symlink_to(repository.root.parent)
    start = link / repository.start.relative_to(repository.root.parent)
    assert variables(repository, {"INIT": str(start)})["EESSI_CVMFS_REPO"] == str(link / repository.root.name)


def test_a_path_that_no_search_path_can_hold_is_refused(repository: Repository, tmp_path: Path) -> None:
    shutil.copytree(repository.root, tmp_path / "a:b")
    start = tmp_path / "a:b" / repository.start.relative_to(repository.root)
    told = repository.bash('source "${INIT%/*}/eessi_environment_variables"', {"INIT": str(start)})
    assert told.returncode == 1
    assert "has a colon" in told.stderr


def test_a_basic_environment_needs_no_modules(repository: Repository) -> None:
    shutil.rmtree(repository.target("x86_64/intel/haswell") / "modules")
    found = variables(repository, {"EESSI_BASIC_ENV": "1"})
    assert found["EESSI_SOFTWARE_SUBDIR"] == "x86_64/intel/haswell"
    assert "EESSI_MODULEPATH" not in found
    told = repository.bash('source "${INIT%/*}/eessi_environment_variables"')
    assert told.returncode == 1
    assert "ERROR: EESSI module path at" in told.stderr


def test_lmod_is_pointed_at_the_files_that_exist(repository: Repository) -> None:
    lmod_directory = repository.target("x86_64/intel/haswell") / ".lmod"
    lmod_directory.mkdir()
    (lmod_directory / "lmodrc.lua").write_text("")
    found = variables(repository)
    assert found["LMOD_RC"] == str(lmod_directory / "lmodrc.lua")
    assert found["LMOD_CONFIG_DIR"] == str(lmod_directory)
    assert "LMOD_PACKAGE_PATH" not in found
    (lmod_directory / "SitePackage.lua").write_text("")
    site = repository.root / "host_injections/2025.06/software/linux/x86_64/intel/haswell/.lmod/lmodrc.lua"
    site.parent.mkdir(parents=True)
    site.write_text("")
    found = variables(repository)
    assert found["LMOD_PACKAGE_PATH"] == str(lmod_directory)
    assert found["LMOD_RC"] == f"{site}:{lmod_directory}/lmodrc.lua"


def test_the_users_own_lmod_configuration_stays_where_the_stack_has_none(repository: Repository) -> None:
    assert variables(repository, {"LMOD_RC": "/my/lmodrc.lua"})["LMOD_RC"] == "/my/lmodrc.lua"


def test_programs_of_the_compatibility_layer_come_first_and_once(repository: Repository) -> None:
    compat = repository.prefix / "compat/linux/x86_64"
    compat.mkdir(parents=True)
    found = variables(repository, script='source "${INIT%/*}/eessi_environment_variables"\n')
    assert found["PATH"] == f"{compat}/usr/bin:{compat}/bin:{MACHINE_PATH}"


def test_an_accelerator_with_software_is_chosen(repository: Repository) -> None:
    base = repository.target("x86_64/intel/haswell")
    modules = base / "accel/nvidia/cc80/modules/all"
    modules.mkdir(parents=True)
    environment = {"EESSI_ACCELERATOR_TARGET_OVERRIDE": "accel/nvidia/cc86"}
    told = repository.bash('source "${INIT%/*}/eessi_environment_variables"', environment)
    assert (
        "archdetect found no supported accelerator accel/nvidia/cc86, falling back to accel/nvidia/cc80\n"
        "archdetect found supported accelerator for CPU target x86_64/intel/haswell: accel/nvidia/cc80\n"
    ) in told.stdout
    found = variables(repository, environment)
    assert found["EESSI_ACCEL_SUBDIR"] == "accel/nvidia/cc86"
    assert found["EESSI_ACCELERATOR_TARGET"] == "accel/nvidia/cc80"
    assert found["EESSI_MODULEPATH_ACCEL"] == str(modules)
    assert "EESSI_SITE_MODULEPATH_ACCEL" not in found


@pytest.mark.parametrize("accelerator", ["accel/nvidia/cc75", "accel/amd/gfx90a"])
def test_an_accelerator_without_software_is_told_and_left_out(repository: Repository, accelerator: str) -> None:
    for name in ("nvidia/cc80", "amd/gfx900"):
        (repository.target("x86_64/intel/haswell") / "accel" / name / "modules/all").mkdir(parents=True)
    environment = {"EESSI_ACCELERATOR_TARGET_OVERRIDE": accelerator}
    told = repository.bash('source "${INIT%/*}/eessi_environment_variables"', environment)
    expected = f"No matching path found in x86_64/intel/haswell for accelerator detected by archdetect ({accelerator})"
    assert expected in told.stdout
    assert "EESSI_ACCELERATOR_TARGET" not in variables(repository, environment)


def test_accelerators_of_another_cpu_target_can_be_used(repository: Repository) -> None:
    modules = repository.target("x86_64/generic") / "accel/amd/gfx90a/modules/all"
    modules.mkdir(parents=True)
    found = variables(
        repository,
        {
            "EESSI_ACCELERATOR_TARGET_OVERRIDE": "accel/amd/gfx90a",
            "EESSI_ACCEL_SOFTWARE_SUBDIR_OVERRIDE": "x86_64/generic",
        },
    )
    assert found["EESSI_MODULEPATH_ACCEL"] == str(modules)
    assert found["EESSI_SOFTWARE_SUBDIR"] == "x86_64/intel/haswell"


def test_a_wrong_accelerator_override_ends_in_an_error(repository: Repository) -> None:
    told = repository.bash(
        'source "${INIT%/*}/eessi_environment_variables"', {"EESSI_ACCELERATOR_TARGET_OVERRIDE": "cc80"}
    )
    assert told.returncode == 1
    assert "ERROR: EESSI_ACCELERATOR_TARGET_OVERRIDE" in told.stderr


def test_what_another_version_set_is_gone(repository: Repository) -> None:
    haswell = repository.target("x86_64/intel/haswell")
    (haswell / "accel/nvidia/cc80/modules/all").mkdir(parents=True)
    (haswell / ".lmod").mkdir()
    (haswell / ".lmod/lmodrc.lua").write_text("")
    first = """export EESSI_ACCELERATOR_TARGET_OVERRIDE=accel/nvidia/cc80 EESSI_VERSION_OVERRIDE=2025.06
    source "${INIT%/*}/eessi_environment_variables"
    unset EESSI_ACCELERATOR_TARGET_OVERRIDE
    export EESSI_VERSION_OVERRIDE=2026.06
    """
    shutil.copytree(
        repository.prefix / "software/linux/x86_64/generic",
        repository.root / "versions/2026.06/software/linux/x86_64/generic",
    )
    found = variables(repository, script=first)
    assert found["EESSI_VERSION"] == "2026.06"
    for name in (
        "EESSI_ACCELERATOR_TARGET",
        "EESSI_ACCEL_SUBDIR",
        "EESSI_MODULEPATH_ACCEL",
        "LMOD_RC",
        "LMOD_CONFIG_DIR",
    ):
        assert name not in found


def test_a_processor_that_tells_nothing_gets_generic(repository: Repository) -> None:
    found = variables(repository, script='printf "processor : 0\\n" >"$HOME/cpuinfo"\n')
    assert found["EESSI_SOFTWARE_SUBDIR"] == "x86_64/generic"
