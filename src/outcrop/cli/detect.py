"""`outcrop detect`: which software target fits a machine, and why."""

from __future__ import annotations

from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.errors import MissingCapability
from outcrop.init.accelerator import runnable_builds
from outcrop.init.cpu import Mode
from outcrop.init.detect import Detection, detect
from outcrop.init.machine import PROC_CPUINFO, GpuQuery, GpuReading, read_gpus, read_machine


@click.command(
    "detect",
    epilog=examples(
        "outcrop detect                      # x86_64/amd/zen3",
        "outcrop detect --explain            # and why, and what a better one would need",
        "outcrop detect --all                # every target that runs here, best first",
        "outcrop detect --compat --all       # what EESSI's archdetect answers",
        "outcrop detect --accelerator        # accel/nvidia/cc90",
        "outcrop detect --cpuinfo node17.txt --machine aarch64",
    ),
)
@click.option("--all", "every", is_flag=True, help="Print every target that runs here, best first.")
@click.option("--explain", is_flag=True, help="Say which rule held and what the next better target would need.")
@click.option("--compat", is_flag=True, help="Judge exactly as EESSI's archdetect does, faults included.")
@click.option("--accelerator", is_flag=True, help="Print the accelerator instead of the processor.")
@click.option(
    "--cpuinfo",
    type=click.Path(path_type=Path),
    default=PROC_CPUINFO,
    show_default=True,
    envvar=["OUTCROP_DETECT_CPUINFO", "EESSI_PROC_CPUINFO"],
    help="The file that describes the processor.",
)
@click.option(
    "--machine",
    metavar="TYPE",
    default="",
    envvar=["OUTCROP_DETECT_MACHINE", "EESSI_MACHINE_TYPE"],
    help="The machine type, as in `uname -m`; this machine's by default.",
)
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    every: bool,
    explain: bool,
    compat: bool,
    accelerator: bool,
    cpuinfo: Path,
    machine: str,
    as_json: bool,
) -> None:
    """Say which software target fits this machine, and why."""
    if accelerator and not as_json:
        _tell_accelerators(console, read_gpus(), every)
        return
    reading = read_machine(cpuinfo, machine)
    detection = detect(reading.cpuinfo, reading.machine_type, Mode.COMPAT if compat else Mode.FIXED)
    if as_json:
        console.json(_document(detection, read_gpus() if accelerator else None))
        return
    console.result(detection.options if every else detection.best.path)
    if explain:
        for line in detection.explanation():
            console.result(line)


def _tell_accelerators(console: Console, reading: GpuReading, every: bool) -> None:
    if reading.query is GpuQuery.NO_TOOL:
        raise MissingCapability(
            what="an accelerator",
            problem="nvidia-smi is not installed",
            hint="AMD accelerators are named by hand: EESSI_ACCELERATOR_TARGET_OVERRIDE=accel/amd/gfx90a",
        )
    if reading.query is GpuQuery.TOOL_FAILED:
        raise MissingCapability(
            what="an accelerator",
            problem="nvidia-smi names no GPU",
            hint="run `nvidia-smi` to see what is wrong with the driver",
        )
    paths = [found.path for found in reading.accelerators]
    console.result(":".join(paths) if every else paths[0])


def _document(detection: Detection, gpus: GpuReading | None) -> dict[str, object]:
    document: dict[str, object] = {
        "best": detection.best.path,
        "targets": [target.path for target in detection.targets],
        "mode": detection.mode.value,
        "family": detection.cpu.family.value,
        "vendor": detection.cpu.vendor,
        "explanation": list(detection.explanation()),
        "rules": [
            {
                "target": verdict.target.path,
                "fits": verdict.fits,
                "vendor_differs": verdict.vendor_differs,
                "missing": list(verdict.missing),
            }
            for verdict in detection.verdicts
        ],
    }
    if gpus is not None:
        document["accelerators"] = [
            {"accelerator": found.path, "runs": [build.path for build in runnable_builds(found)]}
            for found in gpus.accelerators
        ]
    return document
