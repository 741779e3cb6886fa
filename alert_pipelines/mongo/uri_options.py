"""Checks the options of MONGODB_URI: the driver ignores options that it does not know or cannot read.

With `tls=yes`, for example, it would send the password unencrypted.
"""

import re

from pymongo.common import URI_OPTIONS_VALIDATOR_MAP
from pymongo.errors import ConfigurationError
from pymongo.uri_parser import parse_uri, split_options

from alert_pipelines.spelling import did_you_mean

_COMPRESSORS = ("snappy", "zlib", "zstd")
_READ_CONCERNS = ("available", "linearizable", "local", "majority", "snapshot")
# The driver takes any text for these; the server, or nobody, would look at it later.
_KNOWN_VALUES = {"compressors": _COMPRESSORS, "readconcernlevel": _READ_CONCERNS}
_REPEATABLE = "readpreferencetags"


def check_options(uri: str) -> None:
    """Check each option of `uri`. Raises pymongo.errors.ConfigurationError, which names every invalid one.

    Raises InvalidURI if the address before the options cannot be read: an unescaped character of the password may have
    split it, and what looks like options may be part of the password.
    """
    address, _, query = uri.partition("?")
    # As mongodb:// whatever its scheme is, so that no name is looked up for it.
    parse_uri(f"mongodb://{address.partition('://')[2]}")
    options = [option.partition("=") for option in re.split("[&;]", query) if option]
    faults = [f"{name} is not valid: {fault}" for name, _, value in options if (fault := _fault(name, value))]
    names = [name.lower() for name, _, _ in options]
    twice = sorted({name for name in names if names.count(name) > 1 and name != _REPEATABLE})
    faults += [f"{name} is given more than once" for name in twice]
    if faults and "@" in query:
        faults = ["an option is not valid, or an unescaped ? in the password looks like the start of the options"]
    if faults:
        raise ConfigurationError(f"{'; '.join(faults)}. Correct the options, or leave them out.")


def _fault(name: str, value: str) -> str:
    lower = name.lower()
    if lower not in URI_OPTIONS_VALIDATOR_MAP:
        return f"unknown option; {did_you_mean(name, URI_OPTIONS_VALIDATOR_MAP)}"
    if known := _KNOWN_VALUES.get(lower):
        odd = [one for one in value.split(",") if one not in known]
        return f"expected {' or '.join(known)}; got {', '.join(odd)}" if odd else ""
    try:
        split_options(f"{name}={value}", validate=True, warn=False)
    except (ValueError, TypeError, ConfigurationError) as error:
        return str(error)
    return ""
