"""Demo: text-to-video retrieval, finetuned from the joint stage on five captions per clip.

After configs/omnivl/retrieval_msrvtt_9k.py for two CPU cores: UniVLC and VLM, no LM. Batch 16 x 1 process.
"""

from mmengine.config import read_base

from omnivl.models import OmniVLRetrieval

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.tasks import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.pipelines.pixels_64 import *
    from ._base_.schedules.finetune import *

model = dict(type=OmniVLRetrieval, trunk=trunk, losses=[univlc, vlm], **contrast)
train_dataloader = dict(video=dict(train_loader, dataset=dict(msrvtt_train, pipeline=video_pipeline)))
train_cfg.max_iters = param_scheduler[1].end = 350

val_dataloader = {'video.retrieval': dict(test_loader, dataset=dict(msrvtt_eval['val'], pipeline=video_test_pipeline))}
val_evaluator = {'video.retrieval': retrieval}
test_dataloader = {
    'video.retrieval': dict(test_loader, dataset=dict(msrvtt_eval['test'], pipeline=video_test_pipeline))
}
test_evaluator = {'video.retrieval': retrieval}
