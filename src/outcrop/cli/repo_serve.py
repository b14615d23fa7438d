"""`outcrop repo serve`"""

from __future__ import annotations

from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.directories import data_directory
from outcrop.errors import InvalidValue, NotFound
from outcrop.storage.places import is_directory_address
from outcrop.storage.s3_address import S3Address
from outcrop.stratum0.serve import RepositoryServer
from outcrop.stratum0.settings import load_settings, owned_repositories

DEFAULT_PORT = 8000


@click.command(
    "serve",
    epilog=examples("outcrop repo serve", "outcrop repo serve software.example.org --port 8080"),
)
@click.argument("fqrns", nargs=-1, metavar="[FQRN]...")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 takes one that is free.",
)
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.pass_obj
def command(console: Console, *, fqrns: tuple[str, ...], port: int, bind: str) -> None:
    """Serve your repositories (those named FQRN, or all) over HTTP until Ctrl-C, for trying things out.

    In production, let nginx serve the storage directory. What lies on S3 is served by S3 itself.
    """
    directory = data_directory()
    names = [repository_name(fqrn) for fqrn in fqrns] or _local_repositories(directory)
    if not names:
        raise NotFound(what="a repository of your own", hint="`outcrop repo create FQRN` makes one")
    repositories = {name: _storage_directory(directory, name) for name in names}
    with RepositoryServer(repositories, bind, port) as server:
        for name in names:
            console.result(f"{server.url}/cvmfs/{name}")
        console.flush()
        console.note("Ctrl-C ends it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.note("ended")


def _local_repositories(directory: Path) -> list[RepositoryName]:
    """Those that lie on this machine."""
    return [
        name for name in owned_repositories(directory) if is_directory_address(load_settings(directory, name).storage)
    ]


def _storage_directory(directory: Path, name: RepositoryName) -> Path:
    storage = load_settings(directory, name).storage
    if not is_directory_address(storage):
        raise InvalidValue(
            what=f"the repository {name}",
            problem="lies on S3, which serves it itself",
            hint=f"readers find it at {S3Address.parse(storage).url} once the bucket lets everybody read",
        )
    return Path(storage)
