"""The sections of the report about training: the model, its parts, the time it took, the curves."""

from .curves import draw_curves
from .run_files import Curve, RunFiles

OMNIVL = """<p>OmniVL (<a href="https://arxiv.org/abs/2209.07526">arXiv 2209.07526</a>) is one model for images and
videos with language. It learns three things at once: to put a visual and its text close together, to tell whether a
text fits a visual, and to write the text. It learns from images first and then from images and videos in turn, so
that what it knows of images carries over to videos and is not forgotten.</p>"""
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


def duration(seconds: float) -> str:
    """Write seconds as a person would say them."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'


def trained(run: RunFiles) -> str:
    """What OmniVL is, its parts and sizes, and where the time went."""
    cards = [
        f'<div class="card part"><span class="count">{run.parameters[name] / 1e3:,.0f} k</span>'
        f'<b>{title}</b><p>{what}</p></div>'
        for name, (title, what) in PARTS.items()
        if name in run.parameters
    ]
    others = sum(count for name, count in run.parameters.items() if name not in PARTS)
    notes = []
    if cards:
        notes.append('k = thousand parameters; a weight that two parts share is counted with the first of them')
        notes.append(f'projections and matching head have {others / 1e3:,.1f} k more')
    if run.training_only:
        size = f'{run.training_only / 1e3:,.0f} k numbers'
        notes.append(f'a slowly following copy of the encoders and its queues ({size}) only help training')
    note = f'<p class="note">{"; ".join(notes)}.</p>' if notes else ''
    return f'{OMNIVL}<div class="parts">{"".join(cards)}</div>{note}{_corpus(run)}{_times(run)}'


def _corpus(run: RunFiles) -> str:
    counts = run.corpus.get('counts')
    if not isinstance(counts, dict):
        return ''
    pieces = [
        f'{counts[kind]["train"]:,} {title}'
        for kind, title in CORPUS_PARTS.items()
        if counts.get(kind, {}).get('train')
    ]
    return f'<p>Training corpus: {", ".join(pieces)}.</p>' if pieces else ''


def _times(run: RunFiles) -> str:
    shown = {name: run.seconds[name] for name in STEP_COLOURS if run.seconds.get(name)}
    if not shown:
        return ''
    bars = ''.join(
        f'<span style="flex:{seconds:.1f};background:{STEP_COLOURS[name]}" title="{STEP_NAMES[name]}"></span>'
        for name, seconds in shown.items()
    )
    items = ''
    for name, seconds in shown.items():
        steps = f', {run.steps[name]:,} steps' if run.steps.get(name) else ''
        dot = f'<span class="dot" style="background:{STEP_COLOURS[name]}"></span>'
        items += f'<li>{dot}{STEP_NAMES[name]}: {duration(seconds)}{steps}</li>'
    install = f' (and {duration(run.seconds["install"])} to install)' if run.seconds.get('install') else ''
    return (
        f'<div class="card" style="margin-top:1rem"><b>Where {duration(sum(shown.values()))} went{install}</b>'
        f'<div class="time">{bars}</div><ul class="legend">{items}</ul></div>'
    )


def curves(run: RunFiles) -> str:
    """Losses, temperature and learning rate through both stages."""
    first = list(run.steps.values())[:1]
    border = first[0] if len(run.steps) > 1 else None
    charts, shown = [], set()
    for quantity, title, what, found in _quantities(run):
        shown |= set(found)
        svg = draw_curves(found, title, border, 'loss' in quantity or quantity == 'grad_norm')
        charts.append(f'<div class="card chart"><h3>{title}</h3><p class="note">{what}</p>{svg}</div>')
    if not charts:
        return ''
    titles = {'image': 'image batches', 'video': 'video batches', 'both': 'all batches'}
    items = ''.join(
        f'<li><span class="dot" style="background:var(--{name})"></span>{title}</li>'
        for name, title in titles.items()
        if name in shown
    )
    dashed = ' The dashed line is where stage 2 begins.' if border else ''
    return (
        f'<p>Against training steps.{dashed} The loss of UniVLC cannot reach zero: samples with one text or label are '
        f'all right answers for each other, and share what a single one would get.</p><ul class="legend">{items}</ul>'
        f'<div class="charts" style="margin-top:.6rem">{"".join(charts)}</div>'
    )


def _quantities(run: RunFiles) -> list[tuple[str, str, str, dict[str, Curve]]]:
    """The quantities of ``CHARTS`` that were logged, and the figures of validation if there were several."""
    found = [(quantity, title, what, run.curves(quantity)) for quantity, title, what in CHARTS]
    validation = ('validation', 'Retrieval, validation', 'R@1 in percent, caption to visual', run.validation_curves())
    return [entry for entry in (*found, validation) if entry[3]]
