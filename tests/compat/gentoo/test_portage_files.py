"""What Portage and the script read, word for word."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from outcrop.compat.family import family_named
from outcrop.compat.gentoo.portage_files import account_files, base_files, digest_of_files, package_files
from tests.compat.gentoo.test_settings import COMMIT, described

X86 = family_named("x86_64")
ARM = family_named("aarch64")
PREFIX = PurePosixPath("/cvmfs/software.example.org/versions/2026.06/compat/linux/x86_64")

LAYER = f"""\
locales = ["en_US.UTF-8", "de_DE.ISO-8859-1"]
trusted_directories = ["lib/override", "lib/nvidia"]

[gentoo]
mirrors = ["https://mirror.example.org"]
use = ["-X", "unicode"]
variables = {{ MAKEOPTS = "-j4" }}

[[gentoo.overlay]]
name = "own"
url = "https://example.org/own.git"
commit = "{COMMIT}"
eclasses = true

[[gentoo.overlay]]
name = "other"
url = "https://example.org/other.git"
commit = "{COMMIT}"

[[gentoo.package]]
atom = ">=sys-devel/gcc-15"
mask = true
reason = "too new"

[[gentoo.package]]
atom = "=sys-devel/gcc-15.1"
unmask = true
reason = "but this one"

[[gentoo.package]]
atom = "sys-auth/sssd"
use = ["-daemon", "-man"]
keywords = ["~amd64"]
environment = {{ CFLAGS = "-O1" }}
reason = "the daemon is the host's"

[[gentoo.package]]
atom = "*/*"
use = ["PYTHON_TARGETS:", "-*", "python3_13"]
reason = "exactly one Python"

[[gentoo.package]]
atom = "sys-fabric/opa-psm2"
keywords = ["**"]
families = ["x86_64"]
reason = "only there"
"""


def test_what_is_there_before_the_bootstrap(tmp_path: Path) -> None:
    assert base_files(described(tmp_path, LAYER).gentoo, X86, PREFIX) == {
        "etc/portage/make.conf/0200_outcrop.conf": (
            'FEATURES="${FEATURES} noman noinfo nodoc -news"\nUSE="${USE} -X unicode"\nMAKEOPTS="-j4"\n'
        ),
        "etc/portage/repos.conf/gentoo.conf": (
            f"[DEFAULT]\nmain-repo = gentoo\n\n[gentoo]\nlocation = {PREFIX}/var/db/repos/gentoo\nauto-sync = no\n"
        ),
        "etc/portage/package.mask/outcrop": "# too new\n>=sys-devel/gcc-15\n",
        "etc/portage/package.unmask/outcrop": "# but this one\n=sys-devel/gcc-15.1\n",
    }


def test_what_is_there_after_the_bootstrap(tmp_path: Path) -> None:
    files = package_files(described(tmp_path, LAYER), X86, ["app-shells/bash", "sys-auth/sssd"], PREFIX)
    assert files == {
        "etc/portage/package.use/outcrop": (
            "# the daemon is the host's\nsys-auth/sssd -daemon -man\n"
            "# exactly one Python\n*/* PYTHON_TARGETS: -* python3_13\n"
        ),
        "etc/portage/package.accept_keywords/outcrop": (
            "# the daemon is the host's\nsys-auth/sssd ~amd64\n# only there\nsys-fabric/opa-psm2 **\n"
        ),
        "etc/portage/sets/outcrop": "app-shells/bash\nsys-auth/sssd\n",
        "var/lib/portage/world_sets": "@outcrop\n",
        "etc/locale.gen": "en_US.UTF-8 UTF-8\nde_DE.ISO-8859-1 ISO-8859-1\n",
        "etc/portage/env/outcrop-1.conf": 'CFLAGS="-O1"\n',
        "etc/portage/env/outcrop-2.conf": (
            f'EXTRA_EMAKE="user-defined-trusted-dirs={PREFIX}/lib/override:{PREFIX}/lib/nvidia"\n'
        ),
        "etc/portage/package.env/outcrop": "sys-auth/sssd outcrop-1.conf\nsys-libs/glibc outcrop-2.conf\n",
        "etc/portage/repos.conf/own.conf": f"[own]\nlocation = {PREFIX}/var/db/repos/own\nauto-sync = no\n",
        "etc/portage/repos.conf/other.conf": f"[other]\nlocation = {PREFIX}/var/db/repos/other\nauto-sync = no\n",
        "etc/portage/repos.conf/eclass-overrides.conf": "[DEFAULT]\neclass-overrides = own\n",
    }


def test_settings_for_another_family_are_left_out(tmp_path: Path) -> None:
    files = package_files(described(tmp_path, LAYER), ARM, ["app-shells/bash"], PREFIX)
    assert "opa-psm2" not in files["etc/portage/package.accept_keywords/outcrop"]


def test_variables_for_glibc_stay_beside_its_directories(tmp_path: Path) -> None:
    more = '[[gentoo.package]]\natom = "sys-libs/glibc"\nenvironment = { CFLAGS = "-O2" }\nreason = "x"\n'
    files = package_files(described(tmp_path, LAYER + more), X86, [], PREFIX)
    assert files["etc/portage/env/outcrop-2.conf"].startswith('CFLAGS="-O2"\nEXTRA_EMAKE="user-defined-trusted-dirs=')


def test_there_are_no_empty_files(tmp_path: Path) -> None:
    description = described(tmp_path, "")
    assert set(base_files(description.gentoo, X86, PREFIX)) == {
        "etc/portage/make.conf/0200_outcrop.conf",
        "etc/portage/repos.conf/gentoo.conf",
    }
    assert set(package_files(description, X86, [], PREFIX)) == {"var/lib/portage/world_sets"}


def test_the_standard_layer_asks_for_clients_without_their_daemons(tmp_path: Path) -> None:
    files = package_files(described(tmp_path, "", standard_sets=True), X86, [], PREFIX)
    flags = [line for line in files["etc/portage/package.use/outcrop"].splitlines() if not line.startswith("#")]
    assert flags == [
        "*/* PYTHON_TARGETS: -* python3_13",
        "*/* PYTHON_SINGLE_TARGET: -* python3_13",
        "sys-auth/nss-pam-ldapd -nslcd",
        "sys-auth/sssd -daemon -man",
        "sys-cluster/modules -shell-setup -man-install +new-features",
    ]
    assert "en_US.UTF-8 UTF-8\n" in files["etc/locale.gen"]


def test_a_machine_of_one_account() -> None:
    assert account_files("builder", 1000) == {
        "passwd": "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/tmp:/bin/sh\n",
        "group": "root:x:0:\nbuilder:x:1000:\n",
    }


def test_a_digest_is_of_paths_and_texts() -> None:
    assert digest_of_files({"a": "b", "c": "d"}) == digest_of_files({"c": "d", "a": "b"})
    assert digest_of_files({"a": "b"}) != digest_of_files({"a": "c"})
    assert digest_of_files({"a": "b"}) != digest_of_files({"b": "b"})
