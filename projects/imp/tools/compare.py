"""Hold our IMP beside the published code, in JAX: equal numbers on shared random weights.

    pip install jax flax absl-py
    git clone --depth 1 --filter=blob:none --sparse https://github.com/google-research/google-research
    git -C google-research sparse-checkout set imp
    python -m projects.imp.tools.compare --code google-research
    python -m projects.imp.tools.compare --code google-research --vmoe vmoe

Of ``imp/max/modeling`` the files in ``FILES`` are read, one by one; what they import beside these (sharding over
devices, probes, names) is put in place of by stubs. With ``--vmoe``, a clone of google-research/vmoe, its expert-choice
dispatch is compared, too. Exit status 1 if a token goes to another expert, or an output differs by more than 1e-5.
"""

import argparse
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor, nn

from projects.imp.model import CommonSpaceHead, EncoderLayer, ExpertFeedForward, TextEmbedding, VisualEmbedding
from projects.imp.model.experts import choose_tokens

FILES = ('linear', 'normalization', 'attention', 'routing', 'moe', 'transformers', 'embeddings', 'heads')
TOLERANCE = 1e-5
WIDTH, HIDDEN, HEADS, EXPERTS = 64, 128, 4, 16


class Stub(ModuleType):
    """A module that has every name; each is the same thing."""

    def __init__(self, name: str, value: Any, **values: Any) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._value = value
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        return self._value


class Names:
    """A table of names that has every entry: the entry's own name, in lower case."""

    def __getattr__(self, name: str) -> str:
        if name.startswith('__'):
            raise AttributeError(name)
        return name.lower()


def nothing(*arguments: Any, **options: Any) -> None:
    """Do nothing, as a probe."""


def load(code: Path) -> SimpleNamespace:
    """Read the published files from a checkout; returns them by name."""
    sharding = Stub('imp.max.utils.sharding', nothing)
    sharding.shard_array = lambda array, *_: array
    sharding.modulate_param_init = lambda init, *_: init
    utils = Stub('imp.max.core.utils', nothing)
    utils.take_along_axis = lambda array, index, axis, **_: jnp.take(array, index, axis=axis)
    stubs = {
        'imp.max.core.constants': Stub('constants', Names()),
        'imp.max.core.probing': Stub('probing', nothing),
        'imp.max.core.transforms': Stub('transforms', nothing),
        'imp.max.core.utils': utils,
        'imp.max.modeling.scalable_attention': Stub('scalable_attention', nothing),
        'imp.max.modeling.stacking': Stub('stacking', nothing),
        'imp.max.utils.sharding': sharding,
        'imp.max.utils.typing': Stub('typing', Any),
    }
    for package in ('imp', 'imp.max', 'imp.max.core', 'imp.max.modeling', 'imp.max.utils'):
        sys.modules[package] = Stub(package, None)
    for name, stub in stubs.items():
        put(name, stub)
    found = {}
    for name in FILES:
        file = code / 'imp' / 'max' / 'modeling' / f'{name}.py'
        found[name] = put(f'imp.max.modeling.{name}', read(f'imp.max.modeling.{name}', file))
    return SimpleNamespace(**found)


def put(name: str, module: ModuleType) -> ModuleType:
    """Let others import a module by a name."""
    sys.modules[name] = module
    parent, _, last = name.rpartition('.')
    setattr(sys.modules[parent], last, module)
    return module


def read(name: str, file: Path) -> ModuleType:
    """Run a file as a module of a name."""
    if not file.is_file():
        raise SystemExit(f'no {file}: give the folder that has it by --code or --vmoe, see --help')
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def array(tensor: Tensor) -> jax.Array:
    """Make an array of theirs."""
    return jnp.asarray(tensor.detach().numpy())


def dense(layer: nn.Linear) -> dict[str, jax.Array]:
    """Write a linear layer as theirs."""
    bias = {} if layer.bias is None else {'bias': array(layer.bias)}
    return {'kernel': array(layer.weight.T)} | bias


