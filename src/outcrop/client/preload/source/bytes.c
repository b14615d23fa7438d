/* What compilers call without being asked, for the library that has no C library beside it. `volatile` keeps them from
   seeing the very call in its own loop. */

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    if ((char *)to < (const char *)from)
        return memcpy(to, from, count);
    while (count-- > 0)
        ((volatile char *)to)[count] = ((const char *)from)[count];
    return to;
}

void *memset(void *to, int value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((volatile char *)to)[i] = (char)value;
    return to;
}

int memcmp(const void *one, const void *other, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (((const unsigned char *)one)[i] != ((const unsigned char *)other)[i])
            return ((const unsigned char *)one)[i] - ((const unsigned char *)other)[i];
    return 0;
}
