"""Captions of COCO's test images, for its server; only tests, with the model of configs/omnivl/caption_coco.py.

omnivl test --submit writes captions_test2014_omnivl_results.json. The server has the captions to compare with, so no
figures are printed; it wants those of val2014 in the same archive: a run on captions_val2014.json by COCOCaptions.
Values of the test are those of caption_coco.py: 384 pixels, BLIP's prompt, 3 beams, 5 to 20 word pieces.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import CaptionEvaluation
from omnivl.models import OmniVLCaption
from omnivl.weights import StageReader

with read_base():
    from .._base_.datasets.coco_caption import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.caption_384 import *
    from .._base_.runtime import *

trunk.visual_encoder.image_size = 384
model = dict(type=OmniVLCaption, trunk=trunk, prompt='a picture of')
load_from = dict(type=StageReader, file='work_dirs/caption_coco', start_video_from_image=False)

test_dataloader = {
    'image.caption': dict(
        batch_size=32,
        num_workers=8,
        sampler=dict(type=EpochSampler, shuffle=False),
        dataset=dict(coco_caption_server, pipeline=image_test_pipeline),
    )
}
test_evaluator = {
    'image.caption': dict(
        type=CaptionEvaluation,
        methods=dict(beam=dict(num_beams=3, lengths='blip')),
        min_length=1,
        max_length=16,
        submission_file='captions_test2014_omnivl_results.json',
    )
}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
