"""Folders of other libraries that say what model they hold: recognised by what they say, and put into our terms."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.places import PROJECTS, home, import_from_project
from omnivl.registry import FOLDER_KINDS
from omnivl.structures import IMAGE, VIDEO

from .files import read_neighbour

FORMAT = 'omnivl'  # what the config.json of an exported folder says
CONFIG, PIXELS = 'config.json', 'preprocessor_config.json'
# What says which model a folder holds: ours and Hugging Face's, open_clip's.
CONFIGS = (CONFIG, 'open_clip_config.json')
CLIP_FRAMES = 8  # of a clip, for models of images: OmniVL's
ENCODER, DECODER = ('text_encoder', 'alignment_decoder'), ('generation_decoder',)


class FolderKind(ABC):
    """One kind of folder; a project registers its own in ``FOLDER_KINDS``, in its ``folders.py``."""

    @abstractmethod
    def recognises(self, content: Mapping[str, Any]) -> bool:
        """Say whether a folder with this content, see ``read_content``, is of this kind."""

    @abstractmethod
    def config(self, folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write a config of ours, as plain data, for the model in a folder.

        It has ``model``, ``load_from`` (a reader of weights), ``image_test_pipeline`` and ``video_test_pipeline``, and,
        where texts are written, ``test_evaluator``. What we cannot hold is an ``OmniVLValueError``.
        """


def read_content(folder: Path) -> dict[str, Any]:
    """Read what the files of ``CONFIGS`` in a folder say, together; without any, or with a damaged one, an error."""
    paths = [folder / name for name in CONFIGS if (folder / name).is_file()]
    if not paths:
        raise OmniVLFileNotFoundError(f'{folder} has no {CONFIG}: it is no folder that "omnivl export" wrote')
    content: dict[str, Any] = {}
    for path in paths:
        try:
            said = json.loads(path.read_text(encoding='utf-8'))
        except (ValueError, RecursionError) as error:
            raise OmniVLValueError(f'{path} is no JSON file ({error}): get or export the model again') from error
        content |= said if isinstance(said, dict) else {}
    return content


