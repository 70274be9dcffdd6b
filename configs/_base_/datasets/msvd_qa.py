"""MSVD-QA in VindLU's form: 30,933 / 6,415 / 13,157 questions in train / val / test, one answer each."""

from omnivl.datasets import QADataset
from omnivl.datasets.annotations import VideoQAList

msvd_qa_answers = 'data/msvd/annotations/msvd_qa_answer_list.json'
msvd_qa_train = dict(
    type=QADataset,
    name='msvd_qa_train',
    annotations=dict(
        type=VideoQAList, ann_file='data/msvd/annotations/msvd_qa_train.json', visual_root='data/msvd/videos'
    ),
    broken='replace',
)
msvd_qa_val = dict(
    type=QADataset,
    name='msvd_qa_val',
    annotations=dict(
        type=VideoQAList, ann_file='data/msvd/annotations/msvd_qa_val.json', visual_root='data/msvd/videos'
    ),
)
msvd_qa_test = dict(
    type=QADataset,
    name='msvd_qa_test',
    annotations=dict(
        type=VideoQAList, ann_file='data/msvd/annotations/msvd_qa_test.json', visual_root='data/msvd/videos'
    ),
)
