"""The two errors of this room: something is wrong with the data, or the data is not there."""


class DataError(ValueError):
    """A file, an array or an argument is not what it should be; the message says what to do."""


class DatasetNotFoundError(DataError):
    """No folder holds the data set; the message lists every place and how to get the files."""
