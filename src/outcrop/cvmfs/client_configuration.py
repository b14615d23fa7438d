"""What a stock client's configuration files say, without a shell: text in, settings out.

The files are shell text that stock clients let a shell read, one after the other; the later one wins:

1.  `default.conf`, then `default.d/*.conf` in the order of their names. Here `CVMFS_CONFIG_REPOSITORY` is settled: it
    names a repository with further files, which no later file can change.
2.  `default.conf` of the configuration repository, then `default.local`.
3.  For the repository's domain, its name without the first label: `domain.d/<domain>.conf` of the configuration
    repository, `domain.d/<domain>.conf`, `domain.d/<domain>.local`.
4.  For the repository: `config.d/<name>.conf` of the configuration repository, `config.d/<name>.conf` and `.local`.

The configuration repository's files are below `/cvmfs/<its name>/etc/cvmfs`; for itself there is no such repository.
Within a file everything is as in a shell (`outcrop.cvmfs.client_configuration_shell`). From one file to the next only
those variables go that the file's own text assigns, not those that are set by a file which it merely reads in
(`. ../common.conf`). On the way, runs of blanks become one blank, and `@fqrn@` and `@org@` (the name's first label) are
filled in.

Sources: options.cc and default.conf of CernVM-FS 2.12; reference notes, section 11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from outcrop.cvmfs.client_configuration_conditions import FileView, NoFiles
from outcrop.cvmfs.client_configuration_shell import Origin, Run, Variable
from outcrop.cvmfs.names import RepositoryName

CONFIG_REPOSITORY = "CVMFS_CONFIG_REPOSITORY"
MOUNT_DIRECTORY = "CVMFS_MOUNT_DIR"
DEFAULT_MOUNT_DIRECTORY = "/cvmfs"
STOCK_DIRECTORY = "/etc/cvmfs"
"""Where the files are, by their own account; inside the configuration repository, too."""

_TEMPLATE = re.compile(r"@([^@]*)@")
_ASSIGNS = re.compile(r"[ \t]*(?:(?:readonly|export|eval)[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=")
_BLANKS = re.compile(r"[ \t\n]+")
_ON = frozenset({"YES", "ON", "1", "TRUE"})
_OFF = frozenset({"NO", "OFF", "0", "FALSE"})


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, where it comes from, and the setting of an earlier file that it took the place of."""

    value: str
    origin: Origin
    overrode: Setting | None = None

    @property
    def earlier(self) -> tuple[Setting, ...]:
        """What it took the place of, the latest first."""
        found: list[Setting] = []
        before = self.overrode
        while before is not None:
            found.append(before)
            before = before.overrode
        return tuple(found)


Settings = Mapping[str, Setting]
NO_SETTINGS: Settings = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the files may ask about the machine: other files, variables, and the number that `$$` stands for."""

    files: FileView = field(default_factory=NoFiles)
    environment: Mapping[str, str] = field(default_factory=dict)
    process: int = 0


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The settings after one or several files, and sentences on what was left out of them."""

    settings: Settings
    warnings: tuple[str, ...] = ()

    def value(self, name: str, default: str = "") -> str:
        """The value of `name`; `default` where it is not set, or set to nothing."""
        setting = self.settings.get(name)
        return setting.value if setting is not None and setting.value else default


def evaluate(
    text: str,
    path: str,
    before: Settings = NO_SETTINGS,
    *,
    repository: str = "",
    surroundings: Surroundings | None = None,
    settled: frozenset[str] = frozenset(),
    strict: bool = False,
) -> Evaluated:
    """The settings after the file at `path`, which has this text, when they were `before`.

    `repository` fills in templates; no file changes what is `settled`. What only a shell could work out is left out
    with a warning, or, where the reading is `strict`, a FormatError that names file and line."""
    where = surroundings or Surroundings()
    variables = {name: Variable(value) for name, value in where.environment.items()}
    if repository:
        variables["CVMFS_FQRN"] = Variable(repository)
    variables.update({name: Variable(setting.value, setting.origin) for name, setting in before.items()})
    run = Run(path, dict(variables), where.files, where.process, strict=strict)
    run.read(text)
    warnings = list(run.warnings)
    after = dict(before)
    for name in sorted(run.own | _named(text)):
        variable = run.variables.get(name)
        if variable is None:
            after.pop(name, None)
        elif variable is not variables.get(name) and variable.origin is not None and variable != variables.get(name):
            setting = Setting(_filled_in(variable.value, repository), variable.origin, before.get(name))
            if name in settled and setting.value != Evaluated(before).value(name):
                warnings.append(f"{setting.origin}: {name} cannot be changed any more in this file")
            else:
                after[name] = setting
    return Evaluated(MappingProxyType(after), tuple(warnings))


