"""The process that reads easyconfigs with EasyBuild and answers with a plan: `python -m … REQUEST ANSWER`.

A process of its own, because EasyBuild keeps its configuration in process-wide singletons, changes the environment,
writes to standard output and ends with `sys.exit`. What it answers is data (`plan.ReaderAnswer`), so that nothing of
EasyBuild reaches the rest of Outcrop.

Which files an installation needs is asked of EasyBuild's own fetch step, with the one function that would locate or
download a file replaced by one that writes down what was asked for. So bundles, extensions, crates and every easyblock
with its own idea of sources come out as EasyBuild sees them, and nothing is downloaded.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from outcrop.software.easybuild_settings import reader_arguments
from outcrop.software.plan import (
    BuildPlan,
    FileRole,
    PlannedInstallation,
    ReaderAnswer,
    ReaderRequest,
    WantedFile,
    accepted_digests,
    encode_answer,
)


class NothingInstalled:
    """Stands for the modules tool, so that the plan holds every dependency and not only the missing ones."""

    def available(self, *_arguments: object, **_settings: object) -> list[str]:
        return []

    def exist(self, names: list[str], **_settings: object) -> list[bool]:
        return [False] * len(names)


@dataclass
class Recorder:
    """Answers EasyBuild's requests for files with a path made of the request's number, and keeps the requests.

    Files are handed back by number because EasyBuild tells the checksum only later, next to the path.
    """

    source_urls: list[Any]
    beside: tuple[Path, ...]
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def obtain_file(self, filename: str, **request: Any) -> str | None:
        if request.get("no_download"):
            return None
        self.requests.append((filename, request))
        return f"/{len(self.requests) - 1}/{filename.rsplit('/', 1)[-1]}"

    def wanted(self, path: str, role: FileRole, checksum: object, software: str) -> WantedFile:
        """The file behind a `path` that `obtain_file` answered."""
        filename, request = self.requests[int(path.split("/")[1])]
        name = filename.rsplit("/", 1)[-1]
        shelf = Path(_letter(request.get("alt_location") or software), request.get("alt_location") or software)
        if request.get("extension"):
            shelf /= "extensions"
        copies = (directory / name for directory in self.beside)
        copy = next((str(candidate) for candidate in copies if candidate.is_file()), "")
        urls = () if request.get("git_config") else tuple(self._urls(filename, request))
        return WantedFile(name, str(shelf), role, accepted_digests(checksum, name), urls, copy)

    def _urls(self, filename: str, request: dict[str, Any]) -> Iterable[str]:
        if re.match(r"(https?|ftp)://", filename):
            yield filename
            return
        remote_name = request.get("download_filename") or filename
        for base in [*(request.get("urls") or []), *self.source_urls]:
            if isinstance(base, str):
                yield base + ("" if base.endswith(("/", "=")) else "/") + remote_name
            elif isinstance(base, tuple) and len(base) == 2:
                yield f"{base[0]}/{remote_name}/{base[1]}"


def _letter(software: str) -> str:
    from easybuild.framework.easyconfig.easyconfig import letter_dir_for

    letter: str = letter_dir_for(software)
    return letter


def _files(parsed: dict[str, Any]) -> tuple[WantedFile, ...]:
    from easybuild.framework.easyblock import get_easyblock_instance

    block = get_easyblock_instance(parsed)
    easyconfig = block.cfg
    recorder = Recorder(list(easyconfig["source_urls"]), (Path(parsed["spec"]).parent,))
    block.obtain_file = recorder.obtain_file
    checksums = easyconfig["checksums"]
    block.fetch_sources(checksums=checksums)
    after_sources = checksums[len(block.src) :] if isinstance(checksums, (list, tuple)) else checksums
    block.fetch_patches(checksums=after_sources)
    wanted = [recorder.wanted(one["path"], FileRole.SOURCE, one["checksum"], block.name) for one in block.src]
    wanted += [recorder.wanted(one["path"], FileRole.PATCH, one["checksum"], block.name) for one in block.patches]
    if easyconfig.get_ref("exts_list"):
        for extension in block.collect_exts_file_info(fetch_files=True, verify_checksums=False):
            sums = extension.get("checksums")
            if extension.get("src"):
                path = extension["src"]
                checksum = block.get_checksum_for(sums, filename=path.rsplit("/", 1)[-1], index=0)
                wanted.append(recorder.wanted(path, FileRole.SOURCE, checksum, block.name))
            for number, patch in enumerate(extension.get("patches") or [], start=1):
                checksum = block.get_checksum_for(sums, filename=patch["name"], index=number)
                wanted.append(recorder.wanted(patch["path"], FileRole.PATCH, checksum, block.name))
    return tuple(dict.fromkeys(wanted))


def _planned(parsed: dict[str, Any]) -> PlannedInstallation:
    easyconfig = parsed["ec"]
    toolchain = easyconfig["toolchain"]
    system = toolchain["name"].lower() == "system"
    return PlannedInstallation(
        module=parsed["full_mod_name"],
        name=easyconfig["name"],
        version=easyconfig["version"],
        versionsuffix=easyconfig["versionsuffix"] or "",
        toolchain="system" if system else f"{toolchain['name']}-{toolchain['version']}",
        easyconfig=Path(parsed["spec"]),
        files=_files(parsed),
    )


def read(request: ReaderRequest) -> ReaderAnswer:
    """The plan for `request`, or EasyBuild's own sentence about what is wrong with it."""
    from easybuild.framework.easyconfig.tools import det_easyconfig_paths, parse_easyconfigs
    from easybuild.framework.easystack import parse_easystack
    from easybuild.tools import modules
    from easybuild.tools.build_log import EasyBuildError
    from easybuild.tools.options import set_up_configuration
    from easybuild.tools.robot import resolve_dependencies
    from easybuild.tools.version import VERSION

    try:
        set_up_configuration(
            args=reader_arguments(request.robot_paths, request.filter_dependencies, request.scratch),
            logfile=str(Path(request.scratch) / "reader.log"),
            silent=True,
        )
        # With no modules tool to choose from EasyBuild takes the one that does nothing: reading needs no Lmod.
        modules.avail_modules_tools = dict
        names = [name for path in request.easystacks for name, _options in parse_easystack(path).ec_opt_tuples]
        paths = [(path, False) for path in det_easyconfig_paths(list(dict.fromkeys(names)))]
        easyconfigs, _generated = parse_easyconfigs(paths, validate=False)
        ordered = resolve_dependencies(easyconfigs, NothingInstalled(), retain_all_deps=True)
        return ReaderAnswer(BuildPlan(str(VERSION), tuple(_planned(parsed) for parsed in ordered)))
    except EasyBuildError as error:
        return ReaderAnswer(refused=str(error.msg))


def main() -> None:
    request_path, answer_path = map(Path, sys.argv[1:3])
    request = msgspec.json.decode(request_path.read_bytes(), type=ReaderRequest)
    answer_path.write_bytes(encode_answer(read(request)))


if __name__ == "__main__":
    main()
