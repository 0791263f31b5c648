"""Generation: one protocol for every engine, and a cache in which each completion is stored when it arrives."""

from lib.generate.protocol import Engine, Request, complete, cost, open_cache, open_engine

__all__ = ["Engine", "Request", "complete", "cost", "open_cache", "open_engine"]
