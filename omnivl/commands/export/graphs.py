"""What of a model can become a graph of its own, asked by what it offers and not by its class.

Each graph is a module with named inputs and outputs. What differs from call to call has the name of an axis in the
place of a number: ``batch``, ``length`` of texts, ``frames`` of a clip, ``visual_tokens`` of what the tower gives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from omnivl.apis import OmniVLInferencer
from omnivl.apis.inputs import Visual
from omnivl.models.interfaces import Classifies, Contrasts, Encodes, Matches, Writes, WritesAnswers, offered_by, serving
from omnivl.structures import FRAMES, MODALITIES, VisualFeatures, VLBatch, VLDataSample

Shape = tuple[int | str, ...]
OF_TEXTS: tuple[type, ...] = (Contrasts, Matches, Writes, WritesAnswers)  # what makes a graph that reads texts


@dataclass(frozen=True)
class Value:
    """An input or an output of a graph.

    Attributes:
        name: Its name in the file.
        dtype: Its type.
        shape: Sizes, and names of axes that are free.
        meaning: A few words for the reader of README.md.
    """

    name: str
    dtype: torch.dtype
    shape: Shape
    meaning: str

    def random(self, sizes: Mapping[str, int], draw: torch.Generator, vocabulary: int) -> Tensor:
        """Draw such a value: pixels, ids below ``vocabulary``, a mask of texts of several lengths, or features."""
        shape = [sizes[size] if isinstance(size, str) else size for size in self.shape]
        if self.dtype == torch.bool:
            lengths = torch.randint(1, shape[-1] + 1, (shape[0], 1), generator=draw)
            return torch.arange(shape[-1]) < lengths
        if self.dtype.is_floating_point:
            return torch.randn(shape, generator=draw)
        return torch.randint(256 if self.dtype == torch.uint8 else vocabulary, shape, generator=draw, dtype=self.dtype)


@dataclass(frozen=True)
class Graph:
    """One file of an export.

    Attributes:
        name: Its name, without suffix.
        module: Maps the inputs, by name, to a tuple of the outputs.
        inputs: The inputs.
        outputs: The outputs.
        fewest_frames: The least of ``frames``, where it is free: two tokens in time, so more where they lie further
            apart than a frame.
    """

    name: str
    module: nn.Module
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    fewest_frames: int = 2

    def axes(self) -> list[str]:
        """List the free axes of the inputs."""
        return list(dict.fromkeys(size for value in self.inputs for size in value.shape if isinstance(size, str)))

    def with_fixed(self, axis: str, size: int) -> 'Graph':
        """Return the graph with one size for an axis that was free."""
        fixed = [
            replace(value, shape=tuple(size if one == axis else one for one in value.shape)) for value in self.inputs
        ]
        return replace(self, inputs=tuple(fixed))


class VisualTower(nn.Module):
    """Pixels to features, and to the vector of the shared space where the model has one.

    Args:
        model: The model, with its data preprocessor, which normalises inside of the graph.
        modality: Name of what it sees.
    """

    def __init__(self, model: nn.Module, modality: str) -> None:
        super().__init__()
        self.preprocessor = cast(nn.Module, model.data_preprocessor)
        self.contrasts = offered_by(model, Contrasts)
        self.encodes = self.contrasts or serving(model, Encodes, 'export')
        self.modality = modality

    def batch(self, pixels: Tensor) -> VLBatch:
        """Make of uint8 (B, 3, H, W), or (B, T, 3, H, W) where there is time, what the model takes."""
        frames = pixels if MODALITIES[self.modality].has_time else pixels.unsqueeze(1)
        # One sample stands for all: it says that there are neither texts nor several views.
        data = dict(inputs={self.modality: frames}, data_samples=[VLDataSample()])
        return self.preprocessor(data, False)['batch']

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return [the unit vector (B, E),] the pooled vector (B, D) and the tokens (B, S, D), all float32."""
        features: VisualFeatures = self.encodes.encode(self.batch(pixels))
        found = (features.pooled, features.tokens)
        return found if self.contrasts is None else (self.contrasts.project_visual(features.pooled), *found)


class Classifier(VisualTower):
    """Pixels to the logits of the classes; arguments as ``VisualTower``."""

    def __init__(self, model: nn.Module, modality: str) -> None:
        super().__init__(model, modality)
        self.classifies = serving(model, Classifies, 'export')

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the logits, float32 (B, C)."""
        return (self.classifies.classify(self.batch(pixels)),)


class TextTower(nn.Module):
    """Texts to unit vectors of the shared space; ``model`` makes them."""

    def __init__(self, model: Contrasts) -> None:
        super().__init__()
        self.model = model

    def forward(self, text_ids: Tensor, text_mask: Tensor) -> tuple[Tensor, ...]:
        """Map int64 and bool (B, L) to float32 (B, E)."""
        return (self.model.embed_text(text_ids, text_mask),)


class Matcher(nn.Module):
    """A text and the tokens of a visual to how well they fit; ``model`` says it."""

    def __init__(self, model: Matches) -> None:
        super().__init__()
        self.model = model

    def forward(self, text_ids: Tensor, text_mask: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Map int64 and bool (B, L) with float32 (B, S, D) to the probability (B,) and the logits (B, 2)."""
        logits = self.model.match_logits(text_ids, text_mask, self.model.matching_key_values(tokens))
        return logits.softmax(dim=-1)[:, 1], logits


