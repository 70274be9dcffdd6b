"""From BLIP straight to the joint stage: the converted model trains, and its video path begins at its images."""

import itertools
import json

import av
import numpy as np
import pytest
import torch
from foreign import blip, images, omnivl_config
from mmengine.registry import init_default_scope
from PIL import Image

from omnivl.engine import OmniVLRunner
from omnivl.weights import load_weights

SIDE = 32
numbers = itertools.count()


@pytest.fixture
def loaders(vocab_file, tmp_path):
    """Dataloaders of six images and six clips of one colour each, with captions."""
    rows, lines = [], ['videoid,contentUrl,duration,page_dir,name']
    (tmp_path / 'videos/a').mkdir(parents=True)
    for number in range(6):
        picture = np.full((SIDE, SIDE, 3), 40 * number, np.uint8)
        Image.fromarray(picture).save(tmp_path / f'{number}.png')
        rows.append(dict(image=f'{number}.png', caption=f'w{number} w1', image_id=number))
        lines.append(f'{number},url,PT00H00M01S,a,w{number} w2')
        with av.open(str(tmp_path / f'videos/a/{number}.mp4'), 'w') as container:
            stream = container.add_stream('mpeg4', rate=10)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, 'yuv420p'
            for frame in range(10):
                shade = av.VideoFrame.from_ndarray(picture + np.uint8(frame), format='rgb24')
                container.mux(stream.encode(shade))
            container.mux(stream.encode())
    (tmp_path / 'captions.json').write_text(json.dumps(rows))
    (tmp_path / 'videos.csv').write_text('\n'.join(lines))
    rest = [
        dict(type='TokenizeText', max_length=8, tokenizer=dict(type='WordPieceTokenizer', vocab_file=str(vocab_file))),
        dict(type='PackSample'),
    ]
    sources = dict(
        image=(
            dict(type='BLIPCaptionJSON', ann_file=str(tmp_path / 'captions.json'), visual_root=str(tmp_path)),
            [dict(type='LoadImage'), *rest],
        ),
        video=(
            dict(type='WebVidCSV', ann_file=str(tmp_path / 'videos.csv'), visual_root=str(tmp_path / 'videos')),
            [dict(type='LoadVideo', num_frames=4, random=True), *rest],
        ),
    )
    return {
        modality: dict(
            batch_size=3,
            num_workers=0,
            sampler=dict(type='EpochSampler'),
            dataset=dict(type='PairDataset', name=modality, annotations=annotations, pipeline=pipeline),
        )
        for modality, (annotations, pipeline) in sources.items()
    }


def test_a_converted_blip_enters_the_joint_stage(vocab_file, loaders, tmp_path):
    reference = blip('retrieval', 0)
    reference.save_pretrained(tmp_path / 'blip')
    model = omnivl_config(
        vocab_file,
        type='OmniVLPretrain',
        encoder=dict(norm_eps=1e-5),
        losses=[dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')],
        queue_length=12,
    )
    init_default_scope('omnivl')
    runner = OmniVLRunner.from_cfg(
        dict(
            model=model,
            work_dir=str(tmp_path / 'run'),
            experiment_name=f'joint-{next(numbers)}',
            train_dataloader=loaders,
            train_cfg=dict(type='AlternatingTrainLoop', max_iters=6, proportions=dict(image=1, video=1)),
            optim_wrapper=dict(type='PrecisionOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)),
            param_scheduler=[],
            default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=6)),
            visualizer=dict(vis_backends=[dict(type='LocalVisBackend')]),
            randomness=dict(seed=0),
            load_from=dict(type='blip', file=str(tmp_path / 'blip')),
            default_scope='omnivl',
            log_level='WARNING',
        )
    )
    load_weights(runner.bare_model, dict(type='blip', file=str(tmp_path / 'blip')))
    image = images(0)[:, None]
    with torch.no_grad():
        expected = reference.vision_model(image[:, 0]).last_hidden_state[:, 0]
        for frames in (1, 4, 9):
            clip = runner.bare_model.trunk.visual_encoder(image.expand(-1, frames, -1, -1, -1), 'video')
            assert (clip.pooled - expected).abs().max() <= 1e-5
    runner.train()
    values = [json.loads(line) for line in next((tmp_path / 'run').glob('*/vis_data/scalars.json')).open()]
    assert len(values) == 6
    assert all(np.isfinite(row[f'loss_{name}']) for row in values for name in ('univlc', 'vlm', 'lm'))
    block = runner.bare_model.trunk.visual_encoder.blocks[0]
    assert block.attention_time.proj.weight.any()  # it began at zero and takes part in training
    trained = runner.bare_model.trunk.visual_encoder.cls_token
    assert not torch.equal(trained, reference.vision_model.embeddings.class_embedding)
    assert torch.allclose(trained, reference.vision_model.embeddings.class_embedding, atol=0.02)
