"""Weights for UniFormerV2: the published checkpoints, of OpenGVLab and of mmaction2, and CLIP's vision tower."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasParts, TakesWeights, offered_by
from omnivl.models.tokenizers.video import inflate
from omnivl.registry import WEIGHT_READERS
from omnivl.weights import StageReader, WeightReader
from omnivl.weights.clip import LAYER, TEXT_TOWER, place, take_tower
from omnivl.weights.label_map import select_classes
from omnivl.weights.timm import PREFIX, fit_space

from .model import UniFormerV2

BLOCK = {
    'norm1': 'attention.norm',
    'qkv': 'attention.attention.qkv',
    'proj': 'attention.attention.proj',
    'norm2': 'feed_forward.norm',
    'fc1': 'feed_forward.mlp.fc1',
    'fc2': 'feed_forward.mlp.fc2',
}
# In the sequence of layers that they call pos_embed.
RELATION = {'0': 'norm', '1': 'down', '2': 'over_time', '3': 'up'}
GLOBAL = {
    'attn.out_proj': 'attention.attention.proj',
    'ln_1': 'attention.norm',
    'ln_3': 'attention.norm_visual',
    'ln_2': 'feed_forward.norm',
    'mlp.c_fc': 'feed_forward.mlp.fc1',
    'mlp.c_proj': 'feed_forward.mlp.fc2',
}
OUTSIDE = {'transformer.temporal_cls_token': 'query', 'transformer.balance': 'gate'}
NORMS = dict.fromkeys(('transformer.proj.0', 'transformer.norm'), f'{PREFIX}norm')
HEADS = dict.fromkeys(('transformer.proj.2', 'fc_cls'), 'head')
MMACTION_HEAD = 'cls_head.'


def encoder_of(model: HasParts, reader: WeightReader) -> UniFormerV2:
    """Return the encoder to be filled; another one is an ``OmniVLValueError``."""
    encoder = model.parts.get('visual_encoder')
    if not isinstance(encoder, UniFormerV2):
        raise OmniVLValueError(
            f'{type(reader).__name__} fills a UniFormerV2, the model has a {type(encoder).__name__} '
            '(model.trunk.visual_encoder)'
        )
    return encoder


def tower_of(weights: dict[str, Tensor], encoder: UniFormerV2) -> dict[str, Tensor]:
    """Take what UniFormerV2 has of CLIP; a 2D kernel becomes the centre slice of one that looks at several frames."""
    tower = take_tower(weights, last_norm=False)
    patches = tower.pop('patches')
    time_kernel = encoder.tokenizer.time_kernel
    translated = {
        'tokenizer.proj.weight': inflate(patches, time_kernel) if patches.ndim == 4 else patches,
        'cls_token': tower.pop('cls'),
        'pos_embed': tower.pop('positions'),
    }
    return translated | {place(name, BLOCK): value for name, value in tower.items()}


@WEIGHT_READERS.register_module()
class UniFormerV2FromCLIP(WeightReader):
    """CLIP's vision tower as the start of a ``UniFormerV2``, in the layout of Hugging Face, OpenAI or open_clip.

    The 2D kernel becomes the centre slice in time, positions of another resolution are interpolated. Local relations,
    global blocks and gate keep their initial values, at which they change nothing. The norm after them starts anew,
    too, as in the published code: CLIP's last norm is not used. Arguments as ``WeightReader``.
    """

    unused_by_design = (*TEXT_TOWER, '*ln_post.*', '*post_layernorm.*')
    left_by_design = (f'{PREFIX}query', f'{PREFIX}gate', f'{PREFIX}norm.*', f'{PREFIX}global_blocks.*', '*.relations.*')

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        translated = {PREFIX + key: value for key, value in tower_of(weights, encoder_of(model, self)).items()}
        fit_space(translated, model)
        return translated


@WEIGHT_READERS.register_module(name=['UniFormerV2Reader', 'uniformerv2'])
class UniFormerV2Reader(WeightReader):
    """A published checkpoint: OpenGVLab's (``.pyth``, keys with or without ``backbone.``) or mmaction2's.

    Args:
        file: See ``WeightReader``.
        label_map: File of a label map, a JSON list: entry i is the row of the file's head that is class i of the model
            (the K710 head for Kinetics-400). None = the head as it is, or, of another number of classes, left anew.
        allow: See ``WeightReader``.
        allow_unused: See ``WeightReader``.
    """

    left_by_design = ('head.*',)  # for another number of classes

    def __init__(
        self, file: str, label_map: str | None = None, allow: Sequence[str] = (), allow_unused: bool = False
    ) -> None:
        super().__init__(file, allow, allow_unused)
        self.label_map = label_map

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        encoder = encoder_of(model, self)
        for key in list(weights):
            weights[key.removeprefix('backbone.').removeprefix(MMACTION_HEAD)] = weights.pop(key)
        self._check_kind(weights, encoder)
        translated = {PREFIX + key: value for key, value in self._encoder(weights, encoder).items()}
        ends = NORMS if 'head' not in model.parts else {**NORMS, **HEADS}
        for theirs, own in ends.items():
            for kind in ('weight', 'bias'):
                if (value := weights.pop(f'{theirs}.{kind}', None)) is not None:
                    translated[f'{own}.{kind}'] = value
        select_classes(translated, model, self.label_map)
        if (fits := offered_by(model, TakesWeights)) is not None:
            fits.adapt_state_dict(translated)
        return translated

    def expected_unused(self, model: HasParts) -> tuple[str, ...]:
        """See ``WeightReader.expected_unused``."""
        return () if 'head' in model.parts else tuple(f'{head}.*' for head in HEADS)

    def _encoder(self, weights: dict[str, Tensor], encoder: UniFormerV2) -> dict[str, Tensor]:
        # Theirs beside the blocks of CLIP's kind, before those are taken.
        others = {}
        for key in list(weights):
            if (own := own_name(key)) is not None:
                others[own] = weights.pop(key)
        for index in range(len(encoder.global_layers)):
            name = f'global_blocks.{index}.attention.attention.'
            for kind in ('weight', 'bias'):
                fused = others.pop(f'{name}qkv.{kind}')
                others[f'{name}query.{kind}'], others[f'{name}key_value.{kind}'] = fused.tensor_split([encoder.width])
        for name in [name for name in others if '.relations.' in name and others[name].ndim == 5]:
            kernel = others[name]  # (D', D, 1, 1, 1) of a linear layer, (D', 1, 3, 1, 1) of that over time
            others[name] = kernel.squeeze(-1) if 'over_time' in name else kernel.flatten(1)
        return others | tower_of(weights, encoder)

    def _check_kind(self, weights: dict[str, Tensor], encoder: UniFormerV2) -> None:
        """Refuse what was made with other blocks: their numbers are in no shape that would be compared."""
        found = dict(
            global_blocks=count(weights, 'transformer.dec.'),
            num_local=max(
                (number for number in (1, 2) if f'transformer.resblocks.0.lmhra{number}.pos_embed.0.weight' in weights),
                default=0,
            ),
            time_kernel=weights['conv1.weight'].shape[2] if 'conv1.weight' in weights else None,
        )
        ours = dict(
            global_blocks=len(encoder.global_layers),
            num_local=len(cast(torch.nn.ModuleList, encoder.blocks[0].relations)),
            time_kernel=encoder.tokenizer.time_kernel,
        )
        wrong = [
            f'{name} is {found[name]} there and {ours[name]} in the model' for name in ours if found[name] != ours[name]
        ]
        if wrong:
            raise OmniVLValueError(
                f'{self.file} is no UniFormerV2 of this kind: {"; ".join(wrong)} (model.trunk.visual_encoder: '
                'global_layers, num_local, tokenizer.time_kernel)'
            )


def count(weights: dict[str, Tensor], prefix: str) -> int:
    """Count the layers whose keys begin with ``prefix``."""
    return len({key.removeprefix(prefix).split('.')[0] for key in weights if key.startswith(prefix)})


def own_name(key: str) -> str | None:
    """Give our name for a key that CLIP does not have, without the encoder's prefix; None for other keys.

    Of the global blocks' attention it is ``qkv``, which is still to be split.
    """
    if key in OUTSIDE:
        return OUTSIDE[key]
    _, _, rest = key.partition('transformer.')
    kind, _, rest = rest.partition('.')
    index, _, inner = rest.partition('.')
    if kind == 'dpe':
        return f'global_blocks.{index}.position.{inner}'
    if kind == 'dec':
        if inner.startswith('attn.in_proj_'):
            return f'global_blocks.{index}.attention.attention.qkv.{inner.removeprefix("attn.in_proj_")}'
        layer, _, what = inner.rpartition('.')
        return f'global_blocks.{index}.{GLOBAL[layer]}.{what}' if layer in GLOBAL else None
    if kind == 'resblocks' and inner.startswith('lmhra'):
        name, _, layer, what = inner.split('.')
        return f'blocks.{index}.relations.{int(name.removeprefix("lmhra")) - 1}.{RELATION[layer]}.{what}'
    return None


@WEIGHT_READERS.register_module()
class UniFormerV2FromStage(StageReader):
    """An image stage of this toolkit as the start of a ``UniFormerV2``, as ``UniFormerV2FromCLIP`` takes CLIP's ViT.

    The last norm becomes that of the clip's vector. Text models, the path for videos and all else stay in the file.

    Args:
        file: See ``StageReader``.
        allow: See ``StageReader``.
    """

    left_by_design = (*UniFormerV2FromCLIP.left_by_design, 'head.*')

    def __init__(self, file: str, allow: Sequence[str] = ()) -> None:
        super().__init__(file, allow, allow_unused=True)

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        encoder = encoder_of(model, self)
        stored, image, translated = f'trunk.{PREFIX}', 'image_tokenizer.', {}
        inner = {own: name for name, own in LAYER.items()}
        for key in [key for key in weights if key.startswith(stored)]:
            name = key.removeprefix(stored)
            if name.startswith(image):
                own = f'tokenizer.{name.removeprefix(image)}'
            elif name.startswith('blocks.'):
                _, index, rest = name.split('.', 2)
                layer, kind = rest.rsplit('.', 1)
                if layer not in inner:
                    continue
                own = f'blocks.{index}.{BLOCK[inner[layer]]}.{kind}'
            elif name.split('.')[0] in ('cls_token', 'pos_embed', 'pre_norm', 'norm'):
                own = name
            else:
                continue
            translated[PREFIX + own] = weights.pop(key)
        kernel = f'{PREFIX}tokenizer.proj.weight'
        if kernel in translated:
            translated[kernel] = inflate(translated[kernel], encoder.tokenizer.time_kernel)
        fit_space(translated, model)
        return translated

    def finish(self, model: HasParts) -> None:
        """Do nothing: there is no path for images from which that for videos would start."""
