"""Does a robust accuracy mean something: signs of masked gradients, each a number and a sentence for a person.

The robust accuracy under an attack is an upper bound, and a model whose gradients mislead the attack makes it far too
high: Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", ICML 2018, arXiv 1802.00420;
Carlini et al., "On evaluating adversarial robustness", arXiv 1902.06705; the flags of AutoAttack
(Croce and Hein, ICML 2020; its `flags_doc.md`). The thresholds are this library's own unless a docstring says
otherwise. A silent check proves nothing.
"""

from robustill.evaluation.checks.check import Check
from robustill.evaluation.checks.probes import square_probe, steps_sweep
from robustill.evaluation.checks.signs import check_model
from robustill.evaluation.checks.verdicts import check_verdicts, weak_evidence

__all__ = ["Check", "check_model", "check_verdicts", "square_probe", "steps_sweep", "weak_evidence"]
