"""What matters at this scale, where the paper is silent or leaves a choice: one change at a time."""

from collections.abc import Mapping
from typing import Any

from omnivl.commands.study.describe import Stage, Study
from projects.studies._common import BUDGETS, DEMO, ENVIRONMENT, JOINT, MEASURES, PREPARATIONS, SEEDS

VIDEO_TOKENS = 'model.trunk.visual_encoder.video_tokenizer'
# Arm -> what is changed in both stages; the demo has blip, kernel 3, stride 2, mean, 1024 places.
CHOICES: dict[str, Mapping[str, Any]] = {
    'share_none': {'model.trunk.share': 'none'},
    'kernel_1': {f'{VIDEO_TOKENS}.time_kernel': 1},
    'stride_1': {f'{VIDEO_TOKENS}.time_stride': 1},
    'positives_sum': {'model.losses.0.positives': 'sum'},
    'queue_256': {'model.queue_length': 256},
    'queue_4096': {'model.queue_length': 4096},
    'negatives_hard_alone': {'model.negatives.uniform_share': 0.0},
    'negatives_even': {'model.negatives.uniform_share': 1.0},
    'negatives_by_momentum': {'model.negatives.compare_with': 'momentum'},
    'no_labels_in_matching': {'model.negatives.label_data': False},
    'no_labels_in_captioning': {'model.losses.2.label_data': False},
}

study = Study(
    'Choices: one change at a time',
    arms={
        'demo': JOINT,
        **{
            name: Stage(f'{DEMO}/pretrain_joint.py', changes, start=Stage(f'{DEMO}/pretrain_image.py', changes))
            for name, changes in CHOICES.items()
        },
    },
    measures=MEASURES,
    seeds=SEEDS,
    budgets=BUDGETS,
    pairs=[(name, 'demo') for name in CHOICES],
    preparations=PREPARATIONS,
    environment=ENVIRONMENT,
    text="Each arm is the demo's recipe with one change, in both stages; see `projects/studies/choices.py`.",
)
