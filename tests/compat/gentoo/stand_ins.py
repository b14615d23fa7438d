"""A Gentoo of our own: a snapshot with a handful of packages, and stand-ins for what a real one runs.

`bootstrap-prefix.sh`, `emerge` and `locale-gen` keep to what the real ones promise: markers of finished stages, one
stage after another, a database of installed packages, progress, the words of failures and exit codes. They build
nothing. What they were called with is in the file `calls` of the prefix.

A file `fail` or `hang` in the directory of orders holds the name of a point: there they fail, or wait to be killed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from outcrop.compat.family import this_family

DATE = "20260615"
PROFILE = "default/linux/here/prefix"
LOADER = this_family().loader
TRUSTED = ("lib/override", "lib/nvidia")

EBUILDS = {
    "app-shells/bash-5.2_p37": "",
    "app-shells/bash-5.1": "",
    "app-portage/prefix-toolkit-12": "",
    "sys-libs/glibc-2.40-r5": "",
    "sys-apps/coreutils-9.5": "",
    "sys-auth/munge-0.5.15": "dev-build/cmake",
    "dev-build/cmake-3.31": "",
    "sys-devel/gettext-0.22": "",
}
"""What there is, each with what it needs while it is built."""

OVERLAY_EBUILDS = {"sys-auth/munge-0.5.18": "dev-build/cmake", "sys-apps/archspec-0.2.6": ""}

BOOTSTRAP = """\
#!/usr/bin/env bash
# Stands in for Gentoo Prefix's script.
EPREFIX=$1
export EPREFIX
say() { echo "$*" >> "$EPREFIX/calls"; }
point() {
    if [[ $(cat "@ORDERS@/fail" 2>/dev/null) == "$1" ]]; then
        echo " * the host's compiler is of no use" >&2
        exit 1
    fi
    if [[ $(cat "@ORDERS@/hang" 2>/dev/null) == "$1" ]]; then
        touch "$EPREFIX/.hanging"
        sleep 300
    fi
}
[[ $2 == noninteractive && $CHOST == *-linux-gnu ]] || exit 1
[[ $UID != 0 ]] || { echo "will not run as root"; exit 1; }
[[ -O $EPREFIX && -G $EPREFIX ]] || { echo "EPREFIX is not owned by this user"; exit 1; }
[[ -z $LD_LIBRARY_PATH$PKG_CONFIG_PATH$PYTHONPATH ]] || { echo "the environment is not clean"; exit 1; }
grep -q "^$(id -un):" /etc/passwd || exit 1
PORTDIR=$EPREFIX/var/db/repos/gentoo
[[ -e $PORTDIR/.unpacked ]] || { echo "no ebuilds"; exit 1; }
[[ -d $EPREFIX/etc/portage/make.profile ]] || { echo "no profile"; exit 1; }
for stage in 1 2 3; do
    [[ -e $EPREFIX/.stage$stage-finished ]] || {
        say "stage$stage"
        point "stage$stage"
        case $stage in
            1) mkdir -p "$EPREFIX"/{usr/bin,usr/sbin,usr/lib,var/lib/portage,tmp/var/tmp,etc,var/log}
               for name in bin sbin lib; do ln -sfn usr/$name "$EPREFIX/$name"; done
               ln -sf /etc/passwd "$EPREFIX/etc/passwd" ;;
            2) cp "$PORTDIR/tools/emerge" "$EPREFIX/usr/bin/emerge"
               cp "$PORTDIR/tools/locale-gen" "$EPREFIX/usr/sbin/locale-gen" ;;
            3) "$EPREFIX/usr/bin/emerge" --oneshot sys-libs/glibc app-shells/bash || exit 1
               printf '%s\\n' app-shells/bash sys-libs/glibc > "$EPREFIX/var/lib/portage/system" ;;
        esac
        touch "$EPREFIX/.stage$stage-finished"
    }
    [[ $STOP_BOOTSTRAP_AFTER == stage$stage ]] && exit 0
done
say startscript
point startscript
rm -rf "$EPREFIX/tmp" && mkdir "$EPREFIX/tmp"
"$EPREFIX/usr/bin/emerge" --update app-portage/prefix-toolkit || exit 1
echo app-portage/prefix-toolkit > "$EPREFIX/var/lib/portage/world"
"""

_COMMON = """\
#!@PYTHON@ -I
import os, re, shutil, socket, sys, time
from pathlib import Path

