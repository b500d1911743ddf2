"""Everything the service can refuse, one class per thing the caller should do. The status table is in `web/errors.py`."""

from __future__ import annotations


class ServiceError(Exception):
    """Anything the service can explain to the one who asked. The class name gives the error code."""


class ConfigError(ServiceError):
    """The settings cannot be used as they stand."""


class Busy(ServiceError):
    """Not now: the same request may succeed in `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadImage(ServiceError):
    """The bytes are no picture that can be read."""


class EmptyImage(BadImage):
    """There are no bytes at all."""


class TruncatedImage(BadImage):
    """The picture ends before its last row."""


class TooManyPixels(BadImage):
    """The header announces more pixels than the service decodes."""


class TooNarrow(BadImage):
    """The picture is a line: scaled to what the model takes, it would be huge."""


class DecodingTooSlow(BadImage):
    """The picture takes longer to decode than the service gives it."""


class DecodingTooLarge(BadImage):
    """The picture takes more memory to decode than the service gives it."""


class ImageMissing(ServiceError):
    """The form has no file in the field `image`."""


class TooManyImages(ServiceError):
    """More pictures in one request than the service takes."""


class MalformedRequest(ServiceError):
    """The body, the query or a header is not what it has to be."""


class BodyTooLarge(ServiceError):
    """The body is larger than the service reads."""


class NotSignedIn(ServiceError):
    """The request needs a session or an API token."""


class WrongPassword(ServiceError):
    """Name and password do not belong together."""


class NotAllowed(ServiceError):
    """The user's role does not cover this."""


class ScopeMissing(ServiceError):
    """The API token was not made for this."""


class ForeignOrigin(ServiceError):
    """A browser sent this on behalf of another site."""


class SignUpClosed(ServiceError):
    """Only admins make accounts here."""


class SetUpTokenUsed(ServiceError):
    """The one-time token for the first admin is wrong, used or too old."""


class NameTaken(ServiceError):
    """Another user has this name."""


class InvalidName(ServiceError):
    """The name of a new user breaks a rule."""


class WeakPassword(ServiceError):
    """The password of a new user breaks a rule."""


class LastAdmin(ServiceError):
    """Without this admin there would be none."""


class UserNotFound(ServiceError):
    """There is no such user."""


class TokenNotFound(ServiceError):
    """This user has no such API token."""


class PredictionNotFound(ServiceError):
    """No such prediction is waiting to be saved by this user."""


class RunNotFound(ServiceError):
    """This user saved no such run."""


class UnknownLabel(ServiceError):
    """The model has no such label."""


class KeyReused(ServiceError):
    """The idempotency key was used for another request."""


class TooManyRuns(ServiceError):
    """The user keeps as many runs, or as many bytes of pictures, as one may."""


class ModelUnavailable(Busy):
    """The model is not loaded yet, or could not be loaded."""


class Overloaded(Busy):
    """More pictures are waiting than can be answered in time."""


class RateExceeded(Busy):
    """This user or address asks for more than its share."""


class TooManyAttempts(Busy):
    """Too many wrong passwords for this name or from this address."""


class StorageUnavailable(Busy):
    """The store does not answer."""
