# For login shells of the compatibility layer, and for the one that `startprefix` opens: the layer's programs come first,
# and packages set up what they bring, such as `module` and the completion of commands.

EPREFIX=@PREFIX@
case :${PATH-}: in
    *:@PREFIX@/usr/bin:*) ;;
    *) PATH=@PREFIX@/usr/bin:@PREFIX@/usr/sbin${PATH:+:$PATH} ;;
esac
export EPREFIX PATH

# Completion asks whether there is a prompt.
if [ -n "${BASH_VERSION-}" ] && [ -n "${PS1-}" ]; then
    PS1='(compat) \w\$ '
fi

for file in @PREFIX@/etc/profile.d/*.sh; do
    # Environment Modules would take `module` from Lmod, whose file comes before.
    if [ "$file" = @PREFIX@/etc/profile.d/modules.sh ] && [ -r @PREFIX@/etc/profile.d/lmod.sh ]; then
        continue
    fi
    if [ -r "$file" ]; then
        . "$file"
    fi
done
unset file
