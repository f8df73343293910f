"""Probing files, and the index of clips.

probe            probes files in processes of their own, several at once
probe_process    the program of such a process, with a fork for each file
examine          what is in a file, and which reader reads it correctly
compare_readers  whether a reader gives the right frames
index            the index on disk: made, updated, read and counted
"""
