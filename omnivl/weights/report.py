"""What became of every key when weights were read, as a table and as lists."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

MANY = 8  # more keys of one part than this become one line


@dataclass
class WeightReport:
    """What became of every key.

    Attributes:
        source: Where the weights came from.
        filled: Our keys that got a value.
        left: Our keys, of the parts that the source is about, that kept their initial value.
        elsewhere: Our keys of other parts that kept their initial value.
        unused: Keys of the source that have no place with us.
        notes: What else is worth knowing, a sentence each.
    """

    source: str
    filled: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Count keys per part: our parts, then those parts of the source from which something is unused."""
        filled, left, unused = (_per_part(keys) for keys in (self.filled, self.left + self.elsewhere, self.unused))
        rows = [('part', 'filled', 'left', 'unused')]
        rows += [(part, str(filled[part]), str(left[part]), '') for part in dict.fromkeys([*filled, *left])]
        rows += [(f'{part} (source)', '', '', str(unused[part])) for part in unused]
        rows.append(('total', str(len(self.filled)), str(len(self.left + self.elsewhere)), str(len(self.unused))))
        width = max(len(row[0]) for row in rows)
        return '\n'.join(f'  {row[0]:<{width}}' + ''.join(f'{cell:>8}' for cell in row[1:]) for row in rows)

    def __str__(self) -> str:
        lines = [f'weights from {self.source}', self.table()]
        lines += [f'  left at its initial value: {line}' for line in grouped(self.left)]
        if self.elsewhere:
            lines.append(f'  not what the source is about: {", ".join(_per_part(self.elsewhere))}')
        lines += [f'  not used: {line}' for line in grouped(self.unused)]
        lines += [f'  note: {note}' for note in self.notes]
        return '\n'.join(lines)


def grouped(keys: Sequence[str]) -> list[str]:
    """Write one line per key; many keys of one part become one line with their number."""
    counts = _per_part(keys)
    lines = [f'{part}.* ({count} keys)' for part, count in counts.items() if count > MANY]
    return lines + [key for key in keys if counts[key.split('.')[0]] <= MANY]


def _per_part(keys: Sequence[str]) -> Counter[str]:
    return Counter(key.split('.')[0] for key in keys)
