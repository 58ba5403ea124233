"""Names that load on first use are listed beforehand too, for completion and for readers."""

import subprocess
import sys

import robustill


def test_public_names_are_listed_before_they_are_loaded() -> None:
    code = "import sys, robustill; print(*dir(robustill)); assert 'torch' not in sys.modules"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(robustill.__all__) <= set(names)
    assert "__doc__" in names
    assert all(hasattr(robustill, name) for name in robustill.__all__)
