"""open_clip's CoCas on COCO and Flickr30k, Karpathy's splits. Batch: 64 images on each GPU."""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import RetrievalEvaluation

with read_base():
    from .....configs._base_.datasets.coco_retrieval import *
    from .....configs._base_.datasets.flickr30k import *
    from .....configs._base_.runtime import *
    from .openclip_224 import *

loader = dict(batch_size=64, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {
    'coco.retrieval': dict(loader, dataset=dict(coco_retrieval_test, pipeline=image_test_pipeline)),
    'flickr30k.retrieval': dict(loader, dataset=dict(flickr30k_test, pipeline=image_test_pipeline)),
}
evaluation = dict(type=RetrievalEvaluation, rerank_k=None, duplicate_captions='keep')
test_evaluator = {'coco.retrieval': evaluation, 'flickr30k.retrieval': evaluation}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
