"""A small layer from a real release, from its plan to its proof.

Where the packages come from, and what a machine needs for that, is said in `layers.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from outcrop.cli.compat_options import chosen_description
from outcrop.compat.family import this_family
from outcrop.compat.rebuild import compared, original_layer
from outcrop.compat.record import latest_record, recorded_layout, recorded_lock
from outcrop.compat.sealed_root import sealed_root
from outcrop.compat.verify.choices import choices_for
from outcrop.compat.verify.instructions import instructions
from outcrop.compat.verify.layer import verify_layer
from outcrop.compat.verify.oldest import emulated
from outcrop.compat.verify.packages import wanted_packages
from outcrop.compat.verify.recorded import recorded_verification
from outcrop.compat.verify.report import Means
from outcrop.compat.verify.shown import show_as_client
from outcrop.compat.wheels.placing import PURE
from outcrop.errors import IntegrityError
from tests.compat.lacking import lacking
from tests.compat.layers import NEEDS_A_RELEASE
from tests.compat.wheels.wheels_made_here import MadeWheel
from tests.faulty_server import Site, serving

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("layer"),
    *NEEDS_A_RELEASE,
]

FAMILY = this_family().name
NO_SUCH_INSTRUCTION = 132
"""The exit code of a program that SIGILL ended."""

LAYER = """
back_end = "debian"
release = "bookworm"
suites = ["bookworm"]
standard_sets = false
trusted_directories = ["lib/override", "lib/nvidia", "lib/amd"]
locales = []

[[drop]]
paths = ["usr/share/doc/**", "!usr/share/doc/*/copyright", "usr/share/man/**", "usr/share/locale/**"]
reason = "nobody reads it here"

[[drop]]
paths = ["usr/sbin/**", "!usr/sbin/ldconfig", "!usr/sbin/iconvconfig", "etc/init.d/**", "etc/rmt", "usr/bin/bashbug"]
reason = "an administrator's"

[[exclude]]
name = "debconf"
reason = "asks questions on a host"

[[host]]
path = "etc/passwd"
host = "/etc/passwd"
reason = "accounts"

[[host_path]]
path = "/run/nscd"
reason = "the socket of the name server's cache"

[[host]]
path = "etc/nsswitch.conf"
host = "/etc/nsswitch.conf"
reason = "where accounts are"
"""

SMALL = """
purpose = "the least that a proof needs"

[[package]]
name = "bash"
reason = "the shell"
programs = ["bash"]

[[package]]
name = "dash"
reason = "the system's shell"
programs = ["sh"]
answers = { sh = "Illegal option" }

[[package]]
name = "coreutils"
reason = "the tools"
programs = ["ls", "timeout"]

[[package]]
name = "libc-bin"
reason = "the loader's index, and conversions"
programs = ["iconv"]

