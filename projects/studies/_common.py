"""What our studies share: a world that is hard enough, where its data lies, the stages, and the measures."""

from omnivl.commands.study.describe import Measure, Preparation, Stage

DEMO, OWN = 'projects/demo/configs', 'projects/studies/configs'
# Few examples of the harder world: at the quickstart's size and in its world, differences hide near 100 percent.
CORPUS = ('--hard', '1', '--num-images', '6000', '--num-videos', '3000')
PREPARATIONS = (
    Preparation(
        'corpus',
        ('-m', 'projects.demo.make_corpus', '--out', '{out}/data', *CORPUS),
        ('projects/demo/make_corpus.py', 'projects/demo/corpus/*.py'),
    ),
    Preparation(
        'vocabulary',
        ('-m', 'projects.demo.make_vocabulary', '--data', '{out}/data', '--out', '{out}/data/vocab.txt'),
        ('projects/demo/make_vocabulary.py', 'omnivl/models/tokenizers/text.py'),
    ),
)
ENVIRONMENT = {'OMNIVL_DEMO_DATA': '{out}/data', 'OMNIVL_DEMO_WORK_DIR': '{out}/none'}
# Of the steps of the demo's configs, after which its own world is learned and differences hide.
BUDGETS = (0.2,)
SEEDS = (1, 2, 3, 4, 5)  # settings are chosen by seed 0, on validation data

# The answers of the harder world, which the demo's config lists for its own.
ANSWERS = [
    *('yes', 'no', '0', '1', '2'),
    *('circle', 'square', 'triangle', 'cross', 'diamond', 'ring', 'bar'),
    *('red', 'green', 'blue', 'yellow', 'purple', 'black', 'orange', 'brown', 'pink'),
]

IMAGE_STAGE = Stage(f'{DEMO}/pretrain_image.py')
JOINT = Stage(f'{DEMO}/pretrain_joint.py', start=IMAGE_STAGE)
# A model that was never shown a modality is tested on it, too: all have the parts for both.
TESTED_AS = f'{DEMO}/pretrain_joint.py'

IMAGE_MEASURES = (
    Measure('image.retrieval.t2i_r1', 'text to image, R@1', config=TESTED_AS),
    Measure('image.retrieval.i2t_r1', 'image to text, R@1', config=TESTED_AS),
    Measure('image.retrieval_unseen.t2i_r1', 'text to image, unseen pairs, R@1', config=TESTED_AS),
    Measure('image.caption.slots', 'image captions, attributes', config=TESTED_AS),
    Measure('image.zero_shot.top1', 'zero-shot shapes', config=TESTED_AS),
    Measure('image.probe.top1', 'linear probe, shapes', config=f'{OWN}/probe_image.py'),
)
VIDEO_MEASURES = (
    Measure('video.retrieval.t2v_r1', 'text to video, R@1', config=TESTED_AS),
    Measure('video.retrieval.v2t_r1', 'video to text, R@1', config=TESTED_AS),
    Measure('video.retrieval_unseen.t2v_r1', 'text to video, unseen pairs, R@1', config=TESTED_AS),
    Measure('video.caption.slots', 'video captions, attributes', config=TESTED_AS),
    Measure('video.zero_shot.top1', 'zero-shot motions', config=TESTED_AS),
    Measure('video.probe.top1', 'linear probe, motions', config=f'{OWN}/probe_video.py'),
)
FINETUNED = (
    Measure(
        'image.qa.accuracy',
        'VQA, finetuned',
        changes={'test_evaluator.image.qa.answer_list': ANSWERS},
        after=Stage(f'{DEMO}/vqa.py', {'train_cfg.max_iters': 300, 'param_scheduler.1.end': 300}),
    ),
    Measure(
        'video.qa.accuracy',
        'video QA, finetuned',
        after=Stage(f'{DEMO}/video_qa.py', {'train_cfg.max_iters': 160, 'param_scheduler.1.end': 160}),
    ),
)
MEASURES = (*IMAGE_MEASURES, *VIDEO_MEASURES)
