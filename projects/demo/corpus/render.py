"""Draws the scenes of the demo world: soft backgrounds, anti-aliased shapes with a little shading and shadow.

Lengths are in world units: a picture is 64 wide and 64 high whatever its size in pixels, x to the right, y down. All
draws come from the generator that is passed in; nothing else is random. Shapes are drawn from signed distances, which
gives smooth edges without drawing anything twice.
"""

from dataclasses import dataclass, replace

import numpy as np

from .world import ACTION_PAIRS, DIAGONALS, GRID, ClipScene, LoneScene, PictureScene, Thing

WORLD = 64.0
# How far the corners of the widest shape reach beyond its radius.
EXTENT = 1.12
MARGIN = 1.0
GAP = 1.5

# Radii. Patches of the demo's model are 16 units wide; shapes of a radius under 7 are hard to tell apart at that size.
LARGE = (12.5, 14.5)
SMALL = (8.0, 9.5)
MOVER = (10.5, 12.5)

PAINT = {
    'red': (219, 58, 60),
    'yellow': (245, 200, 48),
    'green': (52, 158, 84),
    'blue': (48, 106, 212),
    'purple': (150, 74, 190),
    'black': (44, 44, 52),
    'orange': (240, 130, 30),
    'brown': (120, 76, 42),
    'pink': (240, 130, 180),
}
BACKGROUNDS = (
    ((250, 243, 232), (238, 224, 206)),
    ((234, 243, 250), (212, 226, 240)),
    ((238, 247, 238), (216, 232, 218)),
    ((247, 238, 246), (230, 218, 232)),
    ((246, 246, 244), (224, 226, 228)),
    ((252, 238, 232), (240, 220, 214)),
)


@dataclass(frozen=True)
class Sprite:
    """A thing with a place.

    Attributes:
        thing: What it is.
        x: Centre, world units.
        y: Centre, world units, down.
        radius: World units.
        angle: Slight turn, radians.
        paint: Its colour with its own tint, RGB in 0..255; (3,).
        opacity: 0 (invisible) to 1.
    """

    thing: Thing
    x: float
    y: float
    radius: float
    angle: float
    paint: tuple[float, float, float]
    opacity: float = 1.0


@dataclass(frozen=True)
class ClipLayout:
    """A clip: a shape that goes from one state to another, and one that stays.

    Attributes:
        start: The mover at progress 0.
        end: The mover at progress 1; differs in place, radius or opacity.
        other: The shape that stays.
        steepness: 1 = the change takes the whole clip; more = it is over sooner.
        moment: Progress at the middle of the change.
        backwards: The clip is played from its last frame to its first.
    """

    start: Sprite
    end: Sprite
    other: Sprite
    steepness: float
    moment: float
    backwards: bool

    def at(self, progress: float) -> Sprite:
        """Return the mover at a progress of 0 (first frame) to 1 (last frame), before ``backwards``."""
        share = min(max((progress - self.moment) * self.steepness + 0.5, 0.0), 1.0)
        states = {
            name: getattr(self.start, name) * (1 - share) + getattr(self.end, name) * share
            for name in ('x', 'y', 'radius', 'opacity')
        }
        return replace(self.start, **states)


def layout_picture(scene: PictureScene, rng: np.random.Generator) -> list[Sprite]:
    """Place the two shapes of a picture so that the relation is clear.

    Args:
        scene: What to show.
        rng: All draws.

    Returns:
        The large shape and the small one.
    """
    large, small = rng.uniform(*LARGE), rng.uniform(*SMALL)
    if scene.relation in DIAGONALS:
        x0, x1 = _beside(large, small, first_leads='west' in scene.relation, rng=rng)
        y0, y1 = _beside(large, small, first_leads='north' in scene.relation, rng=rng)
        return [_sprite(scene.first, x0, y0, large, rng), _sprite(scene.second, x1, y1, small, rng)]
    along = _beside(large, small, first_leads=scene.relation in ('above', 'left of'), rng=rng)
    # Across the axis of the relation they may differ by less than half as much as along it.
    reach = 0.45 * abs(along[1] - along[0])
    across_first = rng.uniform(*_inside(large))
    low, high = _inside(small)
    across = (across_first, rng.uniform(max(low, across_first - reach), min(high, across_first + reach)))
    horizontal = scene.relation in ('left of', 'right of')
    (x0, x1), (y0, y1) = (along, across) if horizontal else (across, along)
    return [_sprite(scene.first, x0, y0, large, rng), _sprite(scene.second, x1, y1, small, rng)]


