"""OmniVL finetuned for image-text retrieval on COCO, tested on Karpathy's 5000 images with 25k captions.

The paper's result is known second-hand and by memory only: 82.1 / 95.9 / 98.1 recall at 1 / 5 / 10 of texts and 64.8 /
86.1 / 91.6 of images with 14M images; 76.8 / 93.6 / 97.3 and 58.5 / 82.6 / 89.5 with 4M (second-hand, Tag2Text).
Batch: 512 = 16 GPUs x 32. On R GPUs set train_dataloader.image.batch_size = 512 / R.
The paper's (supplement, table 1): AdamW, learning rate 1e-5, weight decay 0.05, linear decay, batch 512, 10 epochs;
384 pixels (section 4). BLIP's: the losses, contrast (here UniVLC) and matching, augmentation, captions of one image as
its positives, momentum and queues, re-ranking of the first 256 by match logit plus similarity, equal captions of two
images as two texts; and that the decay ends at 0, without warm-up. Not BLIP's: soft targets, negatives of other GPUs.
Start: the joint stage. Results: image.retrieval i2t_r1_reranked and t2i_r1_reranked.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop
from omnivl.evaluation import RetrievalEvaluation
from omnivl.models import OmniVLRetrieval

with read_base():
    from .._base_.datasets.coco_retrieval import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.retrieval_384 import *
    from .._base_.runtime import *
    from .._base_.schedules.finetune import *

trunk.visual_encoder.image_size = 384
model = dict(type=OmniVLRetrieval, trunk=trunk, losses=[univlc, vlm], queue_length=57600, momentum=0.995)
train_dataloader = dict(
    image=dict(
        batch_size=32,
        num_workers=8,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(coco_retrieval_train, pipeline=image_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='image')

loader = dict(batch_size=32, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
# bfloat16 is what the evaluation computes with anyway, and half the memory for the tokens that wait.
evaluation = dict(
    type=RetrievalEvaluation,
    rerank_k=256,
    rerank_with='match+similarity',
    duplicate_captions='keep',
    token_dtype='bfloat16',
)
val_dataloader = {'image.retrieval': dict(loader, dataset=dict(coco_retrieval_val, pipeline=image_test_pipeline))}
val_evaluator = {'image.retrieval': evaluation}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader = {'image.retrieval': dict(loader, dataset=dict(coco_retrieval_test, pipeline=image_test_pipeline))}
test_evaluator = {'image.retrieval': evaluation}
