"""Draws that are a function of key and step: SplitMix64 in Python's integers is the oracle."""

import torch

from robustill.attacks.draws import uniform

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mixed(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_numbers_are_those_of_splitmix64() -> None:
    keys, steps = [0, 1, 2**61 + 12345], [0, 4999, 7]
    found = uniform(torch.tensor(keys), torch.tensor(steps), 5)
    for row, (key, step) in enumerate(zip(keys, steps, strict=True)):
        start = mixed(key ^ mixed((step + GOLDEN) & MASK))
        expected = [(mixed((start + j * GOLDEN) & MASK) >> 11) * 2.0**-53 for j in range(1, 6)]
        assert found[row].tolist() == expected


def test_numbers_are_uniform_and_unrelated() -> None:
    keys, steps = torch.arange(200).repeat(50), torch.arange(50).repeat_interleave(200)
    found = uniform(keys, steps, 4)
    assert found.min() >= 0
    assert found.max() < 1
    shares = torch.histc(found.float(), bins=10, min=0, max=1) / found.numel()
    assert (shares - 0.1).abs().max() < 0.01
    assert (
        torch.corrcoef(torch.cat([found.T, keys[None].double(), steps[None].double()])).fill_diagonal_(0).abs().max()
        < 0.03
    )
    assert found.unique().numel() == found.numel()


def test_a_row_draws_the_same_in_any_company() -> None:
    whole = uniform(torch.tensor([5, 6, 7]), torch.tensor([1, 2, 3]), 6)
    assert torch.equal(uniform(torch.tensor([6]), torch.tensor([2]), 6), whole[1:2])
    assert torch.equal(uniform(torch.tensor([6]), torch.tensor([2]), 3), whole[1:2, :3])
