"""OmniVL finetuned for text-to-video retrieval on MSVD: 670 test clips, each of about 41 captions a query of its own.

The paper has no such result. Everything, batch 128 = 16 GPUs x 8 too, as in retrieval_msrvtt_9k.py. Many clips share a
caption ('a man is playing a guitar'), which counts for each of them alone, as usual here, and ties against the model.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.msvd import *
    from .retrieval_msrvtt_9k import *

train_dataloader.video.dataset = dict(msvd_train, pipeline=video_pipeline)
val_dataloader = {'video.retrieval': dict(loader, dataset=dict(msvd_val, pipeline=video_test_pipeline))}
val_evaluator = {'video.retrieval': evaluation}
val_cfg = dict(type=EvaluationLoop, amp='bf16')
test_dataloader = {'video.retrieval': dict(loader, dataset=dict(msvd_test, pipeline=video_test_pipeline))}
