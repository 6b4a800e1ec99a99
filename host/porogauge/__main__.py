"""`python -m porogauge` is `porogauge`."""

from .cli import main

if __name__ == "__main__":
    main()
