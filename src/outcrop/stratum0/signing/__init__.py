"""The keys of a repository: what signs, how it is renewed and replaced."""
