"""Asking EasyBuild what a set of easystacks would install. One process, about one and a half seconds."""

from __future__ import annotations

import importlib.util
import os
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from outcrop.errors import CommandFailed, InvalidValue, MissingCapability
from outcrop.scratch import scratch_directory
from outcrop.software.easystack import read_easystack
from outcrop.software.plan import BuildPlan, ReaderRequest, decode_answer

INSTALL_HINT = "`pip install outcrop[build]` brings it"

LAST_LINES = 3


def require_easybuild() -> None:
    """Raise MissingCapability where EasyBuild is not installed next to Outcrop."""
    if importlib.util.find_spec("easybuild") is None:
        raise MissingCapability(what="EasyBuild", problem="Python cannot import it", hint=INSTALL_HINT)


def easyconfig_directories() -> tuple[Path, ...]:
    """Where the easyconfigs that come with EasyBuild may be."""
    return tuple(base / "easybuild" / "easyconfigs" for base in _bases())


def easybuild_command() -> Path:
    """Where the command `eb` is; EasyBuild looks from there for scripts that it does not have as modules."""
    bases = _bases()
    installed = (base for base in bases if (base / "easybuild" / "scripts").is_dir())
    return next(installed, bases[0]) / "bin" / "eb"


def _bases() -> tuple[Path, ...]:
    return tuple(map(Path, dict.fromkeys((sys.prefix, sys.base_prefix, site.getuserbase()))))


def plan_easystacks(
    easystacks: Sequence[Path],
    easyconfigs: Sequence[Path],
    filter_dependencies: Sequence[str],
    environment: Mapping[str, str] = os.environ,
) -> BuildPlan:
    """The plan for `easystacks`, with easyconfigs searched in the directories `easyconfigs` first.

    Raises FormatError or NotFound for a bad easystack, InvalidValue when EasyBuild refuses an easyconfig,
    MissingCapability without EasyBuild.
    """
    require_easybuild()
    for path in easystacks:
        read_easystack(path)
    with scratch_directory("plan") as scratch:
        request = ReaderRequest(
            easystacks=tuple(str(path.absolute()) for path in easystacks),
            robot_paths=tuple(str(path.absolute()) for path in easyconfigs),
            filter_dependencies=tuple(filter_dependencies),
            scratch=str(scratch.directory),
        )
        request_path, answer_path = scratch.directory / "request.json", scratch.directory / "answer.json"
        request_path.write_bytes(msgspec.json.encode(request))
        reader = subprocess.run(
            [sys.executable, "-m", "outcrop.software.easybuild_reader", str(request_path), str(answer_path)],
            env=_environment(environment),
            cwd=scratch.directory,
            pass_fds=(scratch.lock,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            answer = decode_answer(answer_path.read_bytes())
        except (OSError, msgspec.DecodeError):
            said = (reader.stderr + reader.stdout).strip().splitlines()[-LAST_LINES:]
            raise CommandFailed(
                what="reading the easyconfigs with EasyBuild",
                problem=" ".join(said) or f"exit code {reader.returncode}",
                hint="`eb --show-system-info` tells more about this EasyBuild",
            ) from None
    if answer.plan is None:
        raise InvalidValue(
            what=f"the easystack {', '.join(str(path) for path in easystacks)}",
            problem=f"cannot be resolved by EasyBuild: {' '.join(answer.refused.split())}",
            hint="`eb --search NAME` shows the easyconfigs that there are",
        )
    return answer.plan


def _environment(host: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without its EasyBuild settings, and with the programs of this Python first."""
    kept = {name: value for name, value in host.items() if not name.startswith("EASYBUILD_")}
    kept["PATH"] = f"{Path(sys.executable).parent}:{kept.get('PATH', '/usr/bin:/bin')}"
    return kept
