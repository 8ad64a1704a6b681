"""`python -m aims`, and the command `aims`."""


def main() -> None:
    """Runs the command line and exits."""
    # Imported here: each process of a pool imports the main module, and needs no command line.
    from aims.cli import main

    main()


if __name__ == "__main__":
    main()
