"""Which teacher will help: entropy on what the student cannot learn, gates before it, and how to test the ranking."""

from robustill.diagnostics.ranking.gates import Gates
from robustill.diagnostics.ranking.rank import rank_teachers
from robustill.diagnostics.ranking.report import CRITERIA, Ranking, TeacherReport
from robustill.diagnostics.ranking.spearman import partial_spearman, permutation_p, spearman
from robustill.diagnostics.ranking.surfaces import SURFACES
from robustill.diagnostics.ranking.validate import RankingValidation, validate_ranking

__all__ = [
    "CRITERIA",
    "SURFACES",
    "Gates",
    "Ranking",
    "RankingValidation",
    "TeacherReport",
    "partial_spearman",
    "permutation_p",
    "rank_teachers",
    "spearman",
    "validate_ranking",
]
