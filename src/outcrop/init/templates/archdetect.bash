#!/usr/bin/env bash
# Says which software targets of @NAME@ fit this machine. Executed, not sourced; needs bash 4.2 and nothing else.
#
#   @ARCHDETECT@ [-a] [-c] cpupath     the best CPU target, e.g. x86_64/amd/zen3
#   @ARCHDETECT@ [-a] accelpath        the accelerator, e.g. accel/nvidia/cc90
#
#   -a  all that fit, best first, joined by colons      -h  this help
#   -c  judge as EESSI's archdetect 1.2.0 does          -v  the version
#   -f  judge by the corrected rules                    -d  accepted and ignored
#
# Exit: 0 told, 1 error; accelpath: 2 nvidia-smi is not installed, 3 it names no GPU.
#
# STACK_PROC_CPUINFO       the file to read instead of /proc/cpuinfo
# STACK_MACHINE_TYPE       instead of what `uname -m` says
# STACK_SOFTWARE_SUBDIR_OVERRIDE, STACK_ACCELERATOR_TARGET_OVERRIDE   the answer itself

# Patterns and lower case mean the same everywhere in the C locale.
export LC_ALL=C
# An exported SHELLOPTS or BASHOPTS brings the caller's options in.
set +eu -f
shopt -u nocasematch

version='@OUTCROP_VERSION@'
mode='@MODE@'
all=''

fail() {
    printf 'ERROR: %s\n' "$1" >&2
    exit 1
}

help() {
    printf '%s\n' \
        'Usage: @ARCHDETECT@ [-h][-v][-d][-a][-c|-f] <cpupath|accelpath>' \
        '  -a  all that fit, best first, joined by colons' \
        '  -c  judge as EESSI archdetect 1.2.0 does    -f  judge by the corrected rules'
}

# --- The rules: target|vendor|features, from old to new; the last one that holds is the best. ---

load_rules() {
    rules=()
    case "$1:$mode" in
@RULES@
        *) fail "Unsupported CPU architecture $1" ;;
    esac
}

# --- What the file says: the last value of each key, and its different values, one a line. ---

declare -A last different

read_cpuinfo() {
    local file=${STACK_PROC_CPUINFO:-/proc/cpuinfo} line key value
    local -a lines=()
    if [[ ! -r $file ]]; then
        printf 'WARNING: %s cannot be read; the processor is taken for a generic one\n' "$file" >&2
        return
    fi
    mapfile -t lines <"$file"
    for line in "${lines[@]}"; do
        # Only these letters begin a key that counts; most lines of a large machine end here.
        case $line in [VvCcMmFfIi]*:*) ;; *) continue ;; esac
        key=${line%%:*}
        key=${key%"${key##*[![:space:]]}"}
        key=${key,,}
        value=${line#*:}
        value=${value#"${value%%[![:space:]]*}"}
        case $key in
            'vendor id' | vendor_id) key=vendor ;;
            'cpu implementer' | cpu_implementer) key=implementer ;;
            'cpu part') key=part ;;
            mvendorid | flags | features | cpu | isa) ;;
            *) continue ;;
        esac
        last[$key]=$value
        # Cores are mostly alike: each different value is looked at once.
        if [[ $'\n'${different[$key]} != *$'\n'"$value"$'\n'* ]]; then
            different[$key]+=$value$'\n'
        fi
    done
}

read_vendor() {
    vendor=${last[vendor]}
    [[ -n $vendor ]] || vendor=${last[implementer]}
    [[ -n $vendor ]] || vendor=${last[mvendorid]}
}

# --- Compat: a feature is a word between two spaces of the last line. ---

read_features_compat() {
    local family=$1 key=flags rule known=''
    if [[ $family == aarch64 ]]; then
        for rule in "${rules[@]}"; do
            rule=${rule#*|}
            known+=" ${rule%%|*}"
        done
        [[ "$known " == *" $vendor "* ]] || vendor=0x41
    fi
    if [[ $vendor != ARM ]]; then
        case $family in
            aarch64) key=features ;;
            ppc64le) key=cpu ;;
            riscv64) key=isa ;;
        esac
    fi
    features=${last[$key]}
}

# --- Fixed: a feature is what every core has. ---

