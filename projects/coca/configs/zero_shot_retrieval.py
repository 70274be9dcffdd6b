"""A pretrained CoCa-Base on the retrieval benchmarks, without finetuning. Only tests.

The paper's CoCa, recall at 1, text to visual and back: Flickr30k 80.4 and 92.5, COCO 51.2 and 66.3; its 30.0 of MSR-VTT
is of the full test set, of the videos that were still online, and not of the 1k-A split here. COCO's captions are part
of pretrain.py, so COCO is not zero-shot in the strict sense. Videos: the mean of the embeddings of 16 frames.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import RetrievalEvaluation
from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.datasets.coco_retrieval import *
    from ....configs._base_.datasets.flickr30k import *
    from ....configs._base_.datasets.msrvtt import *
    from ....configs._base_.runtime import *
    from ._base_.models.coca_base import *
    from ._base_.pixels_288 import *

load_from = dict(type=StageReader, file='work_dirs/coca_pretrain')
image_loader = dict(batch_size=64, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
video_loader = dict(batch_size=8, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {
    'coco.retrieval': dict(image_loader, dataset=dict(coco_retrieval_test, pipeline=image_test_pipeline)),
    'flickr30k.retrieval': dict(image_loader, dataset=dict(flickr30k_test, pipeline=image_test_pipeline)),
    'msrvtt.retrieval': dict(video_loader, dataset=dict(msrvtt_test_1ka, pipeline=video_test_pipeline)),
}
evaluation = dict(type=RetrievalEvaluation, rerank_k=None, duplicate_captions='keep')
test_evaluator = {
    'coco.retrieval': evaluation,
    'flickr30k.retrieval': evaluation,
    'msrvtt.retrieval': evaluation,
}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
