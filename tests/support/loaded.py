"""Imported once by the server that forks runs (tests.support.service): the gateway's modules, with kernels loaded."""

from gateway.warmup import warm_up
from tests.support import service as service  # what a run needs is imported before it is forked

warm_up("small")
