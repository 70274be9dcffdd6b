"""OmniVL finetuned on MSRVTT-QA. The paper's result: 44.1, top-1 (2209.07526, as later papers print it).

Batch: 64 = 8 GPUs x 8 clips of 16 frames, 384 x 384 pixels (the paper's frames and pixels, section 4).
Learning rate 2e-5, weight decay 0.05, linear decay, 10 epochs: those of its VQA, as its table for videos is not at
hand; the batch is ours. BLIP's: augmentation (but no mirrored clips), label smoothing 0.1, ranking of the 128 answers
with the likeliest first word piece. Answers outside the list count as wrong.
Start: the joint stage; the positions in time are interpolated from 8 frames to 16.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop
from omnivl.evaluation import QAEvaluation
from omnivl.models import OmniVLQA

with read_base():
    from .._base_.datasets.video_qa import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.qa_384 import *
    from .._base_.runtime import *
    from .._base_.schedules.finetune import *

trunk.visual_encoder.image_size = 384
trunk.visual_encoder.num_frames = 16
trunk.visual_encoder.activation_checkpointing = True
model = dict(type=OmniVLQA, trunk=trunk, label_smoothing=0.1)
train_dataloader = dict(
    video=dict(
        batch_size=8,
        num_workers=12,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(msrvtt_qa_train, pipeline=video_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='video')
optim_wrapper.optimizer.lr = 2e-5

loader = dict(batch_size=16, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
evaluation = dict(type=QAEvaluation, protocol='exact', answer_list=msrvtt_qa_answers, k=128)
val_dataloader = {'video.qa': dict(loader, dataset=dict(msrvtt_qa_val, pipeline=video_test_pipeline))}
val_evaluator = {'video.qa': evaluation}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader = {'video.qa': dict(loader, dataset=dict(msrvtt_qa_test, pipeline=video_test_pipeline))}
test_evaluator = {'video.qa': evaluation}
