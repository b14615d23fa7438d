"""The software of the ladder's demonstration: the Python that runs it, with its library and compiled modules, as a tree
that is published below `/cvmfs`.

Python finds its library from where its program lies, so a copy works. Where the program names its own place (a shared
`libpython`), that is rewritten as for any relocated tree.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from outcrop.client.relocate.plan import plan_relocation
from outcrop.client.relocate.prefix import prefix
from outcrop.client.relocate.record import RECORD_NAME
from outcrop.client.relocate.relocation import relocate
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import InvalidValue, storage_error

LADDER_REPOSITORY = RepositoryName("ladder.example.org")
PLACE = f"/cvmfs/{LADDER_REPOSITORY}"

PROGRAM = (f"{PLACE}/bin/python3", "-I", f"{PLACE}/share/tell.py")
"""The command line of the program: its interpreter, its library and what it runs are in the repository."""

ANSWER = "the square root of 2 is 1.4142135623730950488016887242096980785696718753769"

_LEFT_OUT = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter", "distutils", "venv", "pydoc_data",
     "site-packages", "dist-packages"}
)  # fmt: skip
"""What no program of the demonstration reads, and what does not belong to Python itself."""

_TELL = '''"""Computes with compiled modules, and says where everything came from."""
import decimal
import json
import os
import sys

place = os.environ.get("OUTCROP_RUN_PREFIX", "")
ours = [module for module in sys.modules.values() if (getattr(module, "__file__", None) or "").startswith(place + "/")]
compiled = sum(1 for module in ours if module.__file__.endswith(".so"))
decimal.getcontext().prec = 50
print(f"Python {sys.version.split()[0]} runs from {sys.prefix}, by way of {os.environ.get('OUTCROP_RUN_WAY')}")
print(f"{len(ours)} modules came from there, {compiled} of them compiled")
print(f"the square root of 2 is {decimal.Decimal(2).sqrt()}")
sys.exit(0 if place and sys.prefix == place and ours else 3)
'''


def write_software(tree: Path) -> None:
    """Fills the new directory `tree` with it. StorageError where that cannot be written."""
    library = Path(sysconfig.get_path("stdlib"))
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        (tree / "bin").mkdir(parents=True)
        shutil.copy2(os.path.realpath(sys.executable), tree / "bin" / "python3")
        shutil.copytree(library, tree / "lib" / name, symlinks=False, ignore=_ignored, ignore_dangling_symlinks=True)
        _copy_shared_library(tree / "lib")
        (tree / "share").mkdir()
        (tree / "share" / "tell.py").write_text(_TELL)
    except shutil.Error as error:
        first = error.args[0][0]
        raise storage_error(OSError(0, f"{first[0]}: {first[2]}"), str(tree)) from error
    except OSError as error:
        raise storage_error(error, str(tree)) from error
    _relocate(tree)


def _ignored(_directory: str, names: list[str]) -> set[str]:
    return {name for name in names if name in _LEFT_OUT or name.startswith("config-")}


def _copy_shared_library(place: Path) -> None:
    """The library that the program is made of, where it is one."""
    name = sysconfig.get_config_var("INSTSONAME")
    directory = sysconfig.get_config_var("LIBDIR")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and name and directory and Path(directory, name).is_file():
        shutil.copy2(Path(directory, name), place / name)


def _relocate(tree: Path) -> None:
    """Lets the tree name its place below `/cvmfs` instead of where Python is installed, where there is room for it.

    Without that, it uses the machine's own `libpython`, if it has one at all."""
    try:
        relocate(plan_relocation(tree, prefix(sys.base_prefix), prefix(PLACE)))
    except InvalidValue:
        return
    # It is published as if it had been built there.
    (tree / RECORD_NAME).unlink()
