"""What a publication of software says of the layer that it stands on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from outcrop.compat.family import family_named
from outcrop.compat.layout import STARTPREFIX, LayerLayout
from outcrop.cvmfs.paths import ROOT
from outcrop.delivery.publish import missing_layer
from outcrop.software.layer_below import LayerBelow
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from tests.cli.owned import NAME, own_repository


def test_software_whose_layer_is_not_published_is_told_of(tmp_path: Path, home: Path) -> None:
    repository = own_repository(tmp_path)
    layout = LayerLayout(NAME, "2026.06", family_named("x86_64"))
    layer = LayerBelow(layout, tmp_path / "tree" / layout.relative)
    before = repository.manifest(repository.signing_key())
    (text,) = missing_layer(repository, layer, before)
    assert text.startswith(f"{NAME} has no compatibility layer for x86_64, on which this was built")
    assert f"`outcrop compat publish {layer.tree} {NAME}`" in text

    (layer.tree / STARTPREFIX).parent.mkdir(parents=True)
    (layer.tree / STARTPREFIX).touch()
    tree = DirectoryTree(tmp_path / "tree", with_xattrs=False)
    outcome = ingest(repository, IngestRequest(trees=(tree,), at=ROOT), now=datetime.now(UTC))
    assert missing_layer(repository, layer, outcome.manifest) == ()
