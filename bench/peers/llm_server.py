"""OpenAI-compatible chat endpoint over one llama.cpp model: the same language model for every peer in a comparison.

python bench/peers/llm_server.py MODEL.gguf PORT [THREADS]
"""

import os
import signal
import sys

# As in `pipeline.engines.llm.llama_api`: OpenMP reads it when it is loaded, and peers are to have the same.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import xllamacpp

MOST_TOKENS = 60


def main() -> None:
    """Command line: serves until it is told to end."""
    ending = {signal.SIGTERM, signal.SIGINT}
    # Before its threads begin, so that none of them gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.port = int(sys.argv[2])
    parameters.cpuparams.n_threads = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.n_predict = MOST_TOKENS
    parameters.sampling.temp = 0
    serving = xllamacpp.Server(parameters)
    print(serving.listening_address, flush=True)
    signal.sigwait(ending)


if __name__ == "__main__":
    main()
