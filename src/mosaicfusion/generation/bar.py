"""The progress bar of a generation job."""

from __future__ import annotations

from rich.console import Console

from mosaicfusion.generation.events import Event, Progress
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
