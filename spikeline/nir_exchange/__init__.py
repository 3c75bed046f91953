"""NIR, the exchange format of spiking networks (Pedersen et al. 2024): graphs to models and back.

NIR speaks of continuous time; a model has a tick. Over a tick of dt a leak of time constant tau keeps d and takes in g of its
drive R I: `exact` (the solution for a constant drive) d = exp(-dt / tau), g = 1 - d; `euler` d = 1 - dt / tau, g = dt / tau.
"""
