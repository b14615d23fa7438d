"""Hooks that EasyBuild loads by path: they tell what happens and keep what an installation was built from.

Events go, one JSON document a line, to the file that `OUTCROP_BUILD_EVENTS` names. After each installation its
`easybuild` directory (easyconfig, easyblock, patches, logs) is copied to
`$OUTCROP_BUILD_REPROD/<Name>/<version>/<UTC time>/easybuild`, EESSI's place for it, so that a rebuild does not lose
what came before. This file imports nothing of Outcrop: EasyBuild loads it on its own.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from typing import Any


def _tell(event: str, **facts: object) -> None:
    path = os.environ.get("OUTCROP_BUILD_EVENTS")
    if path:
        with open(path, "a", encoding="utf-8") as events:
            events.write(json.dumps({"event": event, **facts}) + "\n")


def pre_easyblock_hook(block: Any) -> None:
    _tell("begun", module=block.full_mod_name)


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
