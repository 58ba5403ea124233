"""Charts as SVG: for the report's page and for notebooks, in colours that the place around them decides."""
