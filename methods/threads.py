"""How threads wait for each other. Imported before anything that starts them."""

import os

# OpenMP threads spin at the end of each parallel loop by default. On cores that other work wants too, a spinning thread
# keeps the one it waits for from running: a training of 3 s then takes minutes. Sleeping instead costs nothing measurable.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
