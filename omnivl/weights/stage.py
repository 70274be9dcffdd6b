"""From one stage of pretraining to the next."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from omnivl.errors import OmniVLFileNotFoundError
from omnivl.models.interfaces import HasParts, StartsVideoFromImage, TakesWeights, offered_by
from omnivl.registry import WEIGHT_READERS
from omnivl.storage.checkpoint import load_checkpoint, load_last_checkpoint, weights_of

from .base import FOLLOWERS, WeightReader
from .facts import check_facts, description_of
from .files import find_file
from .folders import CONFIG
from .label_map import select_classes


@WEIGHT_READERS.register_module(name=['StageReader', 'stage'])
class StageReader(WeightReader):
    """A checkpoint of this project as the start of another run; optimizer, momentum encoder and queues begin anew.

    Args:
        file: A checkpoint, a work directory, whose last checkpoint is then taken, or a folder of ``omnivl export``.
        allow: See ``WeightReader``.
        allow_unused: See ``WeightReader``.
        start_video_from_image: Let the video path begin where the image path is, as decoupled joint pretraining does
            after its image stage (OmniVL, 2209.07526, section 3.3). False keeps the file's video path.
        label_map: See ``select_classes``: which rows of the file's head are the classes of the model.
    """

    def __init__(
        self,
        file: str,
        allow: Sequence[str] = (),
        allow_unused: bool = False,
        start_video_from_image: bool = True,
        label_map: str | None = None,
    ) -> None:
        super().__init__(file, allow, allow_unused)
        self.start_video_from_image = start_video_from_image
        self.label_map = label_map
        self.description: dict[str, Any] = {}  # what the checkpoint says of its model
        self.parts: set[str] = set()  # of the trunk that it holds

    def read_file(self) -> tuple[dict[str, Tensor], Path]:
        """See ``WeightReader.read_file``."""
        if Path(self.file).is_dir() and not (Path(self.file) / CONFIG).is_file():
            path, checkpoint, _ = load_last_checkpoint(self.file)
            if path is None or checkpoint is None:
                raise OmniVLFileNotFoundError(
                    f'no checkpoint in {self.file}: train that stage first (see load_from in the config)'
                )
            self.file = str(path)
        else:
            path = find_file(self.file)
            checkpoint = load_checkpoint(path)
        self.description = description_of(checkpoint)
        weights = dict(weights_of(checkpoint, str(path)))
        self.parts = {key.split('.')[1] for key in weights if key.startswith('trunk.')}
        return weights, path

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``; a checkpoint of a model that answers otherwise is a ``CheckpointError``."""
        option = 'allow=[{}] of the reader in the config (--allow of omnivl convert)'
        check_facts(self.description, cast(nn.Module, model), self.file, self.allow, option=option)
        for key in [key for key in weights if key.startswith(FOLLOWERS)]:
            del weights[key]
        prefixes = _prefixes(model)
        placed = {}
        for part, prefix in prefixes.items():
            # A part that this model keeps elsewhere (the decoder that answers) may come from the trunk of another task.
            for stored in (prefix, f'trunk.{part}'):
                for key in [key for key in weights if key.startswith(stored)]:
                    placed[prefix + key.removeprefix(stored)] = weights.pop(key)
        select_classes(placed, model, self.label_map)
        if (fits := offered_by(model, TakesWeights)) is not None:
            fits.adapt_state_dict(placed)
        return {
            part + key.removeprefix(prefix): value
            for part, prefix in prefixes.items()
            for key, value in placed.items()
            if key.startswith(prefix)
        }

    def expected_unused(self, model: HasParts) -> tuple[str, ...]:
        """See ``WeightReader.expected_unused``."""
        return tuple(f'trunk.{part}.*' for part in self.parts if part not in model.parts)

    def finish(self, model: HasParts) -> None:
        """Start the video path from the image path, if asked for."""
        starts = offered_by(model.parts.get('visual_encoder'), StartsVideoFromImage)
        if self.start_video_from_image and starts is not None:
            starts.start_video_from_image()


def _prefixes(model: HasParts) -> dict[str, str]:
    """Map each part to what the names of its weights begin with in the model."""
    names = {id(module): name for name, module in cast(nn.Module, model).named_modules()}
    return {f'{part}.': f'{names[id(module)]}.' for part, module in model.parts.items()}