def evaluate_defaults(
    directory: str,
    surroundings: Surroundings,
    *,
    environment_of: str = "",
    strict: bool = False,
) -> Evaluated:
    """The settings of step 1, from the files below `directory`. `environment_of` names the repository, if any."""
    paths = [f"{directory}/default.conf"]
    names = sorted(name for name in surroundings.files.names(f"{directory}/default.d") if name.endswith(".conf"))
    paths += [f"{directory}/default.d/{name}" for name in names]
    return _evaluate_files(paths, Evaluated(NO_SETTINGS), environment_of, surroundings, frozenset(), strict)


def evaluate_all(
    repository: RepositoryName | None,
    directory: str,
    surroundings: Surroundings,
    prepare: Callable[[str, str], None] = lambda _name, _mountpoint: None,
    *,
    strict: bool = False,
) -> Evaluated:
    """The settings for `repository` (without one, those that hold for all), from the files below `directory`.

    `prepare` hears the name of the configuration repository, and where it would be mounted, before files of it are
    asked for; they are asked for by the paths that they have there."""
    name = repository or ""
    state = evaluate_defaults(directory, surroundings, environment_of=name, strict=strict)
    paths: list[str] = []
    extra = config_repository(state, name) if name else ""
    below = ""
    if extra:
        mountpoint = f"{state.value(MOUNT_DIRECTORY, DEFAULT_MOUNT_DIRECTORY)}/{extra}"
        prepare(extra, mountpoint)
        below = mountpoint + STOCK_DIRECTORY
        paths.append(f"{below}/default.conf")
    paths.append(f"{directory}/default.local")
    if name:
        domain = name.partition(".")[2]
        for kind, label in (("domain.d", domain), ("config.d", name)):
            if below:
                paths.append(f"{below}/{kind}/{label}.conf")
            paths += [f"{directory}/{kind}/{label}.conf", f"{directory}/{kind}/{label}.local"]
    return _evaluate_files(paths, state, name, surroundings, frozenset({CONFIG_REPOSITORY}), strict)


def config_repository(state: Evaluated, repository: str) -> str:
    """The configuration repository that serves `repository`: nothing where there is none, or it is that one itself."""
    name = state.value(CONFIG_REPOSITORY)
    return "" if name == repository else name


def _evaluate_files(
    paths: Sequence[str],
    state: Evaluated,
    repository: str,
    surroundings: Surroundings,
    settled: frozenset[str],
    strict: bool,
) -> Evaluated:
    settings, warnings = state.settings, list(state.warnings)
    for path in paths:
        data = surroundings.files.read(path)
        if data is None:
            continue
        after = evaluate(
            data.decode("utf-8", "surrogateescape"),
            path,
            settings,
            repository=repository,
            surroundings=surroundings,
            settled=settled,
            strict=strict,
        )
        settings = after.settings
        warnings += after.warnings
    return Evaluated(settings, tuple(dict.fromkeys(warnings)))


def _named(text: str) -> set[str]:
    """The names that lines of `text` assign to, in a branch that is not taken as well: the reference's own rule."""
    matches = (_ASSIGNS.match(line.partition("#")[0]) for line in text.splitlines())
    return {match[1] for match in matches if match}


def _filled_in(value: str, repository: str) -> str:
    """`value` with one blank for several, and with its templates filled in; those that are unknown stay."""
    words = " ".join(word for word in _BLANKS.split(value) if word)
    if not repository:
        return words
    templates = {"fqrn": repository, "org": repository.partition(".")[0]}
    return _TEMPLATE.sub(lambda match: templates.get(match[1], match[0]), words)


def is_on(value: str) -> bool:
    """Whether `value` switches something on; everything but `yes`, `on`, `1` and `true` does not."""
    return value.upper() in _ON


def is_switch(value: str) -> bool:
    """Whether `value` is one that switches something on or off."""
    return value.upper() in _ON or value.upper() in _OFF


def listed(value: str, separator: str) -> tuple[str, ...]:
    """The entries of a list, without blanks around them and without empty ones."""
    return tuple(entry.strip() for entry in value.split(separator) if entry.strip())
