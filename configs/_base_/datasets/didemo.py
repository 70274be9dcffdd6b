"""DiDeMo's published files for paragraph retrieval: about 8.4k / 1.1k / 1.0k videos in train / val / test.

All descriptions of a video are joined to one text; of the video its first 30 seconds are seen, which they are about.
Videos that are gone from the web: give the list of them as ``bad_files``. Converted ones: path_template='{stem}.mp4'.
"""

from omnivl.datasets import PairDataset, RetrievalDataset
from omnivl.datasets.annotations import DiDeMoJSON, ParagraphCaptions

didemo = dict(type=DiDeMoJSON, visual_root='data/didemo/videos', seconds=30.0)
didemo_train = dict(
    type=PairDataset,
    name='didemo_train',
    annotations=dict(
        type=ParagraphCaptions, annotations=dict(didemo, ann_file='data/didemo/annotations/train_data.json')
    ),
    positives='visual',
    broken='replace',
    max_broken_share=0.05,
)
didemo_val = dict(
    type=RetrievalDataset,
    name='didemo_val',
    annotations=dict(
        type=ParagraphCaptions, annotations=dict(didemo, ann_file='data/didemo/annotations/val_data.json')
    ),
)
didemo_test = dict(
    type=RetrievalDataset,
    name='didemo_test',
    annotations=dict(
        type=ParagraphCaptions, annotations=dict(didemo, ann_file='data/didemo/annotations/test_data.json')
    ),
)
