"""Small real jobs that a layer's programs do: each is a script for the layer's own shell, and what it must answer."""

from __future__ import annotations

from outcrop.compat.verify.cluster_jobs import CLUSTER_JOBS
from outcrop.compat.verify.job import Job
from outcrop.compat.verify.job import file as _file
from outcrop.compat.verify.job import python as _python
from outcrop.compat.verify.network_jobs import NETWORK_JOBS

JOBS = (
    Job("shell", ("bash", "seq", "sort", "head"), "seq 1 20 | sort -rn | head -n 1; set -- a b; echo $#", "20\n2\n"),
    Job("system shell", ("sh",), "sh -c 'echo it works'", "it works\n"),
    Job(
        "text",
        ("awk", "sed", "grep", "find", "xargs", "diff"),
        "printf 'a 1\\nb 2\\n' > t; awk '{s += $2} END {print s}' t; sed -n 's/b/c/p' t; grep -c . t; "
        "find . -type f | xargs basename; cp t u; diff t u && echo same",
        "3\nc 2\n2\nt\nsame\n",
    ),
    Job(
        "compress",
        ("tar", "gzip", "bzip2", "xz", "zstd"),
        "echo text > t; for c in z j J; do tar c${c}f x t; rm t; tar xf x; cat t; done; tar --zstd -cf x t; tar xOf x",
        "text\n" * 4,
    ),
    Job("zip", ("zip", "unzip"), "echo text > t; zip -q x t; unzip -p x t", "text\n"),
    Job("patch", ("patch", "diff"), "echo a > t; echo b > u; diff t u > d || true; patch -s t < d; cat t", "b\n"),
    Job("make", ("make",), "printf 'all:\\n\\t@echo made\\n' > Makefile; make", "made\n"),
    Job(
        "python",
        ("python3", "pydoc3"),  # the latter comes with the whole of Python, and not with its minimum
        _python(
            "import bz2, ctypes, curses, lzma, sqlite3, ssl, sys, zlib",
            "print(ssl.create_default_context().cert_store_stats()['x509'] > 100)",
            "print(sqlite3.connect(':memory:').execute('select 6 * 7').fetchone()[0])",
            "print(ctypes.CDLL('libc.so.6').abs(-3))",
            "print(all(path.startswith(sys.prefix) for path in sys.path if path))",
        ),
        "True\n42\n3\nTrue\n",
    ),
    Job("pip", ("python3", "pip3"), "python3 -m pip check", "No broken requirements found.\n"),
    Job(
        "processor",
        ("archspec", "python3"),
        "archspec cpu > t; "
        + _python(
            "import archspec.cpu, importlib.metadata",
            "name = open('t').read().strip()",
            "print(name == archspec.cpu.host().name, name in archspec.cpu.TARGETS)",
            "print(archspec.cpu.TARGETS['zen2'] > archspec.cpu.TARGETS['x86_64_v3'])",
            "print(importlib.metadata.distribution('archspec').read_text('INSTALLER').strip())",
        ),
        "True True\nTrue\noutcrop\n",
    ),
    Job(
        "perl",
        ("perl",),
        'perl -MPOSIX -MFile::Temp -e \'print floor(2.7), "\\n"; system("echo shell; true")\'',
        "2\nshell\n",
    ),
    Job(
        "git",
        ("git",),
        "git init -q a; cd a; echo text > t; git add t; "
        "git -c user.name=a -c user.email=a@example.org commit -qm first; git clone -q . ../b; cat ../b/t",
        "text\n",
    ),
    Job(
        "locale",
        ("locale", "date", "grep", "usr/lib/locale/de_DE.utf8", "usr/lib/locale/en_US.utf8"),
        "LC_ALL=de_DE.UTF-8 date -u -d 2026-11-22 +%A; LC_ALL=C.UTF-8 locale charmap; locale -a | grep -c en_US",
        "Sonntag\nUTF-8\n1\n",
    ),
    Job(
        "time zone",
        ("date", "usr/share/zoneinfo/Europe/Berlin"),
        "TZ=Europe/Berlin date -d 2026-07-01T10:00Z +%H",
        "12\n",
    ),
    Job(
        "character sets",
        ("iconv", "od"),
        "printf 'é' | iconv -f UTF-8 -t ISO-8859-15 | od -An -tx1; "
        "printf '日' | iconv -f UTF-8 -t EUC-JP | od -An -tx1",
        " e9\n c6 fc\n",
    ),
    Job("terminals", ("tput",), "TERM=xterm tput cols; TERM=vt100 tput cols", "80\n80\n"),
    Job("accounts", ("getent", "id"), "getent passwd tester | cut -d: -f5; id -un 4711", "Tester\ntester\n", user=True),
    Job(
        "modules",
        ("lua",),
        'mkdir m; echo \'setenv("LOADED", "yes")\' > m/thing.lua; source "$EPREFIX/usr/share/Lmod/init/bash"; '
        "module use $PWD/m; module load thing; echo $LOADED; module -t list 2>&1",
        "yes\nthing\n",
    ),
    Job(
        "C",
        ("gcc",),
        _file(
            "t.c",
            "#include <math.h>",
            "#include <stdio.h>",
            'int main(int n, char **v) { printf("%.3f", sqrt(n + 1)); }',
        )
        + "gcc -O2 t.c -o t -lm; ./t; gcc -O2 -static t.c -o s -lm; ./s",
        "1.4141.414",
    ),
    Job(
        "C++",
        ("g++",),
        _file(
            "t.cc",
            "#include <iostream>",
            "#include <thread>",
            'int main() { std::thread t([] { std::cout << "joined" << std::endl; }); t.join(); }',
        )
        + "g++ -O2 t.cc -o t; ./t",
        "joined\n",
    ),
    Job(
        "Fortran",
        ("gfortran",),
        _file("t.f90", "program t", 'print "(i0)", 42', "end program") + "gfortran t.f90 -o t; ./t",
        "42\n",
    ),
    *NETWORK_JOBS,
    *CLUSTER_JOBS,
)
"""What people do with a layer. The second conversion is a module that needs a library beside it."""
