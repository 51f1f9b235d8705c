"""Takes secrets out of what people and logs will read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN = "***"
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)([^\s\"'<>]+)", re.IGNORECASE)
_DATA = re.compile(
    r"\bdata:([\w.+-]+/[\w.+-]+)?[^,\s]{0,100},[A-Za-z0-9+/=_%-]{32,}", re.IGNORECASE
)
_BEARER = re.compile(r"\b(bearer)\s+[\w.~+/=-]+", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{200,}={0,2}")
_SECRET_NAMES = re.compile(r"(secret|password|passwd|token|api_?key|authorization)", re.IGNORECASE)


@frozen
class Redactor:
    """Hides known secrets, query strings, user names in URLs and inline files."""

    secrets: tuple[str, ...] = ()

    def text(self, text: str, *, limit: int = 4000) -> str:
        """`text` without secrets, with its middle cut out when longer than `limit`."""
        for secret in self.secrets:
            if len(secret) >= 4:
                text = text.replace(secret, HIDDEN)
        text = _DATA.sub(lambda match: f"data:{match[1] or ''},{HIDDEN}", text)
        text = _URL.sub(_without_query, text)
        text = _BEARER.sub(rf"\1 {HIDDEN}", text)
        text = _BASE64.sub(HIDDEN, text)
        if len(text) > limit:
            text = f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
        return text.encode("utf-8", "replace").decode("utf-8")

    def value(self, value: Any) -> Any:
        """A JSON-able copy of `value` with every string redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, tuple)):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return self.mapping(value)
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if value - value == 0 else str(value)  # NaN and infinity are not JSON
        return self.text(str(value))

    def mapping(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """`value` for mappings; entries whose name promises a secret are hidden whole."""
        return {
            str(name): HIDDEN if _SECRET_NAMES.search(str(name)) else self.value(value)
            for name, value in values.items()
        }


def _without_query(match: re.Match[str]) -> str:
    scheme, rest = match[1], match[2]
    address = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = address.partition("/")
    if "@" in host:
        host = f"{HIDDEN}@{host.rpartition('@')[2]}"
    return f"{scheme}{host}{slash}{path}" + (f"?{HIDDEN}" if len(address) < len(rest) else "")
