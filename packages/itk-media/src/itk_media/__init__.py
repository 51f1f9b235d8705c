"""Pictures, speech and video for InfiniteTalk: files in, files out."""
