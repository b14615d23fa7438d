/* Programs: what a path names, and how it is started where the kernel alone could not. */

#pragma once

/* The name of the running program, if `path` is the kernel's link to it and a loader of a view runs it; else NULL. */
const char *program_shown(const char *path);
