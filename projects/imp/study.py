"""What IMP's parts are worth on the demo: one task a step, experts, several resolutions, and each modality.

    omnivl study projects/imp/study.py --out work_dirs/imp_study

It needs the corpus and the vocabulary of the quickstart (``bash tools/quickstart.sh``), which lie where
``OMNIVL_DEMO_DATA`` says.
"""

from omnivl.commands.study.describe import Measure, Stage, Study

CONFIGS = 'projects/imp/configs'
ALL = Stage(f'{CONFIGS}/demo_pretrain.py')


def of(*tasks: str, steps: int) -> Stage:
    """Return the training on some tasks alone, for the steps that these have when all are there."""
    names = ('image_text', 'image_label', 'video_text', 'video_label')
    changes = {f'train_cfg.proportions.{name}': 0 for name in names if name not in tasks}
    length = {'train_cfg.max_iters': steps, 'param_scheduler.1.begin': steps // 2, 'param_scheduler.1.end': steps}
    return Stage(f'{CONFIGS}/demo_pretrain.py', changes | length | {'default_hooks.checkpoint.interval': steps})


study = Study(
    'IMP on the demo',
    arms={
        'dense': ALL,
        'experts': Stage(f'{CONFIGS}/demo_pretrain_moe.py'),
        'experts_by_sample': Stage(f'{CONFIGS}/demo_pretrain_moe.py', {'model.trunk.encoder.experts.groups': 'sample'}),
        'summed': Stage(f'{CONFIGS}/demo_summed.py'),
        'resolutions': Stage(f'{CONFIGS}/demo_resolutions.py'),
        'images_alone': of('image_text', 'image_label', steps=200),
        'videos_alone': of('video_text', 'video_label', steps=200),
        'texts_alone': of('image_text', 'video_text', steps=266),
        'labels_alone': of('image_label', 'video_label', steps=134),
    },
    measures=[
        Measure('image.retrieval.t2i_r1', 'text to image, R@1'),
        Measure('image.retrieval.i2t_r1', 'image to text, R@1'),
        Measure('video.retrieval.t2v_r1', 'text to video, R@1'),
        Measure('video.retrieval.v2t_r1', 'video to text, R@1'),
        Measure('image.zero_shot.top1', 'classes of images, top-1'),
        Measure('video.zero_shot.top1', 'classes of videos, top-1'),
    ],
    seeds=(0, 1, 2),
    pairs=[
        ('dense', 'summed'),
        ('experts', 'dense'),
        ('experts', 'experts_by_sample'),
        ('resolutions', 'dense'),
        ('dense', 'images_alone'),
        ('dense', 'videos_alone'),
        ('dense', 'texts_alone'),
        ('dense', 'labels_alone'),
    ],
    text="""
All have as many samples a step and, but for the last four, as many steps. A token has one expert on average, so
`experts` has the active parameters of `dense`, and a router. `summed` has all tasks in every step, each with a part of
the batch. `resolutions` sees half of the batches of captions at 32 pixels, four times as many samples, so as many
tokens. The last four have the steps that their tasks have in `dense`: what is missing there is what the others give.
""",
)
