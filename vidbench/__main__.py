"""`python -m vidbench`: the same as `vidbench`."""

from vidbench.cli.app import run

if __name__ == "__main__":
    run()
