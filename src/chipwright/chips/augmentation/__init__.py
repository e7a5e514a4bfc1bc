"""Random changes to training samples, and the fixed crop of validation samples: geometry and light, any bands and depth."""
