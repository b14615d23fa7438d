# shellcheck shell=bash
# Sets the variables of @NAME@ @VERSION@ in the shell that sources this file. Source `bash` beside it to get the
# modules too.
#
# Nothing changes unless everything is found: on an error the status is not zero and the environment is as before.
# Works under `set -eu`, from any directory, however often it is sourced; leaves no functions behind.

__stack_init_say() {
    [[ -n ${STACK_SILENT+x} ]] || printf '%s\n' "$1"
}

__stack_init_fail() {
    local red='' plain=''
    [[ ! -t 2 || -n ${NO_COLOR:-} ]] || { red=$'\e[31m' plain=$'\e[0m'; }
    printf '%sERROR: %s%s\n' "$red" "$1" "$plain" >&2
    [[ -z ${2:-} ]] || printf 'hint: %s\n' "$2" >&2
    return 1
}

# Sets `here` to the directory of this file, and `root` to the repository if the file lies in
# ROOT/versions/VERSION/init. Symbolic links are followed only where the path as it was given leads nowhere.
__stack_init_locate() {
    local file=$1 link
    root=''
    while true; do
        case $file in
            */*) here=${file%/*} ;;
            *) here=. ;;
        esac
        here=$(CDPATH='' && builtin cd -L -- "${here:-/}" >/dev/null 2>&1 && builtin pwd -L) || return 0
        case $here in
            */versions/*/init) [[ ! -f $here/@ARCHDETECT@ ]] || break ;;
        esac
        [[ -L $file ]] || return 0
        link=$(readlink "$file") || return 0
        case $link in
            /*) file=$link ;;
            *) file=$here/$link ;;
        esac
    done
    root=${here%/versions/*/init}
    root=${root:-/}
}

# Sets `options` to the targets that may be used here, best first, joined by colons.
__stack_init_targets() {
    local machine
    if [[ -n ${STACK_SOFTWARE_SUBDIR_OVERRIDE:-} ]]; then
        options=$STACK_SOFTWARE_SUBDIR_OVERRIDE
        return 0
    fi
    if [[ -n ${STACK_ARCHDETECT_OPTIONS_OVERRIDE:-} ]]; then
        options=$STACK_ARCHDETECT_OPTIONS_OVERRIDE
        return 0
    fi
    machine=${STACK_MACHINE_TYPE:-}
    [[ -n $machine ]] || machine=$(uname -m) || return 1
    if [[ $family != "$machine" ]]; then
        # Another family's processor: what this one can do says nothing.
        options=$family/generic
        return 0
    fi
    options=$(BASH_ENV='' STACK_MACHINE_TYPE=$machine STACK_PROC_CPUINFO=${STACK_PROC_CPUINFO:-} \
        STACK_SOFTWARE_SUBDIR_OVERRIDE='' "$BASH" "$here/@ARCHDETECT@" -a cpupath)
}

