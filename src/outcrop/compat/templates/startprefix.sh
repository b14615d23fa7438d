#!@PREFIX@/usr/bin/bash
# Runs a command with the programs of the compatibility layer first, or an interactive shell without one, which reads the
# layer's own `etc/profile`. The user's start-up files are made for the host, whose programs and modules they would bring.
#
#   startprefix [COMMAND [ARGUMENT...]]
#
# What a terminal, a session and a batch system say stays; of the rest of the environment nothing reaches the command.

set -u

EPREFIX=@PREFIX@

kept=()
for name in HOME USER LOGNAME TERM COLORTERM LANG LANGUAGE TZ TMPDIR "${!LC_@}" \
    DISPLAY WAYLAND_DISPLAY XAUTHORITY SSH_AUTH_SOCK KRB5CCNAME XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS \
    http_proxy https_proxy ftp_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY NO_PROXY ALL_PROXY \
    "${!SLURM_@}" "${!PBS_@}" "${!LSB_@}" "${!FLUX_@}" "${!OMPI_@}" "${!PMI_@}" "${!PMIX_@}" OMP_NUM_THREADS \
    CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES \
    "${!@VARIABLES@@}"; do
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
exec "$EPREFIX/usr/bin/env" -i "${kept[@]}" "${own[@]}" "$EPREFIX/usr/bin/bash" --rcfile "$EPREFIX/etc/profile" -i