PREFIX = Path(os.environ["EPREFIX"])

def say(text):
    with (PREFIX / "calls").open("a") as calls:
        calls.write(text + "\\n")

def ordered(what, point):
    try:
        return Path("@ORDERS@", what).read_text().strip() == point
    except OSError:
        return False

def hang(point):
    if ordered("hang", point):
        (PREFIX / ".hanging").touch()
        time.sleep(300)
"""

EMERGE = (
    _COMMON
    + """
PORTAGE = PREFIX / "etc/portage"
DATABASE = PREFIX / "var/db/pkg"

def lines(path):
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines() if line and not line.startswith("#")]

def named(path):
    return re.fullmatch(r"(.+?)-(\\d[\\w.]*(?:-r\\d+)?)", path)[1]

def repositories():
    found = {}
    for path in sorted((PORTAGE / "repos.conf").glob("*.conf")):
        name = ""
        for line in lines(path):
            if line.startswith("["):
                name = line.strip("[]")
            if line.startswith("location"):
                found[name] = Path(line.partition("=")[2].strip())
    return found

def best(atom):
    wanted = re.split(r"::?", atom)[0].lstrip("<>=~")
    masked = lines(PORTAGE / "package.mask/outcrop")
    found = []
    for repository, place in repositories().items():
        for path in place.glob(f"{wanted}/*.ebuild"):
            if f"={wanted.partition('/')[0]}/{path.stem}" not in masked:
                found.append((path.stem, repository, path))
    if not found:
        print(f'emerge: there are no ebuilds to satisfy "{atom}".', file=sys.stderr)
        sys.exit(1)
    return max(found)

def use_of(name):
    flags = [line.partition(" ") for line in lines(PORTAGE / "package.use/outcrop")]
    return " ".join(words for atom, _, words in flags if atom == name)

def make_variables(name):
    found = []
    for line in lines(PORTAGE / "package.env/outcrop"):
        if line.split()[0] == name:
            found += lines(PORTAGE / "env" / line.split()[1])
    return found

def atoms_of(words):
    for word in words:
        if word == "@world":
            yield from lines(PREFIX / "var/lib/portage/system")
            yield from lines(PREFIX / "var/lib/portage/world")
            for name in lines(PREFIX / "var/lib/portage/world_sets"):
                yield from lines(PORTAGE / "sets" / name[1:])
        else:
            yield word

def installed():
    return {f"{one.parent.name}/{named(one.name)}": one for one in DATABASE.glob("*/[!-]*")}

def plan(atoms, once_more):
    chosen = {}
    def add(atom):
        stem, repository, ebuild = best(atom)
        name = f"{ebuild.parent.parent.name}/{named(stem)}"
        there = installed().get(name)
        same = there and there.name == stem and (there / "USE").read_text() == use_of(name)
        if name in chosen or (same and not once_more):
            return
        for needed in ebuild.read_text().split():
            add(needed)
        chosen[name] = (stem, repository)
    for atom in atoms:
        add(atom)
    return chosen

