"""Wheels made without any tool that builds some: whole ones, and ones with a fault."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

INDEX = "https://index.example.org/simple"


def record_row(path: str, data: bytes, algorithm: str = "sha256") -> str:
    """A row of RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).decode().rstrip("=")
    return f"{path},{algorithm}={digest},{len(data)}"


@dataclass(frozen=True)
class MadeWheel:
    """`fields` are further lines of METADATA; `entries` stand in the archive and in RECORD as they are; `changed` makes
    another RECORD of the right one."""

    name: str = "thing"
    version: str = "1.0"
    tag: str = "py3-none-any"
    files: Mapping[str, bytes] = field(default_factory=lambda: {"thing/__init__.py": b"def main():\n    pass\n"})
    fields: Sequence[str] = ()
    entry_points: str = ""
    metadata: str = ""
    wheel: str = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    entries: Sequence[tuple[zipfile.ZipInfo, bytes]] = ()
    changed: Callable[[str], str] = lambda text: text

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-{self.tag}.whl"

    @property
    def dist_info(self) -> str:
        return f"{self.name}-{self.version}.dist-info"

    @property
    def data(self) -> bytes:
        named = self.metadata or "\n".join(
            ("Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}", *self.fields, "")
        )
        contents = {
            **self.files,
            f"{self.dist_info}/METADATA": named.encode(),
            f"{self.dist_info}/WHEEL": self.wheel.encode(),
        }
        if self.entry_points:
            contents[f"{self.dist_info}/entry_points.txt"] = self.entry_points.encode()
        entries = [*((zipfile.ZipInfo(path), data) for path, data in contents.items()), *self.entries]
        rows = [record_row(entry.filename, data) for entry, data in entries]
        record = f"{self.dist_info}/RECORD"
        written = self.changed("\n".join((*rows, f"{record},,", "")))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            for entry, data in (*entries, (zipfile.ZipInfo(record), written.encode())):
                zipped.writestr(entry, data, zipfile.ZIP_DEFLATED)
        return archive.getvalue()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def put(self, directory: Path) -> Path:
        """Its file in `directory`, by another name than its own, as in a mirror."""
        path = directory / self.sha256
        path.write_bytes(self.data)
        return path

    def pages(self) -> dict[str, bytes]:
        """What an index answers, by address."""
        link = f'<a href="../../files/{self.file}#sha256={self.sha256}">{self.file}</a>'
        name = self.name.replace("_", "-").lower()
        return {f"{INDEX}/{name}/": link.encode(), f"https://index.example.org/files/{self.file}": self.data}

    def described(self) -> str:
        """How a set names it."""
        return (
            f'[[wheel]]\nname = "{self.name}"\nversion = "{self.version}"\nfile = "{self.file}"\n'
            f'sha256 = "{self.sha256}"\nreason = "{self.name} is wanted"\n'
        )
