"""The command embed-text: text embeddings of a vocabulary, for open-vocabulary detectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.extras import EMBEDDING, require_train_extra
from mosaicfusion.cli.options import CLIP_HELP, CategoriesOption, DeviceOption
from mosaicfusion.errors import MosaicFusionError, counted

if TYPE_CHECKING:
    from mosaicfusion.detectors.models.text_embeddings import TextEmbeddings

_PAIRS = 5


@app.command(
    "embed-text",
    epilog="""**Examples**

`mosaicfusion embed-text --vocabulary lvis_v1_train.json --clip RN50:openai -o lvis_rn50.safetensors`

`mosaicfusion embed-text -c "banana, teapot, umbrella" -o fruit.safetensors`

The file stores its categories, templates and model: running the same command again computes nothing.""",
)
def embed_text(
    out: Annotated[Path, typer.Option("--out", "-o", help="The safetensors file.")],
    categories: CategoriesOption = None,
    vocabulary: Annotated[Path | None, typer.Option(help="LVIS or COCO json: embed its categories.")] = None,
    clip: Annotated[str, typer.Option(help=CLIP_HELP)] = "mini",
    templates: Annotated[
        Path | None,
        typer.Option(
            help="Text file with one prompt template per line; their vectors are averaged.",
            show_default="a photo of a single {name}",
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Embed category names by a CLIP model, as the classifier of open-vocabulary detectors."""
    require_train_extra(EMBEDDING)
    from mosaicfusion.categories import read_lines, split_names
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.detectors.models.text_embeddings import embed_text as embed
    from mosaicfusion.generation.selection import vocabulary_for
    from mosaicfusion.models.zero_shot import TEMPLATES

    if categories is not None and vocabulary is not None:
        raise MosaicFusionError("give --categories or --vocabulary, not both")
    if categories is None and vocabulary is None and clip != "mini":
        raise MosaicFusionError(f"{clip} has no vocabulary of its own; give --categories or --vocabulary")
    known = vocabulary_for(clip, split_names(categories) if categories is not None else None, vocabulary)
    texts = read_lines(templates) if templates else TEMPLATES
    with progress_bar("embedding", "category") as progress:
        embeddings = embed(out, known.categories, clip, texts, device, progress.show)
    _print(embeddings)


def _print(embeddings: TextEmbeddings) -> None:
    """Print the contents of the file, and the most similar categories, which are hardest to tell apart."""
    import numpy as np
    from rich.console import Console
    from rich.text import Text

    from mosaicfusion.cli.console import make_table

    names, vectors = embeddings.identity.categories, embeddings.vectors
    first, second = np.triu_indices(len(names), k=1)
    cosines = (vectors @ vectors.T)[first, second]
    title = f"{counted(len(names), 'category')}, {vectors.shape[1]} values each"
    table = make_table("most similar", "and", "cosine", title=title, words=2)
    for pair in np.argsort(cosines)[::-1][:_PAIRS]:
        table.add_row(Text(names[first[pair]]), Text(names[second[pair]]), f"{cosines[pair]:.3f}")
    console = Console()
    console.print(table)
    typer.echo(f"CLIP model {embeddings.identity.clip}, templates: {len(embeddings.identity.templates)}")
    typer.echo(f"result: {embeddings.source}")
