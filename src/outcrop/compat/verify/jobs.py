"""Small real jobs that a layer's programs do: each is a script for the layer's own shell, and what it must answer."""

from __future__ import annotations

from outcrop.compat.verify.cluster_jobs import CLUSTER_JOBS
from outcrop.compat.verify.job import Job
from outcrop.compat.verify.job import file as _file
from outcrop.compat.verify.job import python as _python
from outcrop.compat.verify.network_jobs import NETWORK_JOBS

_TRANSLATION = _file(
    "de.po",
    'msgid ""',
    'msgstr "Content-Type: text/plain; charset=UTF-8\\n"',
    "",
    'msgid "hello"',
    'msgstr "hallo"',
)

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
    Job(
        "colours of languages",  # the list names those that a layer has, and each is whole
        ("python3", "usr/lib/python3/dist-packages/pygments/lexers/_mapping.py"),
        _python(
            "from pygments.lexers import LEXERS, find_lexer_class",
            "print(len(LEXERS) > 20, all(find_lexer_class(one[1]) for one in LEXERS.values()))",
        ),
        "True True\n",
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
        "login shell",
        ("bash", "lua", "sed", "etc/profile", "etc/profile.d/lmod.sh"),
        'bash -lc \'type -t module; module -t list 2>&1; echo ":$MODULEPATH"\' | sed "s|:$EPREFIX/[^:]*||g"; '
        "env -i \"$EPREFIX/bin/bash\" -lc 'ml --version 2>&1' | grep -o 'based on Lua'; "
        "sh -lc 'module -t list' 2>&1",
        "function\nNo modules loaded\n\nbased on Lua\nNo modules loaded\n",
    ),
    Job(
        "shell of startprefix",  # it reads what it is to do, since nobody is there to write
        ("bash", "lua", "etc/profile.d/lmod.sh", "etc/profile.d/bash_completion.sh"),
        'mkdir m; echo > m/thing.lua; echo "exit 1" > .bashrc; export HOME=$PWD\n'
        + _file(
            "session",
            "module use $HOME/m",
            "complete -p -D >/dev/null && echo commands",
            # Lmod's file asks `/proc` which shell it is in: under QEMU, that is QEMU.
            "[[ $(readlink /proc/$$/exe) = */bash ]] || . $LMOD_PKG/init/bash",
            "_module module th load; echo ${COMPREPLY[@]}",
            "module load thing; module -t list 2>&1",
        )
        + '"$EPREFIX/startprefix" < session 2>/dev/null',
        "commands\nthing\nthing\n",
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
    Job(
        "scanner",
        ("flex", "gcc", "usr/include/FlexLexer.h"),
        _file("t.l", "%%", '[0-9]+ printf("<%s>", yytext);') + "flex t.l; gcc lex.yy.c -lfl -o t; echo a12b | ./t",
        "a<12>b\n",
    ),
    Job(
        "keywords",
        ("gperf", "gcc"),
        _file(
            "t.gperf",
            "%{",
            "#include <stdio.h>",
            "#include <string.h>",
            "%}",
            "%%",
            "if",
            "else",
            "%%",
            'int main(int n, char **v) { puts(in_word_set(v[1], strlen(v[1])) ? "word" : "none"); }',
        )
        + "gperf t.gperf > t.c; gcc t.c -o t; ./t else; ./t other",
        "word\nnone\n",
    ),
    Job(
        "translations",
        ("xgettext", "msgmerge", "msgfmt", "gettext", "usr/lib/locale/de_DE.utf8"),
        _file("t.c", 'const char *greeting(void) { return gettext("hello"); }')
        + _TRANSLATION
        + "mkdir -p de/LC_MESSAGES; xgettext -o t.pot t.c; msgmerge -q -o new.po de.po t.pot; "
        "msgfmt -c new.po -o de/LC_MESSAGES/t.mo; TEXTDOMAINDIR=$PWD LC_ALL=de_DE.UTF-8 LANGUAGE= gettext t hello",
        "hallo",
    ),
    Job(
        "translated data",
        ("intltool-extract", "intltool-merge", "xgettext", "sed"),
        _file("t.xml.in", "<t><_name>hello</_name></t>")
        + "mkdir po; cd po\n"
        + _TRANSLATION
        + "cd ..; intltool-extract --type=gettext/xml t.xml.in >/dev/null; xgettext -kN_ -o - t.xml.in.h | grep hello; "
        "intltool-merge -q -x -u po t.xml.in t.xml; sed -n 's/.*xml:lang=\"de\">//p' t.xml",
        'msgid "hello"\nhallo</name></t>',
    ),
    Job(
        "manual page",
        ("help2man", "cat", "chmod", "grep"),
        _file(
            "body",
            "case $1 in",
            "--version) echo greet 1.0 ;;",
            "*) printf 'Usage: greet [OPTION]\\n\\nSay hello.\\n\\n  -q     say nothing\\n' ;;",
            "esac",
        )
        + '{ echo "#!$EPREFIX/usr/bin/sh"; cat body; } > greet; chmod +x greet; help2man -N ./greet | grep nothing',
        "say nothing\n",
    ),
    Job(
        "manual",
        ("makeinfo", "grep", "sed"),
        _file("t.texi", "\\input texinfo", "@settitle T", "@node Top", "@top T", "See @strong{this}.", "@bye")
        + "makeinfo t.texi -o t.info; makeinfo --html --no-split t.texi -o t.html; grep See t.info; "
        "sed -n 's/<[^>]*>//g; /See/p' t.html",
        "See *this*.\nSee this.\n",
    ),
    Job(
        "configure script",
        ("autoconf", "automake", "autopoint", "grep", "head"),
        _file("configure.ac", "AM_GNU_GETTEXT([external])", "AM_GNU_GETTEXT_VERSION([0.21])")
        + "autopoint >/dev/null; echo 'AC_INIT([t], [1])AC_OUTPUT' > configure.ac; autoconf; head -n 1 configure; "
        'automake --version | grep -o "^automake"; grep -rlF "$EPREFIX" configure m4 po || echo no path',
        "#! /bin/sh\nautomake\nno path\n",
    ),
    Job(
        "libraries of other builds",
        ("gcc", "pkg-config", "usr/include/libmount/libmount.h", "usr/include/zlib.h"),
        _file(
            "t.c",
            "#include <stdio.h>",
            "#include <blkid.h>",
            "#include <bzlib.h>",
            "#include <curses.h>",
            "#include <dbus/dbus.h>",
            "#include <libmount.h>",
            "#include <lzma.h>",
            "#include <readline/readline.h>",
            "#include <uuid.h>",
            "#include <zlib.h>",
            "#define THERE(function) ((void *)(function) != NULL)",
            "int main(void)",
            "{",
            '    printf("%d", THERE(blkid_parse_version_string) + THERE(BZ2_bzlibVersion) + THERE(initscr)',
            "        + THERE(dbus_get_version) + THERE(mnt_new_table) + THERE(lzma_version_string) + THERE(readline)",
            "        + THERE(uuid_generate) + THERE(zlibVersion));",
            "}",
        )
        + "packages='blkid dbus-1 liblzma mount ncurses readline uuid zlib'; "
        "gcc t.c $(pkg-config --cflags $packages) -Wl,--no-as-needed $(pkg-config --libs $packages) -lbz2 -o t; ./t",
        "9",
    ),
    *NETWORK_JOBS,
    *CLUSTER_JOBS,
)
"""What people do with a layer. The second conversion is a module that needs a library beside it."""
