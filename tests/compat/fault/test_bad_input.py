"""What cannot be built: it is told in one sentence with a hint, and nothing is left of the attempt."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.errors import IntegrityError, InvalidValue, TrustError
from tests.compat.debian.archive_made_here import MadeArchive, MadeKey
from tests.compat.debian.packages_made_here import MadePackage
from tests.compat.fault.layer_scenario import LayerScenario
from tests.compat.layer_publisher import FAMILY, PLACE, archive
from tests.faulty_server import wrong_bytes
from tests.stratum0.fault.commands import Ended
from tests.stratum0.fault.sweep import SECONDS

pytestmark = [
    pytest.mark.fault,
    pytest.mark.integration,
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("layer-faults"),
]

_TOLD = re.compile(r"error: (?P<sentence>[^\n]+)\n\nhint: [^\n]+\Z")

WANTED = '[[package]]\nname = "{name}"\nreason = "wanted"\n'


@pytest.fixture(autouse=True)
def machine(scenario: LayerScenario) -> None:
    """A machine without a layer, whose archive has one."""
    scenario.begin("nothing")
    scenario.serve()


def told(ended: Ended) -> str:
    """The one sentence that a command ended with."""
    match = _TOLD.search(ended.output)
    assert match, ended
    return match["sentence"]


def refused(scenario: LayerScenario, code: int, *options: str) -> str:
    """The sentence with which a build is refused that leaves nothing, neither a tree nor a scratch directory."""
    sentence = told(scenario.run(*scenario.building, *options, code=code))
    assert not scenario.tree.exists()
    assert scenario.leftovers() == []
    return sentence


def want(scenario: LayerScenario, name: str) -> None:
    """One more set, which wants the package `name`."""
    text = 'purpose = "more"\n' + WANTED.format(name=name)
    (scenario.arena / "stack" / "compat" / "more.toml").write_text(text)


def released(key: MadeKey, *further: MadePackage, lasts: timedelta = timedelta(days=2)) -> MadeArchive:
    return archive(key, b"a library", b"a program", "1.0-1", further, lasts)


def test_a_package_that_does_not_exist_is_named(scenario: LayerScenario, tmp_path: Path) -> None:
    want(scenario, "fish")
    assert "the package fish does not exist in bookworm" in refused(scenario, InvalidValue.exit_code)
    lock = tmp_path / "layer.json"
    planning = ("compat", "plan", "--lock", str(lock), *scenario.sources)
    assert "fish" in told(scenario.run(*planning, code=InvalidValue.exit_code))
    assert not lock.exists()


UNSATISFIABLE = {
    "needs gone (>= 2), which bookworm does not have": {"Depends": "gone (>= 2)"},
    "the packages bad and libthing1 cannot be in one layer": {"Conflicts": "libthing1"},
}


@pytest.mark.parametrize("sentence", UNSATISFIABLE)
def test_a_set_that_cannot_be_satisfied_is_told(scenario: LayerScenario, archive_key: MadeKey, sentence: str) -> None:
    python = MadePackage("python3.11", "3.11.2-6", FAMILY.debian)
    bad = MadePackage("bad", architecture=FAMILY.debian, fields=UNSATISFIABLE[sentence])
    scenario.site.files = released(archive_key, python, bad).files
    want(scenario, "bad")
    assert sentence in refused(scenario, InvalidValue.exit_code)


def of_nobody(key: MadeKey, _: MadeKey) -> MadeArchive:
    made = released(key)
    name = "dists/bookworm/InRelease"
    lines = made.files[name].split(b"\n\n", 1)[1].split(b"-----BEGIN PGP SIGNATURE-----")
    made.files[name] = lines[0]
    return made


def of_another(_: MadeKey, foreign: MadeKey) -> MadeArchive:
    return released(foreign)


def expired(key: MadeKey, _: MadeKey) -> MadeArchive:
    return released(key, lasts=timedelta(hours=-1))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (of_nobody, "it has no signature that holds"),
        (of_another, "it is signed by the key"),
        (expired, "it was good until"),
    ],
)
def test_metadata_that_prove_nothing_are_not_used(
    scenario: LayerScenario,
    archive_key: MadeKey,
    foreign_key: MadeKey,
    made: Callable[[MadeKey, MadeKey], MadeArchive],
    sentence: str,
) -> None:
    scenario.site.files = made(archive_key, foreign_key).files
    assert sentence in refused(scenario, TrustError.exit_code)
    assert [path for path in scenario.mirror.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("what", ["Packages.xz", "libthing1"])
def test_a_mirror_with_a_wrong_digest_is_told_and_a_right_one_goes_on(scenario: LayerScenario, what: str) -> None:
    wrong = [name for name in scenario.site.files if what in name or (what == "Packages.xz" and "by-hash" in name)]
    for name in wrong:
        scenario.site.faults[name] = wrong_bytes(scenario.site.files[name] + b"x")
    assert "is damaged" in refused(scenario, IntegrityError.exit_code)
    scenario.site.faults.clear()
    scenario.site.requests.clear()
    scenario.run(*scenario.building)
    # What was fetched before, and was right, is not fetched again.
    fetched = [name for name in scenario.site.requests if name.endswith(".deb")]
    assert (len(fetched) < 3) == (what != "Packages.xz")


def test_a_prefix_too_long_for_a_script_is_told_and_the_old_layer_stays(scenario: LayerScenario) -> None:
    scenario.begin("layer")
    long = "2026.06-" + "x" * 80
    ended = scenario.run(*scenario.building, "--version", long, code=InvalidValue.exit_code)
    assert re.search(r"is too long: the first line of usr/bin/script would have 1\d\d bytes", told(ended))
    assert not (scenario.arena / "tree" / PLACE.replace("2026.06", long)).exists()
    assert not (scenario.arena / "tree" / "versions" / long).exists()
    assert scenario.tree.exists()
    elsewhere = scenario.arena / "new" / "tree"
    building = [str(elsewhere) if word == str(scenario.arena / "tree") else word for word in scenario.building]
    scenario.run(*building, "--version", long, code=InvalidValue.exit_code)
    assert not elsewhere.parent.exists()
