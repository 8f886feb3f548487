"""What `regard` and `python -m regard` run: the command line, from its first import to its last word."""

import signal
import sys


def main() -> None:
    """Never returns: exits with the command's status, 130 after Ctrl-C."""
    status: object = 130
    try:
        from regard.console import guard

        with guard():
            try:
                from regard.cli import main as command

                command()
            except SystemExit as end:
                status = end.code
            except KeyboardInterrupt:
                print("regard: stopped", file=sys.stderr)
    except KeyboardInterrupt:  # before there is a guard
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("regard: stopped", file=sys.stderr)
    sys.exit(status)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
