"""How long a run on video is and how many patches it masks, known before it starts."""

import math
import os

import numpy as np

from diffmask.assemble.training import check_training
from diffmask.assemble.video import video_recipe
from diffmask.config import VideoConfig
from diffmask.core.errors import InputError
from diffmask.pretrain.budget import Budget
from diffmask.pretrain.clips import read_split
from diffmask.video.model.load import load_video_model


def video_budget(config: VideoConfig, *, read_data: bool) -> Budget:
    """Return the length of a run; the patches of a clip are those of its model.

    Args:
        config: The run.
        read_data: Count the clips where the run counts epochs; otherwise the number of its steps stays unknown.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    training, data = config.training, config.data
    check_training(training)
    if training.steps == 0:
        raise InputError("training.steps=0 trains a head and nothing else, so there is no schedule; give at least 1")
    video_recipe(config.masking)  # says what cannot be
    grid = load_video_model(config.model, num_frames=data.num_frames, image_size=data.image_size).grid
    visits = training.batch_size * training.accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    num_steps = training.steps
    if num_steps is None and read_data:
        assert training.epochs is not None
        num_visits = len(read_split(config, progress=True)[0]) * data.clips_per_video
        # visits that do not fill a step are left out of an epoch, unless there are no more
        visits = min(visits, num_visits)
        num_steps = math.ceil(training.epochs * (num_visits // visits))
    return Budget(num_steps, visits * data.repeats, np.array([grid.num_positions]), False)
