"""EasyBuild's configuration for a stack, as values, and its rendering to `EASYBUILD_*` variables.

The choices follow EESSI's build configuration as far as they make sense on top of the host's operating system; each is
written once, here. What an easyconfig or an easystack says still wins over nothing of this.
Names and meanings: EasyBuild documentation, "Overview of configuration options".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

EVENTS_VARIABLE = "OUTCROP_BUILD_EVENTS"
"""Where the hooks write what happens (`easybuild_hooks`)."""

REPROD_VARIABLE = "OUTCROP_BUILD_REPROD"
"""Where the hooks keep a copy of what each installation was built from."""

DEPENDENCY_SEPARATOR = ","

DEFAULTS_FOLLOW = ":"
"""A list of paths that ends in this goes on with EasyBuild's own default."""

_OF_THE_SYSTEM = ("/lib.*", "/usr.*")
"""What EasyBuild leaves out of run paths by default."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What differs from build to build. All paths are as the build sees them.

    `installpath` is the final prefix, `scratch` a writable directory on disk for everything that is thrown away,
    `sourcepath` the mirror (may be read-only), `easyconfigs` directories searched before EasyBuild's own. `sysroot` is
    the prefix of a compatibility layer; `stock_easyconfigs` is where EasyBuild's own are, if it does not know.
    """

    installpath: PurePosixPath
    scratch: Path
    sourcepath: Path
    easyconfigs: tuple[Path, ...]
    hooks: Path
    reprod: PurePosixPath
    events: Path
    optarch: str
    filter_dependencies: tuple[str, ...]
    parallel: int
    sysroot: PurePosixPath | None = None
    stock_easyconfigs: tuple[Path, ...] = ()


def build_variables(settings: BuildSettings) -> dict[str, str]:
    """The environment variables that make `eb` build as `settings` say."""
    scratch = settings.scratch
    options = {
        # Where things are. EasyBuild wants to write into the first directory of its source path (config.guess).
        "INSTALLPATH": str(settings.installpath),
        "SUBDIR_MODULES": "modules",
        "SUBDIR_SOFTWARE": "software",
        "SUFFIX_MODULES_PATH": "all",
        "SOURCEPATH": f"{scratch / 'sources'}:{settings.sourcepath}",
        "ROBOT_PATHS": _robot_paths(settings.easyconfigs, settings.stock_easyconfigs),
        "PREFIX": str(scratch / "easybuild"),
        "BUILDPATH": str(scratch / "build"),
        "TMPDIR": str(scratch / "tmp"),
        "TMP_LOGDIR": str(scratch / "log"),
        "REPOSITORYPATH": str(scratch / "archive"),
        # A lock of ours covers the whole tree and ends with its holder; one of EasyBuild's would outlive a `kill -9`.
        "LOCKS_DIR": str(scratch / "locks"),
        "IGNORE_LOCKS": "1",
        "HOOKS": str(settings.hooks),
        # How code is compiled and linked.
        "OPTARCH": settings.optarch,
        "PARALLEL": str(settings.parallel),
        "FILTER_DEPS": DEPENDENCY_SEPARATOR.join(settings.filter_dependencies),
        "IGNORE_OSDEPS": "1",
        "RPATH": "1",
        "STRICT_RPATH_SANITY_CHECK": "1",
        "FILTER_ENV_VARS": "LD_LIBRARY_PATH",
        "PREFER_PYTHON_SEARCH_PATH": "EBPYTHONPREFIXES",
        "MODULE_SEARCH_PATH_HEADERS": "include_paths",
        "SEARCH_PATH_CPP_HEADERS": "flags",
        # What an installation looks like.
        "MODULES_TOOL": "Lmod",
        "MODULE_SYNTAX": "Lua",
        "MODULE_NAMING_SCHEME": "EasyBuildMNS",
        "MODULE_EXTENSIONS": "1",
        "READ_ONLY_INSTALLDIR": "1",
        "UMASK": "022",
        "ZIP_LOGS": "bzip2",
        # Sources come from the mirror, verified; a source without a checksum is refused.
        "ENFORCE_CHECKSUMS": "1",
        "LOCAL_VAR_NAMING_CHECK": "error",
        "FAIL_ON_MOD_FILES_GCCCORE": "1",
        "PARALLEL_EXTENSIONS_INSTALL": "1",
        "EXPERIMENTAL": "1",
        # How it speaks: lines that are not folded at the width of some terminal.
        "OUTPUT_STYLE": "basic",
        "TRACE": "1",
        "ALLOW_USE_AS_ROOT_AND_ACCEPT_CONSEQUENCES": "1",
    }
    variables = {f"EASYBUILD_{name}": value for name, value in options.items()}
    if settings.sysroot is not None:
        variables["EASYBUILD_SYSROOT"] = str(settings.sysroot)
        # The layer's loader looks in the site's directories first, then in the layer's: no run path may come before.
        variables["EASYBUILD_RPATH_FILTER"] = ",".join((*_OF_THE_SYSTEM, f"{re.escape(str(settings.sysroot))}/.*"))
    variables[EVENTS_VARIABLE] = str(settings.events)
    variables[REPROD_VARIABLE] = str(settings.reprod)
    return variables


ALLOWED_FROM_HOST = ("LMOD_CMD", "LMOD_DIR", "LMOD_PKG", "MODULESHOME", "SOURCE_DATE_EPOCH", "TERM")
"""The variables of the caller that a build may see. Everything else stays out: what a login shell sets (compilers,
flags, library paths, loaded modules) must not reach what users later run."""

PROGRAM_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


def clean_environment(
    host: Mapping[str, str], program_directories: Iterable[str], home: Path, temporary: Path
) -> dict[str, str]:
    """The environment that a build starts from: known programs, the C locale in UTF-8, a home of its own."""
    environment = {name: host[name] for name in ALLOWED_FROM_HOST if name in host}
    environment |= {
        "PATH": ":".join(dict.fromkeys(program_directories)),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "SHELL": "/bin/bash",
        "USER": "outcrop",
        "PYTHONNOUSERSITE": "1",
        # Errors and progress come through different pipes into one log: in the order in which they happen.
        "PYTHONUNBUFFERED": "1",
        # Nobody may give files away in a sandbox; GNU tar would try to, when it runs as root.
        "TAR_OPTIONS": "--no-same-owner",
        # MPI's start-up refuses root, also in a build's own checks.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    return environment


def reader_arguments(robot_paths: Iterable[str], filter_dependencies: Iterable[str], scratch: str) -> list[str]:
    """The options with which EasyBuild only reads easyconfigs: no modules tool, nothing written outside `scratch`."""
    return [
        f"--robot-paths={_robot_paths(robot_paths)}",
        f"--filter-deps={DEPENDENCY_SEPARATOR.join(filter_dependencies)}",
        f"--prefix={scratch}",
        f"--tmpdir={scratch}",
        "--ignore-osdeps",
        "--experimental",
        "--allow-use-as-root-and-accept-consequences",
    ]


def _robot_paths(own: Iterable[Path | str], stock: Iterable[Path | str] = ()) -> str:
    if stock:
        return ":".join(map(str, (*own, *stock)))
    return "".join(f"{path}:" for path in own) or DEFAULTS_FOLLOW
