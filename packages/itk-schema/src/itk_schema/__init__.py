"""The job contract of InfiniteTalk on Runpod Serverless."""
