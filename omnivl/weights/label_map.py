"""The head of a model for other classes: its rows that are the classes wanted, such as Kinetics-400 among K710."""

from torch import Tensor

from omnivl.datasets.annotations.mapped import read_label_map
from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import Classifies, HasParts, offered_by


def select_classes(state_dict: dict[str, Tensor], model: HasParts, label_map: str | None) -> None:
    """Replace, in place, a head about to be loaded by its rows that a label map names.

    Args:
        state_dict: Weights with ``head.weight`` (C, D) and ``head.bias`` (C,).
        model: The model that they go into.
        label_map: A JSON list, entry i being the row for class i of the model; None changes nothing.

    Raises:
        OmniVLValueError: The weights or the model have no head, or the map has not one entry for each class.
    """
    if label_map is None:
        return
    classifies, weight = offered_by(model, Classifies), state_dict.get('head.weight')
    if classifies is None or weight is None:
        raise OmniVLValueError(f'label_map={label_map!r} maps a head, and the weights or the model have none')
    rows = read_label_map(label_map, len(weight))
    if len(rows) != classifies.num_classes:
        raise OmniVLValueError(
            f'{label_map} has {len(rows)} entries, the model {classifies.num_classes} classes (set model.num_classes)'
        )
    for key in ('head.weight', 'head.bias'):
        state_dict[key] = state_dict[key][rows]
