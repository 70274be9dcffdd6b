"""Demo: captions of parts of longer videos, finetuned from the joint stage.

After configs/omnivl/caption_youcook2.py for two CPU cores: LM alone, no prompt, 3 beams. Batch 16 x 1 process.
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
train_dataloader = dict(video=dict(train_loader, dataset=dict(youcook2_train, pipeline=video_pipeline)))
train_cfg.max_iters = param_scheduler[1].end = 300

val_dataloader = {'video.caption': dict(test_loader, dataset=dict(youcook2_eval['val'], pipeline=video_test_pipeline))}
val_evaluator = {'video.caption': official_captions}
test_dataloader = {
    'video.caption': dict(test_loader, dataset=dict(youcook2_eval['test'], pipeline=video_test_pipeline))
}
test_evaluator = {'video.caption': official_captions}
