"""`outcrop config show`"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.client.configuration import load_known_repositories, stock_access
from outcrop.client.known_repository import ClientChoice, KnownRepositories, KnownRepository
from outcrop.client.network.settings import NetworkSettings
from outcrop.cvmfs.client_configuration import Setting
from outcrop.directories import config_directory, data_directory
from outcrop.errors import NotFound

_NETWORK_VARIABLES = {
    "timeout": "CVMFS_TIMEOUT",
    "timeout_direct": "CVMFS_TIMEOUT_DIRECT",
    "low_speed_bytes": "CVMFS_LOW_SPEED_LIMIT",
    "retries": "CVMFS_MAX_RETRIES",
    "backoff_initial": "CVMFS_BACKOFF_INIT",
    "backoff_maximum": "CVMFS_BACKOFF_MAX",
    "proxy_reset_after": "CVMFS_PROXY_RESET_AFTER",
    "host_reset_after": "CVMFS_HOST_RESET_AFTER",
    "follow_redirects": "CVMFS_FOLLOW_REDIRECTS",
}
"""The plain network settings, with the stock variable that says each."""
_PASSWORD = re.compile(r"//[^/@|;]*@")
"""The user and the password in a proxy's URL."""
_WITH_PASSWORDS = frozenset(
    {"CVMFS_HTTP_PROXY", "CVMFS_FALLBACK_PROXY", "CVMFS_EXTERNAL_HTTP_PROXY", "CVMFS_EXTERNAL_FALLBACK_PROXY"}
)
_STOCK = "CVMFS_"
"""How the stock client's own variables begin; others are there for links."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A setting: its values, the stock variable that said so, if one did, and whether the user's own file did.

    `refused` is what the variable says where that cannot be used."""

    name: str
    values: tuple[str, ...]
    setting: Setting | None = None
    variable: str = ""
    is_own: bool = False
    refused: Setting | None = None

    @property
    def overrode(self) -> tuple[Setting, ...]:
        """What the values took the place of, the latest first."""
        said = self.setting or self.refused
        if said is None:
            return ()
        return (said, *said.earlier) if self.is_own else said.earlier


@click.command(
    "show",
    epilog=examples(
        "outcrop config show software.eessi.io",
        "outcrop config show software.eessi.io --origin    # which file says so, and what it overrode",
        "outcrop config show software.eessi.io --all       # the stock files' variables, as they are",
    ),
)
@click.argument("repository", metavar="REPO")
@click.option("--origin", is_flag=True, help="Say which file and line each value comes from, and what it overrode.")
@click.option("--all", "everything", is_flag=True, help="Show every variable of the stock files, used or not.")
@json_option
@click.pass_obj
def command(console: Console, *, repository: str, origin: bool, everything: bool, as_json: bool) -> None:
    """Show the settings by which the repository REPO is read, and where they come from.

    REPO is a name, without its domain if the site has a default one. What is set nowhere is shown with its default.
    """
    known = load_known_repositories(
        config_directory(), data_directory(), stock_access(os.environ, console.warning), os.environ
    )
    found = known.find(repository)
    if found is None:
        raise NotFound(what=f"a configuration for {repository!r}", hint=_hint(known))
    rows = _variables(found) if everything else _rows(found, known.choice)
    if as_json:
        console.json(_document(found, rows, known.choice))
    elif origin:
        for line in _lines_with_origin(found, rows, known.choice):
            console.result(line)
    else:
        console.table(("SETTING", "VALUE"), [(row.name, value) for row in rows for value in row.values or ("",)])


def _hint(known: KnownRepositories) -> str:
    names = ", ".join(known.names)
    return f"known are {names}; see `outcrop config list`" if names else "name it in the configuration, or install one"


