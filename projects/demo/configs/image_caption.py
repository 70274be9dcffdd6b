"""Demo: image captioning, finetuned from the joint stage on five captions per picture.

After configs/omnivl/caption_coco.py for two CPU cores: LM alone, no prompt, 3 beams. Batch 32 x 1 process.
"""

from mmengine.config import read_base

from omnivl.models import OmniVLCaption

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.tasks import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.pipelines.pixels_64 import *
    from ._base_.schedules.finetune import *

model = dict(type=OmniVLCaption, trunk=trunk, label_smoothing=0.0)
train_dataloader = dict(image=dict(train_loader, batch_size=32, dataset=dict(coco_train, pipeline=image_pipeline)))
train_cfg.max_iters = param_scheduler[1].end = 300

val_dataloader = {'image.caption': dict(test_loader, dataset=dict(coco_caption['val'], pipeline=image_test_pipeline))}
val_evaluator = {'image.caption': official_captions}
test_dataloader = {'image.caption': dict(test_loader, dataset=dict(coco_caption['test'], pipeline=image_test_pipeline))}
test_evaluator = {'image.caption': official_captions}
