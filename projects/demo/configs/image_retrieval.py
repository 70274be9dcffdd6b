"""Demo: image-text retrieval, finetuned from the joint stage on five captions per picture.

Twin of configs/omnivl/retrieval_coco.py for two CPU cores: UniVLC and VLM, no LM. Batch 16 x 1 process.
"""

from mmengine.config import read_base

from omnivl.evaluation import RetrievalEvaluation
from omnivl.models import OmniVLRetrieval

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.tasks import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.pipelines.pixels_64 import *
    from ._base_.schedules.finetune import *

max_iters = 700

model = dict(type=OmniVLRetrieval, trunk=trunk, losses=[univlc, vlm], **contrast)
train_dataloader = dict(image=dict(train_loader, dataset=dict(coco_train, pipeline=image_pipeline)))
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, end=warmup),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.01, by_epoch=False, begin=warmup, end=max_iters),
]

retrieval = dict(type=RetrievalEvaluation, rerank_k=16, rerank_with='match+scaled_similarity')
val_dataloader = {'image.retrieval': dict(test_loader, dataset=dict(coco_eval['val'], pipeline=image_test_pipeline))}
val_evaluator = {'image.retrieval': retrieval}
test_dataloader = {'image.retrieval': dict(test_loader, dataset=dict(coco_eval['test'], pipeline=image_test_pipeline))}
test_evaluator = {'image.retrieval': retrieval}
