"""The same tables from tasks of a Ray cluster as from processes of this machine."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from robustill.errors import MissingExtraError, RobustillError
from robustill.study import Way
from robustill.study.ray_runner import Ray
from tests.study.killing import tables
from tests.study.small import QUICK, opened

RUNS = """
[runs.pgd_at]
recipe = "digits_pgd-at_cnn-small"

[runs.trades]
recipe = "digits_trades_cnn-small"

[runs.rslad]
recipe = "digits_rslad_cnn-small"

[runs.ard]
recipe = "digits_ard_cnn-small"
"""


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://localhost:{}", "[::1]:{}", "127.0.0.1:99999"])
def test_where_nobody_listens_it_is_said_at_once(address: str) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RobustillError, match=r"does not answer at port \d+"):
        Ray(address.format(port))


def test_without_ray_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--ray needs Ray\n.*pip install 'robustill\[ray\]'"):
        Ray("auto")


def test_without_a_cluster_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")

    def init(**settings: Any) -> None:
        assert settings["address"] == "auto"
        raise ConnectionError("Could not find any running Ray instance.\nMore.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RobustillError, match=r"--ray auto: Could not find any running Ray instance\.\n.*ray start"):
        Ray("auto")


@pytest.mark.slow
# Ray's own, while it starts and ends its processes.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_four_methods_three_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = {}
    for name, way in (("local", Way(jobs=2)), ("ray", Way(ray="local"))):
        (tmp_path / name).mkdir()
        # Each student is taught by the plain one of its seed.
        base = QUICK.replace("cell:robust", "cell:pgd_at")
        study = opened(tmp_path / name, RUNS, "seeds = 3\nbaseline = 'pgd_at'", base)
        summary = study.run(way=way)
        assert summary["missing"] == []
        found[name] = tables(study.out)
    assert found["ray"] == found["local"]
    # Tables of cells that all compute the same would be identical, too.
    different = {json.dumps(summary["runs"][run]) for run in ("pgd_at", "trades", "rslad", "ard")}
    assert len(different) == 4
    assert all(summary["runs"][run]["best"]["clean"]["n"] == 3 for run in summary["runs"])
    assert all(summary["runs"][run]["best"]["clean"]["sd"] > 0 for run in summary["runs"])
