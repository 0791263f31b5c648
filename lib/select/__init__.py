"""From verdicts to a training set, and the strength of its tests."""
