"""Reading a repository: what it says is trusted (`trust`), its bytes are fetched and kept (`contents`), and it shows as
a tree (`tree`). `repository` puts the three together."""
