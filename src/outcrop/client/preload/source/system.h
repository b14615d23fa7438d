/* What both libraries need of the system, without the C library.

   The loader's library is there before any C library is, so it can call none. Both libraries ask the kernel themselves,
   which also keeps them from calling their own replacements, and leaves errno alone. */

#pragma once

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

/* A system call: what the kernel answers, which is -errno where it fails. */
static inline long ask_kernel(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long answer;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(answer)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return answer;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#elif defined(__riscv) && __riscv_xlen == 64
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
    return a0;
#else
#error "how this processor enters the kernel is not known here"
#endif
}

static inline int kernel_open(const char *path)
{
    return (int)ask_kernel(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
}

static inline void kernel_close(int file)
{
    ask_kernel(SYS_close, file, 0, 0, 0, 0, 0);
}

static inline long kernel_read(int file, void *bytes, size_t count, off_t offset)
{
    return ask_kernel(SYS_pread64, file, (long)bytes, (long)count, (long)offset, 0, 0);
}

static inline long kernel_readlink(const char *path, char *text, size_t room)
{
    return ask_kernel(SYS_readlinkat, AT_FDCWD, (long)path, (long)text, (long)room, 0, 0);
}

/* Whether `path` is there (F_OK), or may be run (X_OK). */
static inline int kernel_access(const char *path, int mode)
{
    return ask_kernel(SYS_faccessat, AT_FDCWD, (long)path, mode, 0, 0, 0) == 0;
}

static inline size_t length_of(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

static inline int is_same(const char *one, const char *other, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (one[i] != other[i])
            return 0;
    return 1;
}

static inline int begins_with(const char *text, const char *beginning)
{
    while (*beginning != '\0')
        if (*text++ != *beginning++)
            return 0;
    return 1;
}

/* Whether `word` occurs in `text`. */
static inline int contains(const char *text, const char *word)
{
    for (; *text != '\0'; text++)
        if (begins_with(text, word))
            return 1;
    return 0;
}

/* Appends `length` bytes to the text of `used` bytes in `to`; the new number of bytes, 0 if `room` is too small. */
static inline size_t append(char *to, size_t used, size_t room, const char *from, size_t length)
{
    if (used + length >= room)
        return 0;
    for (size_t i = 0; i < length; i++)
        to[used + i] = from[i];
    to[used + length] = '\0';
    return used + length;
}
