"""`python -m minimoshi …` is the same as `minimoshi …`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
