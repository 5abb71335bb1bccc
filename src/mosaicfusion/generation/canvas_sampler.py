"""Sampling canvases by their index: a loaded model, the plan of the run, and batches as large as the memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.references import References
from mosaicfusion.models.hub import digest, find_model
from mosaicfusion.mosaic.plan import Plan, main_order
from mosaicfusion.mosaic.prompts import make_prompt
from mosaicfusion.profiling import stage
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.manifest import Manifest

if TYPE_CHECKING:
    from mosaicfusion.diffusion.family import DiffusionModel
    from mosaicfusion.diffusion.sampler import SampledCanvas
    from mosaicfusion.models.device import DeviceOptions

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # in torch's messages


@dataclass(frozen=True)
class CanvasSampler:
    """A model and the plan of what it samples. Make one with :meth:`load`."""

    model: DiffusionModel
    plan: Plan
    references: References | None = field(default=None, kw_only=True)

    @classmethod
    def load(cls, manifest: Manifest, options: DeviceOptions) -> CanvasSampler:
        """Load the model of a run, and try everything that would fail later.

        Raises :class:`MosaicFusionError`, also when the model's files are not those that the run was made with.
        """
        import torch

        from mosaicfusion.diffusion.checks import check_settings
        from mosaicfusion.diffusion.registry import load_model

        if options.threads is not None:
            torch.set_num_threads(options.threads)
        config = manifest.config
        folder = find_model(config.model, config.revision, config.variant)
        if (found := digest(folder)) != manifest.model.digest:
            raise MosaicFusionError(
                f"the model {config.model} has changed: digest {found}, the run was made with {manifest.model.digest}"
            )
        check_settings(folder, config)
        with stage("load the model", log=True):
            model = load_model(folder, options, config.sampling.dtype, config.variant)
        config.layout.check(model.latent_factor)
        plan = make_plan(manifest, model.latent_factor)
        check_plan(model, plan)
        return cls(model, plan)

    def continue_with(self, run: RunFolder) -> CanvasSampler:
        """The same model with the plan of a run, which may have grown, and the real objects in its folder."""
        references = self.references
        if run.manifest.config.references is not None and references is None:
            references = References.read(run.path)
        return replace(self, plan=make_plan(run.manifest, self.model.latent_factor), references=references)

    def sample(
        self, indices: Sequence[int], on_step: Callable[[int, int], None] | None = None, max_size: int | None = None
    ) -> tuple[list[SampledCanvas], list[int]]:
        """Sample canvases of one layout group together; in halves where memory runs out, or above ``max_size``.

        Returns the sampled canvases in order, and the indices of those for which the memory does not suffice even alone.
        ``on_step`` is called with (steps done, all steps) as long as the batch is whole.
        """
        if max_size is None or len(indices) <= max_size:
            try:
                return self.sample_together(indices, on_step), []
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            _free_memory()  # outside of the except block: the error holds on to the tensors
            if len(indices) == 1:
                return [], list(indices)
        half = (len(indices) + 1) // 2
        first, second = (self.sample(part, max_size=max_size) for part in (indices[:half], indices[half:]))
        return first[0] + second[0], first[1] + second[1]

    def sample_together(
        self, indices: Sequence[int], on_step: Callable[[int, int], None] | None = None
    ) -> list[SampledCanvas]:
        """Sample a batch as a whole; raises torch's error where memory runs out."""
        from mosaicfusion.diffusion.sampler import sample_canvases

        config, specs = self.plan.config, [self.plan.spec(index) for index in indices]
        starts = None if self.references is None else [self.references.starts(spec, config.seed) for spec in specs]
        return sample_canvases(self.model, specs, config, starts=starts, on_step=on_step)


def make_plan(manifest: Manifest, latent_factor: int) -> Plan:
    """The plan of a run's canvases; ``latent_factor``: pixels of the image per latent cell."""
    main, partners = manifest.categories.main, manifest.categories.partners
    regular, extra = manifest.canvases_per_category * len(main), main_order(manifest.rounds)
    return Plan(manifest.config, main, partners, latent_factor, regular, tuple(extra.tolist()))


def check_plan(model: DiffusionModel, plan: Plan) -> None:
    """Try what would fail late: each part of the model, and the prompt of every category with the longest background."""
    from mosaicfusion.diffusion.sampler import check_model, check_size

    check_size(model, plan.spec(0).canvas)
    check_model(model, plan.config)
    backgrounds = plan.config.prompt.backgrounds or ("",)
    longest = max(backgrounds, key=lambda background: len(model.tokenizer(background)["input_ids"]))
    for category in {category.id: category for category in (*plan.main, *plan.partners)}.values():
        for template in plan.config.prompt.by_category.get(category.name, (plan.config.prompt.template,)):
            make_prompt(template, category, longest, model.tokenizer)


def is_out_of_memory(error: BaseException) -> bool:
    """True if torch reports that the memory of the device, or of the machine, does not suffice."""
    import torch

    message = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in message for text in _OUT_OF_MEMORY)


def _free_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
