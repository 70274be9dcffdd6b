"""Does decoupled joint pretraining help images and videos alike, against the other paradigms at equal operations?"""

from omnivl.commands.study.describe import Stage, Study
from projects.studies._common import (
    BUDGETS,
    DEMO,
    ENVIRONMENT,
    FINETUNED,
    IMAGE_STAGE,
    JOINT,
    MEASURES,
    PREPARATIONS,
    SEEDS,
)

study = Study(
    'Claim A: five paradigms at equal operations',
    arms={
        'image_only': Stage(f'{DEMO}/pretrain_image_only.py'),
        'video_only': Stage(f'{DEMO}/pretrain_video_only.py'),
        'joint_from_scratch': Stage(f'{DEMO}/pretrain_joint_from_scratch.py'),
        'image_then_video': Stage(f'{DEMO}/pretrain_image_then_video.py', start=IMAGE_STAGE),
        'decoupled': JOINT,
    },
    measures=(*MEASURES, *FINETUNED),
    seeds=SEEDS,
    budgets=(BUDGETS[0] / 2, BUDGETS[0], BUDGETS[0] * 2),
    pairs=[('decoupled', other) for other in ('image_only', 'video_only', 'joint_from_scratch', 'image_then_video')],
    preparations=PREPARATIONS,
    environment=ENVIRONMENT,
    text="""
Every paradigm gets the operations of the decoupled recipe (`projects/demo/configs/_base_/budget.py`; a test counts
them), times the budget. All are tested on everything: a model of images alone has never trained its video path, and one
of videos alone sees a picture as a clip of one frame by weights that only clips have trained.
""",
)
