"""What the sections of the report about training show: the model, its parts, the time it took, the curves."""

from typing import NamedTuple

from .curves import draw_curves
from .run_files import Curve, RunFiles

# Module of the model -> what it is called and what it does.
PARTS = {
    'visual_encoder': (
        'Visual encoder',
        'One transformer for images and videos. For videos each block first looks along time, then across the frame; '
        'an image skips the first part.',
    ),
    'text_encoder': (
        'Text encoder',
        'Turns a caption into a vector that can be compared with that of a picture or clip.',
    ),
    'alignment_decoder': (
        'Alignment decoder',
        'Reads a caption while looking at the visual and says whether they belong together.',
    ),
    'generation_decoder': (
        'Generation decoder',
        'Looks at the visual and writes the caption, word by word.',
    ),
}
STEP_NAMES = {
    'install': 'installation',
    'corpus': 'corpus',
    'vocabulary': 'vocabulary',
    'stage1': 'stage 1: images',
    'stage2': 'stage 2: images and videos',
    'test': 'evaluation',
}
STEP_COLOURS = {
    'corpus': 'var(--line)',
    'vocabulary': 'var(--soft)',
    'stage1': 'var(--image)',
    'stage2': 'var(--video)',
    'test': 'var(--both)',
}
CORPUS_PARTS = {
    'images': 'pictures with captions',
    'image_labels': 'pictures with labels',
    'videos': 'clips with captions',
    'video_labels': 'clips with labels',
}
CHARTS = (
    ('loss_univlc', 'Contrast (UniVLC)', 'what belongs together is near, the rest far'),
    ('loss_vlm', 'Matching (VLM)', 'does this caption belong to this visual?'),
    ('loss_lm', 'Captioning (LM)', 'the next word, per word'),
    ('temperature', 'Temperature', 'sharpness of the contrast, learned'),
    ('lr', 'Learning rate', 'warm-up, then decay, in each stage'),
    ('grad_norm', 'Gradient norm', 'before clipping'),
)
LEGEND = {'image': 'image batches', 'video': 'video batches', 'both': 'all batches'}


class Part(NamedTuple):
    """A part of the model."""

    title: str
    what: str
    parameters: int


class TimedStep(NamedTuple):
    """A step of the quickstart.

    Attributes:
        title: What it is called.
        colour: Of the page's style sheet.
        seconds: How long it took.
        iterations: Of a training; 0 for other steps.
    """

    title: str
    colour: str
    seconds: float
    iterations: int


class Trained(NamedTuple):
    """What was trained, on what, and how long.

    Attributes:
        parts: Parts of the model.
        notes: What there is beside them.
        corpus: Phrases about the training corpus.
        steps: Where the time went.
        install: Seconds of the installation; 0 = there was none.
    """

    parts: list[Part]
    notes: list[str]
    corpus: list[str]
    steps: list[TimedStep]
    install: float


class Chart(NamedTuple):
    """One quantity over training; ``svg`` is HTML."""

    title: str
    what: str
    svg: str


class Curves(NamedTuple):
    """All charts.

    Attributes:
        charts: The charts.
        legend: Colour -> what it stands for.
        has_border: Whether a line marks where the second stage begins.
    """

    charts: list[Chart]
    legend: dict[str, str]
    has_border: bool


def describe(run: RunFiles) -> Trained:
    """Gather the parts of the model and their sizes, the corpus, and where the time went."""
    parts = [Part(title, what, run.parameters[name]) for name, (title, what) in PARTS.items() if name in run.parameters]
    steps = [
        TimedStep(STEP_NAMES[name], colour, run.seconds[name], run.steps.get(name, 0))
        for name, colour in STEP_COLOURS.items()
        if run.seconds.get(name)
    ]
    return Trained(parts, _notes(run), _corpus(run), steps, run.seconds.get('install', 0))


def _notes(run: RunFiles) -> list[str]:
    others = sum(count for name, count in run.parameters.items() if name not in PARTS)
    notes = []
    if run.parameters.keys() & PARTS.keys():
        notes.append('k = thousand parameters; a weight that two parts share is counted with the first of them')
        notes.append(f'projections and matching head have {others / 1e3:,.1f} k more')
    if run.training_only:
        size = f'{run.training_only / 1e3:,.0f} k numbers'
        notes.append(f'a slowly following copy of the encoders and its queues ({size}) only help training')
    return notes


def _corpus(run: RunFiles) -> list[str]:
    counts = run.corpus.get('counts', {})
    return [
        f'{counts[kind]["train"]:,} {title}'
        for kind, title in CORPUS_PARTS.items()
        if counts.get(kind, {}).get('train')
    ]


def curves(run: RunFiles) -> Curves | None:
    """Draw losses, temperature and learning rate through both stages; ``None`` where nothing was logged."""
    first = list(run.steps.values())[:1]
    border = first[0] if len(run.steps) > 1 else None
    charts, shown = [], set()
    for quantity, title, what, found in _quantities(run):
        shown |= set(found)
        svg = draw_curves(found, title, border, smooth='loss' in quantity or quantity == 'grad_norm')
        charts.append(Chart(title, what, svg))
    if not charts:
        return None
    return Curves(charts, {name: title for name, title in LEGEND.items() if name in shown}, bool(border))


def _quantities(run: RunFiles) -> list[tuple[str, str, str, dict[str, Curve]]]:
    """List the quantities of ``CHARTS`` that were logged, and the figures of validation if there were several."""
    found = [(quantity, title, what, run.curves(quantity)) for quantity, title, what in CHARTS]
    validation = ('validation', 'Retrieval, validation', 'R@1 in percent, caption to visual', run.validation_curves())
    return [entry for entry in (*found, validation) if entry[3]]
