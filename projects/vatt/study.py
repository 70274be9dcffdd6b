"""What VATT's choices are worth on the demo world with sound: dropped tokens, one transformer or three, several texts.

    omnivl study projects/vatt/study.py --out work_dirs/vatt_study --jobs 2

It draws its own corpus, a tenth of whose clips is silent, with narrated videos in which half of the sentences come too
early or too late.
"""

from omnivl.commands.study.describe import Measure, Preparation, Stage, Study

CONFIGS = 'projects/vatt/configs'
DEMO = f'{CONFIGS}/demo_pretrain.py'


def dropping(share: float) -> Stage:
    """Return the training in which this share of the tokens of video and sound is dropped."""
    return Stage(DEMO, {f'model.trunk.{name}_encoder.drop_token': share for name in ('visual', 'audio')})


study = Study(
    'VATT on the demo world with sound',
    arms={
        'drop_50': Stage(DEMO),
        'drop_25': dropping(0.25),
        'drop_0': dropping(0.0),
        'shared': Stage(DEMO, {'model.trunk.shared': True}),
        'narrated_mil_nce': Stage(f'{CONFIGS}/demo_narrated.py'),
        'narrated_nce': Stage(f'{CONFIGS}/demo_narrated.py', {'model.data_preprocessor.num_texts': 1}),
    },
    measures=[
        Measure('video.audio.v2a_r1', 'video to sound, R@1'),
        Measure('video.audio.v2a_r10', 'video to sound, R@10'),
        Measure('video.audio.a2v_r1', 'sound to video, R@1'),
        Measure('video.audio.a2v_r10', 'sound to video, R@10'),
        Measure('video.retrieval.t2v_r1', 'text to video, R@1'),
        Measure('video.retrieval.v2t_r1', 'video to text, R@1'),
        Measure('video.zero_shot.top1', 'motions by prompts, top-1'),
        Measure('sounds.classes.mAP', 'classes of sounds, mAP', after=Stage(f'{CONFIGS}/demo_sounds.py')),
    ],
    seeds=(0, 1, 2),
    pairs=[('drop_50', 'drop_0'), ('drop_25', 'drop_0'), ('shared', 'drop_50'), ('narrated_mil_nce', 'narrated_nce')],
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
    environment={'OMNIVL_DEMO_DATA': '{out}/data', 'OMNIVL_DEMO_WORK_DIR': '{out}/none'},
    text="""
All take as many steps of as many clips. `drop_50`, `drop_25` and `drop_0` are trained on captioned clips with their
sound, and differ in the share of tokens that are dropped, and so in the time of a step; `results.json` has the seconds.
`shared` is `drop_50` with one transformer for all modalities. The other two see narrated videos, half of whose
sentences are out of time: a clip has the five nearest for its texts, or its own alone.
""",
)