def norm(layer: nn.LayerNorm) -> dict[str, jax.Array]:
    """Write a layer norm as theirs."""
    bias = {} if layer.bias is None else {'bias': array(layer.bias)}
    return {'scale': array(layer.weight)} | bias


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give a module random weights; no norm is the identity and no bias zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim < 2:  # the others are drawn when they are made
                parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def run(module: flax.linen.Module, parameters: Mapping[str, Any], *inputs: Any, **options: Any) -> Any:
    """Run a module of theirs on our weights, after a look at whether they are those that it wants."""
    expected = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, **options))['params']
    shapes = jax.tree_util.tree_map(lambda value: value.shape, expected)
    given = jax.tree_util.tree_map(lambda value: value.shape, dict(parameters))
    if jax.tree_util.tree_leaves_with_path(shapes) != jax.tree_util.tree_leaves_with_path(given):
        raise SystemExit(f'{type(module).__name__} wants {shapes}, got {given}')
    return module.apply({'params': parameters}, *inputs, **options)


def gap(ours: Tensor, theirs: Any) -> float:
    """Return the largest difference."""
    return float(np.abs(ours.detach().numpy() - np.asarray(theirs)).max())


def compare_router(code: SimpleNamespace) -> dict[str, float]:
    """Compare whom the experts choose, and the gates; with and without padding, whose tokens are zeros there."""
    layer = shaken(ExpertFeedForward(WIDTH, HIDDEN, EXPERTS))
    found = {}
    for padded in (False, True):
        tokens = torch.randn(3, 64, WIDTH)
        real = torch.arange(64) < torch.tensor([[64], [50], [20]]) if padded else None
        tokens = tokens if real is None else tokens * real[..., None]
        weights = code.routing.RouterWeights(use_bias=False, dtype=jnp.float32, name='router')
        shards = dict(inputs_shardings=(), logits_shardings=())
        router = code.routing.ExpertsChooseMaskedRouter(
            router_weights=weights,
            jitter_noise=0.0,
            dtype=jnp.float32,
            ignore_padding_tokens=padded,
            router_kwargs={},
            **shards,
        )
        own = {'router_weights': {'w': {'kernel': array(layer.router.T)}}}
        theirs = run(router, own, array(tokens), EXPERTS, 4, apply_jitter=False)
        gates, index = layer.route(tokens, 4, real)
        sent = torch.nn.functional.one_hot(index, 64).permute(0, 3, 1, 2)  # (G, n, X, c)
        # Which of the padding is taken, with a gate of 0, is a matter of ties.
        counts = torch.from_numpy(np.array(theirs.combine_array)) > 0
        other = torch.from_numpy(np.array(theirs.dispatch_mask)) * counts
        name = ', padding masked' if padded else ''
        found[f'tokens that go to another expert{name}'] = float((sent * (gates > 0)[:, None] != other).sum())
        found[f'gates{name}'] = gap(sent * gates[:, None], theirs.combine_array)
    return found


def compare_experts(code: SimpleNamespace) -> dict[str, float]:
    """Compare the whole layer of experts, in 16 groups of 64 tokens: the published code wants a multiple of 16."""
    layer = shaken(ExpertFeedForward(WIDTH, HIDDEN, EXPERTS, group_size=64))
    options = dict(lora_rank=1, lora_scale=0.0, precision=None, dtype=jnp.float32, use_bias=False, dropout_rate=0.0)
    expert = code.transformers.FeedForward(
        d_ff=HIDDEN,
        d_model=WIDTH,
        approximate_gelu=True,
        dot_general=jax.lax.dot_general,
        inner_kernel_shardings=(),
        outer_kernel_shardings=(),
        intermediate_shardings=(),
        **options,
    )
    module = code.moe.SparseMoEwithExpert(
        num_experts=EXPERTS,
        ignore_padding_tokens=False,
        jitter_noise=0.0,
        comm_dtype=jnp.float32,
        split_params=True,
        optimize_parallel_comms=False,
        router_kwargs=(),
        router_kernel_shardings=(),
        tokens_shardings=(('expert', 'data'), None, None, None),
        model_axis_size=1,
        model_axis_name='model',
        max_group_size=64,
        capacity_factor=1.0,
        min_expert_capacity=0,
        router_type='ExpertsChooseMasked',
        router_bias=False,
        strict_group_size=True,
        num_selected_experts=1,
        batch_prioritized_routing=False,
        expert=expert,
        rng_keys=('dropout',),
    )
    tokens = torch.randn(32, 32, WIDTH)
    own = {
        'router': {'w': {'kernel': array(layer.router.T)}},
        'expert': {'wi': {'kernel': array(layer.inner)}, 'wo': {'kernel': array(layer.outer)}},
    }
    theirs = run(module, own, array(tokens)[:, None])
    return {'experts': gap(layer(tokens), theirs[:, 0])}