def layout_lone(scene: LoneScene, rng: np.random.Generator) -> list[Sprite]:
    """Place one shape in its cell of the board.

    Args:
        scene: What to show.
        rng: All draws.

    Returns:
        The shape.
    """
    radius = rng.uniform(*(LARGE if scene.size == 'large' else SMALL))
    row, column = divmod(scene.cell, GRID)
    low, high = _inside(radius)
    x, y = (low + (high - low) * (place + rng.uniform(0, 1)) / GRID for place in (column, row))
    return [_sprite(scene.thing, x, y, radius, rng)]


def layout_clip(scene: ClipScene, rng: np.random.Generator) -> ClipLayout:
    """Lay out a clip; an action and its opposite draw the same numbers, so equal seeds give opposite clips.

    Args:
        scene: What to show.
        rng: All draws.

    Returns:
        The mover's two states and the shape that stays, which never touch.
    """
    pair = next(pair for pair in ACTION_PAIRS if scene.action in pair)
    kind = pair[0]
    other = rng.uniform(*SMALL)
    end_radius = {'growing': rng.uniform(14, 16), 'appearing': rng.uniform(11, 14)}.get(kind, rng.uniform(*MOVER))
    start_radius = rng.uniform(5.0, 6.5) if kind == 'growing' else end_radius
    beside, along = rng.uniform() < 0.5, _beside(end_radius, other, first_leads=rng.uniform() < 0.5, rng=rng)
    if kind.startswith('moving'):
        beside = kind == 'moving up'  # the other shape is off the path
    low, high = _inside(end_radius)
    travel = (high - low) * rng.uniform(0.75, 1.0) if kind.startswith('moving') else 0.0
    before = rng.uniform(low + travel, high)  # 'left' and 'up' go towards smaller coordinates
    other_across = rng.uniform(*_inside(other))
    places = [(along[0], before), (along[0], before - travel), (along[1], other_across)]
    (x0, y0), (x1, y1), (x2, y2) = places if beside else [place[::-1] for place in places]
    start = _sprite(scene.mover, x0, y0, start_radius, rng)
    if kind == 'appearing':
        start, end = replace(start, opacity=0.0), start
    else:
        end = replace(start, x=x1, y=y1, radius=end_radius)
    moment = rng.uniform(0.35, 0.65)
    return ClipLayout(
        start=start,
        end=end,
        other=_sprite(scene.other, x2, y2, other, rng),
        steepness=6.0 if kind == 'appearing' else 1.0,
        moment=moment if kind == 'appearing' else 0.5,
        backwards=scene.action != kind,
    )


