"""Arguments that a function does not have, in errors that name the closest it has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from plait.errors import ArgumentTypeError, did_you_mean

_OF_THE_OPTIMIZER = ("lr", "learning_rate")

Method = TypeVar("Method", bound=Callable[..., Any])


def mismatch(
    who: str, signature: inspect.Signature, kwargs: Mapping[str, Any], error: TypeError
) -> ArgumentTypeError:
    """Return the error for arguments that do not bind to a signature.

    Args:
        who: the name of what was called.
        signature: what it takes.
        kwargs: the keyword arguments it was given.
        error: what Python said.
    """
    unknown = [name for name in kwargs if name not in signature.parameters]
    hint = did_you_mean(unknown[0], signature.parameters) if unknown else ""
    if unknown and unknown[0] in _OF_THE_OPTIMIZER:
        hint = " It is an argument of the optimizer: plait.optimizers.Adam(learning_rate=0.001)."
    return ArgumentTypeError(f"{who}: {error}.{hint}", fix=f"{who}{shown(signature)}")


def shown(signature: inspect.Signature) -> str:
    """Return a method's signature without `self` and types."""
    bare = inspect.Parameter.empty
    parameters = [
        parameter.replace(annotation=bare)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(signature.replace(parameters=parameters, return_annotation=bare))


def checked_arguments(method: Method) -> Method:
    """Decorate a method so that arguments it does not have are named as plait's errors do."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # from within the method
        try:
            signature.bind(self, *args, **kwargs)
        except TypeError as error:
            who = type(self).__name__ if method.__name__ == "__init__" else method.__name__
            raise mismatch(who, signature, kwargs, error) from None

    return cast(Method, checked)
