"""Questions about the demo corpus, in the forms of VQAv2 (images) and MSRVTT-QA (videos), and how they are prepared.

No flip and no strong augmentation: 'left' and 'red' have to stay true.
"""

from mmengine.config import read_base

from omnivl.datasets import QADataset
from omnivl.datasets.annotations import VideoQAList, VQAv2JSON
from omnivl.datasets.transforms import CleanQuestion, LoadImage, LoadVideo, PackSample, ShuffleFrames, TokenizeText

with read_base():
    from ..pipelines.pixels_64 import *

ask = [
    dict(type=CleanQuestion),
    dict(type=TokenizeText, max_length=32),
    dict(type=PackSample),
]
image_pipeline = [dict(type=LoadImage), *resize, *augment, *ask]
video_pipeline = [dict(type=LoadVideo, num_frames=4, random=True), *resize, *augment, *ask]
image_test_pipeline = [dict(type=LoadImage), *resize, *ask]
video_test_pipeline = [dict(type=LoadVideo, num_frames=4), *resize, *ask]
# What a model cannot tell from this, it has learnt from the order of the frames.
video_shuffled_pipeline = [dict(type=LoadVideo, num_frames=4), *resize, dict(type=ShuffleFrames), *ask]

image_qa = {
    split: dict(
        type=QADataset,
        name=f'demo_image_qa_{split}',
        annotations=dict(
            type=VQAv2JSON,
            ann_file=f'{data_root}/annotations/v2_OpenEnded_mscoco_{split}_questions.json',
            answers_file=f'{data_root}/annotations/v2_mscoco_{split}_annotations.json',
            visual_root=f'{data_root}/images',
            path_template='{subtype}/{image_id:05d}.jpg',
        ),
    )
    for split in ('train', 'val', 'test')
}
video_qa = {
    split: dict(
        type=QADataset,
        name=f'demo_video_qa_{split}',
        annotations=dict(
            type=VideoQAList,
            ann_file=f'{data_root}/annotations/msrvtt_qa_{split}.json',
            visual_root=f'{data_root}/videos',
        ),
    )
    for split in ('train', 'val', 'test')
}
image_answers = [
    *('yes', 'no'),
    *('0', '1', '2'),
    *('circle', 'square', 'triangle', 'cross'),
    *('red', 'green', 'blue', 'yellow', 'purple', 'black'),
]
video_answers = f'{data_root}/annotations/msrvtt_qa_answer_list.json'
