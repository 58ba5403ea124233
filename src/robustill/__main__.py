"""`python -m robustill`, which launchers such as `torchrun` need."""

from robustill.cli import main

main()
