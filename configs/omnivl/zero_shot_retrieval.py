"""OmniVL's joint stage on the retrieval benchmarks, without finetuning. Only tests.

The paper's results: papers that quote its MSR-VTT and DiDeMo disagree (34.6 or 42.0, 33.3 or 40.6 recall at 1), so no
figure stands here; COCO and Flickr30k are not known. COCO's training captions are part of the pretraining, so COCO is
not zero-shot in the strict sense.
Pixels, 224 from the middle, clips of 8 frames and texts of 30 word pieces are those of the pretraining; paragraphs of
64 (VindLU's). BLIP's: re-ranking of the first 128, 256 on COCO, by match logit plus similarity. Batch: 64 images or 16
clips on each GPU.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import RetrievalEvaluation
from omnivl.models import OmniVLRetrieval
from omnivl.weights import StageReader

with read_base():
    from .._base_.datasets.coco_retrieval import *
    from .._base_.datasets.didemo import *
    from .._base_.datasets.flickr30k import *
    from .._base_.datasets.msrvtt import *
    from .._base_.datasets.msvd import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.pretrain_224 import *
    from .._base_.runtime import *

model = dict(type=OmniVLRetrieval, trunk=trunk, losses=[univlc, vlm])
load_from = dict(type=StageReader, file='work_dirs/pretrain_joint', start_video_from_image=False)

paragraph_test_pipeline = [
    dict(type=LoadVideo, num_frames=8, short_side=256),
    *resize,
    dict(type=CleanCaption, max_words=64),
    dict(type=TokenizeText, max_length=64),
    dict(type=PackSample),
]
image_loader = dict(batch_size=64, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
video_loader = dict(batch_size=16, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
evaluation = dict(
    type=RetrievalEvaluation,
    rerank_k=128,
    rerank_with='match+similarity',
    duplicate_captions='keep',
    token_dtype='bfloat16',
)
test_dataloader = {
    'coco.retrieval': dict(image_loader, dataset=dict(coco_retrieval_test, pipeline=image_test_pipeline)),
    'flickr30k.retrieval': dict(image_loader, dataset=dict(flickr30k_test, pipeline=image_test_pipeline)),
    'msrvtt.retrieval': dict(video_loader, dataset=dict(msrvtt_test_1ka, pipeline=video_test_pipeline)),
    'didemo.retrieval': dict(video_loader, dataset=dict(didemo_test, pipeline=paragraph_test_pipeline)),
    'msvd.retrieval': dict(video_loader, dataset=dict(msvd_test, pipeline=video_test_pipeline)),
}
test_evaluator = {
    'coco.retrieval': dict(evaluation, rerank_k=256),
    'flickr30k.retrieval': evaluation,
    'msrvtt.retrieval': evaluation,
    'didemo.retrieval': evaluation,
    'msvd.retrieval': evaluation,
}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