[[package]]
name = "python3-minimal"
reason = "runs the wheel"
programs = ["python3"]
"""

WHEEL = MadeWheel(
    files={"thing/__init__.py": b"import sys\n\ndef main():\n    print('made here')\n"},
    fields=["Requires-Python: >=3.9", "License: MIT"],
    entry_points="[console_scripts]\nthing = thing:main\n",
)


@dataclass(frozen=True)
class Workplace:
    """A stack's directory, the mirror of packages, and the layer that was built."""

    stack: Path
    mirror: Path
    trees: Path

    @property
    def layer(self) -> Path:
        return self.trees / "versions/2026.06/compat/linux" / FAMILY

    def outcrop(self, *words: str, code: int = 0, index: str = "http://127.0.0.1:9", at: Path | None = None) -> str:
        """What `outcrop compat …` answers, run in the stack's directory or `at` another; `index` is where pip looks, by
        default nowhere."""
        command = [sys.executable, "-m", "outcrop", "compat", *words]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OUTCROP_", "PIP_"))
        } | {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index}
        ended = subprocess.run(
            command, cwd=at or self.stack, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout if code == 0 else ended.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = tmp_path_factory.mktemp("layer")
    (place / "stack/compat").mkdir(parents=True)
    (place / "stack/stack.toml").write_text('repository = "software.example.org"\nversion = "2026.06"\n')
    (place / "stack/compat/layer.toml").write_text(LAYER)
    (place / "stack/compat/small.toml").write_text(SMALL + WHEEL.described())
    made = Workplace(place / "stack", place / "mirror", place / "trees")
    site = Site({urlsplit(url).path.removeprefix("/"): data for url, data in WHEEL.pages().items()})
    words = ["build", "--family", FAMILY, "--mirror", str(made.mirror), "--tree", str(made.trees)]
    with serving(site) as url:
        made.outcrop(*words, index=f"{url}/simple")
    return made


def test_the_plan_says_why_each_package_is_there(workplace: Workplace) -> None:
    plan = json.loads(workplace.outcrop("plan", "--family", FAMILY, "--mirror", str(workplace.mirror), "--json"))
    packages = {one["name"]: one for one in plan["layers"][0]["packages"]}
    assert packages["bash"]["reason"] == "the shell"
    assert packages["libtinfo6"]["reason"] == "needed by bash"
    assert "debconf" not in packages
    assert any(one["licences"] for one in packages.values())
    assert plan["layers"][0]["size"] < 20e6
    (wheel,) = plan["layers"][0]["wheels"]
    assert (wheel["name"], wheel["reason"], wheel["licences"]) == ("thing", "thing is wanted", ["MIT"])


def test_the_wheel_is_a_part_of_the_layer(workplace: Workplace) -> None:
    layout = recorded_layout(workplace.layer)
    root = sealed_root(layout, workplace.layer)
    assert root.require([f"{layout.prefix}/usr/bin/thing"]).stdout == "made here\n"
    assert (workplace.layer / PURE / "thing-1.0.dist-info/RECORD").is_file()
    record = latest_record(workplace.layer)
    assert record is not None
    assert f"placed the wheel {WHEEL.file}" in (record / "build.log").read_text()


def test_the_layer_is_what_it_promises_far_from_its_stack(workplace: Workplace, tmp_path: Path) -> None:
    lacks = lacking(workplace.layer, tmp_path)
    without = [word for means in sorted(lacks) for word in ("--without", str(means))]
    report = json.loads(workplace.outcrop("verify", str(workplace.layer), *without, "--json", at=tmp_path))
    assert report["passed"], [check for check in report["checks"] if check["findings"]]
    not_made = {check["name"] for check in report["checks"] if check["not_made"]}
    assert set(report["not_proven"]) == not_made
    numbers = {check["name"]: check["number"] for check in report["checks"] if check["name"] not in not_made}
    assert [name for name, number in numbers.items() if not number] == []
    assert min(number for name, number in numbers.items() if name.startswith("programs start")) > 100
    assert numbers["jobs in an empty root"] >= 3
    assert numbers["packages"] > 10
    assert numbers.get("instructions", 101) > 100


def test_what_the_machine_lacks_is_no_proof(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bwrap", "true"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = ("links", "jobs beside musl", "nothing of the host")
    layer = recorded_verification(workplace.layer, chosen_description(workplace.stack))
    report = verify_layer(layer, wanted=wanted.__contains__)
    assert [one.name for one in report.unproven] == [*wanted[1:]]
    assert report.lacks == (Means.MUSL, Means.TRACER)
    assert verify_layer(replace(layer, without=frozenset(report.lacks)), wanted=wanted.__contains__).passed


def test_a_program_that_needs_a_newer_processor_is_found(workplace: Workplace, tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if FAMILY != "x86_64" or compiler is None or " avx2 " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("needs a compiler, and a processor of x86_64 that has AVX2")
    shutil.copytree(workplace.layer, tmp_path / "layer", symlinks=True)
    source = tmp_path / "t.c"
    source.write_text('int main(void) { __asm__ volatile ("vpxor %ymm0, %ymm0, %ymm0"); return 0; }')
    program = tmp_path / "layer/usr/bin/newer"
    subprocess.run([compiler, "-static", str(source), "-o", str(program)], check=True)
    layout = recorded_layout(workplace.layer)
    looked = instructions(tmp_path / "layer", layout.family, choices_for(layout.family), 1)
    assert [(one.subject, "avx2 (" in one.problem) for one in looked.findings] == [("usr/bin/newer", True)]
    strays = wanted_packages(tmp_path / "layer", recorded_lock(workplace.layer), ["bash"]).findings
    assert [one.subject for one in strays] == ["usr/bin/newer"]
    root = sealed_root(layout, tmp_path / "layer")
    oldest = emulated(root, tmp_path / "oldest")
    if isinstance(oldest, str):
        pytest.skip(oldest)
    command = [f"{layout.prefix}/usr/bin/newer"]
    assert root.run(command).returncode == 0
    assert oldest.run(command).returncode == NO_SUCH_INSTRUCTION
    within = [f"{layout.prefix}/usr/bin/bash", "-c", f"{command[0]}; echo $?"]
    assert oldest.run(within).stdout == f"{NO_SUCH_INSTRUCTION}\n"


def test_a_layer_without_the_system_s_shell_runs_on_the_oldest_processor(workplace: Workplace, tmp_path: Path) -> None:
    layout = recorded_layout(workplace.layer)
    shutil.copytree(workplace.layer, tmp_path / "layer", symlinks=True)
    if isinstance(reason := emulated(sealed_root(layout, tmp_path / "layer"), tmp_path / "first"), str):
        pytest.skip(reason)
    for name in ("sh", "dash"):
        (tmp_path / "layer/usr/bin" / name).unlink()
    oldest = emulated(sealed_root(layout, tmp_path / "layer"), tmp_path / "oldest")
    assert not isinstance(oldest, str)
    assert oldest.run([f"{layout.prefix}/usr/bin/ls", "/"]).returncode == 0


def test_it_is_built_again_without_a_network(workplace: Workplace, tmp_path: Path) -> None:
    record = latest_record(workplace.layer)
    assert record is not None
    shutil.copytree(record, tmp_path / "record")
    again = ["rebuild", "--mirror", str(workplace.mirror), "--tree", str(tmp_path / "again"), "--json"]
    answer = json.loads(workplace.outcrop(*again, "--lock", str(tmp_path / "record/lock.json"), at=tmp_path))
    assert answer["differences"] == []
    assert answer["compared"] > 100
    assert compared(original_layer(workplace.layer), Path(answer["tree"])) == ()


@pytest.fixture
def delivered(workplace: Workplace, tmp_path: Path) -> Path:
    """The layer as a client at a site shows it."""
    show_as_client(workplace.layer, tmp_path / "delivered", {"EESSI_202606_COMPAT_ETC_PASSWD": "/site/passwd"})
    assert (tmp_path / "delivered/etc/passwd").readlink() == Path("/site/passwd")
    return tmp_path / "delivered"


def test_a_delivered_layer_is_the_one_that_is_built_again(
    workplace: Workplace, delivered: Path, tmp_path: Path
) -> None:
    again = ["rebuild", str(delivered), "--mirror", str(workplace.mirror), "--tree", str(tmp_path / "again")]
    assert json.loads(workplace.outcrop(*again, "--json"))["differences"] == []


def test_a_delivered_layer_is_what_the_layer_promises(workplace: Workplace, delivered: Path, tmp_path: Path) -> None:
    without = [f"--without={means}" for means in sorted(lacking(workplace.layer, tmp_path))]
    report = json.loads(workplace.outcrop("verify", str(delivered), "--json", *without))
    assert report["passed"], [check for check in report["checks"] if check["findings"]]


def test_a_package_that_was_damaged_in_the_mirror_is_not_built_in(workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(workplace.mirror, tmp_path / "mirror")
    lock = next(workplace.layer.glob("reprod/*/lock.json"))
    digest = next(one["sha256"] for one in json.loads(lock.read_text())["packages"] if one["name"] == "bash")
    place = tmp_path / "mirror/sha256" / digest[:2] / digest
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    again = ["rebuild", str(workplace.layer), "--mirror", str(tmp_path / "mirror"), "--tree", str(tmp_path / "again")]
    said = workplace.outcrop(*again, code=IntegrityError.exit_code)
    assert f"(SHA-256 {digest}) is damaged: {place} has other bytes" in said
    assert not (tmp_path / "again").exists()


def test_what_was_changed_afterwards_is_found(workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(workplace.layer, tmp_path / "layer", symlinks=True)
    (tmp_path / "layer/usr/bin/ls").chmod(0o4755)
    (tmp_path / "layer/usr/bin/new").write_text("#!/bin/sh\n")
    (tmp_path / "layer/usr/bin/dangling").symlink_to("nothing")
    with (tmp_path / "layer/usr/bin/cat").open("ab") as file:
        file.write(b"x")
    (tmp_path / "layer/usr/bin/timeout").unlink()
    said = workplace.outcrop("verify", str(tmp_path / "layer"), code=1)
    for words in (
        "usr/bin/ls runs with the rights of its owner",
        "usr/bin/new was not there when the layer was built",
        "usr/bin/dangling leads to nothing, which does not exist",
        "usr/bin/cat has changed since the layer was built",
        "usr/bin/timeout is missing",
        "timeout is named by a set, and is not there",
    ):
        assert words in said


def test_a_layer_that_is_there_is_not_overwritten_unasked(workplace: Workplace) -> None:
    said = workplace.outcrop(
        "build", "--family", FAMILY, "--mirror", str(workplace.mirror), "--tree", str(workplace.trees), code=1
    )
    assert "already exists" in said
    assert "--replace" in said


PLANTED = {
    "reads": "read line < /etc/evil",
    "connects": "exec {prefix}/usr/bin/python3 -c 'import _socket; _socket.socket(1).connect_ex(\"/run/evil\")'",
    "imports": "exec {prefix}/usr/bin/python3 -c 'import nothing_of_this_name'",
    "preloads": "[ ! -e /etc/ld.so.preload ]",
    "loads": "[ ! -e /lib/libc.so.6 ]",
    "prefers": "[ ! -e /bin/busybox ]",
    "seq": "echo 21",
    "python3.99": ": another Python",
}
"""Scripts by their names in `usr/bin`, each with a fault; those that a set names must end with 0."""

NAMED = ("preloads", "loads", "prefers")


def plant(tree: Path, prefix: str) -> None:
    """Makes the layer `tree` wrong in every way that verification looks for."""
    programs = tree / "usr/bin"
    (programs / "seq").unlink()
    for name, script in PLANTED.items():
        (programs / name).write_text(f"#!{prefix}/usr/bin/sh\n{script.format(prefix=prefix)}\n")
        (programs / name).chmod(0o755)
    # Has the host's interpreter, as every program of this machine.
    shutil.copy(os.path.realpath("/bin/true"), programs / "foreign")
    (programs / "dangling").symlink_to("nothing")
    (programs / "ls").chmod(0o4755)
    (programs / "cat").chmod(0o757)
    (tree / "etc/built").write_text("in /srv/outcrop-compat-0-abc/layer\n")
    (tree / "etc/outside").symlink_to("/etc/hostname")


def test_each_fault_is_found_by_the_check_for_it(workplace: Workplace, tmp_path: Path) -> None:
    tree = tmp_path / "layer"
    shutil.copytree(workplace.layer, tree, symlinks=True)
    wanted = recorded_verification(tree, chosen_description(workplace.stack))
    plant(tree, str(wanted.layout.prefix))
    wanted = replace(wanted, programs={**wanted.programs, **dict.fromkeys((*NAMED, "gone"), 0)})
    capable = give_capability(tree / "usr/bin/date")
    lacks = lacking(workplace.layer, tmp_path) & {Means.MUSL, Means.TRACER}
    checks = {
        "the files of the record": {"etc/built", "usr/bin/foreign", *(f"usr/bin/{name}" for name in PLANTED)},
        "permissions": {"usr/bin/ls", "usr/bin/cat", *(["usr/bin/date"] if capable else [])},
        "links": {"usr/bin/dangling", "etc/outside"},
        "paths of the build machine": {"etc/built"},
        "packages": {"etc/built", "usr/bin/foreign", *(f"usr/bin/{name}" for name in PLANTED if name != "seq")},
        "programs that sets name": {"gone", "usr/bin/python3.99"},
        "programs start in an empty root": {"usr/bin/foreign", "usr/bin/imports"},
        "jobs in an empty root": {"shell"},
        "programs start on a hostile host": {
            "usr/bin/foreign", "usr/bin/imports", "usr/bin/preloads", "usr/bin/loads",
        },
        "programs start beside musl": {"usr/bin/foreign", "usr/bin/imports", "usr/bin/prefers"},
        "nothing of the host": {
            "usr/bin/foreign", "usr/bin/imports", "/etc/evil", "/run/evil",
            "/bin/busybox", "/etc/ld.so.preload", "/lib/libc.so.6",
        },
    }  # fmt: skip
    report = verify_layer(replace(wanted, without=frozenset(lacks)), wanted=checks.__contains__)
    found = {
        result.name: {finding.subject for finding in result.checked.findings}
        for result in report.results
        if not result.not_made
    }
    assert found == {name: subjects for name, subjects in checks.items() if name in found}
    assert len(found) == len(checks) - len(lacks)


def give_capability(program: Path) -> bool:
    """Lets the program send packets of any kind, if we may."""
    try:
        os.setxattr(program, "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    except OSError:
        return False
    return True