def compare_layer(code: SimpleNamespace) -> dict[str, float]:
    """Compare a dense layer of the encoder, with and without query-key norm and padding."""
    found = {}
    for qk_norm in (False, True):
        layer = EncoderLayer(WIDTH, HEADS, HIDDEN, qk_norm)
        for part in layer.modules():
            if isinstance(part, nn.Linear | nn.LayerNorm):
                part.register_parameter('bias', None)  # as the encoder does
        shaken(layer)
        block, shards = layer.self_attention, dict.fromkeys(
            ('mha_qkv_kernel', 'mha_out_kernel', 'mha_activation', 'layernorm', 'ffn_inner_kernel',
             'ffn_outer_kernel', 'ffn_intermediate'), ())  # fmt: skip
        products = ('mha_qkv', 'mha_out', 'mha_einsum', 'ffn')
        module = code.transformers.TransformerEncoderLayer(
            d_model=WIDTH,
            d_ff=HIDDEN,
            num_heads=HEADS,
            qk_layernorm=qk_norm,
            use_bias=False,
            dropout_rate=0.0,
            dtype=jnp.float32,
            approximate_gelu=True,
            precision=None,
            lora_rank=1,
            lora_scale=0.0,
            **{f'{name}_shardings': value for name, value in shards.items()},
            **{f'{name}_dot_general': jax.lax.dot_general for name in products},
        )
        kernels = block.attention.qkv.weight.view(3, HEADS, WIDTH // HEADS, WIDTH).permute(0, 3, 1, 2)
        attention = {name: {'kernel': array(kernel)} for name, kernel in zip('qkv', kernels)}
        attention['o'] = {'kernel': array(block.attention.proj.weight.T.view(HEADS, -1, WIDTH))}
        if qk_norm:
            attention |= {
                'layer_norm_q': norm(block.attention.norm_query),
                'layer_norm_k': norm(block.attention.norm_key),
            }
        own = {
            'layer_norm_sa': norm(block.norm),
            'self_attention': attention,
            'layer_norm_ffn': norm(layer.feed_forward.norm),
            'feed_forward': {'wi': dense(layer.feed_forward.mlp.fc1), 'wo': dense(layer.feed_forward.mlp.fc2)},
        }
        tokens, real = torch.randn(4, 20, WIDTH), torch.arange(20) < torch.tensor([[20], [11], [3], [1]])
        seen = array(real)[:, None, None, None] * jnp.ones((1, 1, 1, 20, 1))
        name = 'layer of the encoder' + (', query-key norm' if qk_norm else '')
        found[name] = gap(layer(tokens), run(module, own, array(tokens)[:, None])[:, 0])
        masked = run(module, own, array(tokens)[:, None], attention_mask=seen)[:, 0]
        found[f'{name}, padding'] = gap(layer(tokens, real)[real], np.asarray(masked)[real.numpy()])
    return found


def compare_embeddings(code: SimpleNamespace) -> dict[str, float]:
    """Compare tokens of patches and words with their positions, before the linear layer in front of the encoder."""
    visual = shaken(VisualEmbedding(WIDTH))
    frames = torch.randn(2, 8, 3, 64, 64)
    grid = (2, 4, 4)
    patches = (
        frames.permute(0, 1, 3, 4, 2).reshape(2, 2, 4, 4, 16, 4, 16, 3).permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(1, 3)
    )
    weight = visual.proj.weight.permute(2, 3, 4, 1, 0).flatten(0, 3)  # by frame, row, column, channel
    projection = code.linear.DenseGeneral(features=WIDTH)
    own = {'kernel': array(weight), 'bias': array(visual.proj.bias)}
    tokens = run(projection, own, array(patches.flatten(2))[:, None])
    place = np.stack(np.meshgrid(*(np.arange(size) / size for size in grid), indexing='ij'), -1).reshape(1, 1, -1, 3)
    encode = code.embeddings.SpatioTemporalPosEncode(hidden_size=WIDTH, pos_buckets=(16, 32, 32), dropout_rate=0.0)
    tables = {
        f'{axis}_postition_embeddings': {'embedding': array(table)}
        for axis, table in zip(('temporal', 'vertical', 'horizontal'), visual.positions.pos_embed)
    }
    own = tables | {'layer_norm': norm(visual.positions.norm)}
    theirs = run(encode, own, tokens, token_coordinate=jnp.asarray(place, jnp.float32))
    ours = visual.positions(visual.proj(frames.transpose(1, 2)).permute(0, 2, 3, 4, 1)).flatten(1, 3)
    found = {'patches with positions': gap(ours, theirs[:, 0])}

    text, ids = shaken(TextEmbedding(WIDTH, 50, 32)), torch.randint(0, 50, (2, 16))
    words = code.embeddings.Embed(num_embeddings=50, features=WIDTH)
    tokens = run(words, {'embedding': array(text.word.weight)}, array(ids)[:, None])
    encode = code.embeddings.TemporalPosEncode(hidden_size=WIDTH, pos_buckets=32, dropout_rate=0.0)
    own = {
        'temporal_postition_embeddings': {'embedding': array(text.positions.pos_embed[0])},
        'layer_norm': norm(text.positions.norm),
    }
    place = jnp.arange(16, dtype=jnp.float32)[None, None] / 16
    theirs = run(encode, own, tokens, token_coordinate=place, coordinate_scale=16)
    return found | {'words with positions': gap(text.positions(text.word(ids)), theirs[:, 0])}


def compare_head(code: SimpleNamespace) -> dict[str, float]:
    """Compare the way to a common space, as unit vectors."""
    head, pooled = shaken(CommonSpaceHead(WIDTH, 32)), torch.randn(5, WIDTH)
    own = {'wi': dense(head.inner), 'wo': dense(head.outer), 'layer_norm': norm(head.norm)}
    theirs = run(code.heads.MLP(d_common=32, d_hidden=32), own, array(pooled))
    return {'head of a common space': gap(head(pooled), theirs / jnp.linalg.norm(theirs, axis=-1, keepdims=True))}


def compare_vmoe(folder: Path) -> dict[str, float]:
    """Compare the choice of tokens with that of V-MoE's code."""
    sys.modules['vmoe'] = Stub('vmoe', None)
    put('vmoe.partitioning', Stub('vmoe.partitioning', nothing))
    theirs = put('vmoe.moe', read('vmoe.moe', folder / 'vmoe' / 'moe.py'))
    probabilities = torch.randn(1, 64, EXPERTS).softmax(-1)
    gates, index = choose_tokens(probabilities, 4)
    dispatcher, _ = theirs.get_top_items_per_expert_dispatcher(array(probabilities[0]), name='einsum', capacity=4)
    sent = torch.nn.functional.one_hot(index, 64).permute(0, 3, 1, 2)[0]
    other = torch.from_numpy(np.array(dispatcher.dispatch_weights)).long()
    return {
        'tokens that go to another expert than in vmoe': float((sent != other).sum()),
        'gates of vmoe': gap(sent * gates, dispatcher.combine_weights),
    }


def main() -> None:
    """Compare all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--code', type=Path, required=True, help='checkout of google-research/google-research')
    parser.add_argument('--vmoe', type=Path, help='clone of google-research/vmoe')
    arguments = parser.parse_args()
    code = load(arguments.code)
    comparisons = (compare_router, compare_experts, compare_layer, compare_embeddings, compare_head)
    found = {name: value for comparison in comparisons for name, value in comparison(code).items()}
    if arguments.vmoe:
        found |= compare_vmoe(arguments.vmoe)
    print('| | largest difference |\n| --- | ---: |')
    for name, value in found.items():
        print(f'| {name} | {value:.1e} |' if value % 1 else f'| {name} | {value:.0f} |')
    if any(value > TOLERANCE for value in found.values()):
        raise SystemExit(1)


if __name__ == '__main__':
    main()
