"""Looking at a node: every probe, in the order in which findings are shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from outcrop.client.address import RepositoryAddress
from outcrop.client.ladder.findings import Finding
from outcrop.client.ladder.preload import preload_finding
from outcrop.client.ladder.probes import machine, mounting, network, places, programs
from outcrop.client.repository import ClientSettings
from outcrop.progress import SILENT, Progress

_USUAL_NAME = "software.example.org"
"""What stands for a repository's name where none is given: its length decides whether a relocated copy has a place."""


def look(
    customary: PurePosixPath,
    settings: ClientSettings,
    name: str = "",
    address: RepositoryAddress | None = None,
    progress: Progress = SILENT,
) -> tuple[Finding, ...]:
    """What this node can do, by trying. `name` and `address` are those of a repository that is wanted here, to be read
    as `settings` say.

    Takes about a second where everything answers, ten seconds for each thing that does not, and a minute where no
    server does."""
    cache_directory = settings.cache_directory
    probes: Sequence[Callable[[], Finding]] = (
        mounting.kernel, mounting.fuse_device, mounting.fusermount, mounting.user_namespaces, mounting.mount_namespaces,
        mounting.bind_mounts, mounting.new_root, mounting.fuse_in_namespace, mounting.overlayfs, mounting.erofs,
        mounting.layers, mounting.user_layers,
        programs.bubblewrap, programs.apptainer, programs.podman, lambda: programs.proot(customary),
        machine.ptrace, lambda: preload_finding(customary, cache_directory, os.environ),
        machine.open_files, machine.processes, machine.locked_memory, machine.memory,
        lambda: places.cache(cache_directory), lambda: places.cvmfs(Path(customary), name),
        lambda: places.relocation(customary / (name or _USUAL_NAME), os.environ), machine.users,
    )  # fmt: skip
    progress.start("Looking at this machine", len(probes) + 1, "questions")
    findings = []
    for probe in probes:
        findings.append(probe())
        progress.advance(1)
    findings += _network(address, settings)
    progress.finish()
    return tuple(findings)


def _network(address: RepositoryAddress | None, settings: ClientSettings) -> list[Finding]:
    if address is None:
        return [network.clock(None), network.dns(())]
    names = network.dns(network.hosts_to_resolve(address.servers, address.network))
    reached = network.servers(address, settings)
    return [network.clock(reached.ahead), names, reached.finding]
