"""OmniVL finetuned on MSVD-QA. The paper's result: 51.0, top-1 (2209.07526, as later papers print it).

All but the data is that of configs/omnivl/msrvtt_qa.py: 64 = 8 GPUs x 8 clips of 16 frames, 384 x 384 pixels, learning
rate 2e-5 for 10 epochs.
"""

from mmengine.config import read_base

with read_base():
    from .msrvtt_qa import *

train_dataloader.video.dataset = dict(msvd_qa_train, pipeline=video_pipeline)
evaluation = dict(evaluation, answer_list=msvd_qa_answers)
val_dataloader = {'video.qa': dict(loader, dataset=dict(msvd_qa_val, pipeline=video_test_pipeline))}
val_evaluator = {'video.qa': evaluation}
test_dataloader = {'video.qa': dict(loader, dataset=dict(msvd_qa_test, pipeline=video_test_pipeline))}
test_evaluator = {'video.qa': evaluation}