def render_picture(scene: PictureScene | LoneScene, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw one picture.

    Args:
        scene: What to show.
        rng: All draws.
        size: Height and width, pixels.

    Returns:
        RGB uint8 (size, size, 3).
    """
    sprites = layout_picture(scene, rng) if isinstance(scene, PictureScene) else layout_lone(scene, rng)
    canvas = _background(rng, size)
    for sprite in sprites:
        canvas = _draw(canvas, sprite)
    return _to_bytes(canvas)


def render_clip(scene: ClipScene, rng: np.random.Generator, size: int, num_frames: int) -> np.ndarray:
    """Draw one clip.

    Args:
        scene: What to show.
        rng: All draws.
        size: Height and width, pixels.
        num_frames: Frames, at least 2.

    Returns:
        RGB uint8 (num_frames, size, size, 3).
    """
    layout = layout_clip(scene, rng)
    canvas = _draw(_background(rng, size), layout.other)
    movers = [layout.at(index / (num_frames - 1)) for index in range(num_frames)]
    frames = np.stack([_to_bytes(_draw(canvas, mover)) for mover in movers])
    return frames[::-1] if layout.backwards else frames


def _inside(radius: float) -> tuple[float, float]:
    """Smallest and largest coordinate of a shape that is wholly in the picture."""
    reach = EXTENT * radius + MARGIN
    return reach, WORLD - reach


def _beside(first: float, second: float, first_leads: bool, rng: np.random.Generator) -> tuple[float, float]:
    """Draw coordinates of two shapes of these radii that do not touch; the leading one has the smaller coordinate."""
    leading, trailing = (first, second) if first_leads else (second, first)
    apart = EXTENT * (leading + trailing) + GAP
    slack = WORLD - 2 * MARGIN - EXTENT * (leading + trailing) - apart
    before, between = np.diff(np.sort(rng.uniform(0, slack, size=2)), prepend=0.0)
    place = MARGIN + EXTENT * leading + before
    places = (float(place), float(place + apart + between))
    return places if first_leads else places[::-1]


def _sprite(thing: Thing, x: float, y: float, radius: float, rng: np.random.Generator) -> Sprite:
    """Put a thing at a place, with a tint and a turn of its own."""
    paint = np.array(PAINT[thing.colour]) + rng.normal(0, 3, size=3) + rng.normal(0, 5)
    return Sprite(thing, x, y, radius, angle=rng.uniform(-0.12, 0.12), paint=tuple(np.clip(paint, 0, 255)))


def _pixels(size: int) -> np.ndarray:
    """World coordinate of the centre of each pixel; float32 (size,)."""
    return ((np.arange(size, dtype=np.float32) + 0.5) * (WORLD / size)).astype(np.float32)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a soft gradient in a random direction; float32 (3, size, size)."""
    light, dark = (
        np.array(colour, dtype=np.float32)[:, None, None] for colour in BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    )
    angle = rng.uniform(0, 2 * np.pi)
    pixels = _pixels(size) / WORLD - 0.5
    share = 0.5 + 0.6 * (np.float32(np.cos(angle)) * pixels[None, :] + np.float32(np.sin(angle)) * pixels[:, None])
    shade = light + (dark - light) * np.clip(share, 0, 1) + np.float32(rng.uniform(-3, 3))
    return shade.astype(np.float32)


def _draw(canvas: np.ndarray, sprite: Sprite) -> np.ndarray:
    """Draw a shape over a canvas, float32 (3, H, W); returns a new one."""
    size = canvas.shape[-1]
    pixels, scale = _pixels(size), size / WORLD
    x, y, radius, opacity = (np.float32(getattr(sprite, name)) for name in ('x', 'y', 'radius', 'opacity'))
    right, down = (pixels[None, :] - x) / radius, (pixels[:, None] - y) / radius
    cos, sin = np.float32(np.cos(sprite.angle)), np.float32(np.sin(sprite.angle))
    u, v = cos * right + sin * down, cos * down - sin * right  # (H, W), the shape is about 1 in radius
    shape = sprite.thing.shape
    shadow_distance = _distance(shape, u - 0.06, v - 0.14) * radius
    shadow = np.clip(0.5 - shadow_distance / 3, 0, 1) * (0.16 * opacity)
    cover = np.clip(0.5 - _distance(shape, u, v) * radius * scale, 0, 1) * opacity
    light = 1 - 0.10 * np.clip(0.4 * u + 0.8 * v, -1, 1)  # from above, a little from the left
    paint = np.clip(np.array(sprite.paint, dtype=np.float32)[:, None, None] * light, 0, 255)  # (3, H, W)
    canvas = canvas * (1 - shadow)
    return canvas + (paint - canvas) * cover


def _distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance to the outline of a shape of unit radius, negative inside (exact at its edges)."""
    if shape == 'circle':
        return np.sqrt(u * u + v * v) - 1
    if shape == 'square':
        return np.maximum(np.abs(u), np.abs(v)) - np.float32(0.86)
    if shape == 'triangle':
        v = v - np.float32(0.28)  # the middle of its height, not its centroid, is its centre
        return np.maximum(v, np.float32(0.866) * np.abs(u) - np.float32(0.5) * v) - np.float32(0.6)
    if shape == 'diamond':
        return (np.abs(u) + np.abs(v) - 1) * np.float32(0.7071)
    if shape == 'ring':
        return np.abs(np.sqrt(u * u + v * v) - np.float32(0.75)) - np.float32(0.25)
    if shape == 'bar':
        return np.maximum(np.abs(u) - 1, np.abs(v) - np.float32(0.3))
    upright = np.maximum(np.abs(u) - np.float32(0.36), np.abs(v) - 1)
    level = np.maximum(np.abs(u) - 1, np.abs(v) - np.float32(0.36))
    return np.minimum(upright, level)


def _to_bytes(canvas: np.ndarray) -> np.ndarray:
    """Round a canvas, float32 (3, H, W), to pixels, uint8 (H, W, 3)."""
    # The canvas has its channels first: with them last, numpy works on three numbers at a time.
    return np.ascontiguousarray(np.clip(np.rint(canvas), 0, 255).astype(np.uint8).transpose(1, 2, 0))
