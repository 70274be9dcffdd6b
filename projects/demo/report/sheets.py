"""What was found for a caption, as a picture."""

from collections.abc import Sequence

from PIL import Image

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.visualization.sheets import BAD, GOOD, LINE, PADDING, PAGE, SOFT, Line, card, contact_sheet, frame_strip

from .grids import Row, choose_examples
from .media import MediaReader


def retrieval_sheet(
    rows: Sequence[Row], media: MediaReader, count: int = 6, top: int = 5, height: int = 96
) -> Image.Image:
    """Show for some captions which visuals the model put first; the right one has a green frame.

    Args:
        rows: Predictions of a retrieval evaluation, as it writes them, one per visual of the test set.
        media: Reads the visuals.
        count: Captions to show: the first ones, with some among them that went wrong.
        top: Visuals to show for each.
        height: Height of the visuals in pixels.

    Returns:
        A page with one block per caption.

    Raises:
        OmniVLValueError: The rows hold no result of a search for visuals.
    """
    by_id = {row['sample_id']: row for row in rows}
    rows = [row for row in rows if row.get('top_visuals')]
    if not rows:
        raise OmniVLValueError("no row has 'top_visuals': these are not the predictions of a RetrievalEvaluation")
    right = [row['top_visuals'][0]['sample_id'] == row['sample_id'] for row in rows]
    blocks = []
    for index in choose_examples(right, count):
        row = rows[index]
        hits = [by_id[hit['sample_id']] for hit in row['top_visuals'][:top] if hit['sample_id'] in by_id]
        cards = [_hit(hit, rank, hit is row, media, height) for rank, hit in enumerate(hits, start=1)]
        in_one_row = sum(hit.width + PADDING for hit in cards) + PADDING
        blocks.append(contact_sheet(cards, in_one_row, title=f'“{row["captions"][0]}”'))
    width = max(block.width for block in blocks)
    page = Image.new('RGB', (width, sum(block.height for block in blocks)), PAGE)
    place = 0
    for block in blocks:
        page.paste(block, (0, place))
        place += block.height
    return page


def _hit(row: Row, rank: int, right: bool, media: MediaReader, height: int) -> Image.Image:
    lines = [Line(f'{rank}  {row["captions"][0]}', GOOD if right else SOFT)]
    try:
        strips = [frame_strip(media.frames(row['visual']), height)]
    except (OSError, BrokenVisualError) as error:
        strips, lines = [], [Line(f'not readable: {error}', BAD), *lines]
    return card(strips, lines, GOOD if right else LINE, min_width=150)
