"""open_clip's CoCas finetuned on COCO captions, Karpathy's split.

Batch: 128 = 4 GPUs x 32. On R GPUs set train_dataloader.image.batch_size to 128 / R, or accumulate.
open_clip's: learning rate 1e-5, weight decay 0.1, 1000 steps of warm-up, one epoch, the caption loss alone, 224 pixels;
in writing 6 beams and 30 tokens, the start included, of which the end is the fifth or later. Differs: those beams are
in 3 groups there, which do not see each other, and are ranked by raw logits.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop
from omnivl.evaluation import CaptionEvaluation

with read_base():
    from .....configs._base_.datasets.coco_caption import *
    from .....configs._base_.runtime import *
    from .finetune import *
    from .openclip_224 import *

train_dataloader = dict(
    image=dict(
        batch_size=32,
        num_workers=8,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(coco_train, pipeline=image_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=1, epoch_by='image')

loader = dict(batch_size=32, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
evaluation = dict(
    type=CaptionEvaluation, methods=dict(beam=dict(num_beams=6)), min_length=4, max_length=29, official=True
)
val_dataloader = {'image.caption': dict(loader, dataset=dict(coco_caption_val, pipeline=image_test_pipeline))}
val_evaluator = {'image.caption': dict(evaluation, submission_file='coco_karpathy_val.json')}
test_dataloader = {'image.caption': dict(loader, dataset=dict(coco_caption_test, pipeline=image_test_pipeline))}
test_evaluator = {'image.caption': dict(evaluation, submission_file='coco_karpathy_test.json')}
