"""A repository as a file system: Outcrop speaks the kernel's FUSE protocol itself."""
