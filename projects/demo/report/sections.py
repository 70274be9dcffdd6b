"""The sections of the report about results: plain words around figures and pictures; ``''`` where there is nothing."""

from .grids import caption_cards, retrieval_grid
from .measures import DIRECTIONS, HEADINGS, THINGS
from .media import MediaReader, escape
from .run_files import MODALITIES, RunFiles
from .tables import caption_table, confusion_table, headline_bars, percent, retrieval_table, unseen_bars

RETRIEVAL = """<p>The caption is the query; the right answer has a green frame. The order is that of the re-ranking,
where there was one. These are the first captions of the test set, not the best ones; where they were all right, some
that went wrong were put in.</p>"""
CAPTIONS = """<p>Words the truth has, in its order, are <ins>green</ins>; others are <del>underlined in red</del>. The
model writes the likeliest next word each time (greedy search); what beam search finds is shown where it
differs.</p>"""
CLASSES = """<p>Zero-shot classification: each class becomes a sentence, and the sentence nearest to the visual wins.
A row is a true class, a number the percentage of it that was taken for the class of the column; a perfect model has
100 on the diagonal.</p>"""
UNSEEN = """<p>Some pairs of colour and shape were kept out of training altogether, though each colour and each shape
was there. The upper bar is the ordinary test set, the lower, paler one scenes with such a pair: the gap is what the
model has learned by heart and cannot put together. The two galleries differ in content, so read small gaps with
care.</p>"""
ALL_FIGURES = """<p><b>R@k</b>: how often the right one is among the first k. In the test set each visual has its own
caption, so guessing is right k times in the size of the gallery{of}. <b>Features</b> compares the vectors of the two
encoders; <b>re-ranked</b> lets the alignment decoder look again at the best few. <b>Attributes right</b> counts the
words that carry the content (colours, shapes, relation or action). <b>Unseen</b> is the set of combinations that
training never had. With 200 samples a figure near 50% is uncertain by about 3.5 points, one near 90% by 2 (one
standard error); another seed of training moves it, too.</p>"""
COMMANDS = """# stage 2 again with other settings, e.g. twice as long
python tools/train.py projects/demo/configs/pretrain_joint.py --work-dir work_dirs/longer \\
    --cfg-options train_cfg.max_iters=ITERATIONS load_from=work_dirs/demo/stage1/CHECKPOINT.pth

# evaluate any checkpoint
python tools/test.py projects/demo/configs/pretrain_joint.py work_dirs/longer/CHECKPOINT.pth \\
    --work-dir work_dirs/longer/test

# watch a run
tensorboard --logdir work_dirs

# the paper's configs, on GPUs (data: see README.md)
bash tools/dist_train.sh configs/omnivl/pretrain_image.py 8"""
NEXT = """<p>The other paradigms of the paper (images only, videos only, joint from scratch, images then videos) are
configs beside these two in <code>projects/demo/configs/</code>; an encoder of your own starts as a copy of
<code>projects/example_encoder/</code>.</p>"""


def gallery_size(run: RunFiles, modality: str) -> int:
    """Count the visuals that retrieval chose from."""
    return len(run.predictions.get(f'{modality}.retrieval', []))


def summary(run: RunFiles) -> str:
    """Say in a few sentences what was done and what came out."""
    total = sum(run.parameters.values())
    size = f'A model of {total / 1e6:.1f} million parameters' if total else 'A small model'
    stages = [f'{run.seconds[stage] / 60:.1f} minutes' for stage in ('stage1', 'stage2') if stage in run.seconds]
    lessons = 'pictures and clips with captions'
    if len(stages) == 2:
        lessons = f'pictures with captions (for {stages[0]}), then from pictures and clips in turn (for {stages[1]})'
    sentences = [f'{size} learned from {lessons}, starting from random weights, without any download.']
    for modality in MODALITIES:
        direction = next(iter(DIRECTIONS[modality]))
        name = f'{modality}.retrieval.{direction}_r1'
        value, chance, gallery = run.get(name), run.get(name, 'chance'), gallery_size(run, modality)
        if value is not None and chance is not None and gallery:
            sentences.append(
                f'Shown a caption, it picks the right one of {gallery} {THINGS[modality]} it has never seen '
                f'<b>{percent(value)}</b> of the time; guessing would give {percent(chance)}.'
            )
    return f'<p class="lead">{" ".join(sentences)}</p>'


def figures(run: RunFiles) -> str:
    """The headline figures."""
    intro = 'All on held-out scenes: none of them, and none of their captions, was in training.'
    return f'<p>{intro}</p>{headline_bars(run)}'


def retrieval(run: RunFiles, media: MediaReader) -> str:
    """Captions and what was found for them."""
    blocks = []
    for modality in MODALITIES:
        rows = run.predictions.get(f'{modality}.retrieval')
        grid = retrieval_grid(rows, modality, media, count=6 if modality == 'image' else 4) if rows else ''
        if grid:
            title = f'{HEADINGS[modality]}: the five {THINGS[modality]} of {len(rows)} that fit the caption best'
            blocks.append(f'<h3>{title}</h3>{grid}')
    return RETRIEVAL + ''.join(blocks) if blocks else ''


def captions(run: RunFiles, media: MediaReader) -> str:
    """Captions that the model wrote beside the truth."""
    blocks = []
    for modality in MODALITIES:
        rows = run.predictions.get(f'{modality}.caption')
        if rows:
            cards = caption_cards(rows, modality, media, count=8 if modality == 'image' else 6)
            blocks.append(f'<h3>{HEADINGS[modality]}</h3>{cards}')
    return CAPTIONS + ''.join(blocks) if blocks else ''


def classes(run: RunFiles) -> str:
    """Confusion matrices of zero-shot classification."""
    blocks = []
    for modality in MODALITIES:
        rows = run.predictions.get(f'{modality}.zero_shot')
        if rows:
            table = confusion_table([row['label'] for row in rows], [row['predicted'] for row in rows], modality)
            name = f'{modality}.zero_shot.top1'
            right, chance = percent(run.get(name)), percent(run.get(name, 'chance'))
            title = f'{HEADINGS[modality]}: {right} right, chance {chance}'
            blocks.append(f'<div class="card"><h3>{title}</h3>{table}</div>')
    return f'{CLASSES}<div class="two">{"".join(blocks)}</div>' if blocks else ''


def unseen(run: RunFiles) -> str:
    """Figures on combinations that training never had."""
    bars = unseen_bars(run)
    return UNSEEN + bars if bars else ''


def all_figures(run: RunFiles) -> str:
    """Every figure, and how chance is reckoned."""
    tables = ''.join(retrieval_table(run, modality) + caption_table(run, modality) for modality in MODALITIES)
    sizes = ' and '.join(f'{gallery_size(run, m)} {THINGS[m]}' for m in MODALITIES if gallery_size(run, m))
    of = f' of {sizes}' if sizes else ''
    return f'{ALL_FIGURES.format(of=of)}<div class="card">{tables}</div>'


def next_steps() -> str:
    """Commands to go on with."""
    return f'<pre><code>{escape(COMMANDS)}</code></pre>{NEXT}'
