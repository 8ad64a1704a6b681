"""The page in the browser: what a person does there, turned into calls of a `Session`."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.resources import files
from types import MappingProxyType
from typing import Any

# Before gradio is imported, which counts its users otherwise.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import imagecodecs
from starlette.applications import Starlette
from starlette.types import ASGIApp

from aims.core.errors import AimsError
from aims.core.texts import printable
from aims.core.words import count
from aims.labeling.session import Answer, Session
from aims.labeling.view import Region, Shown, View, show, value_range

_ON, _BESIDE = "on the object", "beside it"
_HINT = (
    "Click on an object; right click, or Shift: not this; drag: a box. "
    "Wheel, + and -: zoom; arrows: move. Keys: z undo, x clear, s save, n next, p previous."
)
# A step of the wheel, or of + and -.
_ZOOM = 1.5
_CANVAS = """
<div class="stage">
<img src="${value.src}" alt="${value.name}" draggable="false"><div class="band"></div>
</div>
<div class="caption"><span>${value.name}</span><span class="answer">${value.answer}</span></div>
"""
_EMPTY = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
# One person, one session: events take their turns, and none can be called but by the page.
_EVENT: Mapping[str, Any] = MappingProxyType(
    {
        "concurrency_id": "session",
        "concurrency_limit": 1,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
)


class Page:
    """The components of the page and what they do.

    Args:
        session: pictures, models and labels.

    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._streams = session.models[0].rules.streams
        self._last: tuple[tuple[int, View], Shown] | None = None
        # What is seen of the picture with this index.
        self._region: tuple[int, Region] | None = None
        with gr.Blocks(title="AIMS click", analytics_enabled=False, fill_width=True) as self._blocks:
            self._heading = gr.HTML(elem_id="heading")
            with gr.Row():
                with gr.Column(scale=4, min_width=300):
                    self._build_pictures()
                with gr.Column(scale=1, min_width=280):
                    self._build_controls()
                    self._build_display()
            self._connect()

    def app(self, host: str, port: int) -> ASGIApp:
        """Returns the application for a server at this address; nothing of it is fetched from elsewhere."""
        app: ASGIApp = gr.mount_gradio_app(
            Starlette(),
            self._blocks,
            path="/",
            server_name=host,
            server_port=port,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            # Fonts of the system: others would be fetched.
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        )
        return app

    def _build_pictures(self) -> None:
        with gr.Row():
            self._canvases = [
                gr.HTML(
                    {"src": _EMPTY, "name": "", "answer": ""},
                    html_template=_CANVAS,
                    css_template=_resource("canvas.css"),
                    js_on_load=_resource("canvas.js"),
                    keys=k == 0,
                    elem_id=f"canvas-{k}",
                    min_width=300,
                )
                for k in range(len(self._session.models))
            ]
        self._message = gr.HTML(elem_id="message")

    def _build_controls(self) -> None:
        session = self._session
        self._picture = gr.Dropdown(
            [(printable(source.name), k) for k, source in enumerate(session.sources)],
            value=session.index,
            label="Picture",
            elem_id="picture",
        )
        with gr.Row():
            self._previous = gr.Button("Previous", elem_id="previous", min_width=80)
            self._next = gr.Button("Next", elem_id="next", min_width=80)
        self._kind = gr.Radio([_ON, _BESIDE], value=_ON, label="Clicks are", elem_id="kind")
        with gr.Row():
            self._undo = gr.Button("Undo", elem_id="undo", min_width=80)
            self._clear = gr.Button("Clear", elem_id="clear", min_width=80)
        self._chosen = gr.Radio(
            [(printable(model.name), k) for k, model in enumerate(session.models)],
            value=0,
            label="Mask of",
            elem_id="chosen",
            visible=len(session.models) > 1,
        )
        self._class = gr.Dropdown(
            [*session.labels.classes],
            value=next(iter(session.labels.classes), "object"),
            label="Class; write a new one to add it",
            allow_custom_value=True,
            elem_id="class",
        )
        self._save = gr.Button("Save object", elem_id="save", variant="primary")
        self._saved = gr.Dropdown([], label="Saved in this picture", elem_id="saved")
        self._remove = gr.Button("Remove the chosen object", elem_id="remove", size="sm")

    def _build_display(self) -> None:
        first = next(iter(self._streams))
        channels = self._streams[first].channels
        with gr.Accordion("Display", open=False, elem_id="display"):
            self._stream = gr.Dropdown(
                [*self._streams],
                value=first,
                label="Stream",
                visible=len(self._streams) > 1,
                elem_id="stream",
            )
            self._channel = gr.Slider(
                *(0, max(1, channels)),
                value=0,
                step=1,
                label="Channel (0: all)",
                visible=channels > 1,
                elem_id="channel",
            )
            self._own = gr.Checkbox(True, label="Colours span each picture's own values", elem_id="own")
            self._low = gr.Slider(0, 1, value=0, label="Colours from", elem_id="low")
            self._high = gr.Slider(0, 1, value=1, label="to", elem_id="high")

    def _connect(self) -> None:
        session, view = self._session, self._view
        for canvas in self._canvases:
            canvas.click(self._click, [self._kind, *view], self._answer, **_EVENT)
            canvas.select(self._drag, view, self._answer, **_EVENT)
            canvas.input(self._look, view, self._answer, **_EVENT)
        for button, act in (
            (self._undo, session.undo),
            (self._clear, session.clear),
            (self._previous, lambda: session.move(-1)),
            (self._next, lambda: session.move(1)),
        ):
            button.click(self._doing(act), view, self._all, **_EVENT)
        self._picture.input(self._doing(session.open), [self._picture, *view], self._all, **_EVENT)
        saving = [self._class, self._chosen, *view]
        self._save.click(self._doing(session.save), saving, self._all, **_EVENT)
        self._remove.click(self._doing(self._removed), [self._saved, *view], self._all, **_EVENT)
        self._stream.input(self._other_stream, [self._stream], [self._channel, *self._all], **_EVENT)
        # Sliders move faster than pictures come.
        self._own.input(self._render, view, self._all, **_EVENT)
        self._channel.input(self._render, view, self._all, trigger_mode="always_last", **_EVENT)
        for slider in (self._low, self._high):
            moved = [self._own, *self._answer]
            slider.input(self._window_moved, view, moved, trigger_mode="always_last", **_EVENT)
        self._blocks.load(self._render, view, self._all, **_EVENT)

    @cached_property
    def _view(self) -> list[Any]:
        """The controls of what is shown, in the order that `_view_of` takes them."""
        return [self._stream, self._channel, self._own, self._low, self._high]

    @cached_property
    def _answer(self) -> list[Any]:
        """What a click changes, in the order of `_answered`."""
        return [self._message, *self._canvases]

    @cached_property
    def _all(self) -> list[Any]:
        """What anything else changes, in the order of `_render`."""
        others = (self._heading, self._picture, self._class, self._saved, self._own, self._low, self._high)
        return [*self._answer, *others]

    def _click(self, event: gr.EventData, kind: str, *view: Any) -> list[Any]:
        label = 0 if event.beside or kind == _BESIDE else 1
        message = _tried(lambda: self._session.click(*self._seen().pixel(event.at), label))
        return self._answered(self._view_of(*view), message)

    def _drag(self, event: gr.EventData, *view: Any) -> list[Any]:
        (left, right), (top, bottom) = (sorted(pair) for pair in zip(event.first, event.last, strict=True))

        def drag() -> None:
            seen = self._seen()
            self._session.drag((*seen.pixel((left, top)), *seen.pixel((right, bottom))))

        message = _tried(drag)
        return self._answered(self._view_of(*view), message)

    def _look(self, event: gr.EventData, *view: Any) -> list[Any]:
        """Zooms around a place, or moves what is seen."""

        def look() -> None:
            seen, size = self._seen(), self._size()
            if event.zoom:
                seen = seen.zoomed(_ZOOM**event.zoom, event.at, size)
            right, down = event.move
            self._region = self._session.index, seen.moved(right, down, size)

        message = _tried(look)
        return self._answered(self._view_of(*view), message)

    def _doing(self, act: Callable[..., object]) -> Callable[..., list[Any]]:
        """Returns a listener: what it is given before the controls of the view goes to `act`."""

        def listen(*values: Any) -> list[Any]:
            own, view = values[: -len(self._view)], values[-len(self._view) :]
            return self._render(*view, message=_tried(lambda: act(*own)))

        return listen

    def _removed(self, number: int | None) -> None:
        if number is not None:
            self._session.remove(number)

    def _other_stream(self, stream: str) -> list[Any]:
        channels = self._streams[stream].channels
        slider = gr.Slider(maximum=max(1, channels), value=0, visible=channels > 1)
        return [slider, *self._render(stream, 0, True, 0, 1)]

    def _window_moved(self, stream: str, channel: float, own: bool, low: float, high: float) -> list[Any]:
        """Takes the window of the sliders, which are not set: a person holds one of them."""
        return [False, *self._answered(self._view_of(stream, channel, False, low, high), "")]

    def _render(
        self, stream: str, channel: float, own: bool, low: float, high: float, *, message: str = ""
    ) -> list[Any]:
        session, view = self._session, self._view_of(stream, channel, own, low, high)
        pictures, objects = session.labels.count()
        saved = session.objects
        least, most = self._range(view)
        window = view.window or (least, most)
        place = f"picture {session.index + 1:,} of {len(session.sources):,}"
        kept = f"{count(objects, 'object')} in {count(pictures, 'picture')} saved to {session.labels.path}"
        return [
            *self._answered(view, message),
            f"<b>{_html(session.name)}</b> &middot; {place} &middot; {_html(kept)}",
            gr.Dropdown(value=session.index),
            gr.Dropdown(choices=[*session.labels.classes]),
            gr.Dropdown(
                choices=[(f"{each.number}: {each.class_name}", each.number) for each in saved],
                value=saved[-1].number if saved else None,
            ),
            own,
            *(
                gr.Slider(
                    minimum=min(least, end), maximum=max(most, end), value=end, step=(most - least) / 256
                )
                for end in window
            ),
        ]

    def _range(self, view: View) -> tuple[float, float]:
        try:
            return value_range(self._session.arrays, self._streams, view)
        except AimsError:
            # Nothing is open; `_answered` says why.
            return 0.0, 1.0

    def _answered(self, view: View, message: str) -> list[Any]:
        """Draws the picture under every model's mask."""
        session = self._session
        try:
            shown = self._shown(view)
        except AimsError as error:
            nothing = {"src": _EMPTY, "name": _html(session.name), "answer": ""}
            return [_notice(str(error)), *(nothing for _ in self._canvases)]
        values: list[Any] = [_notice(message)]
        for model, answer in zip(session.models, session.answers, strict=True):
            mask = None if answer.instances is None else answer.instances.masks[0]
            drawn = imagecodecs.png_encode(shown.compose(session.masks, mask, session.asked), level=1)
            values.append(
                {
                    "src": f"data:image/png;base64,{base64.b64encode(drawn).decode()}",
                    "name": _html(f"{model.name} ({shown.note})"),
                    "answer": _html(_said(answer)),
                }
            )
        return values

    def _shown(self, view: View) -> Shown:
        key = (self._session.index, view)
        if self._last is None or self._last[0] != key:
            self._last = (key, show(self._session.arrays, self._streams, view))
        return self._last[1]

    def _view_of(self, stream: str, channel: float, own: bool, low: float, high: float) -> View:
        window = None if own else (low, high)
        return View(stream=stream, channel=int(channel), window=window, region=self._part())

    def _part(self) -> Region | None:
        """Returns the part of the picture that is seen; None for the whole."""
        index, region = self._region or (None, None)
        return region if index == self._session.index else None

    def _seen(self) -> Region:
        return self._part() or Region.whole(self._size())

    def _size(self) -> tuple[int, int]:
        array = next(iter(self._session.arrays.values()))
        return array.shape[0], array.shape[1]


def _tried(act: Callable[[], object]) -> str:
    """Acts, and returns why it could not."""
    try:
        act()
    except AimsError as error:
        return str(error)
    return ""


def _html(text: str) -> str:
    """Escapes a text from files for the page."""
    return html.escape(printable(text))


def _notice(message: str) -> str:
    return f'<p role="alert"><b>{_html(message)}</b></p>' if message else f"<p>{_html(_HINT)}</p>"


def _said(answer: Answer) -> str:
    if answer.instances is None:
        return "no click yet"
    if answer.area == 0:
        return f"finds nothing here; {answer.seconds * 1000:.0f} ms"
    return f"IoU {answer.score:.2f} (predicted), {answer.area:,} pixels, {answer.seconds * 1000:.0f} ms"


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
