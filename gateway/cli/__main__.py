"""`python -m gateway.cli` is the `tidegate` command."""

from gateway.cli.main import main

if __name__ == "__main__":
    main()
