"""What was found for a caption, as a picture."""

import pytest

from omnivl.visualization.sheets import GOOD
from projects.demo.report import MediaReader
from projects.demo.report.sheets import retrieval_sheet


def colours(picture):
    return {colour for _, colour in picture.convert('RGB').getcolors(1 << 20)}


def rows_of(visuals):
    ids = [str(number) for number in range(len(visuals))]
    order = [ids[number:] + ids[:number] for number in range(len(ids))]
    order[1] = order[1][::-1]  # one search that goes wrong
    return [
        dict(
            sample_id=ids[number],
            visual=path,
            captions=[text],
            top_visuals=[dict(sample_id=hit) for hit in order[number]],
        )
        for number, (path, text) in enumerate(visuals)
    ]


def test_retrieval_frames_the_right_one(visuals, tmp_path):
    green = tuple(int(GOOD[place : place + 2], 16) for place in (1, 3, 5))
    for modality, found in visuals.items():
        rows = rows_of(found)
        page = retrieval_sheet(rows, MediaReader(tmp_path), count=4, top=2)
        assert green in colours(page), modality
        assert page.height > 4 * 96
    for row in rows:  # the right one is not among those shown
        row['top_visuals'] = [hit for hit in row['top_visuals'] if hit['sample_id'] != row['sample_id']]
    assert green not in colours(retrieval_sheet(rows, MediaReader(tmp_path), top=2))


def test_a_lost_file_does_not_cost_the_page(visuals, tmp_path):
    rows = rows_of([('nowhere.jpg', 'lost'), *visuals['image']])
    assert retrieval_sheet(rows, MediaReader(tmp_path), count=1).width > 200


def test_rows_of_another_evaluation_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="no row has 'top_visuals'"):
        retrieval_sheet([dict(sample_id='0', captions=['x'])], MediaReader(tmp_path))
