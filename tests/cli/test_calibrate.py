"""`robustill calibrate` and `robustill certify`."""

import json
from pathlib import Path
from typing import Any

import pytest

from robustill.diagnostics.bracket import pair_stages
from tests.cli.command import Robustill, refused, teacher

QUICK = ["--images", "12", "--steps", "3", "--restarts", "1"]


def test_calibrate_writes_what_it_prints(robustill: Robustill, trained: Path, tmp_path: Path) -> None:
    other = teacher(tmp_path / "t.safetensors")
    call = ["calibrate", trained, other, "--eps", "0.01,2/255", *QUICK, "--points", "student", "--out", "found"]
    values = robustill(*call, "--json").json
    assert values == json.loads(Path("found/calibration.json").read_text())
    assert values["threat"] == {"norm": "Linf", "eps": [2 / 255, 0.01]}
    assert (values["images"], values["points"]["right"], values["bounds"]) == (12, "student", "crown")
    names = ["calibration.json", "calibration.safetensors", "calibration.svg"]
    assert sorted(path.name for path in Path("found").iterdir()) == names
    text = robustill(*call, "--figures", "png").out
    assert Path("found/calibration.png").read_bytes().startswith(b"\x89PNG")
    assert f"{values['points']['count']} of 12 images, those that the student gets right" in text
    ends = values["radii"][1]["calibration"]
    assert f"{ends['lower']['mean']:.3f} to {ends['upper']['mean']:.3f}" in text
    assert "small sample" in text
    assert "T calibration error" in text


def test_radii_of_the_run(robustill: Robustill, trained: Path) -> None:
    values = robustill("calibrate", trained, trained, *QUICK, "--bounds", "none", "--json", "--out", "found").json
    assert values["threat"]["eps"] == [0.15 / 8, 0.15 / 4, 0.15 / 2, 0.15]
    assert values["radii"][3]["calibration"]["lower"]["mean"] == 0
    text = robustill("calibrate", trained, trained, *QUICK, "--bounds", "none", "--out", "found").out
    assert "at least 0.000" in text
    assert "at most 100.0" in text


def test_certify_writes_what_it_prints(robustill: Robustill, trained: Path) -> None:
    call = ["certify", trained, "--eps", "0.01,0.05", *QUICK, "--out", "found"]
    values = robustill(*call, "--json").json
    assert values == json.loads(Path("found/certification.json").read_text())
    names = ["certification.json", "certification.safetensors", "certification.svg"]
    assert sorted(path.name for path in Path("found").iterdir()) == names
    accuracies = [values["clean"]["accuracy"], *(each["attacked"]["accuracy"] for each in values["radii"])]
    assert accuracies == sorted(accuracies, reverse=True)
    assert all(each["certified"]["accuracy"] <= each["attacked"]["accuracy"] for each in values["radii"])
    text = robustill(*call).out
    assert "certified by crown" in text
    assert f"{100 * values['radii'][0]['certified']['accuracy']:.2f}" in text


def test_certify_a_smoothed_network(robustill: Robustill, tmp_path: Path) -> None:
    file = teacher(tmp_path / "t.safetensors")
    call = ["certify", file, "--data", "digits", "--eps", "0.1", "--norm", "L2", "--sigma", "0.25", "--samples", "50"]
    values = robustill(*call, *QUICK, "--json").json
    assert (values["bounds"], values["smoothed"]["sigma"], values["smoothed"]["samples"]) == ("smoothing", 0.25, 50)
    assert "this is about the network smoothed with sigma 0.25" in robustill(*call, *QUICK).out
    pair = ["calibrate", file, file, *call[2:], *QUICK, "--points", "both", "--bounds", "none"]
    assert "smoothed pair, eps 0.1: " in robustill(*pair).out
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"], "nothing is written without --out"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--eps", "8"], ["eps 8 is not in [0, 1]", "8/255"]),
        (["--eps", "0.1,small"], ["--eps 'small' is not a number", "write 0.1 or 8/255"]),
        (["--eps", ","], ["there is no radius"]),
        (["--norm", "L1"], ["unknown norm 'L1'"]),
        (["--bounds", "crwon"], ["unknown bounds 'crwon'", "did you mean 'crown'?"]),
        (["--images", "few"], ["--images 'few' is not a number", "write 500, or all"]),
        (["--images", "0"], ["images is 0"]),
        (["--figures", "jpeg"], ["there is no figure format 'jpeg'"]),
        (["--sigma", "0.25"], ["smoothing certifies L2 radii", "add --norm L2"]),
        (["--data", "digit"], ["there is no data set 'digit'"]),
        (["--out", "file"], ["cannot create the folder file", "choose another --out"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
@pytest.mark.parametrize("verb", ["calibrate", "certify"])
def test_mistakes(verb: str, arguments: list[str], parts: list[str], robustill: Robustill, trained: Path) -> None:
    Path("file").write_text("")
    networks = [trained] * (2 if verb == "calibrate" else 1)
    refused(robustill(verb, *networks, *QUICK, "--out", "found", *arguments), *parts)
    assert not Path("found").is_dir() or not any(Path("found").glob("*.json"))


def test_mistakes_about_networks(robustill: Robustill, trained: Path, tmp_path: Path) -> None:
    three = teacher(tmp_path / "three.safetensors", classes=3)
    refused(robustill("calibrate", trained, three, *QUICK), "the model has 3 classes, the data set 10")
    refused(robustill("calibrate", three, trained), "nothing says which data and radii", "give --data and --eps")
    refused(robustill("calibrate", trained, "runs/nowhere"), "no such file or folder: runs/nowhere")
    quick = ["--eps", "0.01", *QUICK, "--bounds", "ibp", "--out", "found"]
    assert robustill("certify", trained, *quick).code == 0
    refused(robustill("certify", trained, *quick, "--seed", "1"), "seed: 0 then, 1 now", "choose another --out")


def test_an_interrupt_says_what_is_kept(robustill: Robustill, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pair_stages, "attack_pair", stop)
        outcome = robustill("calibrate", trained, trained, *QUICK, "--out", "found")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1].startswith("interrupted; found/calibration.safetensors holds what is finished")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("verb", ["calibrate", "certify"])
def test_the_help_teaches(verb: str, robustill: Robustill) -> None:
    text = " ".join(robustill(verb, "--help").out.split())
    assert f"Example: robustill {verb} runs/student" in text
    assert "goes on where it was" in text
