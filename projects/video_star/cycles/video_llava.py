"""Cycles of Video-LLaVA-7B on Kinetics-700, STAR-benchmark and FineDiving, after the paper (2407.06189).

Published there: the model, three cycles, each from the pretrained weights, 8 frames, temperature 0.2, 1024 new tokens;
1 epoch in batches of 128, AdamW, 2e-5 with warm-up and cosine, of all weights (``generator.lora=None``). Ours: LoRA, so
that one GPU suffices, its rank and rate, and 20,000 questions of each source. FineDiving is published as frames, of
which clips are made first. ``held_out`` are the test splits.
"""

generator = dict(
    type='VideoLanguageModel',
    model='LanguageBind/Video-LLaVA-7B-hf',
    num_frames=8,
    temperature=0.2,
    max_new_tokens=1024,
    dtype='bfloat16',
    lora=dict(r=128, lora_alpha=256, lora_dropout=0.05, target_modules=r'.*language_model.*\.(q|k|v|o)_proj'),
    train=dict(lr=2e-4, epochs=1, batch_size=128, warmup=0.03, recompute=True),
)
kinetics = dict(
    type='RecordLabels',
    annotations=dict(
        type='KineticsCSV',
        ann_file='data/kinetics700/annotations/train.csv',
        visual_root='data/kinetics700/train',
        split='train',
    ),
)
star = dict(type='STARBenchmark', ann_file='data/star/STAR_train.json', visual_root='data/charades/Charades_v1_480')
diving = dict(
    type='FineDiving',
    ann_file='data/finediving/Annotations/FineDiving_fine-grained_annotation.pkl',
    split_file='data/finediving/train_test_split/train_split.pkl',
    visual_root='data/finediving/clips',
)
# `count` takes so many questions from the `first` on; the rest of a source is another run's.
questions = dict(
    kinetics=dict(kinetics, count=20000),
    star=dict(star, when=True, count=20000),
    diving=dict(diving, count=20000),
)
held_out = dict(
    kinetics_test=dict(
        type='RecordLabels',
        annotations=dict(
            type='KineticsCSV',
            ann_file='data/kinetics700/annotations/validate.csv',
            visual_root='data/kinetics700/val',
            split='validate',
        ),
        count=2000,
    ),
    star_test=dict(star, ann_file='data/star/STAR_val.json', count=2000),
    diving_test=dict(diving, split_file='data/finediving/train_test_split/test_split.pkl'),
)
settings = dict(cycles=3, seed=42)
