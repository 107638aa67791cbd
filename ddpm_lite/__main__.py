"""`python -m ddpm_lite ...` starts the command line."""

from ddpm_lite.cli.commands import start

if __name__ == "__main__":
    start()
