"""`calibration.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from robustill.certification.smoothing_bounds import carried
from robustill.diagnostics.bracket.numbers import SMALL, accuracy, average, calibration_error, share
from robustill.diagnostics.bracket.versions import versions

if TYPE_CHECKING:
    from robustill.diagnostics.bracket.calibration import Calibration

_DELTAS = [round(k / 100, 2) for k in range(101)]


def to_json(found: Calibration) -> dict[str, Any]:
    """Return the numbers of a data set."""
    chosen, count = found.chosen(), len(found.labels)
    own = int(chosen.sum())
    return {
        "schema": 1,
        "images": count,
        "points": {"right": found.points, "count": own, **share(chosen), "small_sample": own < SMALL},
        "threat": {"norm": found.norm, "eps": list(found.eps)},
        "bounds": None if found.bounds == "none" else found.bounds,
        "clean": _clean(found, chosen),
        "radii": [_radius(found, k, chosen) for k in range(len(found.eps))],
        "deltas": _DELTAS,
        "variants": {name: _variant(found, found.chosen(name)) for name in ("teacher", "student", "both")},
        **({} if found.smoothed is None else {"smoothed": _smoothed(found, chosen)}),
        **found.about,
        "seconds": round(sum(found.seconds.values()), 3),
        "versions": versions(),
    }


def _clean(found: Calibration, chosen: Tensor) -> dict[str, Any]:
    gap = found.gap[chosen]
    return {
        "gap": average(gap),
        "calibration": average(gap.abs()),
        "agreement": share((found.student_class == found.teacher_class)[chosen]),
        "networks": _networks(found, 0),
    }


def _radius(found: Calibration, k: int, chosen: Tensor) -> dict[str, Any]:
    def bracket(lower: Tensor, upper: Tensor) -> dict[str, Any]:
        above = average(upper[k, chosen]) if found.bounds != "none" else {"mean": None, "interval": None}
        return {"lower": average(lower[k, chosen]), "upper": above}

    lower, upper = (end[k, chosen] for end in found.calibration)
    certified = found.bounds != "none"
    return {
        "eps": found.eps[k],
        "calibration": bracket(*found.calibration),
        "over": bracket(*found.over),
        "under": bracket(*found.under),
        "agreement": {
            "certified": share(found.agreed[k, chosen]) if certified else {"share": None, "interval": None},
            "found": share(~found.apart[k, chosen]),
        },
        "faithful": {"certified": _shares(upper) if certified else None, "found": _shares(lower)},
        "networks": _networks(found, k + 1),
    }


def _shares(values: Tensor) -> list[float] | None:
    """Return the share of values that do not exceed each delta."""
    return [float((values <= delta).double().mean()) for delta in _DELTAS] if len(values) else None


def _networks(found: Calibration, row: int) -> dict[str, Any]:
    """Return accuracy and calibration error of both, over all images."""
    return {
        name: {
            **accuracy(each.stands[row]),
            "calibration_error": calibration_error(each.confidence[row], each.right[row]),
        }
        for name, each in (("student", found.student), ("teacher", found.teacher))
    }


def _variant(found: Calibration, chosen: Tensor) -> dict[str, Any]:
    """Return the means over another choice of examples."""

    def means(values: Tensor) -> list[float] | None:
        return values[:, chosen].double().mean(1).tolist() if bool(chosen.any()) else None

    lower, upper = found.calibration
    certified = found.bounds != "none"
    return {
        "count": int(chosen.sum()),
        "share": float(chosen.double().mean()),
        "calibration": {"lower": means(lower), "upper": means(upper) if certified else None},
        "agreement": {"certified": means(found.agreed) if certified else None, "found": means(~found.apart)},
    }


def _smoothed(found: Calibration, chosen: Tensor) -> dict[str, Any]:
    pair = found.smoothed
    assert pair is not None
    return {
        "sigma": pair.sigma,
        "samples": pair.samples,
        "alpha": pair.alpha,
        "gap": average(((pair.low + pair.high) / 2)[chosen]),
        "radii": [
            {
                "eps": eps,
                "calibration": {"upper": average(pair.calibration_at(eps)[chosen])},
                "agreement": {"certified": share(pair.agreement_radius[chosen] > eps)},
                "disagreement": {"upper": average(carried(pair.disagreement, eps / pair.sigma)[chosen])},
            }
            for eps in found.eps
        ],
    }
