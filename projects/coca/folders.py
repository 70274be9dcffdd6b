"""Folders of open_clip that hold a CoCa, as LAION's on the hub: captions, classes and similarities from them alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnivl.errors import OmniVLValueError
from omnivl.models.tokenizers.byte_pair import FILES
from omnivl.places import DATA, data_root
from omnivl.registry import FOLDER_KINDS
from omnivl.structures import IMAGE, VIDEO
from omnivl.weights import FolderKind
from omnivl.weights.folders import CLIP_FRAMES

from .weights import CONFIG, OpenCLIPCoCaReader, config_of

# Of the towers in open_clip's configs: what is read, each with the value that is meant where a config says nothing.
# Other values of these, and any option that is not here, make another model.
VISION = dict(
    image_size=224, patch_size=16, width=768, layers=12, head_width=64, mlp_ratio=4.0, attn_pooler_queries=256,
    attn_pooler_heads=8, attentional_pool=False, output_tokens=False,
)  # fmt: skip
TEXT = dict(
    context_length=77, vocab_size=49408, width=512, heads=8, layers=12, mlp_ratio=4.0, embed_cls=False,
    correct_cls_mask=False, output_tokens=False, pad_id=0,
)  # fmt: skip
DECODER = dict(TEXT, dim_head=64, n_queries=256, attn_pooler_heads=8)  # the last three mean nothing there


def trunk_config(content: Mapping[str, Any], source: str, tokenizer: dict[str, Any]) -> dict[str, Any]:
    """Write the config of a trunk for a CoCa of open_clip.

    Args:
        content: Its ``model_cfg``.
        source: The file that it is of, for messages.
        tokenizer: Config of the tokenizer.

    Returns:
        Config of a ``CoCa``.

    Raises:
        OmniVLValueError: It is of another model, or has options that ours has not.
    """
    vision, text, decoder = (
        options_of(content, name, known, source)
        for name, known in (('vision_cfg', VISION), ('text_cfg', TEXT), ('multimodal_cfg', DECODER))
    )
    if vision['attentional_pool'] is not True or not text['embed_cls'] or text['pad_id'] != 0:
        raise OmniVLValueError(
            f'{source} is of a CoCa that we do not have: attentional_pool is {vision["attentional_pool"]!r}, embed_cls '
            f'{text["embed_cls"]!r} and pad_id {text["pad_id"]!r}, and True, True and 0 are read'
        )
    activation = 'quick_gelu' if content.get('quick_gelu') else 'gelu'
    return dict(
        type='CoCa',
        tokenizer=tokenizer,
        visual_encoder=image_encoder(vision, activation),
        pooler=dict(
            type='TaskPoolers',
            kind='single',
            num_queries=vision['attn_pooler_queries'],
            num_heads=vision['attn_pooler_heads'],
        ),
        text_encoder=dict(
            type='CausalTextEncoder',
            vocab_size=text['vocab_size'],
            width=text['width'],
            depth=text['layers'],
            num_heads=text['heads'],
            mlp_ratio=text['mlp_ratio'],
            max_length=text['context_length'],
            pool='cls' if text['correct_cls_mask'] else 'cls_shifted',
            activation=activation,
        ),
        text_decoder=dict(
            type='MultimodalDecoder',
            vocab_size=text['vocab_size'],
            depth=decoder['layers'],
            num_heads=decoder['heads'],
            between=True,
            activation=activation,
        ),
        embed_dim=content['embed_dim'],
    )


def image_encoder(vision: Mapping[str, Any], activation: str) -> dict[str, Any]:
    """Write the config of the image encoder for a ``vision_cfg`` with all of its options."""
    return dict(
        type='ImageEncoder',
        image_tokenizer=dict(type=IMAGE.tokenizer, patch_size=vision['patch_size'], bias=False),
        width=vision['width'],
        depth=vision['layers'],
        num_heads=vision['width'] // vision['head_width'],
        mlp_ratio=vision['mlp_ratio'],
        image_size=vision['image_size'],
        norm_eps=1e-5,
        pre_norm=True,
        last_norm=False,
        activation=activation,
    )


def options_of(content: Mapping[str, Any], name: str, known: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Read the options of a tower; some that ours has not are an ``OmniVLValueError``."""
    said = content[name]
    if unknown := sorted(set(said) - set(known)):
        raise OmniVLValueError(
            f'{source} is of a CoCa that we do not have: of {name} the options {unknown} are not read'
        )
    return {**known, **said}


@FOLDER_KINDS.register_module(name='open_clip')
class OpenCLIPFolder(FolderKind):
    """A CoCa as open_clip pushes it to the hub: its config, its weights, and the files of CLIP's tokenizer.

    Pictures are prepared as its config says. A clip is the mean of its frames where a vector is asked for, and the
    tokens of all frames where captions are. Without ``vocab.json`` and ``merges.txt`` in the folder, those of
    ``data/clip`` are taken.
    """

    def recognises(self, content: Mapping[str, Any]) -> bool:
        """See ``FolderKind.recognises``."""
        return 'model_cfg' in content

    def config(self, folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
        """See ``FolderKind.config``."""
        source = str(folder / CONFIG)
        words = folder if all((folder / name).is_file() for name in FILES) else (data_root() or Path(DATA)) / 'clip'
        tokenizer = dict(type='BytePairTokenizer', vocab_folder=str(words))
        trunk = trunk_config(config_of(content, source), source, tokenizer)
        pixels = content.get('preprocess_cfg') or {}
        model: dict[str, Any] = dict(type='TrunkModel', trunk=trunk)
        if statistics := {name: pixels[name] for name in ('mean', 'std') if name in pixels}:
            model['data_preprocessor'] = dict(type='VLDataPreprocessor', **statistics)
        size = trunk['visual_encoder']['image_size']
        prepare = [
            *resizing(pixels, size, source),
            dict(type='TokenizeText', tokenizer=tokenizer, max_length=trunk['text_encoder']['max_length']),
            dict(type='PackSample'),
        ]
        return dict(
            model=model,
            load_from=dict(type=OpenCLIPCoCaReader.__name__, file=str(folder)),
            image_test_pipeline=[dict(type=IMAGE.loader), *prepare],
            video_test_pipeline=[dict(type=VIDEO.loader, num_frames=CLIP_FRAMES), *prepare],
        )


def resizing(pixels: Mapping[str, Any], size: int, source: str) -> list[dict[str, Any]]:
    """Write the transforms that bring pictures to ``size`` as a ``preprocess_cfg`` says, or refuse what ours cannot."""
    mode, kernel = pixels.get('resize_mode', 'shortest'), pixels.get('interpolation', 'bicubic')
    if mode not in ('shortest', 'squash') or kernel != 'bicubic':
        raise OmniVLValueError(
            f'{source}: pictures are scaled by resize_mode={mode!r} and interpolation={kernel!r}, which ours are not: '
            "'shortest' and 'squash' are read, and 'bicubic'"
        )
    if mode == 'squash':
        return [dict(type='Resize', size=size)]
    return [dict(type='Resize', size=size, keep_ratio=True), dict(type='CenterCrop', size=size)]
