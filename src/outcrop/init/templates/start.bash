# shellcheck shell=bash
# Makes the software of @NAME@ @VERSION@ available in the shell that sources this file:
#
#   source @REPOSITORY@/versions/@VERSION@/init/bash
#
# Sets the variables, starts Lmod and adds the modules. Needs bash 4.2; the status is not zero when it failed.

if [ -z "${BASH_VERSION:-}" ]; then
    echo "ERROR: this file sets up @NAME@ for bash; start bash first, then source it" >&2
    return 1
fi
if ! (return 0 2>/dev/null); then
    # Run as a program, so there is no shell of the user's to end.
    printf 'ERROR: this file works on the shell that sources it: source %s\n' "$0" >&2
    exit 1
fi

# What an earlier sourcing used, perhaps of another version: taken away again below.
__stack_start_before=${STACK_SITE_MODULEPATH_ACCEL:-}:${STACK_SITE_MODULEPATH:-}
__stack_start_before+=:${STACK_MODULEPATH_ACCEL:-}:${STACK_MODULEPATH:-}

__stack_start_say() {
    [[ -n ${STACK_SILENT+x} ]] || printf '%s\n' "$1"
}

__stack_start_fail() {
    local red='' plain=''
    [[ ! -t 2 || -n ${NO_COLOR:-} ]] || { red=$'\e[31m' plain=$'\e[0m'; }
    printf '%sERROR: %s%s\n' "$red" "$1" "$plain" >&2
    [[ -z ${2:-} ]] || printf 'hint: %s\n' "$2" >&2
    return 1
}

# Sets __stack_start_dir to where the files beside this one are, whatever links lead here.
__stack_start_beside() {
    local file=$1 link
    while true; do
        case $file in
            */*) __stack_start_dir=${file%/*} ;;
            *) __stack_start_dir=. ;;
        esac
        [[ ! -r $__stack_start_dir/@ENVIRONMENT@ ]] || return 0
        if [[ ! -L $file ]] || ! link=$(readlink "$file"); then
            __stack_start_fail "@ENVIRONMENT@ is not beside $file" 'use the init/bash of a complete repository'
            return 1
        fi
        case $link in
            /*) file=$link ;;
            *) file=$__stack_start_dir/$link ;;
        esac
    done
}

# Tells the file that starts Lmod: the compatibility layer's, else the host's.
__stack_start_find_lmod() (
    set +fu
    shopt -u failglob nullglob
    for file in "$EPREFIX/usr/share/Lmod/init/bash" "$EPREFIX/usr/share/lmod/lmod/init/bash" \
        "${LMOD_PKG:+$LMOD_PKG/init/bash}" "${LMOD_CMD:+${LMOD_CMD%/libexec/lmod}/init/bash}" \
        @LMOD_PLACES@; do
        if [[ -f $file && -r $file ]]; then
            printf '%s\n' "$file"
            exit 0
        fi
    done
    exit 1
)

# Takes module directories away that the variables name no more.
__stack_start_unuse() {
    local rest=$__stack_start_before: path
    local now=:${STACK_SITE_MODULEPATH_ACCEL:-}:${STACK_SITE_MODULEPATH:-}
    now+=:${STACK_MODULEPATH_ACCEL:-}:${STACK_MODULEPATH:-}:
    while [[ -n $rest ]]; do
        path=${rest%%:*}
        rest=${rest#*:}
        if [[ -n $path && $now != *":$path:"* && :${MODULEPATH:-}: == *":$path:"* ]]; then
            module unuse "$path" || return 1
        fi
    done
}

__stack_start_use() {
    # A directory that is there already keeps its place, which a user may have chosen.
    if [[ -z $2 || ! -d $2 || :${MODULEPATH:-}: == *":$2:"* ]]; then
        return 0
    fi
    __stack_start_say "Prepending $1$2 to \$MODULEPATH..."
    module use "$2"
}

# Each directory comes before those named above it.
__stack_start_modules() {
    __stack_start_unuse &&
        __stack_start_use '' "${STACK_MODULEPATH:-}" &&
        __stack_start_use '' "${STACK_MODULEPATH_ACCEL:-}" &&
        __stack_start_use 'site path ' "${STACK_SITE_MODULEPATH:-}" &&
        __stack_start_use 'site path ' "${STACK_SITE_MODULEPATH_ACCEL:-}" &&
        [[ -n ${MODULEPATH:-} ]] # Lmod's status does not tell when it could not run.
}

__stack_start_prompt() {
    # A shell without a prompt stays without: scripts ask PS1 whether anybody is there.
    [[ -n ${PS1:-} ]] || return 0
    [[ $PS1 != "{@NAME@ "*"} "* ]] || PS1=${PS1#"{@NAME@ "*"} "}
    export PS1="{@NAME@ $STACK_VERSION} $PS1"
}

__stack_start_status=1
__stack_start_dir=''
__stack_start_lmod=''
__stack_start_flags=$-
# shellcheck source=/dev/null
if __stack_start_beside "${BASH_SOURCE[0]}" && . "$__stack_start_dir/@ENVIRONMENT@"; then
    if [[ -n ${STACK_BASIC_ENV:-} ]]; then
        __stack_start_say 'Only setting up basic environment, so we are done'
        __stack_start_status=0
    elif __stack_start_lmod=$(__stack_start_find_lmod); then
        __stack_start_say 'Initializing Lmod...'
        # Lmod's own code is not written for these options and another IFS. It is sourced at the top level, not in a
        # function, so that whatever it declares outlives this file.
        set +eu
        __stack_start_ifs=${IFS-$' \t\n'}
        IFS=$' \t\n'
        # shellcheck source=/dev/null
        . "$__stack_start_lmod"
        if [[ $(type -t module) != function || -z ${LMOD_CMD:-} ]]; then
            __stack_start_fail "$__stack_start_lmod does not start Lmod" 'set LMOD_PKG to the directory of an Lmod that works'
        elif __stack_start_modules; then
            __stack_start_status=0
        else
            __stack_start_fail 'Lmod could not add the modules' "what it said is above; see also: $LMOD_CMD bash use DIRECTORY"
        fi
        IFS=$__stack_start_ifs
        case $__stack_start_flags in *e*) set -e ;; esac
        case $__stack_start_flags in *u*) set -u ;; esac
    else
        __stack_start_fail 'Lmod is not installed' \
            'install it (package lmod on Debian and Ubuntu, Lmod in EPEL), or set LMOD_PKG to its directory' || :
    fi
fi
if [[ $__stack_start_status -eq 0 ]]; then
    __stack_start_prompt
    printf '%s\n' "Environment set up to use @NAME@ ($STACK_VERSION), have fun!"
fi
unset -f __stack_start_say __stack_start_fail __stack_start_beside __stack_start_find_lmod __stack_start_unuse \
    __stack_start_use __stack_start_modules __stack_start_prompt
unset __stack_start_before __stack_start_dir __stack_start_lmod __stack_start_flags __stack_start_ifs
eval "unset __stack_start_status; return $__stack_start_status"
