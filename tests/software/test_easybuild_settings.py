from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from outcrop.software.easybuild_settings import (
    PROGRAM_DIRECTORIES,
    BuildSettings,
    build_variables,
    clean_environment,
    reader_arguments,
)


def settings(easyconfigs: tuple[Path, ...] = (Path("/tmp/outcrop/easyconfigs-0"),)) -> BuildSettings:
    return BuildSettings(
        installpath=PurePosixPath("/cvmfs/software.example.org/versions/2026.06/software/linux/x86_64/generic"),
        scratch=Path("/tmp"),
        sourcepath=Path("/tmp/outcrop/mirror"),
        easyconfigs=easyconfigs,
        hooks=Path("/tmp/outcrop/easybuild_hooks.py"),
        reprod=PurePosixPath("/cvmfs/software.example.org/versions/2026.06/software/linux/x86_64/generic/reprod"),
        events=Path("/tmp/events"),
        optarch="GENERIC",
        filter_dependencies=("zlib", "XZ"),
        parallel=3,
    )


def test_every_setting_reaches_easybuild() -> None:
    variables = build_variables(settings())
    assert variables["EASYBUILD_INSTALLPATH"].startswith("/cvmfs/software.example.org/")
    assert variables["EASYBUILD_SOURCEPATH"] == "/tmp/sources:/tmp/outcrop/mirror"
    assert variables["EASYBUILD_OPTARCH"] == "GENERIC"
    assert variables["EASYBUILD_FILTER_DEPS"] == "zlib,XZ"
    assert variables["EASYBUILD_PARALLEL"] == "3"
    assert variables["EASYBUILD_RPATH"] == "1"
    assert variables["OUTCROP_BUILD_EVENTS"] == "/tmp/events"


def test_no_run_path_leads_into_a_layer() -> None:
    assert "EASYBUILD_RPATH_FILTER" not in build_variables(settings())
    prefix = "/cvmfs/software.example.org/versions/2026.06/compat/linux/x86_64"
    variables = build_variables(replace(settings(), sysroot=PurePosixPath(prefix)))
    assert variables["EASYBUILD_SYSROOT"] == prefix
    # EasyBuild joins them in this way.
    left_out = re.compile("|".join(variables["EASYBUILD_RPATH_FILTER"].split(",")))
    for place in ("/lib64", "/usr/lib", f"{prefix}/usr/lib/x86_64-linux-gnu", f"{prefix}/lib/override"):
        assert left_out.match(place)
    assert not left_out.match(
        "/cvmfs/software.example.org/versions/2026.06/software/linux/x86_64/generic/software/a/lib"
    )


def test_own_easyconfigs_come_before_those_of_easybuild() -> None:
    assert build_variables(settings())["EASYBUILD_ROBOT_PATHS"] == "/tmp/outcrop/easyconfigs-0:"
    assert build_variables(settings(()))["EASYBUILD_ROBOT_PATHS"] == ":"
    assert "--robot-paths=/a:/b:" in reader_arguments(["/a", "/b"], [], "/tmp")


def test_nothing_of_a_login_shell_reaches_a_build() -> None:
    host = {
        "CFLAGS": "-O0",
        "LD_LIBRARY_PATH": "/opt/lib",
        "PYTHONPATH": "/opt/python",
        "EASYBUILD_RPATH": "0",
        "LMOD_CMD": "/usr/share/lmod/lmod/libexec/lmod",
        "PATH": "/opt/compiler/bin",
    }
    environment = clean_environment(host, ["/venv/bin", *PROGRAM_DIRECTORIES], Path("/tmp/home"), Path("/tmp/tmp"))
    assert environment["PATH"] == "/venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    assert environment["LMOD_CMD"] == host["LMOD_CMD"]
    assert not {"CFLAGS", "LD_LIBRARY_PATH", "PYTHONPATH", "EASYBUILD_RPATH"} & set(environment)
