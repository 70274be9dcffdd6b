"""Demo: image-text retrieval, finetuned from the joint stage on five captions per picture.

After configs/omnivl/retrieval_coco.py for two CPU cores: UniVLC and VLM, no LM. Batch 16 x 1 process.
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
train_dataloader = dict(image=dict(train_loader, dataset=dict(coco_train, pipeline=image_pipeline)))
train_cfg.max_iters = param_scheduler[1].end = 700

val_dataloader = {'image.retrieval': dict(test_loader, dataset=dict(coco_eval['val'], pipeline=image_test_pipeline))}
val_evaluator = {'image.retrieval': retrieval}
test_dataloader = {'image.retrieval': dict(test_loader, dataset=dict(coco_eval['test'], pipeline=image_test_pipeline))}
test_evaluator = {'image.retrieval': retrieval}
