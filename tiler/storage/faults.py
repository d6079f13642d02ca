"""The errors of a store's backend, translated to this project's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from tiler.errors import Changed, MissingObject, StoreError
from tiler.storage import access
from tiler.storage.folder import ALLOW_WRITING, forbidden

READ, LOOK = "read", "look for"  # verbs for which "not found" means a missing object


@contextmanager
def translated(verb: str, key: str) -> Iterator[None]:
    """Translate the backend's errors about `key`.

    Raises:
        MissingObject: there is no such object to read.
        Changed: the object is not the one that a put names.
        StoreError: any other fault.
    """
    try:
        yield
    except (AlreadyExistsError, PreconditionError) as error:
        raise Changed(key) from error
    except FileNotFoundError as error:
        if verb in (READ, LOOK):
            raise MissingObject(key) from error
        raise StoreError(verb, key, first_line(error)) from error
    except (BaseError, OSError, ValueError, NotImplementedError) as error:
        cure = f"; {ALLOW_WRITING}" if forbidden(error) and verb not in (READ, LOOK) else ""
        raise StoreError(verb, key, f"{first_line(error)}{cure}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # obstore's, of a range beyond an object's end
            raise
        raise StoreError(verb, key, first_line(error)) from error


def first_line(error: BaseException) -> str:
    """The message of an error without the debug output that follows it, with the code of an S3 answer and its cure."""
    text = str(error) or type(error).__name__
    match = re.search(r"<Code>(\w+)</Code>", text)
    code = match[1] if match else ""
    line = text.partition("\n")[0].partition("<?xml")[0].rstrip(": ") + (f" ({code})" if code else "")
    if code in access.EXPIRED:
        return f"{line}: {access.RENEW}"
    if code in access.ELSEWHERE or "incorrectly configured region" in line:
        region = re.search(r"<Region>([\w-]+)</Region>", text)
        return f"{line}: set AWS_REGION to {region[1] if region else 'the region of the bucket'}"
    return line
