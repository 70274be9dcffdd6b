"""What sound gives to pictures, clips and texts on the demo, and they to it.

    omnivl study projects/imp/study_sound.py --out work_dirs/imp_study_sound

The corpus with sound is made first.
"""

from omnivl.commands.study.describe import Measure, Preparation, Stage, Study

SOUND = 'projects/imp/configs/demo_sound.py'


def of(steps: int, **without: int) -> Stage:
    """Return the training for some steps, with the shares of some tasks changed."""
    changes = {f'train_cfg.proportions.{name}': share for name, share in without.items()}
    length = {'train_cfg.max_iters': steps, 'param_scheduler.1.begin': steps // 2, 'param_scheduler.1.end': steps}
    return Stage(SOUND, changes | length | {'default_hooks.checkpoint.interval': steps})


study = Study(
    'Sound in IMP on the demo',
    arms={
        'all': of(480),
        'without_sound': of(300, video_audio_text=0, audio_label=0),
        'sound_alone': of(180, image_text=0, image_label=0, video_text=0, video_label=0),
        'without_classes_of_sound': of(420, audio_label=0),
    },
    measures=[
        Measure('video.sound.v2a_r1', 'video to sound, R@1'),
        Measure('video.sound.a2v_r1', 'sound to video, R@1'),
        Measure('video.retrieval.t2v_r1', 'text to video, R@1'),
        Measure('video.retrieval.v2t_r1', 'video to text, R@1'),
        Measure('image.retrieval.t2i_r1', 'text to image, R@1'),
        Measure('video.zero_shot.top1', 'classes of videos, top-1'),
    ],
    seeds=(0, 1, 2),
    pairs=[('all', 'without_sound'), ('all', 'sound_alone'), ('all', 'without_classes_of_sound')],
    preparations=[
        Preparation(
            'corpus',
            ('-m', 'projects.demo.make_corpus', '--out', '{out}/data', '--sound', '1'),
            ('projects/demo/make_corpus.py', 'projects/demo/corpus/*.py'),
        ),
        Preparation(
            'vocabulary',
            ('-m', 'projects.demo.make_vocabulary', '--data', '{out}/data', '--out', '{out}/data/vocab.txt'),
            ('projects/demo/make_vocabulary.py', 'omnivl/models/tokenizers/text.py'),
        ),
    ],
    environment={'OMNIVL_DEMO_DATA': '{out}/data'},
    text="""
Every arm has as many steps of each of its tasks as `all` has: what is missing where tasks are left out is what they
gave.
""",
)
