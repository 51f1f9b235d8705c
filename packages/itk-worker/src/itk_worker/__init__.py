"""The Runpod Serverless worker of InfiniteTalk."""
