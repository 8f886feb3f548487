"""The explorer over HTTP: `create_app` makes what uvicorn runs. `docs/explorer-api.md` describes each route.

It answers questions about models that are loaded, each with a queue of its own; it knows no paths, keeps
nothing of anybody's, and changes no model. What is asked is read, computed and written in threads: the event
loop answers others meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteError
from starlette.requests import ClientDisconnect

from regard import __version__
from regard.errors import InputError, NonFiniteOutputError, RegardError, unknown
from regard.insight.names import names_object
from regard.insight.progress import progressed
from regard.insight.trace import Trace
from regard.insight.trace_json import trace_json
from regard.insight.trace_page import trace_page
from regard.insight.worked import Example
from regard.looking.about import about
from regard.looking.about import weights as weights_of
from regard.looking.explorer import Explorer, Question
from regard.looking.inputs import text_of
from regard.machine import share_heaps
from regard.run import Run
from regard.serve.answers import account_object, analysed, prediction, stepped, structure, tree
from regard.serve.assets_table import PAGE, asset
from regard.serve.bodies import BODY, read_body
from regard.serve.course import Course
from regard.serve.guard import LOOPBACK, Guard
from regard.serve.jobs import JobQueue
from regard.serve.json_answers import LINES, Json, in_progress
from regard.serve.requests import (
    MOST_REPORTED,
    AnalysisAsked,
    CourseAsked,
    NumberAsked,
    ReportAsked,
    State,
    TraceAsked,
)

_LONGEST_SENTENCE = 800
"""Characters."""

Object = dict[str, Any]
A = TypeVar("A", bound=BaseModel)
Look = TypeVar("Look", State, TraceAsked, NumberAsked, AnalysisAsked, ReportAsked)


class Models:
    """The models that are looked at, by name, each with a queue of questions of its own."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self.explorers = {name: run.explorer() for name, run in runs.items()}
        self.queues = {name: JobQueue("model") for name in runs}
        self.listed = [
            {"name": name, **about(explorer), "examples": runs[name].examples()}
            for name, explorer in self.explorers.items()
        ]

    def explorer(self, name: str) -> Explorer:
        if name not in self.explorers:
            raise unknown(InputError, "model", name, self.explorers)
        return self.explorers[name]

    def asked(self, state: State) -> tuple[Explorer, Question]:
        """Raises: InputError for an input that the model does not take."""
        explorer = self.explorer(state.model)
        text = text_of(state.input.given(), explorer.task.input)
        return explorer, state.question(text, explorer.leading)

    def both(self, state: State, answer: Callable[[Explorer, Question], Object]) -> Object:
        """What is said without and with the changes; null for the latter where there are none."""
        explorer, question = self.asked(state)
        original = answer(explorer, question.plain)  # first: the changed one may be much alike
        progressed()
        return {"original": original, "changed": answer(explorer, question) if question.changes else None}

    def one(self, state: State, which: str) -> tuple[Explorer, Question]:
        explorer, question = self.asked(state)
        return explorer, question if which == "changed" else question.plain

    def traced(self, asked: ReportAsked) -> Trace:
        """Raises: InputError for more numbers than a file to take away may have."""
        explorer, question = self.one(asked.state, asked.which)
        found = explorer.trace(question, asked.layers)
        numbers = sum(entry.value.numel() for one in found.passes for entry in one.entries.values())
        if numbers > MOST_REPORTED:
            raise InputError(
                "these are {value:,} numbers, over {limit:,}; choose some layers", numbers, MOST_REPORTED
            )
        return found


def create_app(
    runs: Mapping[str, Run],
    *,
    course: Mapping[str, Example] | None = None,
    hosts: Collection[str] = LOOPBACK,
    addresses: bool = False,
) -> FastAPI:
    """The server of the page.

    `runs`: models by the names that the page shows. `course`: worked examples by name, in their order.
    `hosts` and `addresses`: under which names the server may be asked, see `Guard`.
    """
    share_heaps()  # before there are threads
    app = FastAPI(title="regard", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, hosts=hosts, addresses=addresses)
    reading = JobQueue("reading")
    _page(app)
    _models(app, models := Models(runs))
    _looks(app, models, reading)
    _course(app, Course(course or {}), reading)
    _errors(app)
    return app


def _page(app: FastAPI) -> None:
    @app.get("/")
    def page() -> Response:
        return _asset(PAGE)

    @app.get("/assets/{name}")
    def file(name: str) -> Response:
        return _asset(name)


