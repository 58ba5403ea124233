"""PeerAiD: adversarial distillation from a specialised peer tutor.

Paper: Jung, Jang, Song, Lee, "PeerAiD: Improving Adversarial Distillation from a Specialized Peer Tutor", CVPR 2024,
    arXiv 2403.06668.
Inner: KL(P(x) || S(x'))
Outer: lam1 CE(S(x'), y) + lam2 t^2 KL(sg P(x'; t) || S(x'; t)) + lam3 t^2 KL(S(x; t) || S(x'; t)) + gamma1 CE(P(x'), y)
    + gamma2 tp^2 KL(S(x'; tp) || P(x'; tp))
Variants: where sg stops the gradient; the peer's last term moves the student too, as released, unless
    detach_student_in_peer_loss.
State: the peer, with an optimizer and a schedule of its own (training.guides.peer)
Differs: the released KL averages over classes too: the defaults are its CIFAR-10 weights over 10. It runs S(x') twice,
    which moves batch norm twice (bn_compat). Its weight average estimates batch norm with a graph.
Settings: CIFAR-10 as the defaults; CIFAR-100 gamma2, lam2 and lam3 0.01; eps 8/255, step 2/255, 10 steps, Gaussian
    start; peer and student SGD 0.1, weight decay 2e-4, batch 128, 300 epochs, x0.1 after 214, 259 and 284
    epochs; SWA of the student from the first drop. A peer is of no use against its own adversary: never judge it by
    that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective, correct, eval_mode, stays_correct
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss


class PeerAiD(AdversarialMethod):
    """Student and peer learn together; the peer sees only the student's adversarial examples.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        peer: Trained network that guides it; published with the student's architecture.
        gamma1: Weight of the peer's labels.
        gamma2: Weight of the peer's imitation of the student.
        lam1: Weight of the student's labels.
        lam2: Weight of the student's imitation of the peer.
        lam3: Weight of the student's agreement with itself on x; nothing is detached in it.
        temperature: The student's.
        peer_temperature: The peer's.
        detach_student_in_peer_loss: Keep the peer's loss from moving the student; off, as released.
        bn_compat: Run the student on x' twice, as released: the same loss, two moves of its batch norm.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, peer = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = PeerAiD(student, peer, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['peer', 'peer_right_adv', 'student']
    """

    fresh = ("peer",)

    def __init__(
        self,
        student: nn.Module,
        peer: nn.Module,
        *,
        gamma1: float = 1.0,
        gamma2: float = 0.01,
        lam1: float = 0.0,
        lam2: float = 0.1,
        lam3: float = 0.1,
        temperature: float = 5.0,
        peer_temperature: float = 1.0,
        detach_student_in_peer_loss: bool = False,
        bn_compat: bool = False,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.peer, self.attack = student, peer, attack
        self.gamma1, self.gamma2, self.lam1, self.lam2, self.lam3 = gamma1, gamma2, lam1, lam2, lam3
        self.temperature, self.peer_temperature = temperature, peer_temperature
        self.detach_student_in_peer_loss, self.bn_compat = detach_student_in_peer_loss, bn_compat

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        with torch.no_grad():
            target = self.peer(x)
        return lambda x_adv: kl_div(self.student(x_adv), target)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        t, tp = self.temperature, self.peer_temperature
        peer, adv = self.peer(x_adv), self.student(x_adv)
        copied = adv.detach() if self.detach_student_in_peer_loss else adv
        if self.bn_compat:
            adv = self.student(x_adv)
        nat = self.student(x)
        peer_loss = self.gamma1 * cross_entropy(peer, y)
        peer_loss = peer_loss + self.gamma2 * tp**2 * kl_div(peer, copied, temperature=tp)
        student_loss = self.lam1 * cross_entropy(adv, y)
        student_loss = student_loss + self.lam2 * t**2 * kl_div(adv, peer.detach(), temperature=t)
        student_loss = student_loss + self.lam3 * t**2 * kl_div(adv, nat, temperature=t)
        right = (peer.argmax(1) == y).to(x.dtype)
        return Loss(student_loss + peer_loss, {"student": student_loss, "peer": peer_loss, "peer_right_adv": right})

    def probe(self, x: Tensor, y: Tensor, attack: PGD, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the peer's verdicts on clean images, on its own and on the student's adversarial examples."""
        with eval_mode(self):
            x_adv = attack(lambda points: cross_entropy(self.student(points), y), x, generator=generator)
        return {
            "peer_clean": correct(self.peer, x, y),
            "peer_on_its_own": stays_correct(self.peer, x, y, attack, generator=generator),
            "peer_on_the_students": correct(self.peer, x_adv, y),
        }
