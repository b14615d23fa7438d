/* The calls behind ours, found in the tables of the libraries that are loaded.

   dlsym(3) would do it, but up to glibc 2.33 it is in a library of its own, which most programs do not load. What the
   loader keeps for debuggers (`_r_debug`) is in all versions. Source: the ELF tables as glibc writes them, with
   DT_GNU_HASH. */

#include "calls.h"

#include <link.h>

extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));

enum { NOT_THE_DEFAULT = 0x8000, BITS = 8 * sizeof(uintptr_t) };

/* The dynamic tables of one library. */
struct tables {
    const uint32_t *hash;
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint16_t *versions;
};

static const void *address_in(const struct link_map *map, uintptr_t value)
{
    /* The loader has added the address already, where it may write there. */
    return (const void *)(value < map->l_addr ? value + map->l_addr : value);
}

static struct tables tables_of(const struct link_map *map)
{
    struct tables tables = {0};
    for (const ElfW(Dyn) *entry = map->l_ld; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_GNU_HASH)
            tables.hash = address_in(map, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_SYMTAB)
            tables.symbols = address_in(map, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_STRTAB)
            tables.strings = address_in(map, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_VERSYM)
            tables.versions = address_in(map, entry->d_un.d_ptr);
    }
    return tables;
}

static int is_named(const char *one, const char *other)
{
    return begins_with(one, other) && one[length_of(other)] == '\0';
}

/* The function `name` of `map`, in the version that new programs get; NULL where it has none. */
static void *function_in(const struct link_map *map, const char *name, uint32_t hash)
{
    const struct tables tables = tables_of(map);
    if (tables.hash == NULL || tables.symbols == NULL || tables.strings == NULL)
        return NULL;
    const uint32_t buckets = tables.hash[0], first = tables.hash[1], words = tables.hash[2], shift = tables.hash[3];
    const uintptr_t *bloom = (const uintptr_t *)&tables.hash[4];
    const uint32_t *bucket = (const uint32_t *)&bloom[words], *chain = &bucket[buckets];
    const uintptr_t wanted = (uintptr_t)1 << hash % BITS | (uintptr_t)1 << (hash >> shift) % BITS;
    if (buckets == 0 || (bloom[hash / BITS % words] & wanted) != wanted)
        return NULL;
    for (uint32_t i = bucket[hash % buckets]; i >= first && i != 0; i++) {
        const ElfW(Sym) *symbol = &tables.symbols[i];
        const uint32_t link = chain[i - first];
        if ((link | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF
            && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && is_named(tables.strings + symbol->st_name, name)
            && (tables.versions == NULL || (tables.versions[i] & NOT_THE_DEFAULT) == 0))
            return (void *)(map->l_addr + symbol->st_value);
        if ((link & 1) != 0)
            break;
    }
    return NULL;
}

static void *fails(void)
{
    errno = ENOSYS;
    return (void *)-1L;
}

void *next_call(const char *name)
{
    const struct link_map *map = _r_debug.r_map;
    uint32_t hash = 5381;
    for (const char *at = name; *at != '\0'; at++)
        hash = hash * 33 + (unsigned char)*at;
    while (map != NULL && map->l_ld != _DYNAMIC)
        map = map->l_next;
    for (map = map != NULL ? map->l_next : NULL; map != NULL; map = map->l_next) {
        void *found = function_in(map, name, hash);
        if (found != NULL)
            return found;
    }
    return (void *)fails;
}
