"""How good a map is: a predicted layer against a reference layer, pixels or objects."""
