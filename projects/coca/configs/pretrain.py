"""CoCa-Base on the image sets of this toolkit: captions and, as prompts, the labels of ImageNet, in one batch.

Data: the paper has 1.8 B pairs of ALIGN and the 3 B labelled images of JFT, half of a batch each; neither is public.
Here: COCO, Visual Genome, CC3M, CC12M and SBU, 15.2M captions, and ImageNet's 1.28M images, a fifth of a batch (half of
it would show each of them six times an epoch).
Batch: 4096 = 32 GPUs x 128. On R GPUs set train_dataloader.image.batch_size to 4096 / R; the contrast sees the batch of
all GPUs, so accumulating is not the same. The paper's: 65,536.
The paper's: warm-up over 2 % of the steps to 8e-4, then linear decay, weight decay 0.01, temperature from 0.07,
weights 1 and 2 of the losses; its optimizer is Adafactor with beta2 0.999, ours AdamW with the same betas. Steps: about
16.5M / 4096 = 4000 an epoch, 20 epochs. Of another size: take coca_large or coca_2b of _base_/models.
"""

from mmengine.config import read_base
from mmengine.optim import LinearLR
from torch.optim import AdamW

from omnivl.datasets import MixedDataset
from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import CaptionEvaluation, RetrievalEvaluation, ZeroShotEvaluation

with read_base():
    from ....configs._base_.datasets.coco_caption import *
    from ....configs._base_.datasets.coco_retrieval import *
    from ....configs._base_.datasets.imagenet import *
    from ....configs._base_.datasets.visual_genome import *
    from ....configs._base_.datasets.web_images import *
    from ....configs._base_.runtime import *
    from ._base_.models.coca_base import *
    from ._base_.pixels_288 import *

model.update(contrastive_weight=1.0, caption_weight=2.0)
train_dataloader = dict(
    image=dict(
        batch_size=128,
        num_workers=12,
        pin_memory=True,
        sampler=dict(
            type=EpochSampler,
            weights=dict(coco=0.03, visual_genome=0.04, cc3m=0.16, cc12m=0.53, sbu=0.04, imagenet=0.2),
        ),
        dataset=dict(
            type=MixedDataset,
            datasets=[
                dict(coco_train, pipeline=image_pipeline),
                dict(visual_genome_train, pipeline=image_pipeline),
                dict(cc3m_train, pipeline=image_pipeline),
                dict(cc12m_train, pipeline=image_pipeline),
                dict(sbu_train, pipeline=image_pipeline),
                dict(imagenet_train, pipeline=image_pipeline),
            ],
        ),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=20, epoch_by='image', val_interval=5)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=8e-4, betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-3, by_epoch=False, end=1600),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.0, by_epoch=True, end=20, convert_to_iter_based=True),
]
loader = dict(batch_size=64, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
coco_test = dict(coco_retrieval_test, pipeline=image_test_pipeline)
val_dataloader = {
    'coco.retrieval': dict(loader, dataset=coco_test),
    'coco.caption': dict(loader, dataset=coco_test),
    'imagenet.zero_shot': dict(
        loader, dataset=dict(imagenet_test, templates='clip_image', pipeline=image_test_pipeline)
    ),
}
val_evaluator = {
    'coco.retrieval': dict(type=RetrievalEvaluation, rerank_k=None),
    'coco.caption': dict(type=CaptionEvaluation, max_length=30, min_length=5),
    'imagenet.zero_shot': dict(type=ZeroShotEvaluation, templates='clip_image'),
}
test_dataloader, test_evaluator = val_dataloader, val_evaluator
val_cfg = test_cfg = dict(type=EvaluationLoop, amp='bf16')
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000, max_keep_ckpts=3))
