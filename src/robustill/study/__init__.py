"""Studies: a grid of runs as content-addressed cells, each computed once, here or on a cluster, and their tables.

A cell is a run folder named by the hash of all that decides it. Nothing is remembered elsewhere: what there is to do
follows from the study file and from what lies in the folders.
"""

from robustill.study.cells import Cell, Cells
from robustill.study.files import load_study, parse_study
from robustill.study.run import Study, Way, open_study
from robustill.study.spread import paired, spread
from robustill.study.table import StudyTable

__all__ = ["Cell", "Cells", "Study", "StudyTable", "Way", "load_study", "open_study", "paired", "parse_study", "spread"]
