"""`python -m mpvg_core` is the same as `mpvg`."""

from .cli.main import main

if __name__ == "__main__":
    main()
