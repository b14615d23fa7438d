"""Jobs over a network that is this machine's own: fetching over TLS from a server that runs beside, and ssh's keys."""

from __future__ import annotations

from outcrop.compat.verify.job import Job, python

_CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=here -addext subjectAltName=IP:127.0.0.1 "
    "-keyout key -out cert 2>/dev/null\n"
)


def _served(*lines: str) -> str:
    """A script that runs `lines` in the layer's Python while the directory is served at `url`, by a certificate that no
    authority has signed and that is in the file `cert`."""
    return _CERTIFICATE + python(
        "import http.server, ssl, subprocess, threading",
        "class Quiet(http.server.SimpleHTTPRequestHandler):",
        "    def log_message(self, *_): pass",
        "server = http.server.HTTPServer(('127.0.0.1', 0), Quiet)",
        "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)",
        "context.load_cert_chain('cert', 'key')",
        "server.socket = context.wrap_socket(server.socket, server_side=True)",
        "server.handle_error = lambda *_: None",  # a client that does not trust us goes away
        "thread = threading.Thread(target=server.serve_forever)",
        "thread.start()",
        "url = f'https://127.0.0.1:{server.server_port}'",
        "try:",
        *(f"    {line}" for line in lines),
        "finally:",
        "    server.shutdown()",
        "    thread.join()",
    )


NETWORK_JOBS = (
    Job(
        "TLS",
        ("openssl", "curl", "python3"),
        "echo fetched > t\n"
        + _served(
            "subprocess.run(['curl', '-sS', '--cacert', 'cert', f'{url}/t'])",
            "print(subprocess.run(['curl', '-s', f'{url}/t']).returncode)",
        ),
        "fetched\n60\n",
    ),
    Job(
        "wget",
        ("openssl", "wget", "python3"),
        "echo fetched > t\n"
        + _served(
            "subprocess.run(['wget', '-qO-', '--ca-certificate=cert', f'{url}/t'])",
            "print(subprocess.run(['wget', '-qO-', f'{url}/t']).returncode)",
        ),
        "fetched\n5\n",
    ),
    Job(
        "git over TLS",
        ("openssl", "git", "cat", "python3"),
        "git init -q a; cd a; echo cloned > t; git add t; "
        "git -c user.name=a -c user.email=a@example.org commit -qm first; git update-server-info; cd ..\n"
        + _served(
            "subprocess.run(['git', '-c', 'http.sslCAInfo=cert', 'clone', '-q', f'{url}/a/.git', 'b'])",
            "subprocess.run(['cat', 'b/t'])",
            "print(subprocess.run(['git', 'ls-remote', f'{url}/a/.git'], stderr=subprocess.DEVNULL).returncode)",
        ),
        "cloned\n128\n",
    ),
    Job(
        "ssh",
        ("ssh", "ssh-keygen", "cut", "grep"),
        "ssh-keygen -q -t ed25519 -N '' -f key; ssh-keygen -y -f key | cut -d ' ' -f 1; "
        "echo signed > t; ssh-keygen -q -Y sign -f key -n file t; "
        "ssh-keygen -Y check-novalidate -n file -s t.sig < t >/dev/null; "
        "ssh -G -p 2222 someone@example.org | grep -E '^(user|port|hostname) '",
        "ssh-ed25519\nuser someone\nhostname example.org\nport 2222\n",
        user=True,
    ),
)
"""The second answers are for a certificate that no authority has signed: curl's, wget's and git's word for that."""
