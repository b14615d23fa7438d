"""Installations as EasyBuild leaves them, without EasyBuild."""

from __future__ import annotations

from outcrop.software.build_tree import BuildTree
from outcrop.software.layout import SoftwareLayout

STAMP = "20260601_120000UTC"


def install(tree: BuildTree, layout: SoftwareLayout, module: str) -> None:
    """A complete, read-only installation of `module` in `tree`."""
    directory = tree.root / layout.installation(module)
    kept = directory / "easybuild"
    kept.mkdir(parents=True)
    (kept / "some.eb").touch()
    module_file = tree.root / layout.module_file(module)
    module_file.parent.mkdir(parents=True, exist_ok=True)
    module_file.write_text("-- a module\n")
    (tree.root / layout.reprod / module / STAMP / "easybuild").mkdir(parents=True)
    for path in (kept, directory):
        path.chmod(0o555)
