"""Lmod on this machine, and the cache of module files that lets `module avail` open one file instead of thousands."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from outcrop.errors import MissingCapability
from outcrop.software.layout import SoftwareLayout

INSTALL_HINT = "install the package `lmod` (Debian, Ubuntu: `apt-get install lmod`; RHEL-like: `Lmod` from EPEL)"

PACKAGE_DIRECTORIES = (Path("/usr/share/lmod/lmod"), Path("/usr/share/lmod"), Path("/opt/apps/lmod/lmod"))
"""Where distributions put Lmod."""

CACHE_PROGRAM = "update_lmod_system_cache_files"


def find_lmod(environment: Mapping[str, str], places: Iterable[Path] = PACKAGE_DIRECTORIES) -> Path | None:
    """Lmod's `libexec` directory: from `LMOD_CMD`, `LMOD_DIR`, the usual places, or next to `lmod` in `PATH`."""
    candidates = []
    if command := environment.get("LMOD_CMD"):
        candidates.append(Path(command).parent)
    if directory := environment.get("LMOD_DIR"):
        candidates += [Path(directory), Path(directory) / "libexec"]
    candidates += [place / "libexec" for place in places]
    if found := shutil.which("lmod", path=environment.get("PATH")):
        candidates.append(Path(found).resolve().parent)
    return next((candidate for candidate in candidates if (candidate / "lmod").is_file()), None)


def require_lmod(environment: Mapping[str, str]) -> Path:
    """Lmod's `libexec` directory, or MissingCapability with the package to install."""
    found = find_lmod(environment)
    if found is None:
        raise MissingCapability(what="Lmod", problem="neither LMOD_CMD nor the usual places name it", hint=INSTALL_HINT)
    return found


def cache_command(libexec: Path, layout: SoftwareLayout) -> list[str]:
    """The command that writes the cache of this target, with the paths that users will see."""
    cache = layout.mount_point / layout.lmod / "cache"
    modules = layout.mount_point / layout.modules
    return [str(libexec / CACHE_PROGRAM), "-d", str(cache), "-t", str(cache / "timestamp"), str(modules)]


def render_lmodrc(targets: Iterable[PurePosixPath]) -> str:
    """Lmod's configuration that names the caches of the prefixes `targets`: a processor's, then its accelerators'.

    Format: Lmod documentation, "The properties file" and "User spider cache" (`scDescriptT`).
    """
    entries = "".join(
        f'  {{\n    ["dir"] = "{target}/.lmod/cache",\n    ["timestamp"] = "{target}/.lmod/cache/timestamp",\n  }},\n'
        for target in targets
    )
    return f"propT = {{\n}}\nscDescriptT = {{\n{entries}}}\n"
