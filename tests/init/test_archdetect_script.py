"""The rendered detection program answers as `outcrop.init.detect` does."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outcrop.errors import InvalidValue
from outcrop.init.cpu import Mode
from outcrop.init.detect import detect
from outcrop.init.machine import read_machine
from outcrop.init.render import InitSettings, render_init
from outcrop.init.rules import COMPAT_RULES, FIXED_RULES
from outcrop.init.target import Family

from . import machines
from .conftest import MACHINE_PATH
from .test_detect import recorded_machines

pytestmark = pytest.mark.integration

GAVE_UP = "gave up"
LOOP = """
for file in "$1"/*; do
    EESSI_PROC_CPUINFO=$file EESSI_MACHINE_TYPE=${file##*.} bash "$0" "$2" -a cpupath 2>/dev/null || echo 'gave up'
done
"""
MODE_OPTION = {Mode.COMPAT: "-c", Mode.FIXED: "-f"}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as it is rendered for a stack."""
    stack = InitSettings(repository="software.example.org", version="2025.06")
    rendered = next(file for file in render_init(stack) if file.path.name == stack.archdetect)
    path = tmp_path_factory.mktemp("init é") / stack.archdetect
    path.write_bytes(rendered.content)
    path.chmod(rendered.mode)
    return path


def answers_of_bash(script: Path, cases: Sequence[tuple[str, str]], mode: Mode) -> list[str]:
    """What the program says of each machine type and cpuinfo, in one go."""
    with tempfile.TemporaryDirectory() as directory:
        for number, (machine_type, cpuinfo) in enumerate(cases):
            Path(directory, f"{number:04}.{machine_type}").write_bytes(cpuinfo.encode("utf-8", "surrogateescape"))
        told = subprocess.run(
            ["bash", "-c", LOOP, str(script), directory, MODE_OPTION[mode]],
            env={"PATH": MACHINE_PATH},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
    return told.stdout.splitlines()


def answer_of_python(machine_type: str, cpuinfo: str, mode: Mode) -> str:
    try:
        return detect(cpuinfo, machine_type, mode).options
    except InvalidValue:
        return GAVE_UP


@pytest.mark.parametrize("mode", list(Mode))
def test_recorded_machines_get_the_same_answer(recorded: Path, script: Path, mode: Mode) -> None:
    cases = [(family, read_machine(path, family).cpuinfo) for path, family in recorded_machines(recorded)]
    assert answers_of_bash(script, cases, mode) == [answer_of_python(*case, mode) for case in cases]


@pytest.mark.parametrize("mode", list(Mode))
def test_known_machines_get_the_same_answer(script: Path, mode: Mode) -> None:
    known = [text for name, text in vars(machines).items() if name.isupper() and not name.startswith("_")]
    cases = [(family.value, cpuinfo) for cpuinfo in known for family in Family]
    assert answers_of_bash(script, cases, mode) == [answer_of_python(*case, mode) for case in cases]


RULES = [rule for table in (FIXED_RULES, COMPAT_RULES) for rules in table.values() for rule in rules]
WORDS = sorted({word for rule in RULES for word in rule.features if not word.startswith("part:")} | {"fpu", "*", "é"})
VENDORS = sorted({rule.vendor for rule in RULES} | {"0x61", "0xc0", "HygonGenuine", "0x46 ARM", "*"})
GAPS = st.sampled_from([" ", "\t", "  ", "\t\t", ""])
WHITE = st.sampled_from([" ", " ", " ", "  ", "\t", "\r"])
KEYS = st.sampled_from(
    [
        "vendor_id",
        "Vendor ID",
        "CPU implementer",
        "mvendorid",
        "flags",
        "Features",
        "cpu",
        "isa",
        "CPU part",
        "vmx flags",
    ]
)


@st.composite
def value(draw: st.DrawFn) -> str:
    """The right side of a line: whole rules, single words, vendors, ISA strings or rubbish."""
    kind = draw(st.sampled_from(["rule", "words", "vendor", "isa", "power", "part", "rubbish"]))
    if kind == "rule":
        words = list(draw(st.sampled_from(RULES)).features)
        if draw(st.booleans()):
            words.remove(draw(st.sampled_from(words)))
        return draw(WHITE).join(words)
    if kind == "words":
        return draw(WHITE).join(draw(st.lists(st.sampled_from(WORDS), max_size=12)))
    if kind == "vendor":
        return draw(st.sampled_from(VENDORS))
    if kind == "isa":
        names = draw(st.lists(st.sampled_from(["zba", "zbb", "Zicsr", "v", ""]), max_size=4))
        return "_".join(
            [draw(st.sampled_from(["rv64", "rv32", "RV64"])) + draw(st.text("imafdcgvh", max_size=9)), *names]
        )
    if kind == "power":
        return draw(st.sampled_from(["POWER", "POWER7", "POWER8", "POWER9", "POWER9,", "POWER10", "POWER09", "power9"]))
    if kind == "part":
        return draw(st.sampled_from(["0x001", "0xd0c"]))
    return draw(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=20))


@st.composite
def cpuinfo(draw: st.DrawFn) -> str:
    """A file of up to eight lines in any order, with and without an end of line at its end."""
    lines = [
        f"{draw(KEYS)}{draw(GAPS)}{draw(st.sampled_from([':', ':', ':', '']))}{draw(GAPS)}{draw(value())}"
        for _ in range(draw(st.integers(0, 8)))
    ]
    return "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))


MANY_MACHINES = st.lists(
    st.tuples(st.sampled_from([family.value for family in Family]), cpuinfo()), min_size=1, max_size=40
)


@pytest.mark.property
@pytest.mark.parametrize("mode", list(Mode))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(cases=MANY_MACHINES)
@example(cases=[("x86_64", "vendor_id: *\nflags: avx2")])
@example(cases=[("riscv64", "mvendorid: 0x489\nisa: rv64gc_zba_zbb x\r")])
def test_any_machine_gets_the_same_answer(script: Path, mode: Mode, cases: list[tuple[str, str]]) -> None:
    assert answers_of_bash(script, cases, mode) == [answer_of_python(*case, mode) for case in cases]


def run(
    script: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *arguments],
        env={"PATH": MACHINE_PATH, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_a_stack_in_compat_mode_judges_as_archdetect_unless_told_otherwise(tmp_path: Path) -> None:
    stack = InitSettings(repository="software.example.org", version="2025.06", mode=Mode.COMPAT)
    rendered = next(file for file in render_init(stack) if file.path.name == stack.archdetect)
    path, cpuinfo = tmp_path / stack.archdetect, tmp_path / "cpuinfo"
    path.write_bytes(rendered.content)
    path.chmod(rendered.mode)
    cpuinfo.write_text(machines.ZEN1, "utf-8")
    environment = {"EESSI_PROC_CPUINFO": str(cpuinfo), "EESSI_MACHINE_TYPE": "x86_64"}
    assert run(path, "cpupath", environment=environment).stdout == "x86_64/amd/zen2\n"
    assert run(path, "-f", "cpupath", environment=environment).stdout == "x86_64/generic\n"


def test_the_software_override_is_the_answer(script: Path) -> None:
    told = run(script, "cpupath", environment={"EESSI_SOFTWARE_SUBDIR_OVERRIDE": "x86_64/amd/zen4"})
    assert told.stdout == "x86_64/amd/zen4\n"


def test_a_machine_that_no_target_is_for_ends_in_an_error(script: Path) -> None:
    told = run(script, "cpupath", environment={"EESSI_MACHINE_TYPE": "s390x"})
    assert (told.returncode, told.stdout) == (1, "")
    assert "ERROR: Unsupported CPU architecture s390x" in told.stderr


def test_a_machine_without_cpuinfo_is_generic(script: Path, tmp_path: Path) -> None:
    told = run(
        script,
        "cpupath",
        environment={"EESSI_PROC_CPUINFO": str(tmp_path / "nothing"), "EESSI_MACHINE_TYPE": "x86_64"},
    )
    assert (told.returncode, told.stdout) == (0, "x86_64/generic\n")
    assert "WARNING" in told.stderr


def test_options_of_the_callers_shell_do_not_matter(script: Path) -> None:
    environment = {"SHELLOPTS": "braceexpand:errexit:hashall:nounset", "EESSI_MACHINE_TYPE": "riscv64"}
    assert run(script, "cpupath", environment=environment).stdout == "riscv64/generic\n"


def nvidia_smi_in(directory: Path, text: str) -> dict[str, str]:
    """The environment in which `text` is the program nvidia-smi."""
    directory.mkdir()
    tool = directory / "nvidia-smi"
    tool.write_text(text, "utf-8")
    tool.chmod(0o755)
    return {"PATH": f"{directory}{os.pathsep}{MACHINE_PATH}"}


@pytest.mark.parametrize("sample", ["1xa100", "2xa100", "4xa100", "cc01", "no_devices", "none"])
def test_recorded_gpus_get_the_answer_and_status_that_eessi_expects(
    recorded: Path, script: Path, tmp_path: Path, sample: str
) -> None:
    source = recorded / "nvidia-smi" / f"{sample}.sh"
    expected = source.with_suffix(".output").read_text().strip()
    environment = nvidia_smi_in(tmp_path / "bin", source.read_text()) if source.exists() else {}
    told = run(script, "accelpath", environment=environment)
    if expected.startswith("non-zero exit code: "):
        assert told.returncode == int(expected.removeprefix("non-zero exit code: "))
    else:
        assert (told.returncode, told.stdout.strip()) == (0, expected)


def test_all_gpus_of_a_mixed_node_are_told(script: Path, tmp_path: Path) -> None:
    tool = "#!/bin/bash\necho 'A, 2, 1, 8.6'\necho 'B, 2, 1, 12.0'\necho 'A, 2, 1, 8.6'\n"
    environment = nvidia_smi_in(tmp_path / "bin", tool)
    assert run(script, "-a", "accelpath", environment=environment).stdout == "accel/nvidia/cc86:accel/nvidia/cc120\n"


@pytest.mark.parametrize("accelerator", ["accel/amd/gfx90a", "accel/nvidia/cc90"])
def test_the_accelerator_override_is_the_answer(script: Path, accelerator: str) -> None:
    told = run(script, "accelpath", environment={"EESSI_ACCELERATOR_TARGET_OVERRIDE": accelerator})
    assert (told.returncode, told.stdout) == (0, f"{accelerator}\n")


@pytest.mark.parametrize("accelerator", ["accel/nvidia/80", "x accel/nvidia/cc80", "accel/intel/pvc"])
def test_an_accelerator_override_of_another_form_ends_in_an_error(script: Path, accelerator: str) -> None:
    told = run(script, "accelpath", environment={"EESSI_ACCELERATOR_TARGET_OVERRIDE": accelerator})
    assert (told.returncode, told.stdout) == (1, "")
    assert "EESSI_ACCELERATOR_TARGET_OVERRIDE" in told.stderr


@pytest.mark.parametrize("arguments", [(), ("gpupath",), ("-x", "cpupath")])
def test_a_wrong_call_shows_the_usage(script: Path, arguments: tuple[str, ...]) -> None:
    told = run(script, *arguments)
    assert told.returncode == 1
    assert "Usage: eessi_archdetect.sh" in told.stdout
