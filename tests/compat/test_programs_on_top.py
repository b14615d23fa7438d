"""Programs that were built on a layer name nothing but the repository, and run unchanged on hosts of three kinds.

They are built in a root that holds only the layer, and installed where a stack's software is. Then the layer and they
are shown, for reading, in a Debian root, in an RPM-based one and in one with musl (see `host_roots.py`), and called
from that root's own shell, with its own search path.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.record import recorded_redirections
from outcrop.compat.relocate.elf_image import DT_NEEDED, DT_RPATH, DT_RUNPATH, MAGIC, ElfImage
from outcrop.compat.sealed_root import SealedRoot, sealed_root
from outcrop.compat.verify.shown import show_as_client, show_shared
from tests.compat.host_roots import HostRoot, debian_root, installed, musl_root, rpm_root
from tests.compat.layers import BUILD_SECONDS, NEEDS_A_RELEASE, SharedLayer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("compilers"),
    pytest.mark.timeout(BUILD_SECONDS),
    *NEEDS_A_RELEASE,
]

TOP = PurePosixPath("/cvmfs/software.example.org/versions/2026.06/software/top")

SOURCES = {
    "lookups.c": r"""
#include <gnu/libc-version.h>
#include <iconv.h>
#include <locale.h>
#include <pwd.h>
#include <stdio.h>
#include <time.h>
int main(void) {
    char in[] = "\xc3\xa9", out[4] = "", day[32], *from = in, *to = out;
    size_t left = 2, room = 3;
    iconv(iconv_open("ISO-8859-15", "UTF-8"), &from, &left, &to, &room);
    setlocale(LC_TIME, "de_DE.UTF-8");
    strftime(day, sizeof day, "%A", &(struct tm){.tm_wday = 0});
    printf("%s %02x %s %s\n", gnu_get_libc_version(), (unsigned char)out[0], day, getpwuid(0)->pw_name);
}
""",
    "exceptions.cc": r"""
#include <future>
#include <iostream>
#include <stdexcept>
int main() {
    auto task = std::async(std::launch::async, []() -> int { throw std::runtime_error("thrown in a thread"); });
    try { task.get(); } catch (const std::exception &error) { std::cout << error.what() << std::endl; }
}
""",
    "sums.f90": """
program sums
  integer :: i
  real(8) :: total = 0
  !$omp parallel do reduction(+:total)
  do i = 1, 1000
    total = total + 1d0 / real(i, 8) ** 2
  end do
  print '(f6.4)', total
end program
""",
    "greeting.c": 'const char *greeting(void) { return "from the library"; }\n',
    "greets.c": """
#include <stdio.h>
const char *greeting(void);
int main(void) { puts(greeting()); }
""",
    "configure": """
