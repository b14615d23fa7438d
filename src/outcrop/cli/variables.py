"""The environment variables that stand for options.

Every option has `OUTCROP_<COMMAND>_<OPTION>`: `outcrop repo serve --port` is `OUTCROP_REPO_SERVE_PORT`. An option that
means the same wherever it occurs has `OUTCROP_<OPTION>` as well, for all commands at once; the longer name wins. The
command line wins over both. A flag takes `1` or `0`; an option that may be given again takes several values separated
by spaces, or paths separated by colons.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

PREFIX = "OUTCROP"

SHARED = frozenset({"easyconfigs", "key", "mirror", "quiet"})
"""Options that are settings of a person or a machine rather than of one call: nothing that removes or replaces."""


def option_name(option: click.Option) -> str:
    """What an option is called: its first long spelling without dashes, or its parameter's name."""
    long = [spelling for spelling in option.opts if spelling.startswith("--")]
    return long[0].removeprefix("--") if long else option.name or ""


def variables(path: Sequence[str], option: click.Option) -> tuple[str, ...]:
    """The variables that stand for `option` of the command at `path` (`("repo", "serve")`), the strongest first.

    Variables that the option names itself come first, as they are."""
    name = option_name(option)
    own = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    derived = [_variable(*path, name), *([_variable(name)] if name in SHARED else [])]
    return tuple(dict.fromkeys([*own, *derived]))


def _variable(*words: str) -> str:
    return "_".join([PREFIX, *words]).upper().replace("-", "_")
