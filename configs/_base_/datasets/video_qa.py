"""MSRVTT-QA and MSVD-QA in VindLU's form, one answer to each question.

Questions in train / val / test: MSRVTT-QA 158,581 / 12,278 / 72,821; MSVD-QA 30,933 / 6,415 / 13,157.
"""

from omnivl.datasets import QADataset
from omnivl.datasets.annotations import VideoQAList

msrvtt_questions = 'data/msrvtt/annotations/msrvtt_qa'
msrvtt_qa = dict(type=VideoQAList, visual_root='data/msrvtt/videos')
msrvtt_qa_answers = f'{msrvtt_questions}_answer_list.json'
msrvtt_qa_train = dict(
    type=QADataset,
    name='msrvtt_qa_train',
    annotations=dict(msrvtt_qa, ann_file=f'{msrvtt_questions}_train.json'),
    broken='replace',
)
msrvtt_qa_val = dict(
    type=QADataset, name='msrvtt_qa_val', annotations=dict(msrvtt_qa, ann_file=f'{msrvtt_questions}_val.json')
)
msrvtt_qa_test = dict(
    type=QADataset, name='msrvtt_qa_test', annotations=dict(msrvtt_qa, ann_file=f'{msrvtt_questions}_test.json')
)

msvd_questions = 'data/msvd/annotations/msvd_qa'
msvd_qa = dict(type=VideoQAList, visual_root='data/msvd/videos')
msvd_qa_answers = f'{msvd_questions}_answer_list.json'
msvd_qa_train = dict(
    type=QADataset,
    name='msvd_qa_train',
    annotations=dict(msvd_qa, ann_file=f'{msvd_questions}_train.json'),
    broken='replace',
)
msvd_qa_val = dict(type=QADataset, name='msvd_qa_val', annotations=dict(msvd_qa, ann_file=f'{msvd_questions}_val.json'))
msvd_qa_test = dict(
    type=QADataset, name='msvd_qa_test', annotations=dict(msvd_qa, ann_file=f'{msvd_questions}_test.json')
)
