"""Whether a file is weaker than its network, or only looks stronger."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustill.evaluation import Check, Evaluation
from robustill.export.measurement import SQUARE, TRANSFER
from robustill.report.page.pairs import Difference

_LEVEL = 0.05


def findings(network: Evaluation, file: Evaluation) -> tuple[Check, ...]:
    """Return what is to be said of a file, measured on the same images as its network.

    `weaker`: it is right less often, without an attack or in the worst case over all of them. `masked`: it stands up to
    more than the network does under one kind of attack and not under the other. The examples that were made on the
    network may miss a file that rounds; Square, which sees the file itself, may lose its way where rounded logits are
    flat. Neither is robustness. Differences count from p = 0.05 on, by McNemar's exact test on the images that only one
    of the two has right. A check that needs an attack that was not run is left out.
    """
    found = [_weaker(network, file)]
    transfer = [name for name in file.verdicts if name.startswith(TRANSFER)]
    if transfer and SQUARE in file.verdicts:
        found.append(_masked(network, file, transfer))
    return tuple(found)


def _weaker(network: Evaluation, file: Evaluation) -> Check:
    sides = {
        "without an attack": _difference(file.verdicts["clean"], network.verdicts["clean"]),
        "in the worst case over the attacks": _difference(file.robust, network.robust),
    }
    lost = {where: each for where, each in sides.items() if _less(each)}
    value = {where: _numbers(each) for where, each in sides.items()}
    if not lost:
        return Check("weaker", False, value, "No difference to the network that is more than chance explains.")
    parts = [
        f"{each.only_second} images that the network has right {where}, against {each.only_first} the other way"
        for where, each in lost.items()
    ]
    return Check("weaker", True, value, f"It is weaker than the network: it gets wrong {', and '.join(parts)}.")


def _masked(network: Evaluation, file: Evaluation, transfer: Sequence[str]) -> Check:
    theirs = [network.verdicts[name.removeprefix(TRANSFER)] for name in transfer]
    by_transfer = _difference(_all([file.verdicts[name] for name in transfer]), _all(theirs))
    by_square = _difference(file.verdicts[SQUARE], network.verdicts[SQUARE])
    more = [_more(each) for each in (by_transfer, by_square)]
    value = {"transfer": _numbers(by_transfer), SQUARE: _numbers(by_square)}
    if more[0] == more[1]:
        return Check("masked", False, value, "Both kinds of attack agree on how it compares with the network.")
    sides = [(by_transfer, "examples that were made on the network"), (by_square, "Square on its own logits")]
    (gained, by), (other, against) = sides if more[0] else reversed(sides)
    says = (
        f"It only looks more robust than the network under {by}: {gained.only_first} images fall there and stand here, "
        f"{gained.only_second} the other way. Under {against} it is {other.only_first} against {other.only_second}. "
        "Rounding hides the way from that attack and blocks no other: believe the worst case, and no more than the "
        "network's."
    )
    return Check("masked", True, value, says)


def _all(verdicts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(verdicts)).all(0)


def _difference(file: Tensor, network: Tensor) -> Difference:
    return Difference(int((file & ~network).sum()), int((network & ~file).sum()), len(file))


def _less(difference: Difference) -> bool:
    """Return whether the first of two networks is right less often than chance explains."""
    return difference.value < 0 and difference.p() <= _LEVEL


def _more(difference: Difference) -> bool:
    return difference.value > 0 and difference.p() <= _LEVEL


def _numbers(difference: Difference) -> dict[str, object]:
    return {
        "only_file": difference.only_first, "only_network": difference.only_second, "p": difference.p(),
        "difference": difference.value, "interval": list(difference.interval()),
    }  # fmt: skip
