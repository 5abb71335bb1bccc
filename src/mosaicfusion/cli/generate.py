"""The command generate."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.amounts import (
    BalanceOption,
    CanvasesOption,
    FrequencyOption,
    InstancesOption,
    MainOption,
    PartnersOption,
    VocabularyOption,
)
from mosaicfusion.cli.app import app
from mosaicfusion.cli.layouts import (
    BindingOption,
    GridOption,
    LayoutOption,
    LikeOption,
    MaxOverlapOption,
    ObjectsOption,
    RenderScaleOption,
    SizesOption,
    make_layout,
)
from mosaicfusion.cli.options import (
    CLIP_HELP,
    DATASET,
    IMAGES,
    MACHINE,
    MODEL_HELP,
    PRESET_HELP,
    PROCESSES,
    CategoriesOption,
    CompileOption,
    DeviceOption,
    GpusOption,
    MarkBackgroundOption,
    MasksOption,
    MinQualityOption,
    MinSemanticsOption,
    OffloadOption,
    PolicyOption,
    RayAddressOption,
    ResourcesOption,
    SetOption,
    ThreadsOption,
    VaeTilingOption,
    WorkersOption,
    make_output,
    make_overrides,
    make_scale,
    make_selection,
    read_config,
)
from mosaicfusion.cli.references import ReferenceImagesOption, ReferenceOption, StrengthOption, make_references
from mosaicfusion.cli.speech import note
from mosaicfusion.errors import MosaicFusionError


@app.command(
    epilog="""**Examples**

`mosaicfusion generate --categories "banana, teapot, umbrella" --canvases-per-category 10 --out runs/fruit`

`mosaicfusion generate --vocabulary lvis_v1_train.json --frequency r --model CompVis/stable-diffusion-v1-4 --out runs/rare`

`mosaicfusion generate --vocabulary my_coco.json --balance my_coco.json --instances-per-category 50 --out runs/mine`

`mosaicfusion generate -c "kite, drum" --main kite --grid 1x2,2x1 --out runs/kite`

`mosaicfusion generate -c "teapot, umbrella, banana" --layout scene --like my_coco.json --out runs/kitchen`

`mosaicfusion generate -c "kite, drum" --out runs/kite --shard $SLURM_ARRAY_TASK_ID/64`

`mosaicfusion generate -c "kite, drum" --out runs/kite --workers 2`

`mosaicfusion generate -c "kite, drum" --out runs/kite --device cuda --batch-size 16 --compile`

`mosaicfusion generate -c "kite, drum" --out s3://bucket/kite`

`mosaicfusion generate -c "kite, drum" --out runs/kite --profile trace.json`

`mosaicfusion generate -c "kite, drum" --out /shared/kite --ray-address ray://head:10001 --num-gpus-per-worker 0.5`

