"""Recipes: a validated TOML table tree; the only place that turns names into objects.

Unknown keys are errors that name the nearest known one; every run saves its resolved recipe.
"""

from robustill.recipe.files import find_recipe, load_recipe, parse_recipe, shipped_recipes
from robustill.recipe.recipe import Recipe

__all__ = ["Recipe", "find_recipe", "load_recipe", "parse_recipe", "shipped_recipes"]
