"""What a training step costs, so that every paradigm gets what the decoupled recipe (both stages) spends.

Of a sample, in GFLOP, with the momentum encoder's part: omnivl flops projects/demo/configs/pretrain_joint.py. Batches
of pictures and of clips are of one size, so these are the shares of steps, too.
"""

image_cost, video_cost = 0.3391, 0.6385
