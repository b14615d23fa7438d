"""What a user's machine needs to use a stack: which target fits its processor, and the files a shell sources."""
