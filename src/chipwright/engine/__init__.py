"""Time: the training loop and what belongs to it. Sees the Task interface, never a model type."""
