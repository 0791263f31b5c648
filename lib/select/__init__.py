"""From verdicts to a training set, and what its tests are worth."""
