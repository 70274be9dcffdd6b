"""MSRVTT-QA in VindLU's form: 158,581 / 12,278 / 72,821 questions in train / val / test, one answer each."""

from omnivl.datasets import QADataset
from omnivl.datasets.annotations import VideoQAList

msrvtt_qa_answers = 'data/msrvtt/annotations/msrvtt_qa_answer_list.json'
msrvtt_qa_train = dict(
    type=QADataset,
    name='msrvtt_qa_train',
    annotations=dict(
        type=VideoQAList, ann_file='data/msrvtt/annotations/msrvtt_qa_train.json', visual_root='data/msrvtt/videos'
    ),
    broken='replace',
)
msrvtt_qa_val = dict(
    type=QADataset,
    name='msrvtt_qa_val',
    annotations=dict(
        type=VideoQAList, ann_file='data/msrvtt/annotations/msrvtt_qa_val.json', visual_root='data/msrvtt/videos'
    ),
)
msrvtt_qa_test = dict(
    type=QADataset,
    name='msrvtt_qa_test',
    annotations=dict(
        type=VideoQAList, ann_file='data/msrvtt/annotations/msrvtt_qa_test.json', visual_root='data/msrvtt/videos'
    ),
)
