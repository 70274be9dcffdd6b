"""What every paradigm of the paper's ablation (2209.07526, section 4.3) may spend: what its decoupled recipe does.

That is pretrain_image.py (20 epochs of images) and pretrain_joint.py (10 epochs of images, and as many updates of
videos). An update has 2880 images or 768 clips of 8 frames, and costs 0.7209 or 1.3316 PFLOP (omnivl flops
pretrain_joint: 250.3 and 1733.8 GFLOP a sample, the momentum encoder's part included). Budget: 2.00e20 FLOP.

    paradigm                        image updates   images   video updates   clips   learning rate
    images alone                    277.3k          799M     -               -       3e-4
    videos alone                    -               -        150.1k          115M    3e-4
    both from the start             97.4k           281M     97.4k           75M     3e-4
    images, then videos             114.4k          330M     88.2k           68M     3e-4, then 8e-5
    images, then both (decoupled)   171.6k          494M     57.2k           44M     3e-4, then 8e-5

What starts from ViT and BERT has the first stage's learning rate and 20 steps down; what goes on from the first stage
has the second's and 10.
"""

image_epoch = 5721  # updates: 16.48M captions and labelled images
image_stage = 20 * image_epoch
joint_stage = 10 * image_epoch  # updates of each modality
image_cost, video_cost = 0.7209, 1.3316  # PFLOP of an update
budget = image_stage * image_cost + joint_stage * (image_cost + video_cost)
