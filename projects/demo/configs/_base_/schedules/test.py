"""How models are tested at demo scale."""

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import CaptionEvaluation, ClassificationEvaluation, RetrievalEvaluation

test_loader = dict(batch_size=50, num_workers=0, sampler=dict(type=EpochSampler, shuffle=False))
test_cfg = dict(type=EvaluationLoop)

retrieval = dict(type=RetrievalEvaluation, rerank_k=16, rerank_with='match+scaled_similarity')
official_captions = dict(type=CaptionEvaluation, methods=dict(beam=dict(num_beams=3)), max_length=28, official=True)
classification = dict(type=ClassificationEvaluation)