def merge(name, stem, repository, number, total):
    category, package = name.split("/")
    print(f">>> Emerging ({number} of {total}) {category}/{stem}::{repository}", flush=True)
    unfinished = DATABASE / category / f"-MERGING-{stem}"
    unfinished.mkdir(parents=True, exist_ok=True)
    hang(name)
    if ordered("fail", name):
        log = PREFIX / "var/tmp/portage" / category / stem / "temp/build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("main.c:1: error: no such thing\\n")
        print(f" * ERROR: {category}/{stem}::{repository} failed (compile phase):")
        print(f">>> Failed to emerge {category}/{stem}, Log file:")
        print(f">>>  '{log}'")
        sys.exit(1)
    archive = PREFIX / "var/cache/distfiles" / f"{stem}.tar.xz"
    say(f"{'found' if archive.exists() else 'fetched'} {archive.name}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_text(f"the source of {stem}")
    program = PREFIX / "usr/bin" / package
    program.write_text("#!/bin/sh\\n")
    program.chmod(0o4711)
    if name == "sys-libs/glibc":
        loader = Path(f"{PREFIX}@LOADER@")
        loader.parent.mkdir(exist_ok=True)
        loader.write_text("#!/bin/sh\\necho '" + " ".join(make_variables(name)) + "'\\n")
        loader.chmod(0o755)
    for old in (DATABASE / category).glob(f"{package}-[0-9]*"):
        shutil.rmtree(old)
    (unfinished / "repository").write_text(repository + "\\n")
    (unfinished / "SIZE").write_text("4096\\n")
    (unfinished / "USE").write_text(use_of(name))
    (unfinished / "BUILD_TIME").write_text(f"{time.time_ns()}\\n")
    brought = [f"dir {PREFIX}/usr/bin", f"obj {program} {'0' * 32} {int(time.time())}"]
    if name == "sys-libs/glibc":
        brought += [f"obj {loader} {'0' * 32} 1", f"obj {PREFIX}/var/tmp/.keep {'0' * 32} 1"]
    (unfinished / "CONTENTS").write_text("\\n".join(brought) + "\\n")
    unfinished.rename(DATABASE / category / stem)
    say(f"merged {category}/{stem}::{repository}")

words = [word for word in sys.argv[1:] if not word.startswith("-")]
options = {word for word in sys.argv[1:] if word.startswith("-")}
manners = ("--color", "--nospinner", "--ask", "--autounmask", "--quiet-build")
say("emerge " + " ".join(one for one in sys.argv[1:] if one.split("=")[0] not in manners))
say("networks " + " ".join(name for _, name in socket.if_nameindex()))
if "--depclean" in options:
    hang("depclean")
    keep = {atom.partition("::")[0] for atom in atoms_of(["@world"])}
    for name, place in sorted(installed().items()):
        if name not in keep:
            say(f"removed {name}")
            shutil.rmtree(place)
            (PREFIX / "usr/bin" / name.split("/")[1]).unlink()
else:
    atoms = [atom for atom in atoms_of(words)]
    if "--noreplace" in options:
        atoms = [atom for atom in atoms if atom not in installed()]
    chosen = plan(atoms, not options & {"--update", "--noreplace"})
    for number, (name, (stem, repository)) in enumerate(chosen.items(), start=1):
        merge(name, stem, repository, number, len(chosen))
"""
)

LOCALE_GEN = (
    _COMMON
    + """
say("locale-gen")
hang("locale-gen")
for line in (PREFIX / "etc/locale.gen").read_text().splitlines():
    (PREFIX / "usr/lib/locale" / line.split()[0]).mkdir(parents=True, exist_ok=True)
"""
)

SETS = """\
purpose = "the least that a proof needs"

[[package]]
name = "bash"
reason = "the shell"
gentoo = "app-shells/bash"

[[package]]
name = "libmunge2"
reason = "authentication"
gentoo = "sys-auth/munge"

[[package]]
name = "libnss-myhostname"
reason = "needs no package in Gentoo"
"""

BUILD_ONLY = """\
purpose = "while it is built"
ships = false

[[package]]
name = "gettext"
reason = "translates"
gentoo = "sys-devel/gettext"
"""

LAYER = """\
back_end = "gentoo-prefix"
standard_sets = false
locales = ["en_US.UTF-8"]
trusted_directories = ["lib/override", "lib/nvidia"]

[gentoo]
mirrors = ["file://@MIRROR@"]
use = ["-X"]

[gentoo.snapshot]
date = "20260615"
sha256 = "@SNAPSHOT@"

[gentoo.bootstrap]
url = "file://@MIRROR@/bootstrap-prefix.sh"
sha256 = "@BOOTSTRAP@"

[gentoo.profiles]
x86_64 = "default/linux/here/prefix"
aarch64 = "default/linux/here/prefix"

[[gentoo.overlay]]
name = "own"
url = "file://@OVERLAY@"
commit = "@COMMIT@"
eclasses = true

[[gentoo.package]]
atom = "sys-auth/munge"
use = ["-gcrypt"]
reason = "one library of ciphers is enough"

[[host]]
path = "etc/passwd"
host = "/etc/passwd"
reason = "accounts"

[[host]]
path = "tmp"
host = "/tmp"
reason = "room"
"""


@dataclass(frozen=True)
class MadeGentoo:
    """A mirror, an overlay and a stack that names them, below `directory`; the stand-ins read their `orders`."""

    directory: Path
    orders: Path

    @property
    def stack(self) -> Path:
        return self.directory / "stack"

    @property
    def packages(self) -> Path:
        return self.directory / "packages"

    @property
    def trees(self) -> Path:
        return self.directory / "trees"

    @property
    def layer(self) -> Path:
        return self.trees / "versions/2026.06/compat/linux" / this_family().name

    @property
    def work(self) -> Path:
        """Where the layer is built."""
        return self.layer.with_name(f".outcrop-gentoo-{self.layer.name}")

    def order(self, what: str, point: str) -> None:
        """From now on, the stand-ins `fail` or `hang` at `point`; nowhere where it is empty."""
        (self.orders / what).write_text(point)

    def change(self, old: str, new: str) -> None:
        """Changes `layer.toml`."""
        path = self.stack / "compat/layer.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def calls(self) -> list[str]:
        """What the stand-ins were asked to do and did, in a prefix that is not finished or in a finished one."""
        tree = self.layer if self.layer.exists() else self.work / "tree"
        text = (tree / "calls").read_text()
        return [line for line in text.splitlines() if not line.startswith("networks")]

    def publish_overlay(self, ebuilds: dict[str, str]) -> str:
        """A commit with just these ebuilds; its digits."""
        repository = self.directory / "overlay"
        repository.mkdir(exist_ok=True)
        _git(repository, "init", "--quiet")
        _write_ebuilds(repository, ebuilds)
        _git(repository, "add", "--all")
        identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        _git(repository, *identity, "commit", "--quiet", "--message", "ebuilds")
        return _git(repository, "rev-parse", "HEAD").strip()


def make_gentoo(directory: Path, orders: Path) -> MadeGentoo:
    """Makes all of it."""
    made = MadeGentoo(directory, orders)
    mirror = directory / "mirror"
    snapshot = directory / f"portage-{DATE}"
    (snapshot / "profiles" / PROFILE).mkdir(parents=True)
    _write_ebuilds(snapshot, EBUILDS)
    (snapshot / "tools").mkdir()
    for name, text in (("emerge", EMERGE), ("locale-gen", LOCALE_GEN)):
        (snapshot / "tools" / name).write_text(_filled(text, orders))
        (snapshot / "tools" / name).chmod(0o755)
    (mirror / "snapshots").mkdir(parents=True)
    archive = mirror / "snapshots" / f"portage-{DATE}.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(snapshot, snapshot.name)
    script = mirror / "bootstrap-prefix.sh"
    script.write_text(_filled(BOOTSTRAP, orders))
    commit = made.publish_overlay(OVERLAY_EBUILDS)
    layer = LAYER
    for name, value in (
        ("MIRROR", mirror),
        ("SNAPSHOT", _sha256(archive)),
        ("BOOTSTRAP", _sha256(script)),
        ("OVERLAY", directory / "overlay"),
        ("COMMIT", commit),
    ):
        layer = layer.replace(f"@{name}@", str(value))
    (made.stack / "compat").mkdir(parents=True)
    (made.stack / "stack.toml").write_text('repository = "software.example.org"\nversion = "2026.06"\n')
    for name, text in (("layer", layer), ("small", SETS), ("only", BUILD_ONLY)):
        (made.stack / f"compat/{name}.toml").write_text(text)
    return made


def _filled(text: str, orders: Path) -> str:
    # A virtual environment may be below /tmp, which a build has for itself; what it was made of is not.
    python = os.path.realpath(sys.executable)
    return text.replace("@ORDERS@", str(orders)).replace("@PYTHON@", python).replace("@LOADER@", LOADER)


def _write_ebuilds(repository: Path, ebuilds: dict[str, str]) -> None:
    for name, needed in ebuilds.items():
        category, _, stem = name.partition("/")
        place = repository / category / stem.rpartition("-r")[0].rpartition("-")[0] if "-r" in stem else None
        place = place or repository / category / stem.rpartition("-")[0]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{stem}.ebuild").write_text(needed)


def _git(repository: Path, *words: str) -> str:
    ended = subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True, check=True)
    return ended.stdout


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
