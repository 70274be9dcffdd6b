"""OmniVL finetuned on COCO captions, Karpathy's split. The paper's result, second-hand: CIDEr 133.9, BLEU-4 39.8.

The rows to compare are cider_beam and bleu4_beam; they need pycocoevalcap and Java (pip install 'omnivl[caption]').
Batch: 512 = 16 GPUs x 32. On R GPUs set train_dataloader.image.batch_size = 512 / R, or accumulate.
The paper's (2209.07526, supplement, table 1): AdamW, learning rate 1e-5, weight decay 0.05, linear decay, batch 512, 10
epochs; 384 pixels (section 4). BLIP's: augmentation, label smoothing 0.1, the prompt, which the loss leaves out, 3
beams ranked by lengths='blip', 5 to 20 word pieces with the prompt; and that the decay ends at 0, without warm-up.
Start: the joint stage. omnivl test --submit writes the captions in COCO's form; for its server see
caption_coco_server.py.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop
from omnivl.evaluation import CaptionEvaluation
from omnivl.models import OmniVLCaption

with read_base():
    from .._base_.datasets.coco_caption import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.caption_384 import *
    from .._base_.runtime import *
    from .._base_.schedules.finetune import *

trunk.visual_encoder.image_size = 384
model = dict(type=OmniVLCaption, trunk=trunk, prompt='a picture of', label_smoothing=0.1)
train_dataloader = dict(
    image=dict(
        batch_size=32,
        num_workers=8,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(coco_train, pipeline=image_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='image')

loader = dict(batch_size=32, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
# [DEC] and the three words of the prompt count among BLIP's 5 to 20 word pieces, and where it compares their lengths.
evaluation = dict(
    type=CaptionEvaluation,
    methods=dict(beam=dict(num_beams=3, lengths='blip')),
    min_length=1,
    max_length=16,
    official=True,
)
val_dataloader = {'image.caption': dict(loader, dataset=dict(coco_caption_val, pipeline=image_test_pipeline))}
val_evaluator = {'image.caption': dict(evaluation, submission_file='coco_karpathy_val.json')}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader = {'image.caption': dict(loader, dataset=dict(coco_caption_test, pipeline=image_test_pipeline))}
test_evaluator = {'image.caption': dict(evaluation, submission_file='coco_karpathy_test.json')}