words_of() {
    # Sets `words` to what one value of key $1 says, as words with a space before and after each.
    local value=$2 letters generation
    words=' '
    case $1 in
        isa)
            value=${value%%[[:space:]]*}
            value=${value,,}
            letters=${value%%_*}
            [[ $letters == rv64* ]] || return
            value=${value#"$letters"}
            letters=${letters#rv64}
            [[ $letters != *g* ]] || { letters+=imafd && value+=_zicsr_zifencei; }
            while [[ -n $letters ]]; do
                words+="${letters:0:1} "
                letters=${letters:1}
            done
            words+="${value//_/ } "
            ;;
        cpu)
            [[ $value =~ ^POWER([0-9]{1,2}) ]] || return
            for ((generation = 8; generation <= 10#${BASH_REMATCH[1]}; generation++)); do
                words+="power$generation "
            done
            ;;
        *)
            words=" ${value//[[:space:]]/ } "
            ;;
    esac
}

shared_words() {
    # Sets `shared` to the words that all values of key $1 have.
    local key=$1 rest=${different[$1]} value word kept first=1
    shared=' '
    while [[ -n $rest ]]; do
        value=${rest%%$'\n'*}
        rest=${rest#*$'\n'}
        words_of "$key" "$value"
        if [[ -n $first ]]; then
            first=''
            shared=$words
            continue
        fi
        kept=' '
        for word in $shared; do
            [[ $words != *" $word "* ]] || kept+="$word "
        done
        shared=$kept
    done
}

read_features_fixed() {
    local key=flags word
    vendor=${vendor%"${vendor##*[![:space:]]}"}
    case $1 in
        aarch64) [[ -z ${different[features]} ]] || key=features ;;
        ppc64le) key=cpu ;;
        riscv64) key=isa ;;
    esac
    shared_words "$key"
    features=$shared
    if [[ $1 == aarch64 ]]; then
        shared_words part
        for word in $shared; do
            features+=" part:$word"
        done
    fi
}

# --- The answers. ---

has_all() {
    local feature
    for feature in $1; do
        [[ " $features " == *" $feature "* ]] || return 1
    done
}

cpupath() {
    local family=${STACK_MACHINE_TYPE:-} vendor='' features='' shared words best path rest rule
    local -a rules
    if [[ -n ${STACK_SOFTWARE_SUBDIR_OVERRIDE:-} ]]; then
        printf '%s\n' "$STACK_SOFTWARE_SUBDIR_OVERRIDE"
        return
    fi
    [[ -n $family ]] || family=$(uname -m) || fail 'uname does not tell the machine type'
    load_rules "$family"
    read_cpuinfo
    read_vendor
    "read_features_$mode" "$family"
    best=$family/generic
    for rule in "${rules[@]}"; do
        path=${rule%%|*}
        rest=${rule#*|}
        [[ ${rest%%|*} == "$vendor" || ${rest%%|*} == '*' ]] || continue
        if [[ $mode == compat && -z $features ]]; then
            fail "the description of the processor names the vendor '$vendor' but no features"
        fi
        ! has_all "${rest#*|}" || best=$path:$best
    done
    [[ -n $all ]] || best=${best%%:*}
    printf '%s\n' "$best"
}

accelpath() {
    local override=${STACK_ACCELERATOR_TARGET_OVERRIDE:-} answer line found=''
    local -a limit=()
    if [[ -n $override ]]; then
        if [[ ! $override =~ ^accel/(nvidia/cc[0-9]+|amd/gfx[0-9a-f]+)$ ]]; then
            fail "STACK_ACCELERATOR_TARGET_OVERRIDE is neither accel/nvidia/ccNN nor accel/amd/gfxNNN: '$override'"
        fi
        printf '%s\n' "$override"
        return
    fi
    command -v nvidia-smi >/dev/null 2>&1 || exit 2
    # A broken driver can keep nvidia-smi waiting for ever.
    ! command -v timeout >/dev/null 2>&1 || limit=(timeout @NVIDIA_SMI_SECONDS@)
    answer=$("${limit[@]}" nvidia-smi @NVIDIA_QUERY@ 2>/dev/null </dev/null) || exit 3
    while [[ -n $answer ]]; do
        line=${answer%%$'\n'*}
        answer=${answer#"$line"}
        answer=${answer#$'\n'}
        [[ ${line##*,} =~ ^[[:space:]]*([0-9]+)\.([0-9])[[:space:]]*$ ]] || continue
        line=accel/nvidia/cc${BASH_REMATCH[1]}${BASH_REMATCH[2]}
        [[ :$found: == *":$line:"* ]] || found+=${found:+:}$line
    done
    [[ -n $found ]] || exit 3
    [[ -n $all ]] || found=${found%%:*}
    printf '%s\n' "$found"
}

if [[ -z ${BASH_VERSINFO[0]} ]] || ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 402)); then
    fail "@ARCHDETECT@ needs bash 4.2 or later, not $BASH_VERSION"
fi

while getopts 'hdvacf' option; do
    case $option in
        h) help && exit 0 ;;
        d) ;;
        v) printf '@ARCHDETECT@ v%s\n' "$version" && exit 0 ;;
        a) all=1 ;;
        c) mode=compat ;;
        f) mode=fixed ;;
        *) help && exit 1 ;;
    esac
done
shift $((OPTIND - 1))

case ${1:-} in
    cpupath) cpupath ;;
    accelpath) accelpath ;;
    *) help && fail 'Missing <action> argument (possible actions: cpupath, accelpath)' ;;
esac
