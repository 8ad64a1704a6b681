"""`python -m aims` is the command `aims`."""

from aims.cli import main

if __name__ == "__main__":
    main()
