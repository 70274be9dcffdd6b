"""VQAv2's official files and Visual Genome's questions.

VQAv2 has 443,757 / 214,354 / 107,394 questions in train / val / test-dev. The answers to choose from are BLIP's
answer_list.json.
"""

from omnivl.datasets import QADataset
from omnivl.datasets.annotations import BLIPQuestionJSON, VQAv2JSON

vqa_v2_answers = 'data/vqa_v2/answer_list.json'
vqa_v2_train = dict(
    type=QADataset,
    name='vqa_v2_train',
    annotations=dict(
        type=VQAv2JSON,
        ann_file='data/vqa_v2/v2_OpenEnded_mscoco_train2014_questions.json',
        answers_file='data/vqa_v2/v2_mscoco_train2014_annotations.json',
        visual_root='data/coco/images',
    ),
    broken='replace',
)
vqa_v2_val = dict(
    type=QADataset,
    name='vqa_v2_val',
    annotations=dict(
        type=VQAv2JSON,
        ann_file='data/vqa_v2/v2_OpenEnded_mscoco_val2014_questions.json',
        answers_file='data/vqa_v2/v2_mscoco_val2014_annotations.json',
        visual_root='data/coco/images',
    ),
)
vqa_v2_test_dev = dict(
    type=QADataset,
    name='vqa_v2_test_dev',
    annotations=dict(
        type=VQAv2JSON,
        ann_file='data/vqa_v2/v2_OpenEnded_mscoco_test-dev2015_questions.json',
        visual_root='data/coco/images',
    ),
)
# One answer to a question, which weighs 0.2 (BLIP's).
visual_genome_qa = dict(
    type=QADataset,
    name='visual_genome_qa',
    annotations=dict(type=BLIPQuestionJSON, ann_file='data/visual_genome/vg_qa.json', visual_root='data/visual_genome'),
    answer_weight=0.2,
    broken='replace',
)