# Sets `subdir` to the first of the colon-separated `options` that has software in this version.
__stack_init_choose() {
    local rest=$options: candidate
    subdir=''
    while [[ -n $rest ]]; do
        candidate=${rest%%:*}
        rest=${rest#*:}
        if [[ -n $candidate && -d $prefix/software/$os/$candidate/software ]]; then
            subdir=$candidate
            return 0
        fi
    done
    __stack_init_fail "No software for ${options//:/, } in $prefix/software/$os!" \
        "set STACK_SOFTWARE_SUBDIR_OVERRIDE to one of the targets that this version has, or use another version"
}

# Sets `accel_found` to what the machine has, and `accel` and `accel_modules` to what there is software for.
__stack_init_accelerator() {
    local rest found wanted minor parent=${STACK_ACCEL_SOFTWARE_SUBDIR_OVERRIDE:-$subdir} status=0
    local base=$prefix/software/$os/$parent
    accel_found='' accel='' accel_parent=$parent
    found=$(BASH_ENV='' STACK_ACCELERATOR_TARGET_OVERRIDE=${STACK_ACCELERATOR_TARGET_OVERRIDE:-} \
        "$BASH" "$here/@ARCHDETECT@" -a accelpath) || status=$?
    if [[ $status -eq 1 ]]; then
        return 1
    elif [[ $status -ne 0 || -z $found ]]; then
        __stack_init_say 'archdetect could not detect any accelerators'
        return 0
    fi
    accel_found=${found%%:*}
    rest=$found:
    while [[ -n $rest && -z $accel ]]; do
        wanted=${rest%%:*}
        rest=${rest#*:}
        if [[ -d $base/$wanted ]]; then
            accel=$wanted
        elif [[ $wanted == accel/nvidia/cc* ]]; then
            # A GPU runs what is built for a lower minor capability of the same major one.
            for ((minor = ${wanted:${#wanted}-1} - 1; minor >= 0; minor--)); do
                if [[ -d $base/${wanted%?}$minor ]]; then
                    accel=${wanted%?}$minor
                    __stack_init_say "archdetect found no supported accelerator $wanted, falling back to $accel"
                    break
                fi
            done
        fi
        [[ -z $accel ]] || accel_found=$wanted
    done
    if [[ -n $accel ]]; then
        __stack_init_say "archdetect found supported accelerator for CPU target $parent: $accel"
    else
        __stack_init_say "No matching path found in $parent for accelerator detected by archdetect ($accel_found)"
    fi
}

# Takes the directories that an earlier sourcing put into PATH out again.
__stack_init_path_without() {
    local rest=$PATH: entry kept=''
    while [[ -n $rest ]]; do
        entry=${rest%%:*}
        rest=${rest#*:}
        [[ $entry == "$1/usr/bin" || $entry == "$1/bin" ]] || kept+=:$entry
    done
    PATH=${kept#:}
}

__stack_init_export() {
    local module_subdir=${STACK_MODULE_SUBDIR-modules/all} site accel_path rc
    export STACK_VERSION_DEFAULT=@VERSION@
    export STACK_VERSION=$version
    export STACK_CVMFS_REPO=$root
    export STACK_PREFIX=$prefix
    export STACK_INIT_PREFIX=$prefix/init
    export STACK_OS_TYPE=$os
    export STACK_CPU_FAMILY=$family
    export STACK_ARCHDETECT_OPTIONS=$options
    if [[ -n $suffix ]]; then
        export STACK_SOFTWARE_LAYER_VERSION_SUFFIX=$suffix
    else
        unset STACK_SOFTWARE_LAYER_VERSION_SUFFIX
    fi

    [[ -z ${STACK_EPREFIX:-} ]] || __stack_init_path_without "$STACK_EPREFIX"
    export EPREFIX=$compat
    export STACK_EPREFIX=$compat
    if [[ -d $compat ]]; then
        __stack_init_path_without "$compat"
        export PATH=$compat/usr/bin:$compat/bin:$PATH
        # The compatibility layer's curl looks for certificates elsewhere than RHEL keeps them.
        if [[ -z ${CURL_CA_BUNDLE:-} && -f /etc/pki/tls/certs/ca-bundle.crt ]]; then
            export CURL_CA_BUNDLE=/etc/pki/tls/certs/ca-bundle.crt
        fi
    fi

    # Lmod's configuration from an earlier sourcing, perhaps of another version, goes first.
    if [[ -n ${STACK_SOFTWARE_PATH:-} ]]; then
        case ${LMOD_RC:-} in *"$STACK_SOFTWARE_PATH/.lmod/lmodrc.lua") unset LMOD_RC ;; esac
        [[ ${LMOD_CONFIG_DIR:-} != "$STACK_SOFTWARE_PATH/.lmod" ]] || unset LMOD_CONFIG_DIR
        [[ ${LMOD_PACKAGE_PATH:-} != "$STACK_SOFTWARE_PATH/.lmod" ]] || unset LMOD_PACKAGE_PATH
    fi
    export STACK_SOFTWARE_SUBDIR=$subdir
    export STACK_SOFTWARE_PATH=$prefix/software/$os/$subdir
    if [[ -n ${STACK_SITE_SOFTWARE_PREFIX:-} ]]; then
        site=$STACK_SITE_SOFTWARE_PREFIX/versions/$version$suffix/software/$os
    else
        site=${root%/}/host_injections/$version$suffix/software/$os
    fi
    export STACK_SITE_SOFTWARE_PATH=$site/$subdir
    [[ ! -d $STACK_SOFTWARE_PATH/.lmod ]] || export LMOD_CONFIG_DIR=$STACK_SOFTWARE_PATH/.lmod
    [[ ! -f $STACK_SOFTWARE_PATH/.lmod/SitePackage.lua ]] || export LMOD_PACKAGE_PATH=$STACK_SOFTWARE_PATH/.lmod
    rc=''
    [[ ! -f $STACK_SITE_SOFTWARE_PATH/.lmod/lmodrc.lua ]] || rc=$STACK_SITE_SOFTWARE_PATH/.lmod/lmodrc.lua
    if [[ -f $STACK_SOFTWARE_PATH/.lmod/lmodrc.lua ]]; then
        rc=${rc:+$rc:}$STACK_SOFTWARE_PATH/.lmod/lmodrc.lua
    fi
    [[ -z $rc ]] || export LMOD_RC=$rc

    unset STACK_ACCEL_SUBDIR STACK_ACCELERATOR_TARGET STACK_MODULEPATH_ACCEL STACK_SITE_MODULEPATH_ACCEL
    unset STACK_MODULEPATH STACK_SITE_MODULEPATH
    [[ -z $accel_found ]] || export STACK_ACCEL_SUBDIR=$accel_found
    [[ -z $accel ]] || export STACK_ACCELERATOR_TARGET=$accel
    [[ -z ${STACK_BASIC_ENV:-} ]] || return 0
    export STACK_MODULEPATH=$modulepath
    export STACK_SITE_MODULEPATH=$STACK_SITE_SOFTWARE_PATH/$module_subdir
    if [[ -n $accel ]]; then
        accel_path=$accel_parent/$accel/$module_subdir
        [[ ! -d $prefix/software/$os/$accel_path ]] || export STACK_MODULEPATH_ACCEL=$prefix/software/$os/$accel_path
        [[ ! -d $site/$accel_path ]] || export STACK_SITE_MODULEPATH_ACCEL=$site/$accel_path
    fi
}

__stack_init_variables() {
    local here root version suffix='' prefix os family compat options subdir accel_found accel accel_parent modulepath

    if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 402)); then
        __stack_init_fail "@NAME@ needs bash 4.2 or later, not $BASH_VERSION" || return 1
    fi
    __stack_init_locate "$1"
    root=${STACK_CVMFS_REPO_OVERRIDE:-${root:-@REPOSITORY@}}
    case $root in
        *:*)
            __stack_init_fail "The path $root has a colon, which PATH and MODULEPATH cannot hold." \
                'make the repository available below another path'
            return 1
            ;;
    esac

    # 2025.06-001 is version 2025.06 with a software layer of its own.
    version=${STACK_VERSION_OVERRIDE:-@VERSION@}
    case $version in
        20[0-9][0-9].[0-9][0-9]-?*)
            suffix=-${version#*-}
            version=${version%%-*}
            ;;
    esac
    prefix=${root%/}/versions/$version$suffix
    if [[ ! -d $prefix ]]; then
        __stack_init_fail "@NAME@ repository at $prefix not found!" \
            'is the repository mounted? STACK_CVMFS_REPO_OVERRIDE says where it is, STACK_VERSION_OVERRIDE which version'
        return 1
    fi
    __stack_init_say "Found @NAME@ repo @ $prefix!"

    os=linux
    case ${OSTYPE:-} in darwin*) os=macos ;; esac
    family=${STACK_CPU_FAMILY_OVERRIDE:-${STACK_MACHINE_TYPE:-}}
    [[ -n $family ]] || family=$(uname -m) || __stack_init_fail 'uname does not tell the machine type' || return 1
    compat=${STACK_COMPAT_LAYER_DIR_OVERRIDE:-${STACK_COMPAT_LAYER_DIR:-$prefix/compat/$os/$family}}

    if ! __stack_init_targets || [[ -z $options ]]; then
        __stack_init_fail 'The processor of this machine could not be told.' \
            "set STACK_SOFTWARE_SUBDIR_OVERRIDE, for example to $family/generic"
        return 1
    fi
    __stack_init_choose || return 1
    if [[ $subdir != "${options%%:*}" ]]; then
        __stack_init_say "This version has no software for ${options%%:*}; the next that fits is $subdir"
    fi
    __stack_init_say "archdetect says $subdir"
    __stack_init_accelerator || return 1
    __stack_init_say "Using $subdir as software subdirectory."

    modulepath=${STACK_CUSTOM_MODULEPATH-$prefix/software/$os/$subdir/${STACK_MODULE_SUBDIR-modules/all}}
    if [[ -z ${STACK_BASIC_ENV:-} && ! -d $modulepath ]]; then
        __stack_init_fail "@NAME@ module path at $modulepath not found!" 'is the software of this target complete?'
        return 1
    fi
    __stack_init_export
}

# In a condition `set -e` does not end the user's shell before the reason is told.
if __stack_init_variables "${BASH_SOURCE[0]}"; then
    __stack_init_status=0
else
    __stack_init_status=1
fi
unset -f __stack_init_say __stack_init_fail __stack_init_locate __stack_init_targets __stack_init_choose \
    __stack_init_accelerator __stack_init_path_without __stack_init_export __stack_init_variables
eval "unset __stack_init_status; return $__stack_init_status"