def _asset(name: str) -> Response:
    found = asset(name)
    if found is None:
        raise HTTPException(404, "there is no such file")
    content, kind = found
    return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


def _models(app: FastAPI, models: Models) -> None:
    @app.get("/api/models")
    def listed() -> Response:
        return Json({"version": __version__, "models": models.listed, "words": names_object()})

    @app.get("/api/weights/{model}")
    def weights(model: str) -> Response:
        shapes = weights_of(models.explorer(model)).items()
        return Json({"weights": [{"name": name, "shape": list(shape)} for name, shape in shapes]})

    @app.get("/api/outputs/{model}")
    def outputs(model: str) -> Response:
        return Json({"outputs": list(models.explorer(model).naming.outputs)})


def _looks(app: FastAPI, models: Models, reading: JobQueue) -> None:
    def looks(path: str, kind: type[Look], answer: Callable[[Look], Response]) -> None:
        """A route that asks a model: read in one queue, answered in the model's."""

        @app.post(path)
        async def look(request: Request) -> Response:
            asked = await _read(request, reading, kind)
            name = (asked if isinstance(asked, State) else asked.state).model
            models.explorer(name)  # or else it is refused
            return await models.queues[name].run(request.receive, lambda: answer(asked))

    def both(state: State, answer: Callable[[Explorer, Question], Object]) -> Response:
        return Json(models.both(state, answer))

    def number(asked: NumberAsked) -> Response:
        explorer, question = models.one(asked.state, asked.which)
        found = explorer.account(question, asked.part, tuple(asked.index), asked.sequence)
        return Json(account_object(found))

    def report(asked: ReportAsked) -> Response:
        return _attached(trace_page(models.traced(asked), asked.lang), "html", "text/html; charset=utf-8")

    def whole(asked: ReportAsked) -> Response:
        return _attached("".join(trace_json(models.traced(asked))), "json", "application/json")

    looks("/api/predict", State, lambda s: both(s, lambda e, q: prediction(e, e.answer(q))))
    looks("/api/trace", TraceAsked, lambda a: both(a.state, lambda e, q: structure(e, q, a)))
    looks("/api/number", NumberAsked, number)
    looks("/api/step", State, lambda s: both(s, stepped))
    looks("/api/beam", State, lambda s: both(s, lambda e, q: tree(e, e.search(q))))
    looks("/api/analysis", AnalysisAsked, lambda a: both(a.state, lambda e, q: analysed(e, q, a)))
    looks("/api/report", ReportAsked, report)
    looks("/api/json", ReportAsked, whole)


async def _read(request: Request, reading: JobQueue, kind: type[A]) -> A:
    body = request.scope.pop(BODY)  # which nobody keeps but this
    return await reading.run(request.receive, lambda: read_body(kind, body))


def _attached(text: str, form: str, kind: str) -> Response:
    content, name = text.encode("utf-8", "backslashreplace"), f"trace.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)


def _course(app: FastAPI, course: Course, reading: JobQueue) -> None:
    queue = JobQueue("course")

    @app.get("/api/course")
    def examples() -> Response:
        return Json({"examples": course.listed()})

    @app.post("/api/course/{name}")
    async def worked(name: str, request: Request) -> Response:
        asked = await _read(request, reading, CourseAsked)
        values = course.values(name, asked.changes)

        async def work(report: Callable[[float], None] = lambda share: None) -> Response:
            return await queue.run(
                request.receive, lambda: Json(course.worked(name, asked.lang, values)), report
            )

        return in_progress(work, said_of) if request.headers.get("accept") == LINES else await work()


# ---------------------------------------------------------------------- errors: one sentence each


def _errors(app: FastAPI) -> None:
    for kind in (RegardError, StarletteError, ClientDisconnect, Exception):
        app.exception_handler(kind)(lambda request, error: said_of(error))


def said_of(error: Exception) -> Response:
    """The sentence and the status for what went wrong."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # which nobody reads
    if isinstance(error, StarletteError):
        return _sentence(error.detail, error.status_code, error.headers)
    if isinstance(error, NonFiniteOutputError):
        return _sentence(str(error), 409)  # which the page says in its own language
    if isinstance(error, RegardError):
        return _sentence(str(error), 400 if error.exit_status == 2 else 500)
    return _sentence("the server failed to answer that; its terminal shows why", 500)


def _sentence(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Whatever was asked, and names, it is short enough to be read."""
    short = text if len(text) <= _LONGEST_SENTENCE else f"{text[: _LONGEST_SENTENCE - 1]}…"
    return Json({"error": short}, status, headers)
