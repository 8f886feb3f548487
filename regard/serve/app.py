"""The explorer over HTTP: `create_app` makes what uvicorn runs. `docs/explorer-api.md` describes each route.

It answers questions about models that are loaded, each with a lock of its own; it knows no paths, keeps
nothing of anybody's, and changes no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteError

from regard import __version__
from regard.errors import InputError, RegardError, nearest
from regard.insight.names import names_object
from regard.insight.trace_json import trace_json
from regard.insight.trace_page import trace_page
from regard.insight.worked import Example
from regard.looking.about import weights as weights_of
from regard.looking.explorer import Explorer, Question
from regard.looking.inputs import text_of
from regard.run import Run
from regard.serve.answers import account_object, analysed, model_object, prediction, stepped, structure, tree
from regard.serve.assets_table import PAGE, asset
from regard.serve.course import Course
from regard.serve.guard import LOOPBACK, Guard
from regard.serve.requests import AnalysisAsked, CourseAsked, NumberAsked, ReportAsked, State, TraceAsked

Object = dict[str, Any]


class Json(Response):
    """JSON whose numbers are finite, and whose texts may be anything."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


class Models:
    """The models that are looked at, by name."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self.explorers = {name: run.explorer() for name, run in runs.items()}
        self.listed = [
            model_object(name, explorer, runs[name].examples()) for name, explorer in self.explorers.items()
        ]

    def explorer(self, name: str) -> Explorer:
        if name not in self.explorers:
            hint = nearest(name, self.explorers)
            raise InputError(
                f"there is no model '{name}'{hint or '; there are ' + ', '.join(self.explorers)}"
            )
        return self.explorers[name]

    def asked(self, state: State) -> tuple[Explorer, Question]:
        """Raises: InputError for an input that the model does not take."""
        explorer = self.explorer(state.model)
        text = text_of(state.input.given(), explorer.task.takes)
        return explorer, state.question(text, explorer.leading)

    def both(self, state: State, answer: Callable[[Explorer, Question], Object]) -> Object:
        """What is said without and with the changes; null for the latter where there are none."""
        explorer, question = self.asked(state)
        original = answer(explorer, question.plain)  # first: the changed one may be much alike
        return {"original": original, "changed": answer(explorer, question) if question.changes else None}

    def one(self, state: State, which: str) -> tuple[Explorer, Question]:
        explorer, question = self.asked(state)
        return explorer, question if which == "changed" else question.plain


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
    app = FastAPI(title="regard", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, hosts=hosts, addresses=addresses)
    _page(app)
    _models(app, models := Models(runs))
    _looks(app, models)
    _course(app, Course(course or {}))
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


def _looks(app: FastAPI, models: Models) -> None:
    @app.post("/api/predict")
    def predict(state: State) -> Response:
        return Json(
            models.both(state, lambda explorer, question: prediction(explorer, explorer.answer(question)))
        )

    @app.post("/api/trace")
    def trace(asked: TraceAsked) -> Response:
        return Json(models.both(asked.state, lambda explorer, question: structure(explorer, question, asked)))

    @app.post("/api/number")
    def number(asked: NumberAsked) -> Response:
        explorer, question = models.one(asked.state, asked.which)
        return Json(
            account_object(explorer.account(question, asked.part, tuple(asked.index), asked.sequence))
        )

    @app.post("/api/step")
    def step(state: State) -> Response:
        return Json(models.both(state, stepped))

    @app.post("/api/beam")
    def beam(state: State) -> Response:
        return Json(models.both(state, lambda explorer, question: tree(explorer, explorer.search(question))))

    @app.post("/api/analysis")
    def analysis(asked: AnalysisAsked) -> Response:
        return Json(models.both(asked.state, lambda explorer, question: analysed(explorer, question, asked)))

    @app.post("/api/report")
    def report(asked: ReportAsked) -> Response:
        explorer, question = models.one(asked.state, asked.which)
        made = trace_page(explorer.trace(question, asked.layers), asked.lang)
        return _attached(made, "text/html; charset=utf-8", "trace.html")

    @app.post("/api/json")
    def whole(asked: ReportAsked) -> Response:
        explorer, question = models.one(asked.state, asked.which)
        made = "".join(trace_json(explorer.trace(question, asked.layers)))
        return _attached(made, "application/json", "trace.json")


def _attached(text: str, kind: str, name: str) -> Response:
    content = text.encode("utf-8", "backslashreplace")
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _course(app: FastAPI, course: Course) -> None:
    @app.get("/api/course")
    def examples() -> Response:
        return Json({"examples": course.listed()})

    @app.post("/api/course/{name}")
    def worked(name: str, asked: CourseAsked) -> Response:
        return Json(course.worked(name, asked.lang, asked.changes))


# ---------------------------------------------------------------------- errors: one sentence each


def _errors(app: FastAPI) -> None:
    @app.exception_handler(RegardError)
    def refused(request: Request, error: RegardError) -> Response:
        return Json({"error": str(error)}, 400 if error.exit_status == 2 else 500)

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> Response:
        return Json({"error": _sentence(error)}, 422)

    @app.exception_handler(StarletteError)
    def http(request: Request, error: StarletteError) -> Response:
        return Json({"error": str(error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:
        return Json({"error": "the server failed to answer that; its terminal shows why"}, 500)


def _sentence(error: RequestValidationError) -> str:
    """Where the first mistake is, and what it is."""
    first = error.errors()[0]
    where = ".".join(str(key) for key in first["loc"] if key != "body")
    return str(InputError(f"{where or 'the request'}: {first['msg']}"[:400]))
