"""OmniVL on MSRVTT-MC: which of five captions is true of a clip. Only tests; chance is 20.

The paper has no such result. No training of its own: the model finetuned for retrieval on MSR-VTT's 7010 training and
validation clips, retrieval_msrvtt_7k.py, scores the five captions, as usual on this set; never that of the 9000 clips,
which has seen the clips of the test. Score: match logit plus similarity, as in the re-ranking.
Clips of 8 frames, 384 x 384 pixels (the paper's for retrieval, section 4). Batch: 16 on each GPU.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import MultipleChoiceEvaluation
from omnivl.models import OmniVLRetrieval
from omnivl.weights import StageReader

with read_base():
    from .._base_.datasets.msrvtt_mc import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.retrieval_384 import *
    from .._base_.runtime import *

trunk.visual_encoder.image_size = 384
model = dict(type=OmniVLRetrieval, trunk=trunk, losses=[univlc, vlm])
load_from = dict(type=StageReader, file='work_dirs/retrieval_msrvtt_7k', start_video_from_image=False)
test_dataloader = {
    'video.multiple_choice': dict(
        batch_size=16,
        num_workers=12,
        sampler=dict(type=EpochSampler, shuffle=False),
        dataset=dict(msrvtt_mc_test, pipeline=video_test_pipeline),
    )
}
test_evaluator = {'video.multiple_choice': dict(type=MultipleChoiceEvaluation, score_with='match+similarity')}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
