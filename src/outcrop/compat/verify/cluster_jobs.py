"""Jobs of what talks to a cluster: libraries that are opened by name, accounts, processors and memory, fonts."""

from __future__ import annotations

from outcrop.compat.verify.job import Job, file, python

_OPENED = (
    "libdbus-1.so.*",
    "libib*.so.*",
    "libibverbs/*.so",
    "libmunge.so.*",
    "libnss_*.so.*",
    "libnuma.so.*",
    "libpam*.so.*",
    "libpsm2.so.*",
    "librdmacm.so.*",
)
"""Libraries that sets name for programs of a stack, or that others open by name, below the directory of libraries. None
of the layer's own programs needs to."""

CLUSTER_JOBS = (
    Job(
        "libraries for others",
        ("python3", "pydoc3", "usr/lib/*/libnss_*.so.*"),
        python(
            "import ctypes, glob, os, sys",
            f"patterns = {_OPENED!r}",
            "place = os.environ['EPREFIX'] + '/usr/lib/*-linux-gnu/'",
            "failed = 0",
            "for path in sorted(path for pattern in patterns for path in glob.glob(place + pattern)):",
            "    child = os.fork()",
            "    if not child:",
            "        try:",
            "            ctypes.CDLL(path, os.RTLD_NOW)",
            "        except OSError as error:",
            "            print(error, file=sys.stderr, flush=True)",
            "            os._exit(1)",
            "        os._exit(0)",
            "    failed += os.waitpid(child, 0)[1] != 0",
            "print(failed, 'failed')",
        ),
        "0 failed\n",
    ),
    Job(
        "accounts of a site",
        ("getent", "grep", "sed", "usr/lib/*/libnss_sss.so.2", "usr/lib/*/libnss_ldap.so.2"),
        "for service in sss ldap; do LD_DEBUG=files getent -s $service passwd nobody-has-this-name 2>&1 | "
        'grep "calling init: $EPREFIX/.*/libnss_$service" | sed "s|.*/||"; done',
        "libnss_sss.so.2\nlibnss_ldap.so.2\n",
    ),
    Job(
        "authentication",
        ("munge", "grep"),
        "munge -n -S $PWD/nowhere 2>&1 | grep -o 'No such file or directory'",
        "No such file or directory\n",
    ),
    Job("processors", ("numactl", "echo"), "numactl --physcpubind=+0 echo bound", "bound\n"),
    Job(
        "fonts",
        ("file", "usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "usr/share/fonts/truetype/liberation*"),
        "for font in dejavu/DejaVuSans.ttf liberation*/LiberationSerif-Regular.ttf; do "
        'file -bL "$EPREFIX/usr/share/fonts/truetype/"$font | head -c 18; echo; done',
        "TrueType Font data\n" * 2,
    ),
    Job(
        "environment modules",
        ("tclsh", "usr/share/modules/init/bash"),
        file("thing", "#%Module", "setenv LOADED yes")
        + 'mkdir m; mv thing m; source "$EPREFIX/usr/share/modules/init/bash"; '
        "module use $PWD/m; module load thing; echo $LOADED",
        "yes\n",
    ),
    Job("logins", ("who", "w", "uptime"), "who >/dev/null; w -h >/dev/null; uptime | grep -o average", "average\n"),
    Job(
        "message bus",
        ("dbus-run-session", "dbus-send", "grep"),
        "call='--dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId'; "
        "dbus-run-session -- dbus-send --session --print-reply $call 2>/dev/null | grep -c string; "
        "dbus-send --system $call 2>&1 | grep -o '/run/dbus/[a-z_]*'",
        "1\n/run/dbus/system_bus_socket\n",
        user=True,
    ),
    Job("log", ("logger", "grep"), "logger -s seen 2>&1 | grep -o /dev/log", "/dev/log\n"),
    Job("mounts", ("findmnt",), "findmnt -n -o TARGET /tmp", "/tmp\n"),
    Job(
        "virtual environment",
        ("python3", "usr/lib/python3*/venv/__init__.py"),
        "python3 -m venv --without-pip v; v/bin/python -c 'import sys, uuid; print(uuid.uuid1().version, sys.prefix)'"
        ' | sed "s,$PWD/,,"',
        "1 v\n",
    ),
)
"""What asks a daemon of the host is shown to look for it: there is none here."""
