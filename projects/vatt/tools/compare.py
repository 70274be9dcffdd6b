"""Hold our VATT beside the published TensorFlow code: equal numbers on shared random weights.

    pip install tensorflow tf_keras
    git clone --filter=blob:none --sparse https://github.com/google-research/google-research
    git -C google-research sparse-checkout set vatt
    python -m projects.vatt.tools.compare --code google-research

Their model, with a transformer for each modality and with one for all, gets random weights and writes a checkpoint,
which our reader reads. tensorflow_addons, which nothing of this needs, and their configs, which newer Pythons do not
read, are stood in for; the gathering over TPUs is that of one replica. Exit status 1 if vectors, tokens or losses
differ by more than 1e-4, or gradients by more than 1e-3 of the largest of their tensor.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')  # their Keras is the second
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import numpy as np
import torch
from torch import Tensor, nn

from omnivl.structures import VLBatch
from omnivl.weights import load_weights
from projects.vatt.data import WordTokenizer
from projects.vatt.losses import nce_loss
from projects.vatt.model import VATTPretrain
from projects.vatt.weights import VATTReader

import tensorflow as tf  # isort: skip  # behind torch: the other way round both may look for a GPU and crash

SMALL = dict(
    width=96, heads=3, hidden=192, depth=2, frames=8, side=48, patches=10, words=6, vocabulary=120, embedding=20,
    projected=40, text_width=64, text_heads=4, text_depth=2, batch=6, candidates=3,
)  # fmt: skip
BASE = dict(
    width=768, heads=12, hidden=3072, depth=12, frames=32, side=224, patches=1200, words=16, vocabulary=2**16,
    embedding=300, projected=1024, text_width=512, text_heads=8, text_depth=6, batch=2, candidates=2,
)  # fmt: skip
SIZES = dict(small=SMALL, base=BASE)
VALUES, GRADIENTS = 1e-4, 1e-3
TEMPERATURE = 0.07


class Params(SimpleNamespace):
    """In the place of their configs."""

    def as_dict(self) -> dict[str, Any]:
        """Return all values."""
        return dict(vars(self))

    def override(self, values: dict[str, Any]) -> None:
        """Change nothing: they override by nothing."""


def model_params(name: str, size: dict[str, int]) -> Params:
    """Give the config of one of their models."""
    head = size['width'] // size['heads']
    common = dict(
        d_model=size['width'], d_kv=head, d_ff=size['hidden'], num_layers=size['depth'], num_heads=size['heads'],
        pre_norm=True, use_bias=True, activation='gelu', dropout_rate=0.1, layer_norm_epsilon=1e-6,
        random_patch_sampling=True, patch_sampling_rate=0.5, num_classes=None, cls_dropout_rate=0.0,
    )  # fmt: skip
    alone = dict(common, use_masking=False, freeze_backbone=False, num_test_samples=1)
    times, side = size['frames'] // 4, size['side'] // 16
    if name == 'vit':
        buckets = dict(max_temporal_buckets=times, max_vertical_buckets=side, max_horizontal_buckets=side)
        return Params(name='vit', final_endpoint='predictions_3d', temporal_patch_size=4, spatial_patch_size=16,
                      **alone, **buckets)  # fmt: skip
    if name == 'wat':
        return Params(name='wat', final_endpoint='predictions_1d', temporal_patch_size=128, temporal_patch_stride=128,
                      max_temporal_buckets=size['patches'], **alone)  # fmt: skip
    words = dict(vocab_size=size['vocabulary'], d_embedding=size['embedding'], trainable_embeddings=False)
    if name == 't5':
        width, heads = size['text_width'], size['text_heads']
        return Params(
            name='t5', d_pre_proj=width, d_post_proj=None, use_agg_token=True, is_transformer=True, activation='gelu',
            d_model=width, d_kv=width // heads, d_ff=4 * width, num_layers=size['text_depth'], num_heads=heads,
            num_relative_buckets=32, max_relative_distance=64, dropout_rate=0.1, layer_norm_epsilon=1e-6, **words,
        )  # fmt: skip
    return Params(
        name='ut', modality='', vid_temporal_patch_size=4, vid_spatial_patch_size=16, aud_temporal_patch_size=128,
        txt_vocab_size=size['vocabulary'], txt_embedding_dim=size['embedding'], txt_embedding_trainable=False,
        max_vid_temporal_buckets=times, max_vid_spatial_buckets=side, max_aud_temporal_buckets=size['patches'],
        max_txt_temporal_buckets=size['words'], d_post_proj=size['projected'], **common,
    )  # fmt: skip


def import_theirs(code: Path, size: dict[str, int]) -> SimpleNamespace:
    """Import their modules, with stand-ins for what is not needed here."""
    sys.path.insert(0, str(code))
    names = ['audio', 'dataset', 'experiment', 'factory', 'head', 'loss', 'multimodal', 'text', 'unified', 'video']
    stubs = ['tensorflow_addons', 'tensorflow_addons.image', 'tensorflow_addons.optimizers', 'vatt.configs']
    for name in [*stubs, *(f'vatt.configs.{name}' for name in names)]:
        module = sys.modules[name] = ModuleType(name)
        parent, _, child = name.rpartition('.')
        if parent in sys.modules:
            setattr(sys.modules[parent], child, module)
    sys.modules['vatt.configs.factory'].build_model_configs = lambda name: model_params(name, size)
    from vatt.modeling import factory
    from vatt.modeling.backbones import multimodal
    from vatt.modeling.heads import factory as heads
    from vatt.utils.train import objectives

    objectives.cross_replica_gather = lambda tensor, count, **_: tensor
    return SimpleNamespace(factory=factory, multimodal=multimodal, heads=heads, objectives=objectives)


def make_theirs(theirs: SimpleNamespace, shared: bool, size: dict[str, int], seed: int = 0) -> Any:
    """Build their model as their training does, with random weights of which none is zero."""
    tf.keras.utils.set_random_seed(seed)
    norm = dict(momentum=0.9, epsilon=1e-5, scale=True, name='batch_norm')
    widths = {f'{name}_kwargs': dict(d_model=width) for name, width in (
        ('vid_to_aud_txt', 512), ('aud_to_vid_txt', 512), ('txt_to_vid_aud', 256)
    )}  # fmt: skip
    bridge = Params(name='mlp_fac', bn_config=norm, use_xreplica_bn=True, **widths)
    loss = Params(name='asymmetric_nce', loss_weight=1.0, temperature=TEMPERATURE, vid_txt_weight=1.0,
                  vid_aud_weight=1.0, aud_txt_weight=0.0)  # fmt: skip
    backbones = dict(unified_backbone='ut') if shared else dict(
        video_backbone='vit', audio_backbone='wat', text_backbone='t5',
        video_model_kwargs={}, audio_model_kwargs={}, text_model_kwargs={},
    )  # fmt: skip
    params = Params(
        model_name='vatt', backbone_config=Params(**backbones), loss_config=Params(bridge=(loss,)),
        head_config=Params(bridge=(bridge,)),
    )  # fmt: skip
    base = theirs.multimodal.UnifiedFusion if shared else theirs.multimodal.AudioTextVideoFusion
    model = theirs.factory.MMRLModel(base, theirs.heads.build_model(params.head_config), params)
    side, samples = size['side'], 128 * size['patches']
    inputs = dict(
        video=tf.keras.Input((size['frames'], side, side, 3)),
        audio=tf.keras.Input((samples, 1)),
        text=tf.keras.Input((size['words'],), dtype='int32'),
    )
    whole = tf.keras.Model(inputs=inputs, outputs=model(inputs, None))
    whole.loss_fn = model.loss_fn
    draw = np.random.default_rng(seed)
    for variable in whole.weights:
        noise = draw.normal(size=variable.shape, scale=0.05).astype(np.float32)
        variable.assign_add(abs(noise) if 'variance' in variable.name else noise)
    return whole


def our_config(shared: bool, size: dict[str, int]) -> dict[str, Any]:
    """Give the config of our trunk."""
    backbone = dict(width=size['width'], depth=size['depth'], num_heads=size['heads'])
    backbone['mlp_ratio'] = size['hidden'] / size['width']
    ends = dict(projected=size['projected']) if shared else {}
    own = {} if shared else dict(backbone=backbone)
    words = dict(vocab_size=size['vocabulary'], max_length=size['words'], embed_width=size['embedding'])
    text = dict(type='VATTTextEncoder', **words, **ends) if shared else dict(
        type='VATTT5Encoder', width=size['text_width'], depth=size['text_depth'], num_heads=size['text_heads'], **words
    )  # fmt: skip
    return dict(
        type='VATT',
        tokenizer=dict(type=WordTokenizer, vocab_file='nowhere'),
        visual_encoder=dict(
            type='VATTVideoEncoder', image_size=size['side'], num_frames=size['frames'], backbone=backbone, **ends
        ),
        audio_encoder=dict(type='VATTAudioEncoder', grid=(size['patches'],), **own, **ends),
        text_encoder=text,
        shared=shared,
        temperature=TEMPERATURE,
    )


def make_ours(theirs: Any, shared: bool, size: dict[str, int], folder: Path) -> VATTPretrain:
    """Write their checkpoint, and read it into our model, with all of its variables used."""
    path = tf.train.Checkpoint(model=theirs).save(str(folder / 'ckpt'))
    model = VATTPretrain(trunk=our_config(shared, size))
    (report,) = load_weights(model, dict(type=VATTReader, file=f'{path}.index'), show=len)
    left = [key for key in report.left + report.elsewhere if not key.endswith('num_batches_tracked')]
    if left or report.unused:
        raise SystemExit(f'not all variables were used: {left} {report.unused}')
    return model.eval()


def make_inputs(size: dict[str, int], seed: int = 1) -> tuple[dict[str, Any], dict[str, Any], VLBatch]:
    """Draw inputs and labels of theirs, and the same as a batch of ours: one clip without texts, another without sound.

    In each half of the batch there is one of either, where it is large enough.
    """
    draw, count = np.random.default_rng(seed), size['batch']
    shape = (count, size['frames'], size['side'], size['side'], 3)
    video = draw.uniform(-1, 1, shape).astype(np.float32)
    audio = draw.uniform(-1, 1, (count, 128 * size['patches'], 1)).astype(np.float32)
    words = draw.integers(1, size['vocabulary'], (count, size['candidates'], size['words']))
    lengths = draw.integers(1, size['words'] + 1, (count, size['candidates'], 1))
    words = np.where(np.arange(size['words']) < lengths, words, 0)
    text_mask, audio_mask = np.ones(count, np.float32), np.ones(count, np.float32)
    if count >= 6:
        text_mask[[1, count // 2 + 1]] = 0.0
        audio_mask[[2, count // 2 + 2]] = 0.0
    words[text_mask == 0] = 0
    texts = words.reshape(-1, size['words'])
    inputs = dict(video=tf.constant(video), audio=tf.constant(audio), text=tf.constant(texts, tf.int32))
    labels = dict(audio_mask=tf.constant(audio_mask), text_mask=tf.constant(text_mask))
    ids = torch.from_numpy(texts)
    sound = torch.from_numpy(audio[..., 0])
    batch = VLBatch(
        dict(video=torch.from_numpy(video).permute(0, 1, 4, 2, 3), audio=sound),
        masks=dict(audio=torch.from_numpy(audio_mask > 0)[:, None].expand_as(sound)),
        text_ids=ids,
        text_mask=ids != 0,
    )
    return inputs, labels, batch


def difference(ours: Tensor, theirs: Any) -> float:
    """Return the largest difference of an output, whatever dimensions its tokens have."""
    return (ours.detach() - torch.from_numpy(np.asarray(theirs)).reshape(ours.shape)).abs().max().item()


def compare_outputs(theirs: Any, ours: VATTPretrain, size: dict[str, int]) -> dict[str, float]:
    """Return the largest differences of vectors, tokens, embeddings and losses in evaluation."""
    inputs, labels, batch = make_inputs(size)
    made = theirs(inputs, training=False)
    trunk = ours.trunk
    with torch.no_grad():
        encoded = dict(
            video=trunk.encode(batch),
            audio=trunk.audio_encoder(batch.inputs['audio']),
            text=trunk.encode_text(*batch.texts),
        )
        found = {}
        for name, one in encoded.items():
            found[f'{name}: vectors'] = difference(one.pooled, made[name]['features_pooled'])
            found[f'{name}: tokens'] = difference(one.tokens[:, 1:], made[name]['features'])
        heads, fine = made['head_stack']['bridge'], trunk.video_to_fine(encoded['video'].pooled)
        pairs = [
            (fine, heads['video']['toaud']),
            (trunk.fine_to_coarse(fine), heads['video']['totxt']),
            (trunk.bridge.audio_to_fine(encoded['audio'].pooled), heads['audio']['tovid']),
            (trunk.bridge.text_to_coarse(encoded['text'].pooled), heads['text']['tovid']),
        ]
        found['bridge'] = max(difference(*pair) for pair in pairs)
        total = sum(ours.loss(batch).values()).item()
    losses = theirs.loss_fn(labels, made, SimpleNamespace(num_replicas=1))
    found['loss'] = abs(total - float(losses['model_loss']))
    return found


def without_dropout(theirs: Any, ours: nn.Module) -> None:
    """Switch dropout off in both, and leave all else of a training on."""
    for part in theirs.submodules:
        if isinstance(part, tf.keras.layers.Dropout):
            part.rate = 0.0
    for part in ours.train().modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(getattr(part, 'dropout', None), float):
            part.dropout = 0.0


def our_softplus(_: nn.Module, values: Tensor) -> Tensor:
    """Give what stands for a ReLU in the comparison of gradients."""
    return nn.functional.softplus(values)


def same_order(length: int) -> np.ndarray:
    """Give the permutation that both draw of so many tokens."""
    return np.random.default_rng(length).permutation(length)


def compare_training(theirs: Any, ours: VATTPretrain, size: dict[str, int], folder: Path) -> dict[str, float]:
    """Return the largest differences of loss, running means and gradients of a step, half of the tokens dropped."""
    without_dropout(theirs, ours)
    inputs, labels, batch = make_inputs(size, seed=2)

    def their_shuffle(values: Any) -> Any:
        return tf.gather(values, same_order(values.shape[0]))

    def our_draw(rows: int, length: int, **_: Any) -> Tensor:
        return torch.from_numpy(same_order(length)).argsort()[None].float().expand(rows, -1)

    # A kink has two slopes, and rounding may choose: the bridge's gets a smooth function in its place.
    smooth = mock.patch.object(tf.nn, 'relu', tf.nn.softplus), mock.patch.object(nn.ReLU, 'forward', our_softplus)
    with smooth[0], mock.patch.object(tf.random, 'shuffle', their_shuffle), tf.GradientTape() as tape:
        made = theirs(inputs, training=True)
        loss = theirs.loss_fn(labels, made, SimpleNamespace(num_replicas=1))['model_loss']
    with smooth[1], mock.patch.object(torch, 'rand', our_draw):
        total = sum(ours.loss(batch).values())
    total.backward()
    found = {'training: loss': abs(total.item() - float(loss))}
    reader = VATTReader(f'{tf.train.Checkpoint(model=theirs).save(str(folder / "stepped"))}.index')
    updated, own = reader.translate(reader.read_file()[0], ours), nn.ModuleDict(dict(ours.parts)).state_dict()
    found['training: running means'] = max(
        (own[key] - value).abs().max().item() for key, value in updated.items() if 'running_mean' in key
    )
    gradients = tape.gradient(loss, theirs.trainable_weights, unconnected_gradients='zero')
    for variable, gradient in zip(theirs.trainable_weights, gradients):
        variable.assign(tf.convert_to_tensor(gradient))
    reader = VATTReader(f'{tf.train.Checkpoint(model=theirs).save(str(folder / "gradients"))}.index')
    found['training: gradients'] = compare_gradients(ours, reader.translate(reader.read_file()[0], ours))
    return found


def compare_gradients(ours: VATTPretrain, expected: dict[str, Tensor]) -> float:
    """Return the largest difference of a gradient, each relative to the largest value of its tensor."""
    worst = 0.0
    for name, parameter in nn.ModuleDict(dict(ours.parts)).named_parameters():
        if parameter.grad is None:
            continue
        theirs = expected[name].clone()
        if name.startswith('text_encoder.') and name.endswith('.qkv.weight') and not ours.trunk.shared:
            head = ours.trunk.text_encoder.backbone.layers[0].self_attention.attention.head_width
            theirs[: len(theirs) // 3] /= head  # the reader multiplied by its root, as for weights
        if theirs.abs().max() > 1e-6:  # biases of keys, and of a norm before a batch norm, have one by rounding alone
            own = parameter.grad
            if name.endswith('qkv.bias'):
                own, theirs = (torch.cat([one.chunk(3)[0], one.chunk(3)[2]]) for one in (own, theirs))
            worst = max(worst, ((own - theirs).abs().max() / theirs.abs().max()).item())
    return worst


def compare_replicas(theirs: SimpleNamespace) -> float:
    """Return the difference of MIL-NCE on two of their replicas, averaged, and ours of the joined batch."""
    draw = np.random.default_rng(3)
    video, texts = draw.normal(size=(6, 16)).astype(np.float32), draw.normal(size=(6, 3, 16)).astype(np.float32)
    mask = np.array([1, 0, 1, 1, 1, 0], np.float32)
    halves = [slice(0, 3), slice(3, 6)]
    loss = theirs.objectives.AsymmetricNCE(SimpleNamespace(
        vid_txt_weight=1.0, vid_aud_weight=1.0, aud_txt_weight=0.0, temperature=TEMPERATURE, loss_weight=1.0, name=''
    ))  # fmt: skip
    values = []
    for half in halves:
        parts = [tf.constant(video[half]), tf.constant(texts[half].reshape(-1, 16)), tf.constant(mask[half])]
        # Their own part is first among what they gather, wherever it lies: the loss is a sum over all.
        joined = [
            np.concatenate([one[half], one[halves[1] if half is halves[0] else halves[0]]])
            for one in (video, texts, mask)
        ]
        joined = [tf.constant(joined[0]), tf.constant(joined[1].reshape(-1, 16)), tf.constant(joined[2])]

        def gather(tensor: Any, count: int, parts: list = parts, joined: list = joined) -> Any:
            return next(whole for part, whole in zip(parts, joined) if part is tensor)

        with mock.patch.object(theirs.objectives, 'cross_replica_gather', gather):
            values.append(float(loss._calculate_nce(parts[0], parts[1], SimpleNamespace(num_replicas=2), parts[2])))
    real = torch.from_numpy(mask > 0)[:, None].expand(-1, 3)
    ours = nce_loss(torch.from_numpy(video), torch.from_numpy(texts), real, TEMPERATURE)
    return abs(ours.item() - sum(values) / 2)


def check(theirs: SimpleNamespace, shared: bool, size: dict[str, int], label: str) -> bool:
    """Print all comparisons of one model, and say whether every one holds."""
    with tempfile.TemporaryDirectory() as folder:
        model = make_theirs(theirs, shared, size)
        ours = make_ours(model, shared, size, Path(folder))
        found = compare_outputs(model, ours, size) | compare_training(model, ours, size, Path(folder))
    for what, value in found.items():
        print(f'{label}, {what}: largest difference {value:.1e}', flush=True)
    return all(value < (GRADIENTS if 'gradients' in what else VALUES) for what, value in found.items())


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--code', type=Path, required=True, help='folder that holds their folder vatt')
    parser.add_argument('--size', choices=list(SIZES), default='small')
    arguments = parser.parse_args()
    size = SIZES[arguments.size]
    theirs = import_theirs(arguments.code, size)
    replicas = compare_replicas(theirs)
    print(f'two replicas, loss: largest difference {replicas:.1e}', flush=True)
    holds = [check(theirs, shared, size, label) for label, shared in (('separate', False), ('shared', True))]
    if not all(holds) or replicas > VALUES:
        raise SystemExit('the models differ')


if __name__ == '__main__':
    main()
