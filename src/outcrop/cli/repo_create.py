"""`outcrop repo create`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.author import author_option
from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.freshness_announcement import DAY_SECONDS, FreshnessAnnouncement
from outcrop.cvmfs.manifest import DEFAULT_TTL_SECONDS
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.storage.places import is_directory_address, repository_address
from outcrop.storage.s3_address import S3Address
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.compressors import DEFAULT_COMPRESSOR, compressor_names
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.signing.keys import WHITELIST_DAYS


@click.command(
    "create",
    epilog=examples(
        "outcrop repo create software.example.org",
        "outcrop repo create software.example.org --storage /srv/cvmfs   # served from /srv/cvmfs/software.example.org",
        "outcrop repo create software.example.org --storage s3://bucket/cvmfs   # with credentials as for `aws`",
        "outcrop repo create software.example.org --storage 's3://bucket?endpoint=https://s3.example.org'",
        "outcrop repo create software.example.org --freshness 7   # renewed by every publish and `repo refresh`",
    ),
)
@click.argument("fqrn")
@click.option(
    "--storage",
    type=click.Path(),
    metavar="DIRECTORY|s3://BUCKET/PREFIX",
    help="Place that holds repositories, or that of this one; below the data directory by default.",
)
@click.option(
    "--hash",
    "hash_label",
    type=click.Choice([algorithm.label for algorithm in Algorithm]),
    default=Algorithm.SHA1.label,
    show_default=True,
    help="Digest algorithm.",
)
@click.option(
    "--compressor",
    type=click.Choice(compressor_names()),
    default=DEFAULT_COMPRESSOR,
    show_default=True,
    help="Encoder of file contents; zlib makes the reference publisher's very bytes.",
)
@click.option("--ttl", default=DEFAULT_TTL_SECONDS, show_default=True, help="Seconds until clients look for news.")
@click.option("--days", default=WHITELIST_DAYS, show_default=True, help="Days that the first whitelist is valid.")
@click.option(
    "--freshness",
    "freshness_days",
    type=click.IntRange(1, 3650),
    metavar="DAYS",
    help="Promise readers a freshness record that is DAYS old at most.",
)
@click.option("--auto-tag/--no-auto-tag", default=True, show_default=True, help="Give every revision a tag.")
@click.option("--administrator", default="", help="Who runs it, for its public meta-information.")
@click.option("--email", default="", help="How to reach them.")
@click.option("--organisation", default="", help="For whom they run it.")
@click.option("--description", default="", help="What it holds.")
@author_option
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    storage: str | None,
    hash_label: str,
    compressor: str,
    ttl: int,
    days: int,
    freshness_days: int | None,
    auto_tag: bool,
    administrator: str,
    email: str,
    organisation: str,
    description: str,
    author: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Create keys and an empty signed repository called FQRN.

    The keys (FQRN.masterkey, FQRN.key, FQRN.crt and FQRN.pub) lie in the data directory; those that are there already
    are used. Readers need FQRN.pub. The command can be repeated after an interruption.

    On S3 the bucket must be there. Where the server is not Amazon's, it is named behind the address or in
    AWS_ENDPOINT_URL; the repository's record keeps it.
    """
    name = repository_name(fqrn)
    settings = RepositorySettings(
        name=name,
        storage=repository_address(storage or str(data_directory() / "storage"), name),
        hash=hash_label,
        compressor=compressor,
        ttl=ttl,
        auto_tag=auto_tag,
    )
    metainfo = Metainfo(
        administrator=administrator,
        email=email,
        organisation=organisation,
        description=description,
        freshness=FreshnessAnnouncement(freshness_days * DAY_SECONDS) if freshness_days else None,
    )
    plan = plan_creation(data_directory(), settings, metainfo, days, author)
    if dry_run:
        if as_json:
            console.json({"plan": plan.steps()})
        for step in [] if as_json else plan.steps():
            console.result(step)
        return
    repository = create_repository(plan, datetime.now(UTC))
    if as_json:
        console.json(
            {
                "name": name,
                "storage": settings.storage,
                "public_key": str(plan.keys.public_key),
                "record": str(plan.record),
                "revision": 1,
            }
        )
        return
    console.result(f"{name} is created in {repository.store.address}")
    console.result(f"readers need its public key: {plan.keys.public_key}")
    console.note(f"keep a copy of {plan.keys.master_key} in a safe place: it is all that proves the repository yours")
    if not is_directory_address(settings.storage):
        console.note(f"readers find it at {S3Address.parse(settings.storage).url} once the bucket lets everybody read")
    if freshness_days:
        console.note(f"let a timer call `outcrop repo refresh {name}`: readers refuse a record older than announced")
    console.note(f"next: outcrop repo ingest {name} DIRECTORY --at /PATH")
