"""The command that opens the explorer: parse, load, serve."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import Inference, Language
from regard.console import note, say
from regard.errors import BundleError, InputError, needs, why

LOOK_EXAMPLES = (
    "Examples:\n\n  regard look runs/mine\n\n  regard look runs/spelling runs/gpt2 --port 8123 --no-open\n\n"
    "  regard look --lang zh"
)


@dataclass(frozen=True)
class Explorer(Inference):
    """How the explorer is served."""

    port: Annotated[int, typer.Option(min=0, max=65535)] = 8765
    """Port to listen on; 0 picks a free one."""
    host: str = "127.0.0.1"
    """Bind address; 0.0.0.0 accepts connections from other machines."""
    allow_host: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None
    """Additional Host header to accept, such as a proxy's; repeatable."""
    browser: Annotated[bool, typer.Option("--open/--no-open")] = True
    """Open the page in a browser."""
    lang: Language | None = None
    """Language of the page; the browser's by default."""
    budget: str = "1m"
    """Training time budget of each built-in model, once."""


def look_command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Folders of trained models; built-in models if omitted."),
    ] = None,
    *,
    options: Explorer,
) -> None:
    """Look inside models in the browser: type, and see every number; change one, and see what follows."""
    _check_packages()
    folders = _folders(runs or [], options)
    # Before models are loaded, so that a port which is taken is told at once.
    with _listening(options.host, options.port) as listener:
        bound, number = listener.getsockname()[:2]
        is_open = not ip_address(bound.partition("%")[0]).is_loopback
        names = (options.host, socket.gethostname(), *(options.allow_host or []))
        loaded = {name: options.load(folder, options.dtype) for name, folder in folders.items()}
        app = _app(loaded, names, is_open)
        address = _address(bound, number)
        if is_open:
            note(_open_to_others(bound, number))
        say(f"the explorer is at {address}; Ctrl-C ends it")
        url = address if options.lang is None else f"{address}?lang={options.lang.value}"
        if options.browser:
            import webbrowser

            threading.Timer(0.3, webbrowser.open, (url,)).start()
        from regard.serve.connections import serve

        serve(app, listener)


def _check_packages() -> None:
    with needs("the explorer needs the packages fastapi, uvicorn and plotly", "serve"):
        import fastapi  # noqa: F401
        import plotly  # noqa: F401
        import uvicorn  # noqa: F401


def _folders(runs: list[Path], options: Explorer) -> dict[str, Path]:
    """By the names that the page shows."""
    if not runs:
        from regard.recipes.ready import ready_models

        return ready_models(options.budget, device=options.device, threads=options.threads, report=say)
    found: dict[str, Path] = {}
    for run in runs:
        if not (run / "config.json").is_file():
            sentence = "{where} holds no trained model; give the folder of a run, or nothing at all"
            raise BundleError(sentence, run)
        name = run.resolve().name
        while name in found:
            name += "'"
        found[name] = run
    return found


def _app(loaded: dict[str, Any], names: tuple[str, ...], is_open: bool) -> Any:
    """What answers, under the names of this machine and these; `is_open`: to its addresses too."""
    from regard.recipes.explain import EXAMPLES
    from regard.serve.app import create_app
    from regard.serve.guard import LOOPBACK

    return create_app(loaded, course=EXAMPLES, hosts=(*LOOPBACK, *names), addresses=is_open)


def _listening(host: str, port: int) -> socket.socket:
    """Raises: InputError when that cannot be listened to."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen()  # whoever comes before the models are loaded waits
        except OSError:
            listener.close()
            raise
    except OSError as error:
        hint = "choose another --port, or 0 for any free one" if port else None
        sentence = "{where} cannot be listened to: {value}"
        raise InputError(sentence, f"{host}:{port}", why(error), remedy=hint) from error
    return listener


def _address(bound: str, port: int) -> str:
    """Where this machine's own browser finds it."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, bound)  # noqa: S104
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _open_to_others(bound: str, port: int) -> str:
    """What whoever listens to more than this machine should know."""
    return (
        f"regard: warning: listening on {bound}: whoever can reach this machine can use these models, without"
        f" a password and unencrypted, at http://{socket.gethostname()}:{port}/ or by its address; leave"
        " --host out to listen to this machine alone (see SECURITY.md)"
    )
