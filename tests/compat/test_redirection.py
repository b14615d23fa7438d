from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import HostLink, LayerDescription, read_description
from outcrop.compat.redirection import MAXIMUM_LINK_BYTES, redirections
from outcrop.compat.shared_links import lay_links
from outcrop.compat.verify.shown import filled_in
from outcrop.cvmfs.names import repository_name
from outcrop.errors import InvalidValue

EESSI = LayerLayout(repository_name("software.eessi.io"), "2026.06", family_named("x86_64"))
OURS = LayerLayout(repository_name("software.example.org"), "1", family_named("x86_64"), PurePosixPath("/mnt"), "OURS_")


def described(*hosts: tuple[str, str], trusted: tuple[str, ...] = (), variable: str = "") -> LayerDescription:
    links = tuple(HostLink(path, host, "a reason", variable) for path, host in hosts)
    return replace(read_description(), host_links=links, trusted_directories=trusted)


def test_links_have_the_names_that_eessi_s_have() -> None:
    """Those of its compatibility layer (vars/2026.06.yml), and of its repository (vars/software.eessi.io.yml)."""
    found = redirections(EESSI, read_description())
    own = {link.path: link.target for link in found.layer}
    defaults = "/cvmfs/software.eessi.io/defaults"
    assert own["etc/nsswitch.conf"] == f"$(EESSI_202606_COMPAT_ETC_NSSWITCH_CONF:-{defaults}/compat/etc/nsswitch.conf)"
    assert own["var/lib/sss"] == f"$(EESSI_202606_COMPAT_VAR_LIB_SSS:-{defaults}/compat/var/lib/sss)"
    assert own["lib/override"] == f"$(EESSI_202606_LIB_OVERRIDE:-{defaults}/override)"
    assert own["lib/nvidia"] == f"$(EESSI_202606_NVIDIA_OVERRIDE:-{defaults}/nvidia)"
    assert own["lib/amd"] == f"$(EESSI_202606_AMD_OVERRIDE:-{defaults}/amd)"
    shared = found.targets()
    assert shared["defaults/compat/etc/nsswitch.conf"] == "$(EESSI_COMPAT_ETC_NSSWITCH_CONF:-/etc/nsswitch.conf)"
    assert shared["defaults/compat/var/lib/sss"] == "$(EESSI_COMPAT_VAR_LIB_SSS:-/var/lib/sss)"
    injections = "/cvmfs/software.eessi.io/host_injections"
    assert shared["defaults/override"] == f"$(EESSI_LIB_OVERRIDE_DEFAULT:-{injections}/lib/override)"
    assert shared["defaults/nvidia"] == f"$(EESSI_NVIDIA_OVERRIDE_DEFAULT:-{injections}/lib/nvidia)"
    assert shared["defaults/amd"] == f"$(EESSI_AMD_OVERRIDE_DEFAULT:-{injections}/lib/amd)"
    assert shared["host_injections"] == "$(EESSI_HOST_INJECTIONS:-/opt/eessi)"


def test_another_stack_has_its_own_prefix_and_mount_point() -> None:
    found = redirections(OURS, described(("etc/slurm", "/etc/slurm"), trusted=("lib/override",)))
    assert {link.path: link.target for link in found.layer} == {
        "etc/slurm": "$(OURS_1_COMPAT_ETC_SLURM:-/mnt/software.example.org/defaults/compat/etc/slurm)",
        "lib/override": "$(OURS_1_LIB_OVERRIDE:-/mnt/software.example.org/defaults/override)",
    }
    assert found.targets() == {
        "defaults/compat/etc/slurm": "$(OURS_COMPAT_ETC_SLURM:-/etc/slurm)",
        "defaults/override": "$(OURS_LIB_OVERRIDE_DEFAULT:-/mnt/software.example.org/host_injections/lib/override)",
        "host_injections": "$(OURS_HOST_INJECTIONS:-/opt/ours)",
    }


def test_every_link_of_a_layer_leads_to_one_of_its_repository() -> None:
    found = redirections(EESSI, read_description())
    assert {link.default for link in found.layer} <= {f"{EESSI.mount_point}/{link.path}" for link in found.shared}


def test_a_variable_may_have_a_name_that_the_path_does_not_give() -> None:
    found = redirections(EESSI, described(("usr/sbin/sendmail", "/usr/sbin/sendmail"), variable="SENDMAIL"))
    assert [link.variable for link in (*found.layer, *found.shared)] == [
        "EESSI_202606_COMPAT_SENDMAIL",
        "EESSI_COMPAT_SENDMAIL",
        "EESSI_HOST_INJECTIONS",
    ]


@pytest.mark.parametrize(
    "description",
    [
        described(("etc/a-b", "/a"), ("etc/a_b", "/b")),
        described(trusted=("lib/amd", "opt/amd")),
        described(trusted=("lib/compat",)),
        described(("etc/a", "/etc/a)b")),
        described(("etc/" + "a" * MAXIMUM_LINK_BYTES, "/etc/a")),
        described(("etc/a", "/etc/" + "a" * MAXIMUM_LINK_BYTES)),
    ],
    ids=["one-variable", "one-name", "in-the-way", "bracket", "long-path", "long-target"],
)
def test_what_no_link_can_say_is_told(description: LayerDescription) -> None:
    with pytest.raises(InvalidValue):
        redirections(EESSI, description)


def test_the_longest_link_that_file_systems_take_is_taken() -> None:
    room = MAXIMUM_LINK_BYTES - len("$(EESSI_COMPAT_ETC_A:-)")
    found = redirections(EESSI, described(("etc/a", "/" + "a" * (room - 1))))
    assert max(len(link.target) for link in found.shared) == MAXIMUM_LINK_BYTES


def test_links_are_laid_over_links_only(tmp_path: Path) -> None:
    (tmp_path / "defaults" / "kept").mkdir(parents=True)
    (tmp_path / "defaults" / "old").symlink_to("elsewhere")
    (tmp_path / "host_injections").symlink_to("/srv/owner")
    wanted = {"defaults/kept": "a", "defaults/old": "b", "defaults/compat/new": "$(A:-/c)", "host_injections": "x"}
    lay_links(tmp_path, wanted)
    assert os.readlink(tmp_path / "host_injections") == "/srv/owner"
    assert (tmp_path / "defaults" / "kept").is_dir()
    assert os.readlink(tmp_path / "defaults" / "old") == "b"
    assert os.readlink(tmp_path / "defaults" / "compat" / "new") == "$(A:-/c)"
    assert sorted(os.listdir(tmp_path / "defaults")) == ["compat", "kept", "old"]


def test_a_client_fills_a_link_in() -> None:
    assert filled_in("$(A:-/default)/x") == "/default/x"
    assert filled_in("$(A:-/default)/x", {"A": "/site"}) == "/site/x"
