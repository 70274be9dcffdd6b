"""MSR-VTT for retrieval in CLIP4Clip's form: 20 captions for each of 9000 or 7010 clips, and the test set 1kA.

1kA has 1000 clips with one caption each, and no validation set goes with it; do not choose settings on it. The same
sets as lists or dicts (VindLU, mmaction2, ALPRO) are read by BLIPCaptionJSON and CaptionDictJSON.
"""

from omnivl.datasets import PairDataset, RetrievalDataset
from omnivl.datasets.annotations import MSRVTTJSON, MSRVTTTestCSV

msrvtt_captions = dict(
    type=MSRVTTJSON, ann_file='data/msrvtt/annotations/MSRVTT_data.json', visual_root='data/msrvtt/videos'
)
msrvtt_train_9k = dict(
    type=PairDataset,
    name='msrvtt_train_9k',
    annotations=dict(msrvtt_captions, videos_file='data/msrvtt/annotations/MSRVTT_train.9k.csv'),
    positives='visual',
    broken='replace',
)
msrvtt_train_7k = dict(
    type=PairDataset,
    name='msrvtt_train_7k',
    annotations=dict(msrvtt_captions, videos_file='data/msrvtt/annotations/MSRVTT_train.7k.csv'),
    positives='visual',
    broken='replace',
)
msrvtt_test_1ka = dict(
    type=RetrievalDataset,
    name='msrvtt_test_1ka',
    annotations=dict(
        type=MSRVTTTestCSV,
        ann_file='data/msrvtt/annotations/MSRVTT_JSFUSION_test.csv',
        visual_root='data/msrvtt/videos',
    ),
)
