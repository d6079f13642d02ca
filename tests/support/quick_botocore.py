"""Sessions and clients of botocore in a quarter of their time: facts that never change are found out once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from botocore import hooks, httpsession, session


@functools.cache
def quicken() -> None:
    """Share data files, aliases of events and signatures of handlers among all sessions of this process."""
    session.create_loader = functools.cache(session.create_loader)  # each session would parse the same megabytes
    aliased: dict[str, str] = {}
    plain = hooks.EventAliaser.__init__

    def share(self: Any, event_emitter: Any, event_aliases: Any = None) -> None:
        plain(self, event_emitter, event_aliases)
        if self._event_aliases == hooks.EVENT_ALIASES:
            self._alias_name_cache = aliased

    hooks.EventAliaser.__init__ = share
    hooks.accepts_kwargs = _by_code(hooks.accepts_kwargs)
    httpsession.create_urllib3_context = functools.cache(httpsession.create_urllib3_context)


def forget() -> None:
    """Drop the TLS contexts: they remember the certificates that a test trusted."""
    httpsession.create_urllib3_context.cache_clear()


def _by_code(plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`plain`, called once for each code of a function; a function itself would keep its session alive."""
    known: dict[object, Any] = {}

    def found(function: Any) -> Any:
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if code is None:
            return plain(function)
        if code not in known:
            known[code] = plain(function)
        return known[code]

    return found
