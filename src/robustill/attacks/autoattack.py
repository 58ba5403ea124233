"""AutoAttack: four attacks in a row, each on what the ones before left standing (Croce and Hein, ICML 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from robustill.attacks.apgd import APGD
from robustill.attacks.fab import FAB
from robustill.attacks.modes import eval_mode
from robustill.attacks.running import per_example, run_searches
from robustill.attacks.search import Search
from robustill.attacks.square import Square
from robustill.attacks.threat import Generators, Norm
from robustill.attacks.verdicts import correct
from robustill.errors import InputError

Version = Literal["standard", "rand", "fast"]
_TARGETS, _SAMPLES = 9, 20


@dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """The field's standard evaluation, free of parameters (arXiv 2003.01690).

    `"standard"`: APGD on CE, targeted APGD on DLR, targeted FAB (nine targets each), Square. `"rand"`, for models whose
    output is random: APGD on CE and on DLR with gradients averaged over 20 samples. `"fast"`: the first two stages of
    the standard; its robust accuracy is *not* AutoAttack's.

    Args:
        eps: Radius in pixel units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        version: See above.

    Raises:
        InputError: An unknown version, or an impossible radius or norm.

    >>> from robustill.attacks import named_attack
    >>> named_attack("autoattack", eps=8 / 255)
    AutoAttack(eps=0.03137254901960784, norm='Linf', version='standard')
    """

    eps: float
    norm: Norm = "Linf"
    version: Version = "standard"

    def __post_init__(self) -> None:
        if self.version not in get_args(Version):
            raise InputError(f"unknown version {self.version!r}", f"choose one of {', '.join(get_args(Version))}")
        # Says at once what is wrong with the radius or the norm.
        FAB(eps=self.eps, norm=self.norm)

    def stages(self, classes: int) -> dict[str, list[Search]]:
        """Return the searches of each stage, in order, for a model with so many classes.

        The targeted DLR needs four classes; with fewer, targeted APGD takes the cross-entropy towards the target.

        Raises:
            InputError: `"rand"` with two classes, for which there is no DLR.
        """
        eps, norm = self.eps, self.norm
        if self.version == "rand":
            second = APGD(eps=eps, norm=norm, loss="dlr", samples=_SAMPLES)
            second.check_classes(classes)
            return {"apgd-ce": [APGD(eps=eps, norm=norm, samples=_SAMPLES)], "apgd-dlr": [second]}
        targets = range(1, min(_TARGETS, classes - 1) + 1)
        towards: Literal["dlr-targeted", "ce-targeted"] = "dlr-targeted" if classes >= 4 else "ce-targeted"
        found: dict[str, list[Search]] = {
            "apgd-ce": [APGD(eps=eps, norm=norm)],
            "apgd-t": [APGD(eps=eps, norm=norm, loss=towards, target=k) for k in targets],
        }
        if self.version == "standard":
            found["fab-t"] = [FAB(eps=eps, norm=norm, target=k) for k in targets]
            found["square"] = [Square(eps=eps, norm=norm, rescale=False)]
        return found

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, generator: Generators = None, batch_size: int = 256
    ) -> Tensor:
        """Return points `[B, ...]` around `x` that `model` misclassifies, and `x` itself where it cannot be made to.

        The model is attacked in eval mode; its modes are restored.
        """
        right, x_adv = correct(model, x, y).nonzero().flatten(), x.clone()
        sources = per_example(generator, len(x))
        with eval_mode(model), torch.no_grad():
            classes = model(x[:1]).shape[1] if len(x) else 2
        searches = [search for stage in self.stages(classes).values() for search in stage]
        own = [sources[i] for i in right.tolist()]
        x_adv[right] = run_searches(searches, model, x[right], y[right], own, batch_size=batch_size)[1]
        return x_adv
