"""Sourcing `init/bash` with a real Lmod."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from .conftest import Repository, require_program

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("lmod")]

LAST_LINE = "Environment set up to use EESSI (2025.06), have fun!"
REPORT = 'printf "%s\\n" "$HELLO"'


def test_a_module_loads_after_sourcing(repository: Repository) -> None:
    told = repository.bash(f'source "$INIT" && module load hello/1.0 && {REPORT}')
    assert told.stderr == ""
    lines = told.stdout.splitlines()
    assert lines[-2:] == [LAST_LINE, "x86_64/intel/haswell"]
    modules = repository.target("x86_64/intel/haswell") / "modules/all"
    assert f"Prepending {modules} to $MODULEPATH..." in lines


@pytest.mark.parametrize("flags", ["-eu", "-euo pipefail", "-f", "-o posix", "-C", "-eEu"])
def test_it_works_under_any_options_and_leaves_them_as_they_were(repository: Repository, flags: str) -> None:
    told = repository.bash(
        f"""set {flags}
        trap 'echo trapped' ERR
        before=$-$SHELLOPTS
        cd /
        source "$INIT"
        [[ $before == "$-$SHELLOPTS" ]] && echo kept
        module load hello
        {REPORT}"""
    )
    assert told.stderr == ""
    assert told.returncode == 0
    assert told.stdout.splitlines()[-3:] == [LAST_LINE, "kept", "x86_64/intel/haswell"]
    assert "trapped" not in told.stdout


@pytest.mark.parametrize("setting", ["IFS=:/", "shopt -s nullglob failglob nocasematch extglob", "CDPATH=/", "PS1="])
def test_it_works_with_odd_settings(repository: Repository, setting: str) -> None:
    told = repository.bash(f'{setting}; source "$INIT"; unset IFS; module load hello && {REPORT}')
    assert told.stdout.splitlines()[-1:] == ["x86_64/intel/haswell"], told.stderr


def test_it_works_in_an_interactive_shell_and_marks_its_prompt(repository: Repository) -> None:
    told = repository.bash(
        f"""PS1='me $ '
        source "$INIT"; source "$INIT"; module load hello; {REPORT}; printf '%s|\\n' "$PS1" """,
        options=("--norc", "--noprofile", "-i"),
    )
    assert told.stdout.splitlines()[-2:] == ["x86_64/intel/haswell", "{EESSI 2025.06} me $ |"]


def test_a_shell_without_a_prompt_gets_none(repository: Repository) -> None:
    assert repository.bash('source "$INIT"; echo "${PS1-none}"').stdout.splitlines()[-1] == "none"


def test_sourcing_again_changes_nothing(repository: Repository) -> None:
    told = repository.bash(
        """state() { export -p | grep -v -E ' (_ModuleTable|_=|SHLVL)'; }
        source "$INIT"; module load hello
        first=$(state)
        source "$INIT"
        second=$(state)
        [[ $first == "$second" ]] && echo same || diff <(echo "$first") <(echo "$second")
        module list 2>&1 | grep -c hello"""
    )
    assert told.stdout.splitlines()[-2:] == ["same", "1"]


def test_lmod_reads_the_configuration_of_the_target(repository: Repository) -> None:
    configuration = repository.target("x86_64/intel/haswell") / ".lmod/lmodrc.lua"
    configuration.parent.mkdir()
    cache = configuration.parent / "cache"
    configuration.write_text(
        f'scDescriptT = {{ {{ ["dir"] = "{cache}", ["timestamp"] = "{cache}/timestamp" }} }}\n', "utf-8"
    )
    told = repository.bash('source "$INIT"; module --config 2>&1; module load hello && echo "$HELLO"')
    assert str(cache) in told.stdout
    assert told.stdout.splitlines()[-1] == "x86_64/intel/haswell"


def test_nothing_but_lmods_own_functions_is_left(repository: Repository) -> None:
    told = repository.bash(
        """source "$INIT" >/dev/null
        declare -F | grep -i -E 'eessi|stack_'
        compgen -v | grep -E '^__eessi|^(here|root|prefix|options|subdir|family|compat)$'
        echo end"""
    )
    assert told.stdout == "end\n"


def test_silent_leaves_the_last_line_only(repository: Repository) -> None:
    told = repository.bash('EESSI_SILENT=1; source "$INIT"')
    assert (told.stdout, told.stderr) == (f"{LAST_LINE}\n", "")


def test_a_basic_environment_starts_no_lmod(repository: Repository) -> None:
    told = repository.bash('EESSI_BASIC_ENV=1; source "$INIT"; type -t module; echo "$EESSI_SOFTWARE_SUBDIR"')
    assert told.stdout.splitlines()[-2:] == [LAST_LINE, "x86_64/intel/haswell"]


def test_site_modules_come_before_the_stacks_own(repository: Repository) -> None:
    site = repository.root / "host_injections/2025.06/software/linux/x86_64/intel/haswell/modules/all"
    accelerated = repository.target("x86_64/intel/haswell") / "accel/nvidia/cc90/modules/all"
    site.mkdir(parents=True)
    accelerated.mkdir(parents=True)
    site_accelerated = Path(str(site).replace("modules/all", "accel/nvidia/cc90/modules/all"))
    site_accelerated.mkdir(parents=True)
    told = repository.bash(
        'source "$INIT"; printf "%s\\n" "$MODULEPATH"', {"EESSI_ACCELERATOR_TARGET_OVERRIDE": "accel/nvidia/cc90"}
    )
    modules = repository.target("x86_64/intel/haswell") / "modules/all"
    assert told.stdout.splitlines()[-1] == f"{site_accelerated}:{site}:{accelerated}:{modules}"
    assert f"Prepending site path {site} to $MODULEPATH..." in told.stdout


def test_another_version_takes_the_place_of_the_first(repository: Repository) -> None:
    newer = dataclasses.replace(repository, settings=dataclasses.replace(repository.settings, version="2026.06"))
    newer.write_init()
    newer.add_software("x86_64/generic", "other")
    told = repository.bash(f'PS1=x; source "$INIT"; source "{newer.start}"; printf "%s\\n" "$MODULEPATH" "$PS1"')
    assert told.stdout.splitlines()[-2:] == [
        str(newer.target("x86_64/generic") / "modules/all"),
        "{EESSI 2026.06} x",
    ]


def test_a_module_path_of_the_users_own_is_kept(repository: Repository) -> None:
    own = repository.home / "my modules"
    own.mkdir()
    told = repository.bash('source "$INIT"; printf "%s\\n" "$MODULEPATH"', {"MODULEPATH": str(own)})
    assert told.stdout.splitlines()[-1].split(":")[1:] == [str(own)]


def test_lmod_of_the_compatibility_layer_is_preferred(repository: Repository) -> None:
    start = repository.prefix / "compat/linux/x86_64/usr/share/Lmod/init/bash"
    start.parent.mkdir(parents=True)
    start.write_text("FROM_COMPAT=yes\n. /usr/share/lmod/lmod/init/bash\n")
    assert repository.bash('source "$INIT"; echo "$FROM_COMPAT"').stdout.splitlines()[-1] == "yes"


def test_without_lmod_the_error_says_what_to_install(repository: Repository) -> None:
    repository.settings = dataclasses.replace(repository.settings, lmod_places=())
    repository.write_init()
    told = repository.bash('source "$INIT" || echo "status $?"')
    assert told.stdout.splitlines()[-1] == "status 1"
    assert "ERROR: Lmod is not installed\nhint: install it" in told.stderr
    assert LAST_LINE not in told.stdout


def test_lmod_in_a_place_of_its_own_is_found_by_its_variable(repository: Repository) -> None:
    repository.settings = dataclasses.replace(repository.settings, lmod_places=())
    repository.write_init()
    for environment in ({"LMOD_PKG": "/usr/share/lmod/lmod"}, {"LMOD_CMD": "/usr/share/lmod/lmod/libexec/lmod"}):
        assert repository.bash('source "$INIT"', environment).stdout.splitlines()[-1] == LAST_LINE


def test_a_start_file_that_starts_no_lmod_is_named(repository: Repository) -> None:
    broken = repository.home / "lmod/init/bash"
    broken.parent.mkdir(parents=True)
    broken.write_text("false\n")
    told = repository.bash('set -e; source "$INIT"; echo unreached', {"LMOD_PKG": str(broken.parents[1])})
    assert told.returncode == 1
    assert f"ERROR: {broken} does not start Lmod" in told.stderr
    assert "unreached" not in told.stdout


def test_an_error_does_not_end_the_users_shell(repository: Repository) -> None:
    shutil.rmtree(repository.prefix / "software")
    told = repository.bash('source "$INIT"; echo "status $?"; type -t module')
    assert told.stdout.splitlines()[-1] == "status 1"


def test_the_file_can_be_reached_by_a_link(repository: Repository, tmp_path: Path) -> None:
    link = tmp_path / "start here"
    link.symlink_to(repository.start)
    told = repository.bash(f'source "$INIT" && module load hello && {REPORT}', {"INIT": str(link)})
    assert told.stdout.splitlines()[-1] == "x86_64/intel/haswell", told.stderr


def test_run_as_a_program_it_says_how_it_is_meant(repository: Repository) -> None:
    told = repository.bash('bash "$INIT"')
    assert told.returncode == 1
    assert f"source {repository.start}" in told.stderr


def test_another_shell_is_told_to_start_bash(repository: Repository) -> None:
    require_program("dash")
    told = repository.bash("""dash -c '. "$INIT"; echo "status $?"'""")
    assert told.stdout == "status 1\n"
    assert "start bash first" in told.stderr


def test_a_stack_of_another_name_uses_its_own_variables(repository: Repository) -> None:
    repository.settings = dataclasses.replace(repository.settings, name="Rocks", prefix="ROCKS_", version="7")
    repository.write_init()
    repository.add_software("x86_64/generic")
    told = repository.bash(
        'PS1=x; source "$INIT"; module load hello; echo "$ROCKS_VERSION $HELLO $PS1 ${EESSI_VERSION-}"'
    )
    assert told.stdout.splitlines()[-2:] == [
        "Environment set up to use Rocks (7), have fun!",
        "7 x86_64/generic {Rocks 7} x ",
    ]
