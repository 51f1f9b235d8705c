"""Python SDK of InfiniteTalk endpoints: submit a job, follow it, fetch the video."""

from .async_client import AsyncClient, AsyncJob
from .client import Client
from .errors import (
    ApiError,
    AuthError,
    BadReplyError,
    ConfigError,
    ConnectionFailedError,
    DownloadError,
    EndpointProcessError,
    ItkError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobTimedOutError,
    NotFoundError,
    RateLimitedError,
    ResultExpiredError,
    ResultMissingError,
    ServerError,
    SubmitUnknownError,
    UploadRequiredError,
    ValidationError,
    WaitTimeoutError,
)
from .events import Event, Finished, Progressed, Queued, Started, StateSeen, Unreachable
from .job import Job
from .pacing import LOCAL_CADENCE, PAGE_CADENCE, SDK_CADENCE, Cadence, Clock, RetryPolicy
from .protocol import Health, JobState, JobStatus
from .results import Artifact, BatchResult, Result, SavedFiles
from .settings import Settings, find_settings
from .watch import Patience, Watch
from .words import event_words, stage_words

__all__ = [
    "LOCAL_CADENCE",
    "PAGE_CADENCE",
    "SDK_CADENCE",
    "ApiError",
    "Artifact",
    "AsyncClient",
    "AsyncJob",
    "AuthError",
    "BadReplyError",
    "BatchResult",
    "Cadence",
    "Client",
    "Clock",
    "ConfigError",
    "ConnectionFailedError",
    "DownloadError",
    "EndpointProcessError",
    "Event",
    "Finished",
    "Health",
    "ItkError",
    "Job",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "JobState",
    "JobStatus",
    "JobTimedOutError",
    "NotFoundError",
    "Patience",
    "Progressed",
    "Queued",
    "RateLimitedError",
    "Result",
    "ResultExpiredError",
    "ResultMissingError",
    "RetryPolicy",
    "SavedFiles",
    "ServerError",
    "Settings",
    "Started",
    "StateSeen",
    "SubmitUnknownError",
    "Unreachable",
    "UploadRequiredError",
    "ValidationError",
    "WaitTimeoutError",
    "Watch",
    "event_words",
    "find_settings",
    "stage_words",
]
