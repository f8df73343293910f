"""The modalities, one object each, named in `assemble.modality.MODALITIES`.

text         masked language models and their text
video        masked video and image models and their clips
video_text   models of both, and clips with captions or subtitles
"""
