"""The model that a finetuning starts from: one that knows itself, or a small one from random weights."""

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnivl.apis.loading import load_model
from omnivl.engine.identity import plain, with_vocabulary
from omnivl.models.interfaces import HasParts, offered_by
from omnivl.models.tokenizers import TextTokenizer, WordPieceTokenizer
from omnivl.models.tokenizers.text import train_vocabulary
from omnivl.storage.checkpoint import save_checkpoint
from omnivl.storage.files import write_text
from omnivl.weights.facts import KEY, model_facts, tokenizer_of

from .items import OwnDataError

VOCABULARY_SIZE = 4000  # most lines of a vocabulary of one's own texts
TEXT_LENGTH = 40  # word pieces of a small model
SIZES = (64, 96)  # sides of the pictures of a small model, in pixels: on a CPU, on a GPU
# Parts of the trunk that a task is made of.
PARTS_OF = {
    'caption': ('visual_encoder', 'generation_decoder'),
    'retrieval': ('visual_encoder', 'text_encoder', 'alignment_decoder'),
    'vqa': ('visual_encoder', 'alignment_decoder', 'generation_decoder'),
    'classify': ('visual_encoder',),
}


@dataclass
class Start:
    """What a finetuning starts from.

    Attributes:
        trunk: Config of the trunk, plain values.
        tokenizer: Of the texts; None where the task has none.
        weights: The file that they were written to; None = random ones.
        parts: Parts of the trunk that the weights fill.
        options: Further arguments of a task model: what its pixels are normalised with, and its prompt.
        knows: The modalities that it was made for.
        notes: What was chosen, and why.
    """

    trunk: dict[str, Any]
    tokenizer: TextTokenizer | None
    weights: Path | None
    parts: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    knows: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures, in pixels."""
        size = self.trunk['visual_encoder'].get('image_size', 224)
        return (size, size) if isinstance(size, int) else tuple(size)

    @property
    def text_length(self) -> int:
        """Most word pieces of a text."""
        return min(self.trunk[part].get('max_length', 512) for part in ('text_encoder', 'generation_decoder'))


def start_from(model: str, task: str, folder: Path) -> Start:
    """Start from a model that knows itself, whose weights and vocabulary are copied into ``folder``.

    Args:
        model: Whatever ``load_model`` takes alone.
        task: The task to finetune.
        folder: Where its weights and its vocabulary are written.

    Returns:
        The start.

    Raises:
        OwnDataError: It lacks the part that sees, or has no vocabulary for a task with texts.
    """
    loaded = load_model(model, None, 'cpu')
    cfg, holder = loaded.config, offered_by(loaded.model, HasParts)
    trunk = None if cfg is None else cfg.model.get('trunk')
    if trunk is None or holder is None:
        raise OwnDataError(f'--from {model}: got a {type(loaded.model).__name__}, which has no trunk to finetune')
    tokenizer = tokenizer_of(loaded.model)
    if tokenizer is None and task != 'classify':
        raise OwnDataError(f'--from {model} has no part for texts, which {task} needs: start from a model that has')
    vocabulary, weights = folder / 'vocabulary', folder / 'start.pth'
    vocabulary.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(vocabulary)
    content = dict(state_dict=loaded.model.state_dict(), meta={KEY: dict(facts=model_facts(loaded.model))})
    save_checkpoint(content, weights)
    kept = ('data_preprocessor', 'prompt') if task == 'caption' else ('data_preprocessor',)
    options = plain({key: cfg.model[key] for key in kept if cfg is not None and cfg.model.get(key)})
    start = Start(
        with_vocabulary(plain(trunk), vocabulary.absolute()),
        tokenizer,
        weights,
        tuple(holder.parts),
        options,
        tuple(loaded.pipelines),
    )
    count = sum(parameter.numel() for parameter in loaded.model.parameters())
    start.notes.append(f'start: {model}, a {type(loaded.model).__name__} of {count / 1e6:.1f} M parameters')
    if missing := [part for part in PARTS_OF[task] if part not in start.parts]:
        start.notes.append(f'parts that {model} lacks begin at random: {", ".join(missing)}')
    return start


def start_small(texts: Iterable[str], folder: Path, size: int, frames: int) -> Start:
    """Start from a small model at random weights, with a vocabulary of the texts; a toy to compare with.

    Args:
        texts: Those of training.
        folder: Where the vocabulary is written.
        size: Side of its pictures, in pixels.
        frames: Of a clip.

    Returns:
        The start.
    """
    vocabulary = folder / 'vocabulary'
    shutil.rmtree(vocabulary, ignore_errors=True)
    vocabulary.mkdir(parents=True)
    file = vocabulary.absolute() / 'vocab.txt'
    lines = train_vocabulary(texts, VOCABULARY_SIZE)
    write_text(file, ''.join(f'{line}\n' for line in lines))
    tokenizer = WordPieceTokenizer(file)
    trunk = small_trunk(str(file), tokenizer.vocab_size, size, frames)
    return Start(
        trunk,
        tokenizer,
        None,
        notes=[
            'start: random weights, as no --from was given: a TOY of about a million parameters that knows nothing but '
            'these files. For use, start from a pretrained model: --from CHECKPOINT, a work directory, an exported '
            'folder',
            f'vocabulary: {len(lines)} word pieces, of the texts to train on',
        ],
    )


def small_trunk(vocab_file: str, vocab_size: int, size: int, frames: int) -> dict[str, Any]:
    """Return the config of a small trunk: width 128, a few layers, a stem of convolutions, no dropout."""
    text = dict(
        vocab_size=vocab_size,
        width=128,
        depth=2,
        num_heads=4,
        mlp_ratio=2.0,
        max_length=TEXT_LENGTH,
        dropout=0.0,
        init_std=0.08,
    )
    patches = dict(patch_size=16, stem_channels=[32, 64, 128])
    return dict(
        type='OmniVL',
        tokenizer=dict(type='WordPieceTokenizer', vocab_file=vocab_file),
        visual_encoder=dict(
            type='UnifiedVisualEncoder',
            image_tokenizer=dict(type='ImageTokenizer', **patches),
            video_tokenizer=dict(type='VideoTokenizer', time_kernel=3, time_stride=2, **patches),
            width=128,
            depth=3,
            num_heads=4,
            mlp_ratio=2.0,
            image_size=size,
            num_frames=frames,
            init_std=0.08,
            pos_std=0.5,
        ),
        text_encoder=dict(type='TextEncoder', **text),
        alignment_decoder=dict(type='AlignmentDecoder', **text),
        generation_decoder=dict(type='GenerationDecoder', **text),
        share='blip',
        embed_dim=64,
    )


def unknown_share(tokenizer: TextTokenizer, texts: Iterable[str]) -> str:
    """Say which share of the words of texts a vocabulary does not know, and which ones."""
    words = 0
    unknown: Counter[str] = Counter()
    for text in texts:
        words += len(text.split())
        for word in tokenizer.unknown_words(text):
            unknown[word] += 1
    count = unknown.total()
    share = f'unknown words of the texts in the vocabulary ([UNK]): {count} of {words} ({count / max(words, 1):.1%})'
    often = [word for word, _ in unknown.most_common(5)]
    return share + (f', such as {", ".join(map(repr, often))}' if often else '')
