"""The command line in this process, and a run folder to work on."""

from pathlib import Path

import pytest

from robustill import cli
from tests.cli.command import QUICK, Outcome, Robustill


@pytest.fixture
def robustill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Robustill:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(each) for each in arguments])
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder of two epochs of standard training on digits, of which the first was the better one."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    scores = iter([{"clean": 0.9}, {"clean": 0.8}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustill.training.selection.judge", lambda *args, **kwargs: next(scores))
        with pytest.raises(SystemExit) as ended:
            cli.main(["train", "digits_standard_cnn-small", *QUICK, "--out", str(folder)])
    assert not ended.value.code
    return folder
