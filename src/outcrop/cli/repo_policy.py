"""`outcrop repo policy`"""

from __future__ import annotations

import shlex

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.directories import data_directory
from outcrop.stratum0.promises.policy import EXAMPLE, Standing, load_policy, policy_path
from outcrop.stratum0.settings import load_settings


@click.command(
    "policy",
    epilog=examples(
        "outcrop repo policy software.example.org",
        "outcrop repo policy software.example.org --path /versions/2026.06/software/gcc",
        "outcrop repo policy software.example.org --example   # a policy to begin with",
    ),
)
@click.argument("fqrn")
@click.option("--path", "asked", metavar="PATH", help="Say whether PATH is promised, and which pattern says so.")
@click.option("--example", is_flag=True, help="Print a policy to begin with.")
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, asked: str | None, example: bool, as_json: bool) -> None:
    """Show what the repository FQRN promises to its users, and whether its policy file is well-formed.

    Below the paths that `keep` names, published bytes never change and nothing disappears, unless a publish names a
    reason or `outcrop repo retire` announced it. `except` names what is made anew with every publish.

    In a pattern, * stands for any part of a name and ** for any number of directories; a pattern speaks of what it
    matches and of all below it. The file is FQRN.policy in the data directory: write it with an editor.
    """
    settings = load_settings(data_directory(), repository_name(fqrn))
    place = policy_path(data_directory(), settings.repository)
    if example:
        _show_example(console, as_json)
        return
    policy = load_policy(data_directory(), settings.repository)
    if asked is not None:
        path = repository_path(asked)
        _show_standing(console, shown(path), policy.standing(path), as_json)
    elif as_json:
        keep, exceptions = list(policy.keep.texts), list(policy.exceptions.texts)
        console.json({"file": str(place), "exists": place.exists(), "keep": keep, "except": exceptions})
    elif not place.exists():
        console.result(f"{settings.repository} promises nothing: there is no file {place}")
        console.note(f"next: outcrop repo policy {settings.repository} --example >{shlex.quote(str(place))}")
    else:
        console.result(f"the policy of {settings.repository} is {place}")
        for pattern in policy.keep.texts:
            console.result(f"keep    {pattern}")
        for pattern in policy.exceptions.texts:
            console.result(f"except  {pattern}")


def _show_example(console: Console, as_json: bool) -> None:
    if as_json:
        console.json({"example": EXAMPLE})
        return
    for line in EXAMPLE.splitlines():
        console.result(line)


def _show_standing(console: Console, path: str, standing: Standing, as_json: bool) -> None:
    if as_json:
        document = {"promised": standing.is_promised, "keep": standing.kept_by, "except": standing.excepted_by}
        console.json({"path": path, **document})
    elif standing.kept_by is None:
        console.result(f"{path} is not promised: no pattern of `keep` speaks of it")
    elif standing.excepted_by is not None:
        console.result(f"{path} is not promised: it is excepted by {standing.excepted_by}")
    else:
        console.result(f"{path} is promised by {standing.kept_by}")
