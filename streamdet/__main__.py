"""`python -m streamdet` is the command `streamdet`."""

from streamdet.cli.app import main

if __name__ == "__main__":
    main()
