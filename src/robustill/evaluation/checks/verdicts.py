"""Signs of masked gradients in verdicts: an attack without gradients found what gradient attacks did not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from robustill.evaluation.checks.check import Check, enough

_SQUARE = "square"
_PERCENT, _LEAST = 1, 3
# Not signs of masking: one is about a loss, the other is this module's conclusion.
_HARMLESS = ("few-classes", "upper-bound-only")


def check_verdicts(
    verdicts: Mapping[str, Tensor], stages: Mapping[str, Mapping[str, Tensor]], transfer: Sequence[str]
) -> list[Check]:
    """Compare verdicts of attacks that use no gradient of the model with those that do.

    `square-beats-gradients`: Square, alone or as the last stage of AutoAttack, fells images that stood up to every
    gradient attack (AutoAttack flags 0.2% of all images). `transfer-beats-white-box`: adversarial examples of another
    model do. Both fire at 3 images or more that are 1% or more of those standing. A check without verdicts of both
    kinds is left out: it was not made.

    Args:
        verdicts: Where the prediction stays right, bool `[n]`, for `"clean"` and each attack.
        stages: For an ensemble among the attacks, where it stays right after each stage (and those before).
        transfer: Names in `verdicts` of adversarial examples made on another model.

    >>> import torch
    >>> right = {"clean": torch.tensor([True] * 4), "pgd20": torch.tensor([True, True, False, True])}
    >>> right["square"] = torch.tensor([False] * 4)
    >>> [check.fired for check in check_verdicts(right, {}, []) if check.name == "square-beats-gradients"]
    [True]
    """
    names = [name for name in verdicts if name not in ("clean", _SQUARE, *transfer, *stages)]
    columns = [verdicts[name] for name in names]
    columns += [right for found in stages.values() for stage, right in found.items() if stage != _SQUARE]
    if not columns:
        return []
    standing = torch.stack([verdicts["clean"], *columns]).all(0)
    by_square = [found[_SQUARE] for found in (verdicts, *stages.values()) if _SQUARE in found]
    checks = []
    if by_square:
        checks.append(_beaten("square-beats-gradients", standing, by_square, "Square, which uses no gradient,"))
    if transfer:
        examples = [verdicts[name] for name in transfer]
        checks.append(_beaten("transfer-beats-white-box", standing, examples, "Examples made on another model"))
    return checks


def _beaten(name: str, standing: Tensor, columns: list[Tensor], who: str) -> Check:
    stood = int(standing.sum())
    fell = int((standing & ~torch.stack(columns).all(0)).sum())
    seen = f"{who} felled {fell} of {stood} images that stood up to every gradient attack"
    fired = enough(fell, stood, percent=_PERCENT, least=_LEAST)
    says = f"{seen}: no sign that gradients are masked."
    if fired:
        says = (
            f"{seen}: gradients are masked, or the gradient attacks too weak, and the robust accuracy is too high. Run "
            "--attacks autoattack; if that was done, Square with more queries, or an attack made for this model."
        )
    return Check(name, fired, {"standing": stood, "fell": fell}, says)


def weak_evidence(checks: Iterable[Check], attack_names: Iterable[str]) -> Check:
    """Return the check `upper-bound-only`: a sign of masking fired, and no attack was run that is made for it.

    Made for random outputs is `autoattack-rand`, for any other sign `autoattack`, the whole ensemble: one attack
    alone, Square included, finds too little, and `autoattack-fast` has no attack without gradients.

    Args:
        checks: What the other checks found.
        attack_names: The attacks that were run, as in `named_attack`.

    >>> from robustill.evaluation import Check
    >>> weak_evidence([Check("zero-gradients", True, {}, "...")], ["pgd20"]).fired
    True
    """
    signs = [check.name for check in checks if check.fired and check.name not in _HARMLESS]
    run = list(attack_names)
    wanted = {"autoattack-rand" if sign == "randomised" else "autoattack": None for sign in signs}
    missing = [name for name in wanted if name not in run]
    fired = bool(missing and run)
    value = {"signs": signs, "attacks": run, "missing": missing}
    return Check("upper-bound-only", fired, value, _verdict(signs, run, missing))


def _verdict(signs: list[str], run: list[str], missing: list[str]) -> str:
    if not run:
        return "No attack was run, so there is no robust accuracy to believe."
    if not signs:
        return "No sign of masked gradients. The robust accuracy is an upper bound, as under any attack."
    if not missing:
        return (
            f"There are signs of masked gradients ({', '.join(signs)}), and {', '.join(run)} ran. The robust accuracy "
            "is an upper bound that an attack made for this model may lower much further."
        )
    return (
        f"Do not believe the robust accuracy: there are signs of masked gradients ({', '.join(signs)}), and "
        f"{', '.join(run)} cannot see through them. Run --attacks {','.join(missing)}."
    )
