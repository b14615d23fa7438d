"""`outcrop completion`"""

from __future__ import annotations

import click
from click.shell_completion import FishComplete, ShellComplete, add_completion_class, get_completion_class

from outcrop.cli.console import Console
from outcrop.cli.options import examples

SHELLS = ("bash", "zsh", "fish")

_FISH_SPLIT = 'string split "," $completion'
_FISH_SPLIT_ONCE = 'string split -m 1 "," $completion'


class OutcropFishComplete(FishComplete):
    """click's completion for fish, without the fault that cuts a description at its first comma."""

    source_template = FishComplete.source_template.replace(_FISH_SPLIT, _FISH_SPLIT_ONCE)


add_completion_class(OutcropFishComplete)


def completion_script(shell: str) -> str:
    """The script that makes `shell` complete `outcrop`."""
    # Imported here: they import the tree, which imports the commands.
    from outcrop.cli.app import COMPLETION_VARIABLE, PROGRAM
    from outcrop.cli.tree import build_root

    kind = get_completion_class(shell)
    assert kind is not None, shell
    # Not `kind.source()`: for bash it would start one to ask for its version.
    return ShellComplete.source(kind(build_root(), {}, PROGRAM, COMPLETION_VARIABLE))


@click.command(
    "completion",
    epilog=examples(
        "source <(outcrop completion bash)  # in ~/.bashrc",
        "source <(outcrop completion zsh)   # in ~/.zshrc, below `compinit`",
        "outcrop completion fish > ~/.config/fish/completions/outcrop.fish",
        "outcrop completion bash > /etc/bash_completion.d/outcrop",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def command(console: Console, *, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, files and names of repositories.

    bash 4.4 or newer, zsh and fish can. What is offered comes from this machine alone: nothing is asked over a network.
    """
    console.result(completion_script(shell).rstrip())
