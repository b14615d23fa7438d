"""Links that are set before anything runs, since they come from texts of packages; and that a program of the layer
which fails ends the build, by a stand-in for the sealed root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.debian.alternatives import Alternative
from outcrop.compat.family import family_named
from outcrop.compat.finish import add_alternatives, add_links, finish, write_own_files
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import DeclaredLink, HostLink, LayerDescription, Uncompiled, read_description
from outcrop.compat.sealed_root import SealedRoot
from outcrop.cvmfs.names import repository_name
from outcrop.errors import CommandFailed, OutcropError

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))
DEFAULTS = "/cvmfs/software.example.org/defaults"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "a" / "tree"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "mawk").touch()
    return root


def description(
    *, host: tuple[HostLink, ...] = (), links: tuple[DeclaredLink, ...] = (), trusted: tuple[str, ...] = ()
) -> LayerDescription:
    return replace(read_description(), host_links=host, links=links, trusted_directories=trusted, locales=())


def links_below(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): os.readlink(path) for path in root.rglob("*") if path.is_symlink()}


def test_alternatives_are_linked_where_their_targets_are(tree: Path) -> None:
    asked = [Alternative("/usr/bin/awk", "/usr/bin/mawk", 5), Alternative("/usr/bin/pager", "/usr/bin/less", 5)]
    add_links(tree, LAYOUT, description(), asked)
    assert links_below(tree) == {"usr/bin/awk": "/usr/bin/mawk"}


def test_alternatives_come_only_where_nothing_is_yet_and_are_told(tree: Path) -> None:
    (tree / "usr" / "bin" / "gawk").touch()
    add_links(tree, LAYOUT, description(), [Alternative("/usr/bin/awk", "/usr/bin/mawk", 5)])
    asked = [Alternative("/usr/bin/awk", "/usr/bin/gawk", 10), Alternative("/bin/nawk", "/usr/bin/gawk", 10)]
    assert add_alternatives(tree, asked) == ["usr/bin/nawk"]
    assert links_below(tree) == {"usr/bin/awk": "/usr/bin/mawk", "usr/bin/nawk": "/usr/bin/gawk"}


def test_bytecode_is_made_of_what_ships_alone(tree: Path) -> None:
    with_files(tree, "usr/bin/python3", "usr/lib/python3/dist-packages/six.py")
    told: list[str] = []
    taken = tree / "usr/lib/python3"
    finish(root_where(tree, "nothing"), description(), told=told.append, take_away=lambda: shutil.rmtree(taken))
    assert "dist-packages" not in (tree.parent / "heard").read_text()
    assert "usr/lib/python3" not in (tree.parent / "heard").read_text()
    assert told[:2] == ["finished: locales", "finished: only for building"]


def test_a_file_of_a_package_is_kept_where_a_script_wants_a_link(tree: Path) -> None:
    (tree / "usr" / "bin" / "awk").write_text("a file")
    add_links(tree, LAYOUT, description(), [Alternative("/bin/awk", "/bin/mawk", 5)])
    assert (tree / "usr" / "bin" / "awk").read_text() == "a file"


def test_a_host_s_file_is_a_link_that_a_site_can_redirect(tree: Path) -> None:
    host = HostLink("etc/passwd", "/etc/passwd", "a reason")
    add_links(tree, LAYOUT, description(host=(host,)), [])
    assert links_below(tree) == {"etc/passwd": f"$(EESSI_202606_COMPAT_ETC_PASSWD:-{DEFAULTS}/compat/etc/passwd)"}


def test_a_directory_of_libraries_is_a_link_that_a_site_can_redirect_also_if_it_dangles(tree: Path) -> None:
    (tree / "usr" / "lib").mkdir()
    (tree / "lib").symlink_to("usr/lib")
    for _ in range(2):
        add_links(tree, LAYOUT, description(trusted=("lib/override", "lib/nvidia")), [])
    assert links_below(tree) == {
        "lib": "usr/lib",
        "usr/lib/override": f"$(EESSI_202606_LIB_OVERRIDE:-{DEFAULTS}/override)",
        "usr/lib/nvidia": f"$(EESSI_202606_NVIDIA_OVERRIDE:-{DEFAULTS}/nvidia)",
    }


def test_a_declared_link_replaces_what_is_there(tree: Path) -> None:
    (tree / "usr" / "bin" / "sh").write_text("old")
    add_links(tree, LAYOUT, description(links=(DeclaredLink("usr/bin/sh", "dash", "a reason"),)), [])
    assert links_below(tree) == {"usr/bin/sh": "dash"}


@pytest.mark.parametrize("link", ["/usr/../../outside/planted", "/../planted", "/usr/way/planted"])
def test_a_script_s_link_does_not_leave_the_tree(tree: Path, link: str) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (tree / "usr" / "way").symlink_to(outside)
    with suppress(OutcropError):  # refusing it is as good as leaving it out
        add_links(tree, LAYOUT, description(), [Alternative(link, "/usr/bin/mawk", 5)])
    assert links_below(tree.parent) == {"tree/usr/way": str(outside)}


def test_startprefix_keeps_what_sessions_batch_systems_and_the_stack_say(tmp_path: Path) -> None:
    name = repository_name("software.example.org")
    layout = LayerLayout(name, "2026.06", family_named("x86_64"), PurePosixPath(tmp_path), "ACME_")
    tree = Path(layout.prefix)
    (tree / "usr/bin").mkdir(parents=True)
    for program in ("bash", "env"):
        (tree / "usr/bin" / program).symlink_to(str(shutil.which(program)))
    write_own_files(tree, layout)
    kept = {
        "HOME": "/home",
        "KRB5CCNAME": "FILE:/x",
        "SLURM_JOB_ID": "7",
        "PMI_RANK": "0",
        "ACME_X": "a b",
        "LC_ALL": "C",
    }
    lost = {"LD_LIBRARY_PATH": "/opt", "PYTHONPATH": "/opt", "EESSI_X": "another stack's", "BASH_ENV": "/dev/null"}
    command = [str(tree / "startprefix"), "env", "-0"]
    ended = subprocess.run(command, env=kept | lost, capture_output=True, text=True, check=True)
    seen = dict(line.split("=", 1) for line in ended.stdout.split("\0") if line)
    assert {key: seen[key] for key in kept} == kept
    assert not lost.keys() & seen.keys()
    assert (tree / ".cvmfscatalog").is_file()
    assert (seen["EPREFIX"], seen["PATH"]) == (str(tree), f"{tree}/usr/bin:{tree}/usr/sbin")


def with_profile(directory: Path, **brought: str) -> Path:
    """A finished layer below `directory`: this machine's bash, and files of `etc/profile.d` that packages brought."""
    layout = LayerLayout(LAYOUT.repository, "2026.06", LAYOUT.family, PurePosixPath(directory))
    tree = Path(layout.prefix)
    with_files(tree, "etc/profile.d/nothing.csh", "usr/bin/unused")
    for program in ("bash", "env"):
        (tree / "usr/bin" / program).symlink_to(str(shutil.which(program)))
    for name, text in brought.items():
        (tree / "etc/profile.d" / f"{name}.sh").write_text(text)
    finish(SealedRoot(layout, tree, "/nowhere/bwrap", writable=True), description())
    return tree


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_profile_reads_what_packages_bring_and_puts_the_layer_s_programs_first(tmp_path: Path, shell: str) -> None:
    tree = with_profile(tmp_path, one="one=$EPREFIX", two="two=2")
    script = f"set -eu; . {tree}/etc/profile; . {tree}/etc/profile; echo $one; echo $two; echo $PATH; echo ${{file-}}"
    ended = subprocess.run(
        [str(shutil.which(shell)), "-c", script], env={"PATH": "/host"}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == [str(tree), "2", f"{tree}/usr/bin:{tree}/usr/sbin:/host", ""]


@pytest.mark.parametrize(
    ("brought", "answer"), [(("lmod", "modules"), "lmod"), (("modules",), "modules"), (("lmod",), "lmod")]
)
def test_modules_are_lmod_s_where_it_is_there(tmp_path: Path, brought: tuple[str, ...], answer: str) -> None:
    tree = with_profile(tmp_path, **{name: f"module() {{ echo {name}; }}" for name in brought})
    ended = subprocess.run(
        ["/bin/sh", "-c", f". {tree}/etc/profile; module"], env={}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [answer]


def test_the_shell_of_startprefix_reads_the_profile_and_not_the_user_s_files(tmp_path: Path) -> None:
    tree = with_profile(tmp_path, one="one=$EPREFIX")
    (tmp_path / ".bashrc").write_text("echo the user's\n")
    says = subprocess.run(
        [str(tree / "startprefix")],
        env={"HOME": str(tmp_path), "MODULEPATH": "/host"},
        input='echo "$one"; echo "$PS1"; echo "$HOME"; echo "${MODULEPATH-none}"',
        capture_output=True,
        text=True,
        check=True,
    )
    assert says.stdout.splitlines() == [str(tree), r"(compat) \w\$ ", str(tmp_path), "none"]


@pytest.mark.parametrize("brought", [(), ("usr/bin/less",)])
def test_lmod_s_pager_is_less_where_it_is_there(tree: Path, brought: tuple[str, ...]) -> None:
    settings = "usr/share/lmod/lmod/libexec/myGlobals.lua"
    with_files(tree, settings, *brought)
    (tree / settings).write_text(f'sedV = "{LAYOUT.prefix}/bin/more",\n')
    finish(SealedRoot(LAYOUT, tree, "/nowhere/bwrap", writable=True), description())
    pager = "usr/bin/less" if brought else "bin/more"
    assert (tree / settings).read_text() == f'sedV = "{LAYOUT.prefix}/{pager}",\n'


def root_where(tree: Path, failing: str, says: str = "") -> SealedRoot:
    """A root in which every program does nothing, and ends well but for `failing`, which says something. The words of
    all are in `heard`."""
    stand_in = tree.parent / "stand-in"
    heard = tree.parent / "heard"
    stand_in.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{heard}'\n"
        f'case "$*" in *{failing}*) printf \'%s\\n\' "{says}"; exit 1;; esac\n'
    )
    stand_in.chmod(0o755)
    return SealedRoot(LAYOUT, tree, str(stand_in), writable=True)


def with_files(tree: Path, *paths: str) -> None:
    for path in paths:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).touch()


