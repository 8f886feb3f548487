"""What `regard` and `python -m regard` run: the command line, from its first import to its last word."""

import signal
import sys


def main() -> None:
    """Never returns: exits with the command's status, 130 after Ctrl-C."""
    status: object = 130
    try:
        from regard.console import mend_streams, note
        from regard.interrupts import Interrupts

        mend_streams()
        interrupts = Interrupts(lambda text: note(f"regard: {text}"))
        try:
            from regard.cli.main import main as command

            command()
        except SystemExit as end:
            status = end.code
        except BaseException:  # what C code makes of a KeyboardInterrupt may be anything
            if not interrupts.pressed:
                raise
            note("regard: stopped")
        finally:
            interrupts.end()
    except KeyboardInterrupt:  # before anything was begun
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("regard: stopped", file=sys.stderr)
    sys.exit(status)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
