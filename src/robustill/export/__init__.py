"""Trained networks as files for other programs: safetensors, ONNX, int8, torch.export; attacked again, with a card."""

from robustill.export.formats import FILES
from robustill.export.measurement import Measurement
from robustill.export.origin import Origin
from robustill.export.push import Pushed, PushError, push_export
from robustill.export.result import Exported, Written
from robustill.export.run import export_model
from robustill.export.target import export_run

__all__ = [
    "FILES",
    "Exported",
    "Measurement",
    "Origin",
    "PushError",
    "Pushed",
    "Written",
    "export_model",
    "export_run",
    "push_export",
]
