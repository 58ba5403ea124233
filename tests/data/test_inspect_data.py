from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from robustill.data.inspect import inspect_data


def test_a_sound_data_set(tmp_path, random_pixels):
    pixels = random_pixels(40, 4, 4, 3)
    test = random_pixels(8, 4, 4, 3, seed=1)
    np.savez(tmp_path / "a.npz", x_train=pixels, y_train=np.arange(40) % 2, x_test=test, y_test=np.arange(8) % 2)
    report = inspect_data("npz", tmp_path, validation=0)
    assert (report.found, report.problems, report.duplicates) == (True, [], 0)
    assert report.counts == {"train": 40, "test": 8}
    assert report.per_class == {"train": [20, 20], "test": [4, 4]}
    assert (report.shape, report.classes, report.in_memory_bytes) == ((3, 4, 4), ("0", "1"), 48 * 48)
    assert report.mean == pytest.approx(pixels.mean((0, 1, 2)) / 255)
    assert report.std == pytest.approx(pixels.std((0, 1, 2)) / 255)
    assert report.location.endswith("a.npz")
    rows = dict(report.rows())
    assert rows["images"] == "train 40, test 8"
    assert rows["problems"] == "none"
    again = json.loads(json.dumps(report.to_json()))
    assert again["shape"] == [3, 4, 4]
    assert again["per_class"] == report.per_class


def test_duplicates_between_train_and_test_are_counted(tmp_path, random_pixels):
    pixels = random_pixels(40, 4, 4, 3)
    test = np.concatenate([pixels[3:6], random_pixels(5, 4, 4, 3, seed=1)])
    np.savez(tmp_path / "a.npz", x_train=pixels, y_train=np.arange(40) % 2, x_test=test, y_test=np.arange(8) % 2)
    report = inspect_data("npz", tmp_path)
    assert report.duplicates == 3
    assert any("3 test images are also training images" in problem for problem in report.problems)


def test_unreadable_images_are_all_listed_and_the_rest_is_counted(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / name / f"{number:02}.png")
    (tmp_path / "a" / "notes.txt").write_text("")
    for number in range(7, 20):
        (tmp_path / "b" / f"{number:02}.png").write_bytes(b"broken")
    report = inspect_data("folder", tmp_path)
    assert report.found
    assert sum("not a readable image" in problem for problem in report.problems) == 10
    assert "3 more images cannot be read" in report.problems
    assert report.notes == ["1 files that are not images were skipped"]
    assert ("note", report.notes[0]) in report.rows()
    assert len(report.mean) == 3


def test_empty_and_unbalanced_classes_and_flat_colours(tmp_path):
    x = np.zeros((40, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=[0] * 38 + [1, 3], x_test=x[:2], y_test=[0, 1])
    problems = " | ".join(inspect_data("npz", tmp_path, validation=0).problems)
    assert "1 class has no train image: 2" in problems
    assert "2 classes have no test image: 2, 3" in problems
    assert "the same in every training image" in problems
    np.savez(tmp_path / "a.npz", x_train=x, y_train=[0] * 38 + [1, 1], x_test=x[:2], y_test=[0, 1])
    problems = " | ".join(inspect_data("npz", tmp_path, validation=0).problems)
    assert "unbalanced classes: 2 to 38 training images" in problems


@pytest.mark.parametrize(
    ("content", "found", "text"),
    [(None, False, "found 0"), (b"broken", True, "not a numpy archive")],
)
def test_bad_data_is_reported_not_raised(tmp_path, content, found, text):
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    report = inspect_data("npz", tmp_path)
    assert report.found is found
    assert len(report.problems) == 1
    assert text in report.problems[0]
    assert dict(report.rows())["found"].startswith("yes" if found else "no")
    json.dumps(report.to_json())


def test_an_unknown_name_or_argument_is_reported(tmp_path):
    assert not inspect_data("no-such-data").found
    assert "limit is -1" in inspect_data("digits", limit=-1).problems[0]


def test_digits_are_sound():
    report = inspect_data("digits", limit=200)
    assert (report.found, report.problems, report.duplicates) == (True, [], 0)
    assert sum(report.counts.values()) == 400


def test_labels_that_start_at_1(tmp_path, random_pixels):
    labels = np.arange(20) % 2 + 1
    images = {"x_train": random_pixels(20, 4, 4, 3), "x_test": random_pixels(20, 4, 4, 3)}
    np.savez(tmp_path / "toy.npz", **images, y_train=labels, y_test=labels)
    problems = inspect_data(str(tmp_path / "toy.npz")).problems
    assert sum("labels start at 0: subtract 1" in each for each in problems) == 2
