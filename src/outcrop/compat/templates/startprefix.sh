#!@PREFIX@/usr/bin/bash
# Runs a command with the programs of the compatibility layer first, or an interactive shell without one.
#
#   startprefix [COMMAND [ARGUMENT...]]
#
# What a terminal, a session and a batch system say stays; of the rest of the environment nothing reaches the command.

set -u

EPREFIX=@PREFIX@

kept=()
for name in HOME USER LOGNAME TERM COLORTERM DISPLAY XAUTHORITY SSH_AUTH_SOCK TMPDIR LANG LANGUAGE TZ \
    http_proxy https_proxy ftp_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY "${!LC_@}" "${!SLURM_@}" "${!EESSI_@}"; do
    if [[ -n ${!name+set} ]]; then
        kept+=("$name=${!name}")
    fi
done

own=(
    "EPREFIX=$EPREFIX"
    "SHELL=$EPREFIX/bin/bash"
    "PATH=$EPREFIX/usr/bin:$EPREFIX/usr/sbin"
)

if (($# > 0)); then
    exec "$EPREFIX/usr/bin/env" -i "${kept[@]}" "${own[@]}" "$@"
fi
echo "Entering the compatibility layer in $EPREFIX; \`exit\` leaves it." >&2
exec "$EPREFIX/usr/bin/env" -i "${kept[@]}" "${own[@]}" "PS1=(compat) \\w\\$ " "$EPREFIX/usr/bin/bash" --norc -i
