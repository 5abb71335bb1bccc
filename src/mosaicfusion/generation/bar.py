"""The progress bar of a generation job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from mosaicfusion.generation.events import Event, OnEvent, Progress
from mosaicfusion.progress import ProgressBar


class GenerationBar(ProgressBar):
    """Progress of the canvases, and the number of the round where instances are wanted."""

    def __init__(self, on_ray: bool = False, console: Console | None = None) -> None:
        super().__init__("generating", "canvas", "starting the workers" if on_ray else "loading the model", console)

    def on_event(self, event: Event) -> None:
        """Show the progress of a job."""
        if isinstance(event, Progress):
            if event.round is not None:
                self.note(f"round {event.round}")
            self.show(event.done, event.total)


@contextmanager
def watched(on_event: OnEvent | None, progress: bool | None, on_ray: bool = False) -> Iterator[OnEvent | None]:
    """Show a bar during the block, and give the handler of the job's events, which also calls ``on_event``.

    ``progress`` ``None``: a bar in a terminal and in a notebook, unless the caller has a handler.
    """
    console = Console(stderr=True)
    wanted = on_event is None and (console.is_terminal or console.is_jupyter) if progress is None else progress
    if not wanted:
        yield on_event
        return
    with GenerationBar(on_ray, console) as bar:

        def on_both(event: Event) -> None:
            bar.on_event(event)
            if on_event is not None:
                on_event(event)

        yield on_both
