"""A model and the plan of what it draws: batches of canvases, as large as the memory takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaicfusion.categories import Category
from mosaicfusion.config import parse_config
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.hub import digest, find_model
from mosaicfusion.mosaic.plan import Plan
from mosaicfusion.profiling import stage

if TYPE_CHECKING:
    from mosaicfusion.diffusion.family import Backend
    from mosaicfusion.diffusion.sampler import SampledCanvas
    from mosaicfusion.models.device import DeviceOptions


@dataclass(frozen=True)
class CanvasSampler:
    """Draws canvases by number. Make one with :meth:`load`."""

    backend: Backend
    plan: Plan

    @classmethod
    def load(cls, header: dict[str, Any], options: DeviceOptions) -> CanvasSampler:
        """What ``run.json`` describes; whatever would fail while drawing is tried first.

        Raises :class:`MosaicFusionError`, also when the model here is another than that of the run.
        """
        import torch

        from mosaicfusion.diffusion.registry import load_backend

        if options.threads is not None:
            torch.set_num_threads(options.threads)
        config = parse_config(header["config"])
        folder = find_model(config.model, config.revision)
        here, wanted = digest(folder), header["model"]["digest"]
        if here != wanted:
            raise MosaicFusionError(
                f"the model {config.model} has changed: digest {here}, the run was made with {wanted}"
            )
        with stage("load the model"):
            backend = load_backend(folder, options, config.sampling.dtype)
        config.layout.check(backend.latent_factor)
        main, partners = (
            [Category.from_json(category) for category in header["categories"][kind]] for kind in ("main", "partners")
        )
        plan = Plan(config, main, partners, backend.latent_factor)
        check_plan(backend, plan)
        return cls(backend, plan)

    def draw(
        self, indices: Sequence[int], on_step: Callable[[int, int], None] | None = None, at_most: int | None = None
    ) -> tuple[list[SampledCanvas], list[int]]:
        """Draw canvases of one layout group together; where the memory does not suffice, or above ``at_most``, in halves.

        Returns those that were drawn, in order, and the indices of those for which it does not suffice even alone.
        ``on_step`` is called with (steps done, steps in all) as long as all are together.
        """
        from mosaicfusion.diffusion.sampler import sample_canvases

        if at_most is None or len(indices) <= at_most:
            try:
                specs = [self.plan.spec(index) for index in indices]
                return sample_canvases(self.backend, specs, self.plan.config, on_step=on_step), []
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            _free_memory()  # not above: the error holds on to the tensors
            if len(indices) == 1:
                return [], list(indices)
        half = (len(indices) + 1) // 2
        first, second = (self.draw(part, at_most=at_most) for part in (indices[:half], indices[half:]))
        return first[0] + second[0], first[1] + second[1]


def check_plan(backend: Backend, plan: Plan) -> None:
    """Try what would fail late: scheduler, attention, and the prompt of every category with the longest background."""
    from mosaicfusion.diffusion.sampler import check_attention
    from mosaicfusion.mosaic.prompts import make_prompt

    check_attention(backend, plan.config)
    backgrounds = plan.config.prompt.backgrounds or ("",)
    longest = max(backgrounds, key=lambda background: len(backend.tokenizer(background)["input_ids"]))
    for category in {category.id: category for category in (*plan.main, *plan.partners)}.values():
        make_prompt(plan.config.prompt.template, category, longest, backend.tokenizer)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that the memory of the device, or of the machine, does not suffice."""
    import torch

    said = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in str(error).lower() for text in said)


def _free_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
