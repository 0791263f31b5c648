"""Generation: one protocol for every engine, and a cache that stores each completion when it arrives."""

from lib.generate.engines import open_engine
from lib.generate.protocol import Engine, Request, complete, cost, fits
from lib.generate.replay import open_cache

__all__ = ["Engine", "Request", "complete", "cost", "fits", "open_cache", "open_engine"]
