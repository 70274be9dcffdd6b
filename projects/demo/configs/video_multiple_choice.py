"""Demo: which of five sentences tells what a clip shows, by the model that video_retrieval.py has finetuned.

After configs/omnivl/msrvtt_mc.py. Nothing is trained: python tools/test.py with a checkpoint of video_retrieval.py.
The second test shuffles the frames, so that a motion cannot be told from its reverse.
"""

from mmengine.config import read_base

from omnivl.evaluation import MultipleChoiceEvaluation
from omnivl.models import OmniVLRetrieval

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.tasks import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.pipelines.pixels_64 import *
    from ._base_.schedules.test import *

model = dict(type=OmniVLRetrieval, trunk=trunk, losses=[univlc, vlm], **contrast)

evaluation = dict(type=MultipleChoiceEvaluation, score_with='match')
test_dataloader = {
    'video.choice': dict(test_loader, dataset=dict(msrvtt_mc['test'], pipeline=video_test_pipeline)),
    'video.choice_shuffled': dict(test_loader, dataset=dict(msrvtt_mc['test'], pipeline=video_shuffled_pipeline)),
}
test_evaluator = {'video.choice': evaluation, 'video.choice_shuffled': evaluation}
