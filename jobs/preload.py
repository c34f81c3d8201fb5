"""What every job needs and takes seconds to load: imported once by the server that jobs are forked from.

Nothing here starts a thread, which a fork would lose. jax does, so jobs that use it load it themselves.
"""

import scipy.stats
import torch
import torch._dynamo  # which any optimiser of torch loads, in seconds

import jobs.isolation
import methods.torch_engine
import methods.torch_network

__all__ = ["jobs", "methods", "scipy", "torch"]
