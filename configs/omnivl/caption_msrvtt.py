"""OmniVL finetuned on the captions of MSR-VTT, the official split of 6513 / 497 / 2990 videos. The paper has no result.

The rows that others report are bleu4_beam, meteor_beam, rouge_l_beam and cider_beam; they need pycocoevalcap and Java
(pip install 'omnivl[caption]').
Batch: 128 = 16 GPUs x 8 clips of 8 frames, 384 x 384 pixels (the pixels are the paper's, 2209.07526, section 4; its 8
frames are those of retrieval). Learning rate 1e-5, weight decay 0.05, linear decay, 10 epochs: those of its captions of
COCO; the batch and the words of the prompt are ours. BLIP's: augmentation, label smoothing 0.1, a prompt that the loss
leaves out, 3 beams, 5 to 20 word pieces with it.
Start: the joint stage. The 9k split of retrieval trains on videos that are tested here: do not start from its weights.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop
from omnivl.evaluation import CaptionEvaluation
from omnivl.models import OmniVLCaption

with read_base():
    from .._base_.datasets.msrvtt_caption import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.caption_384 import *
    from .._base_.runtime import *
    from .._base_.schedules.finetune import *

trunk.visual_encoder.image_size = 384
trunk.visual_encoder.activation_checkpointing = True
model = dict(type=OmniVLCaption, trunk=trunk, prompt='a video of', label_smoothing=0.1)
train_dataloader = dict(
    video=dict(
        batch_size=8,
        num_workers=12,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(msrvtt_caption_train, pipeline=video_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='video')

loader = dict(batch_size=16, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
# [DEC] and the three words of the prompt count among BLIP's 5 to 20 word pieces.
evaluation = dict(
    type=CaptionEvaluation, methods=dict(beam=dict(num_beams=3)), min_length=1, max_length=16, official=True
)
val_dataloader = {'video.caption': dict(loader, dataset=dict(msrvtt_caption_val, pipeline=video_test_pipeline))}
val_evaluator = {'video.caption': evaluation}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader = {'video.caption': dict(loader, dataset=dict(msrvtt_caption_test, pipeline=video_test_pipeline))}
test_evaluator = {'video.caption': evaluation}
