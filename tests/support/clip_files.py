"""Small clips on disk for whole runs: bright squares that move over noise, and an index of them."""

import av
import numpy as np

from diffmask.video.index import index_clips, write_index

SIDE, NUM_FRAMES = 64, 14


def draw_clip(path, seed, *, side=SIDE, num_frames=NUM_FRAMES, square=True):
    """Write a clip of a square that moves over dim noise, or of the noise alone."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 90, (side, side, 3), dtype=np.uint8)
    y, x = random.integers(0, side - 16, 2)
    dy, dx = random.integers(-2, 3, 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "qp": "10"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for _ in range(num_frames):
            picture = noise.copy()
            if square:
                picture[y : y + 16, x : x + 16] = (240, 200, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            y, x = np.clip((y + dy, x + dx), 0, side - 16)
        container.mux(stream.encode(None))
    return path


def clips_on_disk(folder, count=12, *, square=True):
    """Write clips and their index; return the index and the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [draw_clip(folder / f"clip-{number:02d}.mp4", number, square=square) for number in range(count)]
    clips = list(index_clips([folder]))
    assert [clip.status for clip in clips] == ["ok"] * count
    write_index(folder.parent / f"{folder.name}.parquet", clips)
    return folder.parent / f"{folder.name}.parquet", paths
