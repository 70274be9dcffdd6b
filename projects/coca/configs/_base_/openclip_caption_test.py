"""open_clip's CoCas on the test set of COCO captions, written as in ``openclip_caption.py``."""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import CaptionEvaluation

with read_base():
    from .....configs._base_.datasets.coco_caption import *
    from .....configs._base_.runtime import *
    from .openclip_224 import *

test_dataloader = {
    'image.caption': dict(
        batch_size=32,
        num_workers=8,
        sampler=dict(type=EpochSampler, shuffle=False),
        dataset=dict(coco_caption_test, pipeline=image_test_pipeline),
    ),
}
test_evaluator = {
    'image.caption': dict(
        type=CaptionEvaluation,
        methods=dict(beam=dict(num_beams=6)),
        min_length=4,
        max_length=29,
        official=True,
        submission_file='coco_karpathy_test.json',
    ),
}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
