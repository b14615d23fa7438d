"""Which accelerators a machine has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from outcrop.init.accelerator import read_nvidia_smi, runnable_builds
from outcrop.init.machine import GpuQuery, read_gpus
from outcrop.init.target import Accelerator


def test_every_kind_of_gpu_counts_once_in_the_order_of_the_answer() -> None:
    answer = "NVIDIA A100, 3, 545.23, 8.0\nNVIDIA H100, 3, 545.23, 9.0\nNVIDIA A100, 3, 545.23, 8.0\n"
    assert [found.path for found in read_nvidia_smi(answer)] == ["accel/nvidia/cc80", "accel/nvidia/cc90"]


@pytest.mark.parametrize("answer", ["", "No devices were found\n", "NVIDIA K20, 1, 390.1, [N/A]\n"])
def test_an_answer_without_compute_capability_names_no_gpu(answer: str) -> None:
    assert read_nvidia_smi(answer) == ()


def test_a_gpu_runs_builds_for_lower_minor_capabilities() -> None:
    builds = [build.name for build in runnable_builds(Accelerator("nvidia", "cc121"))]
    assert builds == ["cc121", "cc120"]


def test_an_amd_gpu_runs_only_builds_of_its_own() -> None:
    gfx90a = Accelerator("amd", "gfx90a")
    assert runnable_builds(gfx90a) == (gfx90a,)


@pytest.mark.parametrize("sample", ["1xa100", "2xa100", "4xa100", "cc01", "no_devices"])
def test_recorded_answers_give_what_eessi_expects(recorded: Path, sample: str) -> None:
    script = recorded / "nvidia-smi" / f"{sample}.sh"
    expected = script.with_suffix(".output").read_text().strip()
    reading = read_gpus(("bash", str(script)))
    if expected.startswith("non-zero exit code"):
        assert reading.query is GpuQuery.TOOL_FAILED
    else:
        assert [found.path for found in reading.accelerators] == [expected]


def test_a_machine_without_the_tool_says_so(tmp_path: Path) -> None:
    assert read_gpus((str(tmp_path / "nvidia-smi"),)).query is GpuQuery.NO_TOOL


def test_a_tool_that_hangs_is_given_up() -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
    assert read_gpus(sleeper, seconds=0.1).query is GpuQuery.TOOL_FAILED