The same command again continues an interrupted run; with more canvases per category it generates the new ones. Several processes
may generate into one folder at once; the last one to finish compiles the data set."""
)
def generate(
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="Run folder or URL (s3://...): new, empty, or of the same run.",
            show_default="none; only --dry-run does without",
        ),
    ] = None,
    categories: CategoriesOption = None,
    vocabulary: VocabularyOption = None,
    main_names: MainOption = None,
    frequency: FrequencyOption = None,
    partners: PartnersOption = "all",
    canvases_per_category: CanvasesOption = None,
    instances_per_category: InstancesOption = None,
    balance: BalanceOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help=MODEL_HELP, show_default="mini, or that of --config", rich_help_panel=IMAGES
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub id.", rich_help_panel=IMAGES)
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="Of the weights: fp16 for model.fp16.safetensors.",
            show_default="plain, or the only one",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=PRESET_HELP, show_default="by the model", rich_help_panel=IMAGES)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="JSON or YAML file with settings, or a run.json, instead of a preset.", rich_help_panel=IMAGES
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="The same seed gives the same data.", min=0, show_default="0", rich_help_panel=IMAGES),
    ] = None,
    layout: LayoutOption = None,
    grid: GridOption = None,
    like: LikeOption = None,
    objects: ObjectsOption = None,
    sizes: SizesOption = None,
    max_overlap: MaxOverlapOption = None,
    render_scale: RenderScaleOption = None,
    binding: BindingOption = None,
    reference: ReferenceOption = None,
    images: ReferenceImagesOption = None,
    strength: StrengthOption = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Prompt with {name}, {definition}, {background}; [parts] in brackets are optional.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Json with prompts by category, such as `prompts` writes.", rich_help_panel=IMAGES),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(help="Negative prompt: what images should not show.", rich_help_panel=IMAGES),
    ] = None,
    backgrounds: Annotated[
        Path | None, typer.Option(help="Text file with one background per line.", rich_help_panel=IMAGES)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="lms, dpm++, ddim, euler, ..., or a diffusers class.", rich_help_panel=IMAGES)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps.", min=1, rich_help_panel=IMAGES)] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance scale; 1 is none.", rich_help_panel=IMAGES)
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, float16, bfloat16.", rich_help_panel=IMAGES)] = None,
    settings: SetOption = None,
    policy: PolicyOption = None,
    masks: MasksOption = None,
    min_quality: MinQualityOption = None,
    min_semantics: MinSemanticsOption = None,
    mark_background: MarkBackgroundOption = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help=f"Model of --min-semantics and --mark-background: {CLIP_HELP}",
            show_default="as last time; initially mini",
            rich_help_panel=DATASET,
        ),
    ] = None,
    device: DeviceOption = "auto",
    batch_size: Annotated[
        int,
        typer.Option(help="Canvases denoised together: faster, but needs more memory.", min=1, rich_help_panel=MACHINE),
    ] = 8,
    threads: ThreadsOption = None,
    compile: CompileOption = False,
    offload: OffloadOption = False,
    vae_tiling: VaeTilingOption = False,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Generate one of several equal shares, such as 3/64.",
            show_default="everything missing",
            rich_help_panel=PROCESSES,
        ),
    ] = None,
    workers: WorkersOption = None,
    ray_address: RayAddressOption = None,
    num_gpus_per_worker: GpusOption = None,
    resources: ResourcesOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be generated, without loading a model.")
    ] = False,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="Print the time of each stage; write a trace for chrome://tracing or Perfetto to this file.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
) -> None:
    """Generate images with several objects each, their instance masks, and an LVIS json."""
    from mosaicfusion.cli.console import generation_bar, print_preview, print_profile, print_summary
    from mosaicfusion.files.remote import as_folder
    from mosaicfusion.generation.amount import make_amount
    from mosaicfusion.generation.generate import generate as run
    from mosaicfusion.generation.presets import check_model, load_config
    from mosaicfusion.generation.preview import preview
    from mosaicfusion.generation.prompt_lists import with_prompts
    from mosaicfusion.models.device import DeviceOptions
    from mosaicfusion.profiling import profiled, waiter
    from mosaicfusion.run.folder import RunFolder

    overrides = make_overrides(
        model,
        revision,
        variant,
        seed,
        template,
        negative,
        backgrounds,
        scheduler,
        steps,
        guidance,
        dtype,
        make_layout(layout, grid, like, objects, sizes, max_overlap, render_scale, binding),
    )
    overrides |= make_references(reference, images, strength)
    if preset is not None and config is not None:
        raise MosaicFusionError("give --preset or --config, not both; --set changes single settings of either")
    settings_used = check_model(read_config(load_config(config) if config else preset, overrides, settings), preset)
    selection = make_selection(settings_used.model, categories, vocabulary, main_names, frequency, partners)
    if prompts is not None:
        settings_used = with_prompts(settings_used, selection, prompts)
    scale = make_scale(workers, ray_address, num_gpus_per_worker, resources, shard)
    output = make_output(policy, masks, min_quality, min_semantics, mark_background, clip)
    if dry_run:
        amount = make_amount(selection, canvases_per_category, instances_per_category, balance)
        for text in amount.notes:
            note(text)
        existing = RunFolder.find(as_folder(out)) if out is not None else None
        print_preview(preview(selection, settings_used, amount, existing=existing, output=output))
        return
    if out is None:
        raise MosaicFusionError("give the folder of the run with --out, such as --out runs/fruit")
    if profile and scale.on_ray:
        raise MosaicFusionError("--profile times this process and sees nothing of workers; leave --workers out")
    watched = profiled(waiter(device)) if profile else nullcontext()
    with watched as timed, generation_bar(on_ray=scale.on_ray) as bar:
        summary = run(
            selection,
            out,
            canvases_per_category=canvases_per_category,
            instances_per_category=instances_per_category,
            balance=balance,
            config=settings_used,
            output=output,
            device=DeviceOptions(device, batch_size, threads, compile, offload, vae_tiling),
            scale=scale,
            on_event=bar.on_event,
        )
    if not summary.generated and not summary.missing:
        typer.echo(f"nothing to do: all canvases exist in {summary.path}")
    print_summary(summary)
    if profile and timed:
        print_profile(timed)
        timed.write_trace(profile)
