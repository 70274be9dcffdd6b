"""OmniVL finetuned for paragraph-to-video retrieval on DiDeMo, tested on its test set.

The paper's result, second-hand (VAST's table): recall at 1 / 5 / 10 of videos 52.4 / 79.5 / 85.4.
All descriptions of a video are one text of at most 64 words and 64 word pieces (VindLU's). Half of the training clips
are mirrored, as VindLU's are, though descriptions may speak of left and right.
Everything else, batch 128 = 16 GPUs x 8 too, as in retrieval_msrvtt_9k.py.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.didemo import *
    from .retrieval_msrvtt_9k import *

# Less than the number of videos: the queues then hold other videos than the batch.
model.queue_length = 4096
train_dataloader.video.dataset = dict(didemo_train, pipeline=paragraph_pipeline)
val_dataloader = {'video.retrieval': dict(loader, dataset=dict(didemo_val, pipeline=paragraph_test_pipeline))}
val_evaluator = {'video.retrieval': evaluation}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader = {'video.retrieval': dict(loader, dataset=dict(didemo_test, pipeline=paragraph_test_pipeline))}
