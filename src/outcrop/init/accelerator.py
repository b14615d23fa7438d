"""Which accelerators a machine has, from what NVIDIA's tool says, and which builds each of them runs.

Machine code for one compute capability runs on every later minor number of the same major number (CUDA C++
Programming Guide, "Binary Compatibility"). Code for one AMD `gfx` number runs on no other.
"""

from __future__ import annotations

import re

from outcrop.init.target import Accelerator

NVIDIA_QUERY = ("--query-gpu=gpu_name,count,driver_version,compute_cap", "--format=csv,noheader")
"""The arguments after `nvidia-smi` whose answer `read_nvidia_smi` reads: those that archdetect uses."""

NVIDIA_SMI_SECONDS = 10.0
"""How long `nvidia-smi` may take: a sound driver answers in 1 to 3 s, a broken one never."""

_COMPUTE_CAPABILITY = re.compile(r"([0-9]+)\.([0-9])")


def read_nvidia_smi(answer: str) -> tuple[Accelerator, ...]:
    """The different GPUs in `answer`, in its order. Lines without a compute capability (`[N/A]`) are left out."""
    found: dict[Accelerator, None] = {}
    for line in answer.splitlines():
        match = _COMPUTE_CAPABILITY.fullmatch(line.rpartition(",")[2].strip())
        if match:
            found[Accelerator("nvidia", f"cc{match[1]}{match[2]}")] = None
    return tuple(found)


def runnable_builds(accelerator: Accelerator) -> tuple[Accelerator, ...]:
    """The accelerators whose builds run on `accelerator`, best first: itself, then lower minor capabilities."""
    if accelerator.vendor != "nvidia":
        return (accelerator,)
    digits = accelerator.name.removeprefix("cc")
    major, minor = digits[:-1], int(digits[-1])
    return tuple(Accelerator("nvidia", f"cc{major}{lower}") for lower in range(minor, -1, -1))
