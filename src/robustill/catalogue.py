"""What `robustill list` shows besides methods."""

from __future__ import annotations

import tomllib


def models() -> list[tuple[str, str]]:
    """Return trained models that come with robustill, and architectures with their parameter counts."""
    import torch

    from robustill.models import MODELS, build_model

    rows = trained()
    with torch.device("meta"):
        for name in MODELS:
            shape = (1, 28, 28) if name.startswith("cnn") else (3, 32, 32)
            count = sum(p.numel() for p in build_model(name, num_classes=10, shape=shape).parameters())
            rows.append((name, f"{count:,} parameters at {'x'.join(map(str, shape))}, 10 classes"))
    return rows


def trained() -> list[tuple[str, str]]:
    """Return the trained models that come with robustill, with what their cards say in short."""
    from robustill.shipped import shipped_models

    found = []
    for name, path in shipped_models().items():
        # The line below the card's heading.
        about = path.with_suffix(".md").read_text(encoding="utf-8").splitlines()[2]
        found.append((f"robustill:{name}", about))
    return found


def data_sets() -> list[tuple[str, str]]:
    """Return the data sets known by name, and the further forms of a name."""
    from robustill.data.known import CIFAR10, CIFAR100, FASHION_MNIST, MNIST, TINY_IMAGENET

    return [
        ("digits", "images of 1x8x8 in 10 classes, embedded: nothing to get"),
        *(
            (known.name, f"images of {'x'.join(map(str, known.shape))}, in a folder (--root) or hf-hub:{known.hub}")
            for known in (FASHION_MNIST, MNIST, CIFAR10, CIFAR100, TINY_IMAGENET)
        ),
        ("PATH", "a class-per-folder tree of images, or an .npz with x_train, y_train, x_test, y_test"),
        ("hf-disk:PATH", "a Hugging Face data set saved to disk (extra hub)"),
        ("hf-hub:ID", "a Hugging Face data set by id (extra hub, network)"),
    ]


def recipes() -> list[tuple[str, str]]:
    """Return the shipped recipes with their titles."""
    from robustill.recipe import shipped_recipes

    found = {name: tomllib.loads(path.read_text(encoding="utf-8")) for name, path in shipped_recipes().items()}
    return [(name, tree.get("title", "")) for name, tree in found.items()]