class Writer(nn.Module):
    """What is written so far about a visual to the logits of the next token; ``model`` writes."""

    def __init__(self, model: Writes) -> None:
        super().__init__()
        self.model = model

    def forward(self, text_ids: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Map int64 (B, L), [DEC] first, with float32 (B, S, D) to float32 (B, V)."""
        logits, _ = self.model.begin_writing(tokens).step(text_ids, None)
        return (logits,)


class Answerer(nn.Module):
    """A question on a visual and what is answered so far to the logits of the next token; ``model`` answers."""

    def __init__(self, model: WritesAnswers) -> None:
        super().__init__()
        self.model = model

    def forward(self, text_ids: Tensor, text_mask: Tensor, tokens: Tensor, answer_ids: Tensor) -> tuple[Tensor, ...]:
        """Map a question, int64 and bool (B, L), float32 (B, S, D) and int64 (B, L'), [DEC] first, to (B, V)."""
        logits, _ = self.model.begin_answering(tokens, text_ids, text_mask).step(answer_ids, None)
        return (logits,)


def packed_example(inferencer: OmniVLInferencer, modality: str) -> Tensor:
    """Return what the test pipeline makes of a grey visual of ``modality``: uint8 (T, 3, H, W)."""
    visual = Visual('a grey picture', modality, content=np.full((64, 64, 3), 127, dtype=np.uint8))
    return inferencer.preparation(visual)['inputs'][modality]


def pictured(inferencer: OmniVLInferencer) -> list[str]:
    """List the modalities with pixels that the model has a test pipeline for."""
    return sorted(name for name in inferencer.preparation.pipelines if MODALITIES[name].kind == FRAMES)


def graphs_of(inferencer: OmniVLInferencer) -> Iterator[Graph]:
    """Yield all graphs that a model offers: towers of the modalities that it has a pipeline for first."""
    model, preparation = inferencer.model, inferencer.preparation
    width = None
    for modality in pictured(inferencer):
        tower = tower_of(model, modality, packed_example(inferencer, modality))
        width = tower.outputs[-1].shape[-1]
        yield tower
        if offered_by(model, Classifies) is not None:
            yield classifier_of(model, tower)
    if preparation.text_steps and width is not None:
        yield from text_graphs_of(model, floats('tokens', 'those of a tower', 'visual_tokens', width))


SHARED, TOKENS = 'unit vector of the space shared by visuals and texts', 'what the graphs below look at'
TEXTS = (
    Value('text_ids', torch.int64, ('batch', 'length'), '[CLS] word pieces [SEP], then [PAD]'),
    Value('text_mask', torch.bool, ('batch', 'length'), 'true = real token'),
)


def floats(name: str, meaning: str, *shape: int | str) -> Value:
    """Make a value of float32.

    The name of an output must not be that of an operator, which ONNX gives to values inside: ``embedding`` is one.
    """
    return Value(name, torch.float32, ('batch', *shape), meaning)


def tower_of(model: nn.Module, modality: str, example: Tensor) -> Graph:
    """Make the tower of a modality; ``example`` is what its pipeline packs, uint8 (T, 3, H, W)."""
    has_time = MODALITIES[modality].has_time
    module = VisualTower(model, modality)
    with torch.no_grad():
        made = module(example[None] if has_time else example)
    time = ('frames',) if has_time else ()
    pixels = Value('pixels', torch.uint8, ('batch', *time, *example.shape[1:]), 'RGB, 0 to 255, resized')
    values = (
        floats(f'{modality}_embedding', SHARED, made[0].shape[-1]),
        floats('features', 'vector of [CLS]', made[-2].shape[-1]),
        floats('tokens', TOKENS, 'visual_tokens', made[-1].shape[-1]),
    )
    return Graph(modality, module, (pixels,), values[-len(made) :])


def classifier_of(model: nn.Module, tower: Graph) -> Graph:
    """Make the graph of the classes, which takes what a tower takes."""
    module = Classifier(model, tower.name)
    logits = floats('logits', 'of the classes', module.classifies.num_classes)
    return Graph(f'{tower.name}_classifier', module, tower.inputs, (logits,))


def text_graphs_of(model: nn.Module, tokens: Value) -> Iterator[Graph]:
    """Yield the graphs that read texts, alone or with the tokens of a visual."""
    if (contrasts := offered_by(model, Contrasts)) is not None:
        module = TextTower(contrasts)
        with torch.no_grad():
            (vector,) = module(torch.ones(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool))
        yield Graph('text', module, TEXTS, (floats('text_embedding', SHARED, vector.shape[-1]),))
    if (matches := offered_by(model, Matches)) is not None:
        outputs = floats('probability', 'that they fit'), floats('logits', 'no match, match', 2)
        yield Graph('matcher', Matcher(matches), (*TEXTS, tokens), outputs)
    if (writes := offered_by(model, Writes)) is not None:
        so_far = Value('text_ids', torch.int64, ('batch', 'length'), '[DEC] prompt, word pieces so far; no [PAD]')
        yield Graph('writer', Writer(writes), (so_far, tokens), (_next_token(writes),))
    if (answers := offered_by(model, WritesAnswers)) is not None:
        so_far = Value('answer_ids', torch.int64, ('batch', 'answer_length'), '[DEC], word pieces so far; no [PAD]')
        yield Graph('answerer', Answerer(answers), (*TEXTS, tokens, so_far), (_next_token(answers),))


def _next_token(model: Writes | WritesAnswers) -> Value:
    return floats('logits', 'of the token that follows', model.tokenizer.vocab_size)
