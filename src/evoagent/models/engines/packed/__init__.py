"""Our own decoder for CPUs and single GPUs: what a request gets does not depend on its neighbours in the batch.

Start with `decoder`. `slots` hold the sequences in flight, `losses` and `sampling` read logits, `invariance` makes
kernels independent of the batch, `worker` and `tickets` put them behind a thread.
"""
