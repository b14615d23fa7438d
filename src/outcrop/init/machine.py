"""This machine, as far as detection asks: its type, its `/proc/cpuinfo` and what `nvidia-smi` says."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from outcrop.errors import storage_error
from outcrop.init.accelerator import NVIDIA_QUERY, NVIDIA_SMI_SECONDS, read_nvidia_smi
from outcrop.init.target import Accelerator

PROC_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the processor says of itself: `machine_type` as `uname -m` does, `cpuinfo` in the kernel's file."""

    machine_type: str
    cpuinfo: str


class GpuQuery(Enum):
    """How asking for NVIDIA GPUs ended."""

    ANSWERED = auto()
    NO_TOOL = auto()
    TOOL_FAILED = auto()


@dataclass(frozen=True, slots=True)
class GpuReading:
    """The GPUs of this machine; none unless the query was answered."""

    query: GpuQuery
    accelerators: tuple[Accelerator, ...] = ()


def read_machine(cpuinfo: Path = PROC_CPUINFO, machine_type: str = "") -> Machine:
    """The machine that the file `cpuinfo` describes; `machine_type` is this machine's by default.

    Bytes that are no UTF-8 survive as surrogates. Raises `StorageError` where the file cannot be read.
    """
    try:
        text = cpuinfo.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise storage_error(error) from error
    return Machine(machine_type or platform.machine(), text)


def read_gpus(nvidia_smi: Sequence[str] = ("nvidia-smi",), seconds: float = NVIDIA_SMI_SECONDS) -> GpuReading:
    """The NVIDIA GPUs that the command `nvidia_smi` reports within `seconds`. Never raises: no GPU is no error."""
    try:
        answer = subprocess.run(
            [*nvidia_smi, *NVIDIA_QUERY],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (FileNotFoundError, PermissionError):
        return GpuReading(GpuQuery.NO_TOOL)
    except (subprocess.TimeoutExpired, OSError):
        return GpuReading(GpuQuery.TOOL_FAILED)
    accelerators = read_nvidia_smi(answer.stdout) if answer.returncode == 0 else ()
    if not accelerators:
        return GpuReading(GpuQuery.TOOL_FAILED)
    return GpuReading(GpuQuery.ANSWERED, accelerators)
