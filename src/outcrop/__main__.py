"""`python -m outcrop` does what `outcrop` does."""

from outcrop.cli.entry import main

if __name__ == "__main__":
    main()
