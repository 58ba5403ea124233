"""The rule by which claims count as reproduced, and the claims that come with the project."""

from pathlib import Path

import pytest

from robustill.errors import RecipeError
from robustill.study.claims import ClaimsFile, load_claims, status

STUDIES = Path(__file__).parents[2] / "studies"
ONE = '[[claims]]\nname = "a"\nsays = "s"\nsource = "p"\nstudy = "mtard"\nrun = "mtard"\nmetric = "wra"\n'


@pytest.mark.parametrize(
    ("interval", "direction", "margin", "says"),
    [
        ([0.1, 2.0], "above", 0.5, "reproduced"),
        ([0.1, 0.4], "above", 0.5, "reproduced, smaller"),
        ([-0.1, 2.0], "above", 0.5, "undecided at this size"),
        ([-0.1, 0.4], "above", 0.5, "not reproduced"),
        ([-3.0, -1.0], "above", 0.5, "not reproduced"),
        ([-3.0, -1.0], "below", 0.5, "reproduced"),
        ([-0.4, -0.1], "below", 0.5, "reproduced, smaller"),
        ([-3.0, 0.1], "below", 0.5, "undecided at this size"),
        ([-0.4, 0.1], "below", 0.5, "not reproduced"),
        ([0.0, 2.0], "above", 0.5, "undecided at this size"),
    ],
)
def test_the_interval_decides(interval: list[float], direction: str, margin: float, says: str) -> None:
    assert status({"seeds": [0, 1, 2], "interval": interval}, direction, margin, 3) == says


def test_too_few_seeds_decide_nothing() -> None:
    assert status({"seeds": [0, 1], "interval": [1.0, 2.0]}, "above", 0.5, 3) == "not measured"
    assert status(None, "above", 0.5, 3) == "not measured"


def test_the_margin_is_half_of_what_the_paper_prints(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(
        ONE
        + ONE.replace('"a"', '"b"')
        + "claimed = 3.0\n"
        + ONE.replace('"a"', '"c"')
        + "claimed = 3.0\nmargin = 0.1\n"
    )
    found = load_claims(path)
    assert [found.margin(claim) for claim in found.claims] == [0.5, 1.5, 0.1]


@pytest.mark.parametrize(
    ("text", "says"), [(ONE + ONE, "two claims are called 'a'"), (ONE + "claimd = 1.0\n", "unknown key")]
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_claims(path)


@pytest.fixture(scope="module")
def shipped() -> ClaimsFile:
    return load_claims(STUDIES / "claims.toml")


def test_every_claim_is_about_rows_of_its_study(shipped: ClaimsFile) -> None:
    from robustill.study import load_study

    for claim in shipped.claims:
        study = load_study(STUDIES / f"{claim.study}.toml")
        assert {claim.run, claim.base or claim.run} <= set(study.runs), claim.name
        table, _, column = claim.metric.partition(":")
        if not column:
            assert table in ("clean", "autoattack", "wra")
            assert claim.base is not None
            assert set(study.evaluate.attacks or ()) >= {"autoattack"}
            assert study.evaluate.images == 1000
        else:
            asked = {"landscape": study.landscape, "calibration": study.calibrate, "curve": study.curves}
            asked["ranking"] = study.ranking
            assert asked[table] is not None, claim.name
        if claim.eps is not None:
            assert study.calibrate is not None
            assert claim.eps in study.calibrate.eps
        assert (claim.base is None) or (claim.less is None)
