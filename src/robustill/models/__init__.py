"""Classifiers from images in [0, 1] to logits: architectures, loading and saving, and `Frozen` for teachers."""

from __future__ import annotations

from robustill.models.build import MODELS, build_model
from robustill.models.check import check_logits
from robustill.models.digest import file_digest, model_digest
from robustill.models.foreign import LoadNotes, load_foreign
from robustill.models.frozen import Frozen
from robustill.models.load import load_model
from robustill.models.observe import count_classes, head, observed
from robustill.models.spec import Classifier, ModelSpec, Normalize
from robustill.models.view import AttackView, attack_view
from robustill.models.weights import save_model

__all__ = [
    "MODELS",
    "AttackView",
    "Classifier",
    "Frozen",
    "LoadNotes",
    "ModelSpec",
    "Normalize",
    "attack_view",
    "build_model",
    "check_logits",
    "count_classes",
    "file_digest",
    "head",
    "load_foreign",
    "load_model",
    "model_digest",
    "observed",
    "save_model",
]
