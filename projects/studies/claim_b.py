"""Do labels inside the contrast (UniVLC) help, and how many labelled examples does that take?"""

from omnivl.commands.study.describe import Stage, Study
from projects.studies._common import BUDGETS, DEMO, ENVIRONMENT, JOINT, MEASURES, OWN, PREPARATIONS, SEEDS

# Labelled items of each modality: a quarter of the pictures and three tenths of the clips of the corpus.
LABELLED = {'image': 1500, 'video': 900}
PLAIN = {'model.use_labels': False}


def with_labels(part: float) -> Stage:
    """Return the joint recipe with a part of the label data."""
    counts = {
        f'train_dataloader.{name}.dataset.datasets.1.max_items': round(part * count) for name, count in LABELLED.items()
    }
    counts['train_dataloader.video.sampler.weights.demo_video_label'] = 3 * part  # drawn less often, too
    image = {path: value for path, value in counts.items() if path.startswith('train_dataloader.image')}
    return Stage(f'{DEMO}/pretrain_joint.py', counts, start=Stage(f'{DEMO}/pretrain_image.py', image))


study = Study(
    'Claim B: labels inside the contrast',
    arms={
        'univlc': JOINT,
        'plain_contrast': Stage(f'{DEMO}/pretrain_joint.py', PLAIN, start=Stage(f'{DEMO}/pretrain_image.py', PLAIN)),
        'without_label_data': Stage(
            f'{OWN}/pretrain_joint_without_labels.py', start=Stage(f'{OWN}/pretrain_image_without_labels.py')
        ),
        'labels_50': with_labels(0.5),
        'labels_25': with_labels(0.25),
        'labels_10': with_labels(0.1),
    },
    measures=MEASURES,
    seeds=SEEDS,
    budgets=BUDGETS,
    pairs=[('univlc', 'plain_contrast'), ('univlc', 'without_label_data')]
    + [(f'labels_{part}', 'without_label_data') for part in (10, 25, 50)],
    preparations=PREPARATIONS,
    environment=ENVIRONMENT,
    text="""
`plain_contrast` sees the same data, but every pair is its own and only positive. The others differ in how many labelled
examples there are; steps and batches are the same, so fewer labels are more captions.
""",
)
