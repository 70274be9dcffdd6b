"""A pretrained VATT-MBS on text-video retrieval, without finetuning. Only tests.

Published, recall at 10 and median rank of videos for texts: YouCook2 45.5 and 13, MSR-VTT 29.7 and 49; of the shared
model, for which take vatt_ma_medium of _base_/models, 40.6 and 17, 23.6 and 67. Ours: one clip of 32 frames spread over
the video, where the published evaluation averages 4. Batch: 8 videos on each GPU.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import RetrievalEvaluation
from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.datasets.msrvtt import *
    from ....configs._base_.datasets.youcook2 import *
    from ....configs._base_.runtime import *
    from ._base_.models.vatt_mbs import *
    from ._base_.pixels_224 import *

load_from = dict(type=StageReader, file='work_dirs/vatt_pretrain_mbs')
loader = dict(batch_size=8, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {
    'youcook2.retrieval': dict(loader, dataset=dict(youcook2_val, pipeline=video_test_pipeline)),
    'msrvtt.retrieval': dict(loader, dataset=dict(msrvtt_test_1ka, pipeline=video_test_pipeline)),
}
evaluation = dict(type=RetrievalEvaluation, rerank_k=None, duplicate_captions='keep')
test_evaluator = {'youcook2.retrieval': evaluation, 'msrvtt.retrieval': evaluation}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
