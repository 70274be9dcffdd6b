"""BLIP's weights finetuned on COCO captions, Karpathy's split, without any pretraining of ours.

BLIP's result: CIDEr 133.3, BLEU-4 39.7 (2201.12086); OmniVL's own: CIDEr 133.9. Here captions are compared with the
references word by word; for CIDEr and its kin take the captions in work_dirs/.../predictions.
Start: BLIP's pretraining, as its authors' .pth. BLIP's values (configs/caption_coco.yaml and
train_caption.py of its code): 384 pixels, the prompt, learning rate 1e-5, weight decay 0.05, batch 256 = 8 GPUs x 32, 5
epochs, cosine decay to 0 epoch by epoch, 3 beams, 5 to 20 word pieces with the prompt. Its loss leaves the words of the
prompt out, ours does not.
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR
from torch.optim import AdamW

from omnivl.datasets import RetrievalDataset
from omnivl.datasets.annotations import BLIPCaptionJSON
from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import CaptionEvaluation
from omnivl.weights import BLIPReader

with read_base():
    from .._base_.datasets.coco_caption import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.caption_384 import *
    from .._base_.runtime import *

model.visual_encoder.image_size = 384
model.contrastive_loss = None
model.matching_loss = None

train_dataloader = dict(
    image=dict(
        batch_size=32,
        num_workers=8,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(coco_train, pipeline=image_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=5, epoch_by='image')
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=1e-5, weight_decay=0.05, fused=True),
)
param_scheduler = [dict(type=CosineAnnealingLR, by_epoch=True, T_max=5, eta_min=0.0)]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000, max_keep_ckpts=3))
load_from = dict(type=BLIPReader, file='data/weights/blip_base.pth')

karpathy = dict(type=BLIPCaptionJSON, visual_root='data/coco/images')
coco_val = dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_val.json')
coco_test = dict(karpathy, ann_file='data/coco/annotations/coco_karpathy_test.json')
loader = dict(batch_size=32, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
# [DEC] and the three words of the prompt count among BLIP's 5 to 20 word pieces.
evaluation = dict(
    type=CaptionEvaluation, methods=dict(beam=dict(num_beams=3)), prompt=prompt, min_length=1, max_length=16
)
val_dataloader = {
    'image.caption': dict(
        loader,
        dataset=dict(type=RetrievalDataset, name='coco_val', annotations=coco_val, pipeline=image_test_pipeline),
    )
}
val_evaluator = {'image.caption': evaluation}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader = {
    'image.caption': dict(
        loader,
        dataset=dict(type=RetrievalDataset, name='coco_test', annotations=coco_test, pipeline=image_test_pipeline),
    )
}
test_evaluator = {'image.caption': evaluation}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
