"""What makes a fresh machine ready for a make target: system packages, and a virtual environment with pinned packages.

Runs on a bare Python 3.11, before anything is installed: standard library only. `packages` and `pins` decide,
`machine` and `environment` act.
"""
