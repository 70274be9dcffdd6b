"""What does the joint stage do to image tasks, against images alone, and to video tasks, against videos alone?"""

from omnivl.commands.study.describe import Stage, Study
from projects.studies._common import (
    BUDGETS,
    ENVIRONMENT,
    FINETUNED,
    IMAGE_STAGE,
    JOINT,
    MEASURES,
    OWN,
    PREPARATIONS,
    SEEDS,
)

study = Study(
    'Claim C: the help goes both ways',
    arms={
        'joint': JOINT,
        'images_alone': Stage(f'{OWN}/continue_image.py', start=IMAGE_STAGE),
        'videos_alone': Stage(f'{OWN}/continue_video.py', start=IMAGE_STAGE),
    },
    measures=(*MEASURES, *FINETUNED),
    seeds=SEEDS,
    budgets=BUDGETS,
    pairs=[('joint', 'images_alone'), ('joint', 'videos_alone')],
    preparations=PREPARATIONS,
    environment=ENVIRONMENT,
    text="""
All go on from the same image stage. `images_alone` has as many steps on images as the joint stage, `videos_alone` as
many on videos, so what differs is the other modality, and what it costs: the joint stage takes both together.
""",
)
