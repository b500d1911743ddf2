"""Everything the service can refuse, one class per thing the caller should do. The status table is in `web/errors.py`."""

from __future__ import annotations


class ServiceError(Exception):
    """Anything the service can explain to the one who asked. The class name gives the error code."""


class ConfigError(ServiceError):
    """The settings cannot be used as they stand."""


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


class ImageMissing(ServiceError):
    """The form has no file in the field `image`."""


class MalformedRequest(ServiceError):
    """The body is not what its Content-Type says."""


class BodyTooLarge(ServiceError):
    """The body is larger than the service reads."""


class NotSignedIn(ServiceError):
    """The request needs a session."""


class WrongPassword(ServiceError):
    """Name and password do not belong together."""


class NameTaken(ServiceError):
    """Another user has this name."""


class InvalidName(ServiceError):
    """The name of a new user breaks a rule."""


class WeakPassword(ServiceError):
    """The password of a new user breaks a rule."""


class ForeignOrigin(ServiceError):
    """A browser sent this on behalf of another site."""


class PredictionNotFound(ServiceError):
    """No such prediction is waiting to be saved by this user."""


class RunNotFound(ServiceError):
    """This user saved no such run."""


class ModelUnavailable(ServiceError):
    """The model is not loaded yet, or could not be loaded."""


class Overloaded(ServiceError):
    """More pictures are waiting than can be answered in time."""
