"""CoCa-Base finetuned on COCO captions, Karpathy's split. The paper's CoCa: CIDEr 143.6.

Batch: 128 = 4 GPUs x 32. On R GPUs set train_dataloader.image.batch_size to 128 / R, or accumulate.
open_clip's: learning rate 1e-5, weight decay 0.1, 1000 steps of warm-up, one epoch, the caption loss alone.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop
from omnivl.evaluation import CaptionEvaluation

with read_base():
    from ....configs._base_.datasets.coco_caption import *
    from ....configs._base_.runtime import *
    from ._base_.finetune import *
    from ._base_.models.coca_base import *
    from ._base_.pixels_288 import *

model.update(contrastive_weight=0.0, caption_weight=1.0)
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
    type=CaptionEvaluation, methods=dict(beam=dict(num_beams=6)), min_length=5, max_length=30, official=True
)
val_dataloader = {'image.caption': dict(loader, dataset=dict(coco_caption_val, pipeline=image_test_pipeline))}
val_evaluator = {'image.caption': dict(evaluation, submission_file='coco_karpathy_val.json')}
val_cfg = test_cfg
test_dataloader = {'image.caption': dict(loader, dataset=dict(coco_caption_test, pipeline=image_test_pipeline))}
test_evaluator = {'image.caption': dict(evaluation, submission_file='coco_karpathy_test.json')}
