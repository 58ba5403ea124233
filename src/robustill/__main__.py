"""`python -m robustill`, which launchers such as `torchrun` need."""

from robustill.cli import main

# Processes that are spawned import this file again.
if __name__ == "__main__":
    main()
