"""Paired differences: against counts by hand, and left out where images do not match."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from robustill.report import build_page
from robustill.report.page.pairs import Difference, paired
from tests.report import folders
from tests.report.parsed import Parsed

OTHER = np.arange(40) < 12


def compared(*runs: Path) -> Parsed:
    return Parsed(build_page(runs).to_html())


def why(parsed: Parsed) -> str:
    return next(each.text for each in parsed.all("li") if "no paired difference" in each.text)


def test_the_difference_is_that_of_a_hand_count(tmp_path: Path) -> None:
    a, b = folders.run(tmp_path / "a"), folders.run(tmp_path / "b", pgd20=OTHER)
    # In common only pgd20: a stands on 0..21, b on 0..11, so that 10 images are right only in a.
    clean, worst = compared(a, b).cells("Paired differences")[1:]
    assert clean[:3] == ["a less b", "no attack", "+0.00"]
    assert clean[4:] == ["0", "0", "1"]
    assert worst[:3] == ["a less b", "worst case", "+25.00"]
    assert worst[4:6] == ["10", "0"]
    assert worst[6] == format(2 / 2**10, ".2g")
    p, q = 11 / 42, 1 / 42
    half = 1.959963984540054 * math.sqrt((p + q - (p - q) ** 2) / 42)
    assert worst[3] == f"{100 * (p - q - half):+.2f} to {100 * (p - q + half):+.2f}"


def test_against_loops() -> None:
    draws = np.random.default_rng(0)
    one, two = draws.random(200) < 0.6, draws.random(200) < 0.5
    found = paired(one, two)
    only = [sum(bool(x) and not bool(y) for x, y in zip(*pair, strict=True)) for pair in ((one, two), (two, one))]
    assert [found.only_first, found.only_second, found.images] == [*only, 200]
    assert found.value == pytest.approx(one.mean() - two.mean())
    low, high = found.interval()
    assert low < found.value < high


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 3), (9, 1), (400, 500), (700, 500)])
def test_mcnemar_is_the_exact_binomial(b: int, c: int) -> None:
    from scipy.stats import binomtest

    wanted = binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert Difference(b, c, 5000).p() == pytest.approx(wanted, rel=1e-9)


def test_the_interval_covers_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1)
    shares, inside = (0.1, 0.04), 0
    for _ in range(2000):
        only_first, only_second, _ = draws.multinomial(150, (*shares, 1 - sum(shares)))
        low, high = Difference(int(only_first), int(only_second), 150).interval()
        inside += low <= shares[0] - shares[1] <= high
    assert 0.93 <= inside / 2000 <= 0.975


@pytest.mark.parametrize(
    ("change", "words"),
    [({"data_digest": "f" * 64}, "other images"), ({"threat": {"norm": "L2", "eps": 0.1}}, "another radius or norm"),
     ({"clean": folders.entry(35, 40)}, "does not hold the verdicts that evaluation.json counts for clean")],
)  # fmt: skip
def test_runs_that_do_not_pair(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    a, b = folders.run(tmp_path / "a"), folders.run(tmp_path / "b")
    folders.write(b / "evaluation.json", folders.evaluation() | change)
    parsed = compared(a, b)
    assert parsed.cells("Paired differences") == []
    assert words in why(parsed)
    assert len(parsed.cells("Runs side by side")) == 3


def test_other_images_of_the_same_data(tmp_path: Path) -> None:
    a, b = folders.run(tmp_path / "a"), folders.run(tmp_path / "b")
    folders.verdicts(b / "verdicts.safetensors", index="other")
    assert "other images" in why(compared(a, b))


def test_verdicts_that_are_not_there_or_damaged(tmp_path: Path) -> None:
    a, b = folders.run(tmp_path / "a"), folders.run(tmp_path / "b")
    (b / "verdicts.safetensors").write_bytes(b"\xff" * 40)
    assert "verdicts.safetensors cannot be read" in why(compared(a, b))
    (b / "verdicts.safetensors").unlink()
    assert "b has no verdicts.safetensors" in why(compared(a, b))
    folders.write(b / "evaluation.json", folders.evaluation(square=OTHER))
    folders.verdicts(b / "verdicts.safetensors", square=OTHER)
    assert "no attack was run on both" in why(compared(a, b))


def test_stages_and_older_files(tmp_path: Path) -> None:
    """AutoAttack's verdicts are those after all its stages, without those of a curve; older files hold verdicts."""
    a, b = folders.run(tmp_path / "a", autoattack=OTHER), folders.run(tmp_path / "b", autoattack=OTHER)
    levels = {
        "level/clean": np.where(folders.CLEAN, 1, -1),
        "level/autoattack/apgd-ce": np.where(folders.CLEAN, 5, -1),
        "level/autoattack/square": np.where(OTHER, 1, -1),
        "level/autoattack-fast/apgd-ce": np.full(40, -1),
        "level/autoattack/square~1234": np.full(40, -1),
    }
    save_file({k: v.astype(np.int16) for k, v in levels.items()}, a / "verdicts.safetensors", {"settings": "{}"})
    save_file({"clean": folders.CLEAN, "autoattack": OTHER & folders.CLEAN}, b / "verdicts.safetensors")
    rows = compared(a, b).cells("Paired differences")[1:]
    assert [row[2] for row in rows] == ["+0.00", "+0.00"]


def test_one_run_of_two_is_evaluated(tmp_path: Path) -> None:
    a, b = folders.run(tmp_path / "a"), folders.run(tmp_path / "b")
    (b / "evaluation.json").unlink()
    parsed = compared(a, b)
    assert any("nothing to compare yet" in each.text for each in parsed.all("p"))