prefix=/usr/local
for word; do case $word in --prefix=*) prefix=${word#*=};; esac; done
for function in getrandom strlcpy; do
    echo "char $function(); int main(void) { return $function() == 0; }" > conftest.c
    name=HAVE_$(echo $function | tr a-z A-Z)
    if $CC -w conftest.c -o conftest 2>conftest.log; then echo "#define $name 1"; else echo "#define $name 0"; fi
done > config.h
sed "s|@prefix@|$prefix|g" Makefile.in > Makefile
""",
    "Makefile.in": """
all: configured
configured: configured.c
\t$(CC) $(CFLAGS) -DPREFIX='"@prefix@"' $< -o $@
install: all
\tmkdir -p @prefix@/bin && install -m 755 configured @prefix@/bin
""",
    "configured.c": """
#include <stdio.h>
#include "config.h"
int main(void) { printf("%s %d%d\\n", PREFIX, HAVE_GETRANDOM, HAVE_STRLCPY); }
""",
}

BUILD = f"""
set -e
mkdir /tmp/build && cd /tmp/build && cp /sources/* .
mkdir -p {TOP}/bin {TOP}/lib
gcc -O2 lookups.c -o {TOP}/bin/lookups
g++ -O2 exceptions.cc -o {TOP}/bin/exceptions
gfortran -O2 -fopenmp sums.f90 -o {TOP}/bin/sums
gcc -O2 -shared -fPIC greeting.c -o {TOP}/lib/libgreeting.so
gcc -O2 greets.c -o {TOP}/bin/greets -L{TOP}/lib -lgreeting -Wl,-rpath,{TOP}/lib
CC=gcc sh ./configure --prefix={TOP}
make -s CC=gcc install
"""

ANSWERS = {
    "lookups": "2.36 e9 Sonntag root\n",
    "exceptions": "thrown in a thread\n",
    "sums": "1.6439\n",
    "greets": "from the library\n",
    "configured": f"{TOP} 10\n",
}
"""`strlcpy` came with glibc 2.38, which the layer's is older than."""


@dataclass(frozen=True, slots=True)
class Built:
    """The programs in the directory `top`, and the layer that they were built on."""

    layer: SharedLayer
    top: Path

    def elf_files(self) -> list[Path]:
        return [path for path in sorted(self.top.glob("*/*")) if path.read_bytes().startswith(MAGIC)]

    def root_on(self, host: HostRoot) -> SealedRoot:
        """The host's root with the repository in it, and its own search path."""
        return replace(
            self.layer.root(), binds={**host.binds, TOP: self.top}, extra_environment={"PATH": host.path, "LC_ALL": "C"}
        )


@pytest.fixture(scope="module")
def built(layer_with_compilers: SharedLayer, tmp_path_factory: pytest.TempPathFactory) -> Built:
    place = tmp_path_factory.mktemp("on-top")
    for name in ("sources", "top"):
        (place / name).mkdir()
    for name, text in SOURCES.items():
        (place / "sources" / name).write_text(text.lstrip("\n"), encoding="utf-8")
    root = replace(layer_with_compilers.root(), binds={PurePosixPath("/sources"): place / "sources"})
    line = root.command_line([f"{root.layout.prefix}/usr/bin/bash", "-c", BUILD])
    end = line.index("--clearenv")
    writable = ["--bind", str(place / "top"), str(TOP)]
    ended = subprocess.run([*line[:end], *writable, *line[end:]], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return Built(layer_with_compilers, place / "top")


@pytest.fixture(scope="module", params=["Debian", "RPM-based", "musl"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HostRoot:
    if request.param == "Debian":
        return debian_root()
    place = tmp_path_factory.mktemp("host")
    return rpm_root(place) if request.param == "RPM-based" else musl_root(place)


def test_they_name_only_the_repository(built: Built) -> None:
    layout = built.layer.layout
    files = built.elf_files()
    assert {path.name for path in files} == {*ANSWERS, "libgreeting.so"}
    for path in files:
        image = ElfImage(path.read_bytes())
        assert image.interpreter in (None, layout.loader.encode()), path
        assert (image.interpreter is None) == (path.suffix == ".so")
        run_paths = image.dynamic_strings(DT_RPATH) + image.dynamic_strings(DT_RUNPATH)
        places = [place for path in run_paths for place in path.decode().split(":")]
        assert all(place.startswith((f"{layout.prefix}/", f"{TOP}/")) for place in places), (path, places)
        assert not [name for name in image.dynamic_strings(DT_NEEDED) if b"/" in name]


def test_they_run_unchanged_on_another_host(built: Built, host: HostRoot) -> None:
    root = built.root_on(host)
    for name, answer in ANSWERS.items():
        ended = root.run(["/bin/sh", "-c", f"{TOP}/bin/{name}"])
        assert (ended.stdout, ended.stderr, ended.returncode) == (answer, "", 0)


def test_the_layer_itself_works_there(built: Built, host: HostRoot) -> None:
    root, prefix = built.root_on(host), built.layer.layout.prefix
    for script, answer in (
        (f"{prefix}/usr/bin/bash -c '/bin/ls -d /bin; echo ${{BASH_VERSION%%.*}}'", "/bin\n5\n"),
        (
            f"{prefix}/usr/bin/python3 -c 'import ssl; "
            'print(ssl.create_default_context().cert_store_stats()["x509"] > 100)\'',
            "True\n",
        ),
        (
            f'cd /tmp; echo \'setenv("LOADED", "yes")\' > thing.lua; {prefix}/usr/bin/bash -c \''
            f"source {prefix}/usr/share/Lmod/init/bash; module use /tmp; module load thing; echo $LOADED'",
            "yes\n",
        ),
        (
            "cd /tmp; echo 'int puts(const char *); int main(void) { puts(\"compiled here\"); }' > t.c; "
            f"{prefix}/usr/bin/gcc -v t.c -o t 2>said && ./t; grep -cE '^ *(/usr/|as )| -L/(usr/)?lib' said",
            "compiled here\n0\n",
        ),
    ):
        ended = root.run(["/bin/sh", "-c", script])
        assert (ended.stdout, ended.stderr) == (answer, ""), script


OVERRIDES = """
set -e
mkdir -p /tmp/build && cd /tmp/build
echo 'const char *zlibVersion(void); int puts(const char *); int main(void) { puts(zlibVersion()); }' > t.c
gcc t.c -lz -o /site/on-top
for place in override nvidia amd; do
    mkdir -p /site/lib/$place
    echo "const char *zlibVersion(void) { return \\"$place\\"; }" > z.c
    gcc -shared -fPIC -Wl,-soname,libz.so.1 z.c -o /site/lib/$place/libz.so.1
done
"""
"""A program that has no run path, and libraries of a site that say where they are from."""


@pytest.fixture(scope="module")
def site(layer_with_compilers: SharedLayer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's directory with libraries, and a program on top of the layer that needs one of them."""
    place = tmp_path_factory.mktemp("site")
    root = layer_with_compilers.root()
    line = root.command_line([f"{root.layout.prefix}/usr/bin/bash", "-c", OVERRIDES])
    end = line.index("--clearenv")
    command = [*line[:end], "--bind", str(place), "/site", *line[end:]]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (place / "etc").mkdir()
    (place / "etc/passwd").write_text("theirs:x:4712:4712::/tmp:/bin/sh\n")
    return place


SITE_SETTINGS = {
    "the version's variables": {
        "EESSI_202606_LIB_OVERRIDE": "/site/lib/override",
        "EESSI_202606_NVIDIA_OVERRIDE": "/site/lib/nvidia",
        "EESSI_202606_AMD_OVERRIDE": "/site/lib/amd",
        "EESSI_202606_COMPAT_ETC_PASSWD": "/site/etc/passwd",
    },
    "variables of all versions": {
        "EESSI_LIB_OVERRIDE_DEFAULT": "/site/lib/override",
        "EESSI_NVIDIA_OVERRIDE_DEFAULT": "/site/lib/nvidia",
        "EESSI_AMD_OVERRIDE_DEFAULT": "/site/lib/amd",
        "EESSI_COMPAT_ETC_PASSWD": "/site/etc/passwd",
    },
    "host_injections": {"EESSI_HOST_INJECTIONS": "/site", "EESSI_COMPAT_ETC_PASSWD": "/site/etc/passwd"},
}


@pytest.mark.parametrize("settings", SITE_SETTINGS.values(), ids=SITE_SETTINGS.keys())
def test_a_site_s_libraries_and_files_come_before_the_layer_s(
    layer_with_compilers: SharedLayer, site: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    links = recorded_redirections(layer_with_compilers.tree)
    assert links is not None
    show_shared(links.shared, tmp_path / "shared", settings)
    show_as_client(layer_with_compilers.tree, tmp_path / "layer", settings)
    shutil.copytree(site, tmp_path / "site")
    site_seen = {PurePosixPath("/site"): tmp_path / "site"}
    root = replace(
        sealed_root(layer_with_compilers.layout, tmp_path / "layer", shared=tmp_path / "shared"), binds=site_seen
    )
    found = []
    for place in ("override", "nvidia", "amd"):
        found.append(root.require(["/site/on-top"]).stdout.strip())
        (tmp_path / "site/lib" / place / "libz.so.1").unlink()
    assert found == ["override", "nvidia", "amd"]
    assert root.require(["/site/on-top"]).stdout.startswith("1.")
    prefix = root.layout.prefix
    assert root.require([f"{prefix}/usr/bin/id", "-u", "theirs"]).stdout == "4712\n"


def test_the_rpm_based_root_is_one(tmp_path: Path) -> None:
    root = rpm_root(tmp_path)
    assert installed(root) == {"filesystem", "el-release", "glibc", "system-libraries", "bash"}
    assert (tmp_path / "root/lib64").readlink() == Path("usr/lib64")
    assert (tmp_path / "root/etc/ld.so.cache").is_file()
