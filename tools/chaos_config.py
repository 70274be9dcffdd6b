"""The training that ``tools/chaos.py`` disturbs when it is given none: images, text, loader workers, seconds long."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def write_tiny_config(folder: Path) -> str:
    """Write pictures, captions, a vocabulary, and the config of a pretraining on them that takes seconds."""
    pictures = folder / 'pictures'
    pictures.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = []
    for number in range(48):
        Image.fromarray(draw.integers(0, 256, (40, 40, 3), np.uint8)).save(pictures / f'{number}.png')
        rows.append(dict(image=f'{number}.png', caption=' '.join(f'w{word}' for word in draw.integers(0, 20, 4))))
    (folder / 'captions.json').write_text(json.dumps(rows))
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    (folder / 'vocabulary.txt').write_text('\n'.join([*special, *(f'w{word}' for word in range(20))]))
    losses = [dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')]
    pipeline = [
        dict(type='LoadImage'),
        dict(type='RandomResizedCrop', size=32),
        dict(type='CleanCaption'),
        dict(type='TokenizeText', max_length=12),
        dict(type='PackSample'),
    ]
    annotations = dict(type='BLIPCaptionJSON', ann_file=str(folder / 'captions.json'), visual_root=str(pictures))
    dataset = dict(type='PairDataset', name='pictures', annotations=annotations, pipeline=pipeline)
    config = dict(
        model=dict(type='OmniVLPretrain', trunk=tiny_trunk(folder / 'vocabulary.txt'), losses=losses, queue_length=64),
        train_dataloader=dict(image=dict(batch_size=6, num_workers=2, dataset=dataset)),
        train_cfg=dict(type='AlternatingTrainLoop', max_iters=40),
        optim_wrapper=dict(
            constructor='DecayGroupsConstructor', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05)
        ),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10)],
        default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=4, max_keep_ckpts=2)),
        visualizer=dict(vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=0),
        log_level='WARNING',
    )
    path = folder / 'tiny.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in config.items()))
    return str(path)


def tiny_trunk(vocab_file: Path) -> dict[str, Any]:
    """Describe a trunk of two layers a part, for pictures of 32 x 32."""
    shape = dict(width=64, depth=2, num_heads=2)
    text = dict(vocab_size=32, max_length=12, dropout=0.1, **shape)
    return dict(
        type='OmniVL',
        visual_encoder=dict(
            type='UnifiedVisualEncoder',
            image_tokenizer=dict(type='ImageTokenizer', patch_size=8, stem_channels=()),
            video_tokenizer=dict(type='VideoTokenizer', patch_size=8, stem_channels=()),
            image_size=32,
            num_frames=4,
            **shape,
        ),
        tokenizer=dict(type='WordPieceTokenizer', vocab_file=str(vocab_file)),
        embed_dim=16,
        **{
            part: dict(type=kind, **text)
            for part, kind in (
                ('text_encoder', 'TextEncoder'),
                ('alignment_decoder', 'AlignmentDecoder'),
                ('generation_decoder', 'GenerationDecoder'),
            )
        },
    )
