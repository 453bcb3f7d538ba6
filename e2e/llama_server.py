"""llama.cpp's own HTTP server, as the package xllamacpp brings it, with one model: FILE PORT KEY."""

import signal
import sys

import xllamacpp

file, port, key = sys.argv[1:]
wanted = xllamacpp.CommonParams()
wanted.model.path, wanted.model_alias = file, {"tiny"}
wanted.hostnames, wanted.port, wanted.api_keys = ["127.0.0.1"], int(port), [key]
wanted.n_ctx, wanted.n_parallel = 4096, 2
wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
wanted.offline, wanted.ui, wanted.use_jinja = True, False, True
server = xllamacpp.Server(wanted)
print(server.listening_address, flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