def test_certificates_that_cannot_be_linked_end_the_build(tree: Path) -> None:
    with_files(tree, "usr/bin/openssl", "usr/share/ca-certificates/one.crt")
    with pytest.raises(CommandFailed, match="the layer's `openssl` failed: rehash: error: cannot make a link"):
        finish(root_where(tree, "rehash", "rehash: error: cannot make a link"), description())


def test_a_module_that_cannot_be_compiled_ends_the_build(tree: Path) -> None:
    with_files(tree, "usr/bin/python3", "usr/lib/python3/dist-packages/thing.py")
    says = f"*** Error compiling '{LAYOUT.prefix}/usr/lib/python3/dist-packages/thing.py'..."
    with pytest.raises(CommandFailed, match=r"cannot compile usr/lib/python3/dist-packages/thing\.py") as raised:
        finish(root_where(tree, "compileall", says), description())
    assert "[[uncompiled]]" in raised.value.hint


def test_files_that_are_declared_are_not_compiled(tree: Path) -> None:
    with_files(tree, "usr/bin/python3", "usr/lib/python3/dist-packages/thing/template.py")
    declared = Uncompiled(("usr/lib/python3/**/template.py",), "a template, which is no Python yet")
    finish(root_where(tree, "nothing"), replace(description(), uncompiled=(declared,)))
    words = (tree.parent / "heard").read_text().split()
    pattern = words[words.index("-x") + 1]
    prefix = str(LAYOUT.prefix)
    assert re.search(pattern, f"{prefix}/usr/lib/python3/dist-packages/thing/template.py")
    assert not re.search(pattern, f"{prefix}/usr/lib/python3/dist-packages/thing/other.py")