def foreign_config(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write a config of ours for a folder of another library; one that no kind recognises is an ``OmniVLValueError``.

    ``content`` is from ``read_content``. The kinds of the projects are looked at if none of the library's fits.
    """
    for find_kinds in (FOLDER_KINDS.import_from_location, import_from_projects):
        find_kinds()
        for kind in FOLDER_KINDS.module_dict.values():
            if kind().recognises(content):
                return kind().config(folder, content)
    said = {key: content[key] for key in ('model_type', 'architectures') if key in content}
    raise OmniVLValueError(
        f'{folder / CONFIG} does not say format=\'{FORMAT}\', as a folder of "omnivl export" does, and is of no other '
        f'kind that is known ({", ".join(sorted(FOLDER_KINDS.module_dict))}): it says {said or "nothing of its model"}'
    )


def import_from_projects() -> None:
    """Import ``folders.py`` of every project that has one: it registers kinds of folders, and the classes they name."""
    for path in sorted((home() / PROJECTS).glob('*/folders.py')):
        import_from_project(f'{PROJECTS}.{path.parent.name}.{path.stem}')


@FOLDER_KINDS.register_module(name='blip')
class BLIPFolder(FolderKind):
    """BLIP as transformers saves it: captions, retrieval and matching, questions.

    The numbers are those of transformers: its norm_eps, and [CLS] where the original has [ENC]. A clip takes the way of
    OmniVL's first stage, so that one of equal frames has the features of the image.
    """

    # Architecture -> our task, the parts that it holds, and whether the text models share weights as BLIP's do.
    ARCHITECTURES: Mapping[str, tuple[str, tuple[str, ...], str]] = {
        'BlipForConditionalGeneration': ('OmniVLCaption', DECODER, 'none'),
        'BlipForImageTextRetrieval': ('TrunkModel', ENCODER, 'blip'),
        'BlipForQuestionAnswering': ('OmniVLQA', (), 'none'),
    }

    def recognises(self, content: Mapping[str, Any]) -> bool:
        """See ``FolderKind.recognises``."""
        return content.get('model_type') == 'blip'

    def config(self, folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
        """See ``FolderKind.config``."""
        names = content.get('architectures') or ['none']
        if names[0] not in self.ARCHITECTURES:
            known = ', '.join(self.ARCHITECTURES)
            raise OmniVLValueError(
                f'{folder / CONFIG} is of the BLIP model {names[0]}; of BLIP these are read: {known}'
            )
        task, parts, share = self.ARCHITECTURES[names[0]]
        tokenizer = tokenizer_config(folder)
        pixels = read_neighbour(folder / CONFIG, PIXELS) or {}
        model: dict[str, Any] = dict(type=task, trunk=self._trunk(folder, content, tokenizer, share))
        if statistics := {name: pixels[f'image_{name}'] for name in ('mean', 'std') if f'image_{name}' in pixels}:
            model['data_preprocessor'] = dict(type='VLDataPreprocessor', **statistics)
        if task == 'TrunkModel':
            heads = ('visual_proj', 'text_proj', 'matching_head', 'temperature')
            model['parts'] = ['visual_encoder', *parts, *heads]
        size = model['trunk']['visual_encoder']['image_size']
        words = dict(type='TokenizeText', tokenizer=tokenizer, max_length=35)
        cleaned = [dict(type='CleanQuestion' if task == 'OmniVLQA' else 'CleanCaption'), words, dict(type='PackSample')]
        resize = dict(type='Resize', size=size)
        return dict(
            model=model,
            load_from=dict(type='blip', file=str(folder), allow=['temperature.*']),
            image_test_pipeline=[dict(type=IMAGE.loader), resize, *cleaned],
            video_test_pipeline=[dict(type=VIDEO.loader, num_frames=CLIP_FRAMES), resize, *cleaned],
        )

    @staticmethod
    def _trunk(folder: Path, content: Mapping[str, Any], tokenizer: dict[str, Any], share: str) -> dict[str, Any]:
        from transformers import BlipConfig  # type: ignore[attr-defined]  # knows what a config leaves out

        try:
            config = BlipConfig.from_dict(dict(content))
        except Exception as error:  # each version has its own
            raise OmniVLValueError(f'{folder / CONFIG} is no config of BLIP: {str(error).splitlines()[0]}') from error
        vision, text = cast(Any, config.vision_config), cast(Any, config.text_config)
        words = dict(
            vocab_size=text.vocab_size,
            width=text.hidden_size,
            depth=text.num_hidden_layers,
            num_heads=text.num_attention_heads,
            mlp_ratio=text.intermediate_size / text.hidden_size,
            max_length=text.max_position_embeddings,
            dropout=0.0,
        )
        return dict(
            type='OmniVL',
            visual_encoder=dict(
                type='UnifiedVisualEncoder',
                image_tokenizer=dict(type=IMAGE.tokenizer, patch_size=vision.patch_size),
                video_tokenizer=dict(type=VIDEO.tokenizer, patch_size=vision.patch_size),
                width=vision.hidden_size,
                depth=vision.num_hidden_layers,
                num_heads=vision.num_attention_heads,
                mlp_ratio=vision.intermediate_size / vision.hidden_size,
                image_size=vision.image_size,
                num_frames=CLIP_FRAMES,
                norm_eps=vision.layer_norm_eps,
                activation=vision.hidden_act,
            ),
            text_encoder=dict(type='TextEncoder', **words),
            alignment_decoder=dict(type='AlignmentDecoder', **words),
            generation_decoder=dict(type='GenerationDecoder', **words),
            tokenizer=tokenizer,
            embed_dim=config.image_text_hidden_size,
            share=share,
            matching_token='[CLS]',
        )


def tokenizer_config(folder: Path) -> dict[str, Any]:
    """Write the config of the tokenizer whose files lie in a folder; none is an ``OmniVLFileNotFoundError``."""
    if (folder / 'vocab.txt').is_file():
        options = read_neighbour(folder / CONFIG, 'tokenizer_config.json') or {}
        lowercase = bool(options.get('do_lower_case', True))
        return dict(type='WordPieceTokenizer', vocab_file=str(folder / 'vocab.txt'), lowercase=lowercase)
    if (folder / 'tokenizer.json').is_file():
        return dict(type='PretrainedTokenizer', vocab_folder=str(folder))
    raise OmniVLFileNotFoundError(
        f'{folder} has neither vocab.txt nor tokenizer.json: put those of its tokenizer there (save_pretrained of '
        'BlipProcessor writes them)'
    )
