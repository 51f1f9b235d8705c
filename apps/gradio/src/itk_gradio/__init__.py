"""The browser app of InfiniteTalk."""
