"""Patches of slides: which level, tiles and places; truth is the matrix that the tiles were cut from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.slides.levels import Grid, Level, choose_levels, grid_of, target_micrometres
from medsiglip.ingest.units.plan import PlanOptions, Region, plan
from medsiglip.ingest.workers.render_files import render_files
from tests.ingest.read_files import headers_of
from tests.ingest.slides.slide_cases import glass, save, slide, sparse, tiles_of, tissue

SIDE = 448
ROWS, COLUMNS = 600, 1000  # two rows of three patches, the last ones beyond the edge
EDGE = 128
TILES = [(row, column) for row in range(0, ROWS, EDGE) for column in range(0, COLUMNS, EDGE)]


def rendered(folder: Any, **options: Any) -> Any:
    return list(render_files([folder], PlanOptions(**options)))


def padded(matrix: Any, fill: Any = 255) -> Any:
    full = np.full((2 * SIDE, 3 * SIDE, 3), fill, np.uint8)
    full[: matrix.shape[0], : matrix.shape[1]] = matrix
    return full


def assert_shows(images: Any, matrix: Any) -> None:
    """Every patch of a grid of two by three holds the pixels of `matrix`, white beyond its edge."""
    full = padded(matrix)
    assert [image.frame for image in images] == list(range(6))
    for image in images:
        row, column = (image.frame // 3) * SIDE, (image.frame % 3) * SIDE
        place = {"row": row, "column": column, "height": SIDE, "width": SIDE}
        assert place.items() <= dict(image.rendering_params).items()
        np.testing.assert_array_equal(image.pixels, full[row : row + SIDE, column : column + SIDE])


def test_patches_are_the_total_pixel_matrix(tmp_path: Path) -> None:
    matrix = tissue(ROWS, COLUMNS)
    save(slide(matrix), tmp_path / "slide.dcm")
    images = rendered(tmp_path)
    assert_shows(images, matrix)
    assert {image.rendering for image in images} == {"slide-10x"}
    assert {image.rendering_params["micrometres_per_pixel"] for image in images} == {1.0}


def test_sparse_tiles_in_any_order_are_the_same_matrix(tmp_path: Path) -> None:
    matrix = tissue(ROWS, COLUMNS)
    order = np.random.default_rng(1).permutation(len(TILES))
    frames = [tiles_of(matrix, EDGE)[i] for i in order]
    save(sparse(slide(matrix, frames=frames), [TILES[i] for i in order]), tmp_path / "slide.dcm")
    assert_shows(rendered(tmp_path), matrix)


def test_where_a_sparse_tile_is_missing_there_is_glass(tmp_path: Path) -> None:
    matrix = tissue(ROWS, COLUMNS)
    kept = [i for i in range(len(TILES)) if TILES[i] != (128, 256)]
    frames = [tiles_of(matrix, EDGE)[i] for i in kept]
    save(sparse(slide(matrix, frames=frames), [TILES[i] for i in kept]), tmp_path / "slide.dcm")
    matrix[128:256, 256:384] = 255
    assert_shows(rendered(tmp_path), matrix)


def test_the_parts_of_a_concatenation_are_one_level(tmp_path: Path) -> None:
    matrix = tissue(ROWS, COLUMNS)
    tiles = tiles_of(matrix, EDGE)
    for number, start in enumerate((0, 11, 25), 1):
        part = slide(
            matrix,
            frames=tiles[start : {0: 11, 11: 25, 25: len(tiles)}[start]],
            number=number,
            ConcatenationUID="2.25.77",
            ConcatenationFrameOffsetNumber=start,
        )
        save(part, tmp_path / f"{9 - number}.dcm")
    images = rendered(tmp_path)
    assert_shows(images, matrix)
    assert {image.sop_instance_uid for image in images} == {"2.25.51"}


def test_of_full_planes_and_paths_the_first_path_and_the_middle_plane_is_rendered(tmp_path: Path) -> None:
    planes = [tissue(ROWS, COLUMNS, seed) for seed in range(6)]
    frames = [tile for plane in planes for tile in tiles_of(plane, EDGE)]
    save(
        slide(planes[0], frames=frames, TotalPixelMatrixFocalPlanes=3, NumberOfOpticalPaths=2),
        tmp_path / "slide.dcm",
    )
    assert_shows(rendered(tmp_path), planes[1])


def test_of_sparse_planes_the_middle_one_is_rendered(tmp_path: Path) -> None:
    planes = [tissue(ROWS, COLUMNS, seed) for seed in range(3)]
    frames = [tile for plane in planes for tile in tiles_of(plane, EDGE)]
    places = [(*place, z) for z in (0.002, 0.001, 0.0) for place in TILES]
    save(sparse(slide(planes[0], frames=frames), places), tmp_path / "slide.dcm")
    assert_shows(rendered(tmp_path), planes[1])


def test_a_finer_level_is_shrunk_to_the_magnification(tmp_path: Path) -> None:
    ramp = np.linspace(60, 200, 2 * COLUMNS)
    matrix = np.zeros((2 * ROWS, 2 * COLUMNS, 3), np.uint8)
    matrix[..., 0], matrix[..., 1], matrix[..., 2] = ramp, 40, 220
    save(slide(matrix, micrometres=0.5), tmp_path / "slide.dcm")
    first = rendered(tmp_path)[0]
    assert first.pixels.shape == (SIDE, SIDE, 3)
    assert first.rendering_params["width"] == 2 * SIDE
    truth = ramp[: 2 * SIDE].reshape(-1, 2).mean(axis=1)
    shown = first.pixels[200, 4:-4, 0].astype(float)
    np.testing.assert_allclose(shown, truth[4:-4], atol=1.0)


def test_the_coarsest_level_that_is_fine_enough_is_rendered_and_the_others_count_with_it(
    tmp_path: Path,
) -> None:
    for number, micrometres in enumerate((0.5, 1.0, 4.0), 1):
        pixels = tissue(round(460 / micrometres), round(460 / micrometres), number)
        save(slide(pixels, micrometres=micrometres, number=number), tmp_path / f"{number}.dcm")
    images = rendered(tmp_path)
    assert {image.sop_instance_uid for image in images} == {"2.25.52"}
    images = rendered(tmp_path, magnification=20.0)
    assert {image.sop_instance_uid for image in images} == {"2.25.51"}
    assert {image.rendering for image in images} == {"slide-20x"}
    assert {image.rendering_params["micrometres_per_pixel"] for image in images} == {0.5}


def test_a_slide_that_is_too_coarse_is_rendered_as_it_is(tmp_path: Path) -> None:
    matrix = tissue(ROWS, COLUMNS)
    save(slide(matrix, micrometres=8.0), tmp_path / "slide.dcm")
    images = rendered(tmp_path)
    assert_shows(images, matrix)
    assert {image.rendering for image in images} == {"slide-native"}
    assert all("slide-coarse" in image.warnings for image in images)


def test_a_slide_without_spacing_says_so(tmp_path: Path) -> None:
    save(slide(tissue(ROWS, COLUMNS), micrometres=None), tmp_path / "slide.dcm")
    images = rendered(tmp_path)
    assert len(images) == 6
    assert all("slide-spacing-unknown" in image.warnings for image in images)


def test_spacing_may_come_from_the_size_of_the_imaged_volume(tmp_path: Path) -> None:
    save(slide(tissue(ROWS, COLUMNS), micrometres=None, ImagedVolumeWidth=1.0), tmp_path / "slide.dcm")
    assert {image.rendering for image in rendered(tmp_path)} == {"slide-10x"}


def test_a_spacing_that_makes_a_slide_of_a_metre_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "slide.dcm"
    save(slide(tissue(ROWS, COLUMNS), micrometres=1000.0, ImagedVolumeWidth=1.0), path)
    assert {image.rendering for image in rendered(tmp_path)} == {"slide-10x"}
    save(slide(tissue(ROWS, COLUMNS), micrometres=1000.0, ImagedVolumeWidth=1000.0), path)
    assert {image.warnings for image in rendered(tmp_path)} == {("slide-spacing-unknown",)}


@pytest.mark.parametrize(
    "attributes",
    [
        {"flavour": "LABEL"},
        {"flavour": "OVERVIEW"},
        {"flavour": "THUMBNAIL", "SpecimenLabelInImage": "YES"},
    ],
    ids=["label", "overview", "thumbnail with it"],
)
@pytest.mark.parametrize("tile", [64, 128], ids=["tiled", "whole"])
def test_a_picture_of_the_label_is_one_picture_and_none_is_kept_under_strict(
    tmp_path: Path, tile: Any, attributes: Any
) -> None:
    matrix = tissue(100, 128)
    path = save(slide(matrix, tile=tile, **attributes), tmp_path / "label.dcm")
    (only,) = rendered(tmp_path)
    np.testing.assert_array_equal(only.pixels, matrix)
    assert (only.frame, only.slice_index, only.rendering, only.warnings) == (0, None, "colour", ())
    (rejected,) = render_files([tmp_path], key=SecretKey(bytes(32), "strict"))
    assert rejected == Rejected(str(path), "slide-label")
    assert rejected.outcome == "skipped"


def test_a_label_takes_no_part_in_the_slide(tmp_path: Path) -> None:
    matrix = tissue(ROWS, COLUMNS)
    save(slide(matrix), tmp_path / "slide.dcm")
    save(slide(glass(100, 128), tile=128, flavour="LABEL", number=2), tmp_path / "label.dcm")
    (unit,) = plan(headers_of(tmp_path), PlanOptions(max_patches=9))
    assert unit.max_images == 10
    images = rendered(tmp_path)
    assert_shows([image for image in images if image.rendering == "slide-10x"], matrix)
    assert [image.sop_instance_uid for image in images if image.rendering == "colour"] == ["2.25.52"]
    (tmp_path / "label.dcm").write_bytes((tmp_path / "label.dcm").read_bytes()[:-100])
    broken = rendered(tmp_path)
    assert_shows([image for image in broken if not isinstance(image, Rejected)], matrix)
    assert [line.code for line in broken if isinstance(line, Rejected)] == ["truncated"]


def test_a_thumbnail_is_rendered_only_where_there_is_no_volume(tmp_path: Path) -> None:
    save(
        slide(tissue(60, 100), tile=128, micrometres=10.0, flavour="THUMBNAIL", number=2), tmp_path / "t.dcm"
    )
    assert [image.sop_instance_uid for image in rendered(tmp_path)] == ["2.25.52"]
    save(slide(tissue(ROWS, COLUMNS)), tmp_path / "slide.dcm")
    assert {image.sop_instance_uid for image in rendered(tmp_path)} == {"2.25.51"}


def test_patches_without_tissue_are_left_out_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    matrix = glass(ROWS, COLUMNS)
    matrix[500:560, 500:800] = tissue(60, 300)
    save(slide(matrix), tmp_path / "slide.dcm")
    (image,) = rendered(tmp_path)
    assert image.frame == 4
    np.testing.assert_array_equal(image.pixels, padded(matrix)[SIDE:, SIDE : 2 * SIDE])


def test_tissue_is_found_in_a_coarser_level_as_in_the_level_itself(tmp_path: Path) -> None:
    matrix = glass(ROWS, COLUMNS)
    matrix[500:560, 500:800] = tissue(60, 300)
    save(slide(matrix), tmp_path / "slide.dcm")
    alone = [image.frame for image in rendered(tmp_path)]
    save(slide(matrix[::8, ::8], micrometres=8.0, number=2), tmp_path / "coarse.dcm")
    assert [image.frame for image in rendered(tmp_path)] == alone == [4]


def test_a_slide_without_tissue_gives_one_image_that_says_so(tmp_path: Path) -> None:
    save(slide(glass(ROWS, COLUMNS)), tmp_path / "slide.dcm")
    (image,) = rendered(tmp_path)
    assert "slide-no-tissue" in image.warnings


def test_more_patches_than_wanted_are_thinned_evenly(tmp_path: Path) -> None:
    save(slide(tissue(ROWS, COLUMNS)), tmp_path / "slide.dcm")
    images = rendered(tmp_path, max_patches=2)
    assert [image.frame for image in images] == [0, 5]
    assert all("slide-thinned" in image.warnings for image in images)


def test_grey_tiles_of_16_bits_share_one_range(tmp_path: Path) -> None:
    row = np.linspace(1000, 3000, COLUMNS)
    matrix = np.repeat(row[None], ROWS, axis=0).astype(np.uint16)
    save(slide(matrix), tmp_path / "slide.dcm")
    images = rendered(tmp_path)
    assert len({str((i.rendering_params["low"], i.rendering_params["high"])) for i in images}) == 1
    joined = np.concatenate([image.pixels[100] for image in images[:3]])[:COLUMNS].astype(float)
    low, high = (float(images[0].rendering_params[end]) for end in ("low", "high"))
    np.testing.assert_allclose(joined, (matrix[100] - low) / (high - low) * 255, atol=0.51)


def test_a_level_that_cannot_be_decoded_is_rejected_and_the_next_one_rendered(tmp_path: Path) -> None:
    from pydicom.uid import JPEGLSLossless

    broken = slide(tissue(500, 500), number=1)
    broken.compress(JPEGLSLossless, generate_instance_uid=False)
    raw = bytearray(broken.PixelData)
    raw[len(raw) // 2 : len(raw) // 2 + 2000] = bytes(2000)
    broken.PixelData = bytes(raw)
    path = save(broken, tmp_path / "1.dcm")
    save(slide(tissue(600, 600), micrometres=0.8, number=2), tmp_path / "2.dcm")
    found = rendered(tmp_path)
    rejected = [line for line in found if isinstance(line, Rejected)]
    assert [line.path for line in rejected] == [str(path)]
    assert {i.sop_instance_uid for i in found if not isinstance(i, Rejected)} == {"2.25.52"}


def test_a_slide_that_tells_nothing_of_its_matrix_is_rejected(tmp_path: Path) -> None:
    dataset = slide(tissue(ROWS, COLUMNS), TotalPixelMatrixRows=None)
    path = save(dataset, tmp_path / "slide.dcm")
    assert rendered(tmp_path) == [Rejected(str(path), "inconsistent-pixels")]


def level(micrometres: Any, rows: Any = 1000, thumbnail: Any = False, pyramid: Any = "") -> Any:
    none = np.zeros(0, np.int64)
    return Level((0,), rows, rows, micrometres, 256, 256, none, none, none, none, pyramid, thumbnail)


@pytest.mark.parametrize(
    ("magnification", "wanted"), [(40.0, 0.25), (20.0, 0.5), (10.0, 1.0), (5.0, 2.0), (2.5, 4.0)]
)
def test_nominal_magnifications_in_micrometres_per_pixel(magnification: Any, wanted: Any) -> None:
    assert target_micrometres(magnification) == wanted


@pytest.mark.parametrize(
    ("spacings", "magnification", "chosen"),
    [
        ((0.25, 0.5, 1.0, 2.0), 10.0, 1.0),
        ((0.25, 0.5, 1.0, 2.0), 20.0, 0.5),
        ((0.25, 1.0, 4.0), 20.0, 0.25),
        ((0.25, 1.0, 4.0), 5.0, 1.0),
        ((0.2529, 1.0116, 4.0464), 10.0, 1.0116),
        ((0.25, 1.2, 4.0), 10.0, 0.25),
        ((2.0, 8.0), 10.0, 2.0),
        ((None, 1.0), 10.0, 1.0),
    ],
)
def test_the_level_nearest_at_or_finer_is_chosen(spacings: Any, magnification: Any, chosen: Any) -> None:
    levels = [level(spacing, round(4000 / (spacing or 2.0))) for spacing in spacings]
    assert [found.micrometres for found in choose_levels(levels, magnification)] == [chosen]


def test_each_pyramid_has_a_level_of_its_own() -> None:
    levels = [level(0.25, 4000, pyramid="a"), level(1.0, pyramid="a"), level(1.0, pyramid="b")]
    assert [(f.pyramid, f.micrometres) for f in choose_levels(levels, 10.0)] == [("a", 1.0), ("b", 1.0)]


def test_a_grid_counts_row_by_row_and_covers_the_matrix() -> None:
    grid = grid_of(level(0.5, 2000), 10.0)
    assert grid == Grid(3, 3, 896, 448)
    assert grid.region(5) == Region(896, 1792, 896, 896)


def test_a_slide_smaller_than_a_patch_is_one_patch() -> None:
    assert grid_of(level(1.0, 100), 10.0) == Grid(1, 1, 100, 100)


def test_absurd_spacing_does_not_ask_for_absurd_patches() -> None:
    assert grid_of(level(0.0001, 100_000), 5.0).side == SIDE


def test_a_header_without_image_type_is_rendered(tmp_path: Path) -> None:
    matrix = tissue(ROWS, COLUMNS)
    save(slide(matrix, ImageType=None), tmp_path / "slide.dcm")
    assert_shows(rendered(tmp_path), matrix)


def test_an_empty_shared_group_is_no_spacing(tmp_path: Path) -> None:
    save(
        slide(tissue(ROWS, COLUMNS), SharedFunctionalGroupsSequence=[Dataset()]),
        tmp_path / "slide.dcm",
    )
    assert all("slide-spacing-unknown" in image.warnings for image in rendered(tmp_path))
