"""The life of one execution in a worker, without I/O: see `redrive.worker.life.life`."""
