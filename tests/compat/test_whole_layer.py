"""The layer with compilers, as people use it, is what it promises.

A run of the tests makes the checks of files, has all programs and jobs beneath the tracer, and does the jobs in an
empty root. With OUTCROP_TEST_SWEEP=all (`make fault`) it makes all checks, which takes minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.cli.compat_options import chosen_description
from outcrop.compat.verify.jobs import JOBS
from outcrop.compat.verify.layer import verify_layer
from outcrop.compat.verify.recorded import recorded_verification
from outcrop.compat.verify.report import Means
from tests.compat.lacking import lacking
from tests.compat.layers import BUILD_SECONDS, NEEDS_A_RELEASE, SharedLayer
from tests.stratum0.fault.sweep import IS_WHOLE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.fault,
    pytest.mark.slow,
    pytest.mark.xdist_group("compilers"),
    pytest.mark.timeout(BUILD_SECONDS),
    *NEEDS_A_RELEASE,
]

REPEATED = {
    "instructions",
    "programs start in an empty root",
    "programs start on a hostile host",
    "programs start beside musl",
    "jobs on a hostile host",
    "jobs beside musl",
    "programs start on the oldest processor",
    "jobs on the oldest processor",
}
"""What a run of the tests leaves to a sweep. All programs are started beneath the tracer, too."""


FOR_SOFTWARE = {"tmp", "var/tmp"}
"""Links that only what is built on the layer may follow."""


def test_the_layer_with_compilers_is_what_it_promises(layer_with_compilers: SharedLayer, tmp_path: Path) -> None:
    lacks = lacking(layer_with_compilers.tree, tmp_path)
    layer = recorded_verification(
        layer_with_compilers.tree,
        chosen_description(layer_with_compilers.stack),
        frozenset(lacks),
    )
    report = verify_layer(layer, wanted=lambda name: IS_WHOLE or name not in REPEATED)
    assert report.passed, [(one.name, one.checked.findings) for one in report.results if not one.passed]
    assert {one.name for one in report.unproven} == {one.name for one in report.results if one.not_made}
    numbers = {one.name: one.checked.number for one in report.results}
    assert numbers["jobs in an empty root"] + numbers["jobs that need accounts"] == len(JOBS)
    assert numbers["programs that sets name"] > 200
    if Means.TRACER not in lacks:
        assert numbers["nothing of the host"] > 100_000


def test_each_link_to_the_host_is_one_that_programs_follow(layer_with_compilers: SharedLayer) -> None:
    tree, prefix = layer_with_compilers.tree, layer_with_compilers.layout.prefix
    files = [path for place in ("bin", "sbin", "lib") for path in (tree / "usr" / place).rglob("*") if path.is_file()]
    names = {link.path for link in chosen_description(layer_with_compilers.stack).host_links} - FOR_SOFTWARE
    unseen = {name: f"{prefix}/{name}".encode() for name in names}
    for path in files:
        data = path.read_bytes()
        unseen = {name: text for name, text in unseen.items() if text not in data}
    assert unseen == {}
