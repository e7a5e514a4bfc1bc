"""Roads as masks, as a graph, as lines, and as directions; none of it knows a network."""