def _rows(known: KnownRepository, choice: ClientChoice) -> list[_Row]:
    network, chosen = known.network, choice.network
    keys = "CVMFS_PUBLIC_KEY" if _is_set(known, "CVMFS_PUBLIC_KEY") else "CVMFS_KEYS_DIR"
    quota = "CVMFS_CACHE_QUOTA_LIMIT" if _is_set(known, "CVMFS_CACHE_QUOTA_LIMIT") else "CVMFS_QUOTA_LIMIT"
    alien = "CVMFS_CACHE_ALIEN" if _is_set(known, "CVMFS_CACHE_ALIEN") else "CVMFS_ALIEN_CACHE"
    pin = known.pin
    moment = pin.moment.isoformat() if pin.moment else ""
    limit = "" if known.cache_limit is None else f"{known.cache_limit:,} bytes" if known.cache_limit else "none"
    cache = (str(known.cache_directory),) if known.cache_directory else ()
    maximum = (str(network.maximum_servers),) if network.maximum_servers else ()
    rows = [
        _Row("repository", (known.name,)),
        _Row("source", (known.source,)),
        _row(known, "servers", known.servers, "CVMFS_SERVER_URL"),
        _row(known, "keys", tuple(str(key) for key in known.keys), keys),
        _row(known, "order", (network.order.value,), "CVMFS_USE_GEOAPI", is_own=chosen.order is not None),
        _row(known, "proxies", _groups(network.proxies), "CVMFS_HTTP_PROXY", is_own=chosen.proxies is not None),
        _row(
            known,
            "fallback proxies",
            _groups(network.fallback_proxies),
            "CVMFS_FALLBACK_PROXY",
            is_own=chosen.fallback_proxies is not None,
        ),
        *(
            _row(
                known,
                name.replace("_", " "),
                (_plain(network, name),),
                variable,
                is_own=getattr(chosen, name) is not None,
            )
            for name, variable in _NETWORK_VARIABLES.items()
        ),
        _Row("parallel", (str(network.parallel),), is_own=chosen.parallel is not None),
        _row(known, "maximum servers", maximum, "CVMFS_MAX_SERVERS", is_own=chosen.maximum_servers is not None),
        _row(known, "external servers", known.external_servers, "CVMFS_EXTERNAL_URL"),
        _row(known, "cache limit", (limit,), quota, is_own=choice.cache_limit is not None),
        _row(known, "cache directory", cache, alien, is_own=choice.cache_directory is not None),
        _row(known, "tag", (pin.tag,), "CVMFS_REPOSITORY_TAG"),
        _row(known, "date", (moment,), "CVMFS_REPOSITORY_DATE"),
        _row(known, "root hash", (pin.root_catalog.text if pin.root_catalog else "",), "CVMFS_ROOT_HASH"),
        _row(known, "blacklists", tuple(str(path) for path in known.blacklists), "CVMFS_BLACKLIST"),
        _row(known, "configuration repository", (), "CVMFS_CONFIG_REPOSITORY", as_is=True),
        *(
            _row(known, f"variable {name}", (value,), name, is_own=name in choice.variables)
            for name, value in sorted(known.variables.items())
            if not name.startswith(_STOCK)
        ),
    ]
    return [row for row in rows if any(row.values)]


def _row(
    known: KnownRepository,
    name: str,
    values: tuple[str, ...],
    variable: str,
    *,
    is_own: bool = False,
    as_is: bool = False,
) -> _Row:
    setting = known.settings.get(variable)
    if as_is and setting is not None:
        values = (setting.value,)
    if setting is None or not setting.value:
        return _Row(name, values, None, variable, is_own)
    if variable in known.refused:
        return _Row(name, values, None, variable, is_own, refused=setting)
    return _Row(name, values, setting, variable, is_own)


def _variables(known: KnownRepository) -> list[_Row]:
    return [_Row(name, (_spoken(name, setting),), setting, name) for name, setting in sorted(known.settings.items())]


def _is_set(known: KnownRepository, variable: str) -> bool:
    return variable in known.settings and bool(known.settings[variable].value)


def _groups(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(_PASSWORD.sub("//***@", "|".join(group)) for group in groups)


def _plain(network: NetworkSettings, name: str) -> str:
    value: object = getattr(network, name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _origin(known: KnownRepository, row: _Row, choice: ClientChoice) -> str:
    if row.is_own:
        return choice.source
    if row.setting is not None:
        return str(row.setting.origin)
    return known.source if row.name in ("servers", "keys", "external servers") else "built in"


def _lines_with_origin(known: KnownRepository, rows: Sequence[_Row], choice: ClientChoice) -> list[str]:
    lines = []
    for row in rows:
        lines += [f"{row.name} = {value}" for value in row.values]
        if row.name in ("repository", "source"):
            continue
        refused = f" ({row.refused.origin} is not used)" if row.refused is not None else ""
        lines.append(f"    from {_origin(known, row, choice)}{refused}")
        lines += [f"    over {_spoken(row.variable, one) or 'nothing'} from {one.origin}" for one in row.overrode]
    return lines


def _spoken(variable: str, setting: Setting) -> str:
    """What `setting` says, without the passwords that URLs of proxies may have."""
    if variable in _WITH_PASSWORDS:
        return _PASSWORD.sub("//***@", setting.value)
    return setting.value


def _setting_document(variable: str, setting: Setting) -> dict[str, str]:
    return {"value": _spoken(variable, setting), "origin": str(setting.origin)}


def _document(known: KnownRepository, rows: Sequence[_Row], choice: ClientChoice) -> dict[str, object]:
    return {
        "repository": known.name,
        "source": known.source,
        "settings": [
            {
                "name": row.name,
                "values": list(row.values),
                "variable": row.variable or None,
                "origin": _origin(known, row, choice),
                "not_used": None if row.refused is None else _setting_document(row.variable, row.refused),
                "overrode": [_setting_document(row.variable, one) for one in row.overrode],
            }
            for row in rows
            if row.name not in ("repository", "source")
        ],
    }
