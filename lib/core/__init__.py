"""What every other folder builds on: records, the graph of stages, models, statistics, figures."""
