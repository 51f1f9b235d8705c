"""All that a person reads on the page."""

from __future__ import annotations

TITLE = "InfiniteTalk"
INTRODUCTION = "A picture or a video, speech, and what it should look like: the rest is optional."
SETTINGS = "Endpoint"
ENDPOINT_ID = "Endpoint ID"
API_KEY = "API key"
API_KEY_INFO = "Sent to the endpoint only, and forgotten with this page."
PORTRAIT = "Portrait"
DUB = "Video to dub"
SPEECH = "Speech"
SECOND_SPEECH = "Speech of a second person (optional)"
PROMPT = "What the video shows"
PROMPT_EXAMPLE = "A woman speaks to the camera in a sunny kitchen"
PRESET = "Preset"
PRESET_NONE = "none"
UNSAID = "not said"
SUBMIT = "Make the video"
CANCEL = "Cancel"
STAGE = "Progress"
SHARE = "Percent"
TROUBLE = "What went wrong"
VIDEO = "Video"
FILES = "Files"
DETAILS = "What made it"

GROUPS = {
    "people": "Who speaks",
    "picture": "Picture",
    "length": "Length",
    "sampling": "Sampling",
    "guidance": "Guidance",
    "speed": "Speed",
    "memory": "Memory of the GPU",
    "weights": "Weights",
}

ON_OFF = {UNSAID: None, "on": True, "off": False}

QUEUED = "waiting for a worker"
STARTING = "a worker took the job"
DONE = "done"
CANCELLING = "cancelling"
CANCELLED = "cancelled"
FAILED = "failed"
NO_PICTURE = "Give a portrait or a video."
NO_SPEECH = "Give speech: upload a recording or record one."
TWO_PICTURES = "Give a portrait or a video, not both."
TINY = "Made by the tiny model that comes with the project, not by InfiniteTalk-14B."
