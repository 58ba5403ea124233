from __future__ import annotations

import subprocess
import sys

import pytest

from robustill.data import DATASETS, DataNotFoundError, load_data
from robustill.errors import DataError, InputError


def test_the_names_are_fixed():
    assert list(DATASETS) == ["digits", "fashion-mnist", "mnist", "cifar10", "cifar100", "tiny-imagenet"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar-10", "did you mean 'cifar10'?"), ("fashion_mnist", "did you mean 'fashion-mnist'?"), ("zzz", "choose")],
)
def test_an_unknown_name_names_the_nearest(name, hint):
    with pytest.raises(DataError, match=f"there is no data set '{name}'") as caught:
        load_data(name)
    assert caught.value.hint.startswith(hint)


def test_missing_data_is_one_message_with_every_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBUSTILL_DATA", str(tmp_path / "mine"))
    monkeypatch.setattr("robustill.data.known._SYSTEM", tmp_path / "system")
    with pytest.raises(DataNotFoundError) as caught:
        load_data("fashion-mnist")
    text = str(caught.value)
    for part in (
        str(tmp_path / "mine" / "fashion-mnist"),
        "data/fashion-mnist",
        str(tmp_path / "system" / "fashion-mnist"),
        "Debian package dataset-fashion-mnist",
        "--root PATH",
        'pip install "robustill[hub]"',
        "hf-hub:zalando-datasets/fashion_mnist",
    ):
        assert part in text
    with pytest.raises(DataNotFoundError) as caught:
        load_data("mnist")
    assert "Debian" not in str(caught.value)


def test_places_are_searched_in_order(tmp_path, monkeypatch, write_idx):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robustill.data.known._SYSTEM", tmp_path / "system")
    monkeypatch.delenv("ROBUSTILL_DATA", raising=False)
    (tmp_path / "mine" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    write_idx(tmp_path / "system" / "mnist")
    # An empty folder on the way is passed over.
    from robustill.data import read_data

    assert read_data("mnist").location == str(tmp_path / "system" / "mnist")
    write_idx(tmp_path / "data" / "mnist")
    assert read_data("mnist").location == "data/mnist"
    monkeypatch.setenv("ROBUSTILL_DATA", str(tmp_path / "mine"))
    assert read_data("mnist").location == "data/mnist"
    write_idx(tmp_path / "mine" / "mnist")
    assert read_data("mnist").location == str(tmp_path / "mine" / "mnist")
    write_idx(tmp_path / "given")
    assert read_data("mnist", tmp_path / "given").location == str(tmp_path / "given")
    with pytest.raises(DataNotFoundError, match="there is no folder"):
        read_data("mnist", tmp_path / "nowhere")


def test_a_given_root_is_not_replaced_by_a_default(tmp_path, monkeypatch, write_idx):
    monkeypatch.setenv("ROBUSTILL_DATA", str(tmp_path / "mine"))
    write_idx(tmp_path / "mine" / "mnist")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError, match=r"mnist is not in .*empty"):
        load_data("mnist", tmp_path / "empty")


def test_paths_and_roots_that_do_not_fit(tmp_path):
    (tmp_path / "file.txt").write_text("")
    cases = [
        (("./nowhere",), "there is no such folder or file"),
        ((str(tmp_path / "file.txt"),), "not a data set"),
        ((str(tmp_path),), "no data set recognised"),
        (("folder",), "'folder' needs a root"),
        (("folder", tmp_path / "nowhere"), "folder: there is no"),
        (("cifar", tmp_path), "not a data set that takes a root"),
    ]
    for arguments, message in cases:
        with pytest.raises(DataError, match=message):
            load_data(*arguments)


def test_the_home_folder_is_understood(tmp_path, monkeypatch, write_tree):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_tree(tmp_path / "set", {"a": 5, "b": 5})
    assert load_data("~/set").num_classes == load_data("folder", "~/set").num_classes == 2


def test_size_is_for_image_files():
    with pytest.raises(InputError, match="size=32: digits holds 8x8 arrays"):
        load_data("digits", size=32)


def test_importing_the_package_leaves_heavy_packages_alone():
    code = (
        "import sys, robustill.data, robustill.data.inspect\n"
        "heavy = {'sklearn', 'pyarrow', 'datasets', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
