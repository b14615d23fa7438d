"""`outcrop demo`"""

from __future__ import annotations

import os
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.demo.run import DemoOptions, plan, run_demo
from outcrop.demo.telling import Chapter
from outcrop.demo.workshop import default_directory, remove_tree
from outcrop.errors import UsageError
from outcrop.progress import Progress


@click.command(
    "demo",
    epilog=examples(
        "outcrop demo",
        "outcrop demo --explore              # a shell with the stack loaded, before everything is cleaned up",
        "outcrop demo --directory ./try --without-mount",
        "outcrop demo --clean                # remove what earlier runs left for later ones",
    ),
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where it works; below the user's cache directory by default.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of its web server; 0 takes one that is free.",
)
@click.option("--without-mount", is_flag=True, help="Take the daemonless way, as on machines without FUSE.")
@click.option("--without-layer", is_flag=True, help="Use this machine's compiler and Lmod, and build no layer.")
@click.option("--explore", is_flag=True, help="Open a shell with the stack loaded before the end.")
@click.option(
    "--debian-mirror", "debian_mirrors", multiple=True, metavar="URL", help="Where Debian's packages and sources are."
)
@click.option("--clean", is_flag=True, help="Remove the directory of the demonstration, and do nothing else.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    directory: Path | None,
    port: int,
    without_mount: bool,
    without_layer: bool,
    explore: bool,
    debian_mirrors: tuple[str, ...],
    clean: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build a compatibility layer and a small stack on it, publish both, mount them, and run a program.

    Everything happens in a directory of its own and on this machine alone; nothing stays mounted or running. Packages,
    sources and what was built are kept there, so that the next run takes seconds. Shell, compiler, Python and Lmod are
    the layer's; a machine that cannot build one uses its own.
    """
    place = (directory or default_directory()).absolute()
    if dry_run:
        console.result(f"in {place}:")
        for title in ["remove it"] if clean else plan():
            console.result(f"  {title}")
        return
    if clean:
        _clean(console, place)
        return
    options = DemoOptions(
        directory=place,
        port=port,
        without_mount=without_mount,
        without_layer=without_layer,
        explore=explore,
        environment=tuple(os.environ.items()),
        debian_mirrors=debian_mirrors,
    )
    chapters = run_demo(options, _ConsoleTeller(console))
    if as_json:
        console.json({"directory": str(place), "chapters": [_document(chapter) for chapter in chapters]})
        return
    console.result("")
    total = sum(chapter.seconds for chapter in chapters)
    console.table(
        ("CHAPTER", "SECONDS"), [(one.title, f"{one.seconds:6.1f}") for one in (*chapters, Chapter("Total", total))]
    )
    console.result("")
    console.result("The stack was built, signed, published, read with every byte verified, loaded and run.")
    console.note(f"{place} keeps sources and software for the next run; `outcrop demo --clean` removes it")


class _ConsoleTeller:
    """Tells the demonstration on standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0

    def begin(self, title: str) -> None:
        self._number += 1
        self._console.note(f"\n{self._number}. {title}")

    def say(self, text: str) -> None:
        self._console.note(f"   {text}")

    def end(self, seconds: float) -> None:
        self._console.note(f"   {seconds:.1f} s")

    def progress(self) -> Progress:
        return self._console.progress()


def _document(chapter: Chapter) -> dict[str, object]:
    return {"title": chapter.title, "seconds": round(chapter.seconds, 2)}


def _clean(console: Console, place: Path) -> None:
    from outcrop.demo.workshop import opened_workshop

    if not place.exists():
        console.result(f"{place} is not there")
        return
    if not (place / "lock").is_file():
        raise UsageError(
            problem=f"{place} is no directory of the demonstration", hint="name the one that `outcrop demo` told you"
        )
    with opened_workshop(place) as workshop:
        root = workshop.own_mount_root
    remove_tree(place)
    if root.is_dir():
        remove_tree(root)
    console.result(f"{place} is removed")
