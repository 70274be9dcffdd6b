"""What the sections of the report about results show; empty where the run has nothing for them."""

from typing import NamedTuple

from omnivl.commands.pages.grids import CardGrid, RetrievalGrid, caption_cards, retrieval_grid
from omnivl.commands.pages.media import MediaReader

from .measures import DIRECTIONS, HEADINGS, THINGS
from .run_files import MODALITIES, RunFiles


class Search(NamedTuple):
    """How well visuals are found, for the first words of the page.

    Attributes:
        gallery: Visuals to choose from.
        things: What they are called.
        value: Percent of captions for which the right one comes first.
        chance: Percent by guessing.
    """

    gallery: int
    things: str
    value: float
    chance: float


class Summary(NamedTuple):
    """What was done and what came out.

    Attributes:
        parameters: Of the model; 0 = not known.
        stage_seconds: Of both stages; empty if one is not known.
        searches: One for images and one for videos, as far as there are.
    """

    parameters: int
    stage_seconds: list[float]
    searches: list[Search]


def gallery_size(run: RunFiles, modality: str) -> int:
    """Count the visuals that retrieval chose from."""
    return len(run.predictions.get(f'{modality}.retrieval', []))


def summarize(run: RunFiles) -> Summary:
    """Gather what was done and what came out."""
    stages = [run.seconds[stage] for stage in ('stage1', 'stage2') if stage in run.seconds]
    searches = []
    for modality in MODALITIES:
        direction = next(iter(DIRECTIONS[modality]))
        name = f'{modality}.retrieval.{direction}_r1'
        value, chance, gallery = run.get(name), run.get(name, 'chance'), gallery_size(run, modality)
        if value is not None and chance is not None and gallery:
            searches.append(Search(gallery, THINGS[modality], value, chance))
    return Summary(sum(run.parameters.values()), stages if len(stages) == 2 else [], searches)


def retrieval(run: RunFiles, media: MediaReader) -> list[tuple[str, RetrievalGrid]]:
    """Gather captions and what was found for them, under a title for each modality."""
    grids = []
    for modality in MODALITIES:
        rows = run.predictions.get(f'{modality}.retrieval', [])
        grid = retrieval_grid(rows, modality, media, count=6 if modality == 'image' else 4)
        if grid.queries:
            title = f'{HEADINGS[modality]}: the five {THINGS[modality]} of {len(rows)} that fit the caption best'
            grids.append((title, grid))
    return grids


def captions(run: RunFiles, media: MediaReader) -> list[tuple[str, CardGrid]]:
    """Gather captions that the model wrote beside the truth, under a title for each modality."""
    grids = []
    for modality in MODALITIES:
        rows = run.predictions.get(f'{modality}.caption')
        if rows:
            cards = caption_cards(rows, modality, media, count=8 if modality == 'image' else 6)
            grids.append((HEADINGS[modality], cards))
    return grids


def galleries(run: RunFiles) -> list[str]:
    """Say what retrieval chose from, a phrase for each modality."""
    sizes = {modality: gallery_size(run, modality) for modality in MODALITIES}
    return [f'{size} {THINGS[modality]}' for modality, size in sizes.items() if size]
