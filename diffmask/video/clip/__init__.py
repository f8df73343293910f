"""A file of video, and what tables say of it.

clip         the record of a clip, its statuses, and the error for one that cannot be read
frames       folders of images that are clips
find         files that folders, globs and names stand for; clips or texts
join_tables  captions, labels and splits from tables
manifests    rows of tables, and of lists without a header
names        what tables call clips, and which clips are meant
"""
