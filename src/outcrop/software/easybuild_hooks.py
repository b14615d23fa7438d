"""Hooks that EasyBuild loads by path: they tell what happens and keep what an installation was built from.

Events go, one JSON document a line, to the file that `OUTCROP_BUILD_EVENTS` names. After each installation its
`easybuild` directory (easyconfig, easyblock, patches, logs) is copied to
`$OUTCROP_BUILD_REPROD/<Name>/<version>/<UTC time>/easybuild`, EESSI's place for it, so that a rebuild does not lose
what came before. A GCC that is built on a compatibility layer links as everything else does, and is shown the layer's
assembler and linker. This file imports nothing of Outcrop: EasyBuild loads it on its own.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import stat
import time
from typing import Any

_BINUTILS = ("ar", "as", "ld", "ld.bfd", "ld.gold", "nm", "objcopy", "objdump", "ranlib", "strip")


def _tell(event: str, **facts: object) -> None:
    path = os.environ.get("OUTCROP_BUILD_EVENTS")
    if path:
        with open(path, "a", encoding="utf-8") as events:
            events.write(json.dumps({"event": event, **facts}) + "\n")


def pre_easyblock_hook(block: Any) -> None:
    _tell("begun", module=block.full_mod_name)


def pre_configure_hook(block: Any) -> None:
    """GCC makes its own libraries by a compiler that EasyBuild has not wrapped, and by the linker that the layer's
    compiler names: that is the layer's own, not the wrapper on the search path, which gives run paths."""
    if os.environ.get("EASYBUILD_SYSROOT") and any(one.__name__ == "EB_GCC" for one in type(block).__mro__):
        linker = shutil.which("ld")
        if linker:
            os.environ.setdefault("LD", linker)


def post_install_hook(block: Any) -> None:
    """A GCC whose assembler and linker are the layer's finds them in its own directory: on the search path, a host's
    may come first, or none may be there. Where the stack builds binutils, their modules lead to them."""
    layer = os.environ.get("EASYBUILD_SYSROOT")
    if not layer or "binutils" not in os.environ.get("EASYBUILD_FILTER_DEPS", "").split(","):
        return
    for place in glob.glob(os.path.join(glob.escape(block.installdir), "libexec", "gcc", "*", "*", "collect2")):
        triplet = place.split(os.sep)[-3]
        directory = os.path.join(block.installdir, triplet, "bin")
        os.makedirs(directory, exist_ok=True)
        for name in _BINUTILS:
            program, link = os.path.join(layer, "usr", "bin", name), os.path.join(directory, name)
            if os.path.exists(program) and not os.path.lexists(link):
                os.symlink(program, link)


def post_easyblock_hook(block: Any) -> None:
    if not os.path.isfile(block.mod_filepath):
        # EasyBuild calls this after a failure too.
        return
    reprod = os.environ.get("OUTCROP_BUILD_REPROD")
    kept = os.path.join(block.installdir, "easybuild")
    if reprod and os.path.isdir(kept):
        stamp = time.strftime("%Y%m%d_%H%M%SUTC", time.gmtime())
        destination = os.path.join(reprod, block.name, os.path.basename(block.installdir), stamp, "easybuild")
        # Copied without modes first: directories of a read-only installation could not be filled.
        unfinished = destination + ".unfinished"
        shutil.copytree(kept, unfinished, symlinks=True, copy_function=shutil.copyfile, dirs_exist_ok=True)
        for directory, _subdirectories, _files in os.walk(unfinished):
            os.chmod(directory, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        os.rename(unfinished, destination)
    _tell("ended", module=block.full_mod_name)


def fail_hook(error: Any) -> None:
    _tell("failed", problem=str(error))
