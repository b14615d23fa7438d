"""What a program asks the kernel for, as strace sees it: its lines, the paths in them, and running it."""
