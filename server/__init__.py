import os

# Before NumPy is loaded. OpenBLAS ends its threads when the process forks, and a product in another thread then waits
# for them for ever: Smart Turn's did, beside PostgreSQL's start. One thread needs none, and takes no core from a lane.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
