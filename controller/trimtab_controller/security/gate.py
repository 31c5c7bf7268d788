"""The one way in: every call of every service passes here, or is denied and remembered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from trimtab_controller.refusals import InvalidRequest, answering, answering_async
from trimtab_controller.security.callers import (
    Caller,
    Callers,
    Context,
    Denied,
    Forbidden,
    calling,
    permit,
)
from trimtab_controller.security.denials import Denial, Denials
from trimtab_controller.security.quotas import Quotas
from trimtab_controller.security.roles import RULES, Envelopes, Rule

SHOWN_SERVICE = 80

Handler = Any  # grpc.RpcMethodHandler, whose eight fields have no types
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]
Behaviour = Callable[[Any, Any], Any]

# What stands for a message that is none: gRPC itself would answer with the parser's words.
MALFORMED = object()

MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Gate(grpc.aio.ServerInterceptor):
    """Lets a call through when its caller is known, may do this, and does not do it too often.

    Without ``callers`` there is nobody to tell apart, and anybody may do anything in the table.
    """

    def __init__(
        self, callers: Callers | None, quotas: Quotas, denials: Denials, envelopes: Envelopes
    ) -> None:
        self.callers = callers
        self.quotas = quotas
        self.denials = denials
        self.envelopes = envelopes
        self._passages: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Put a passage before the method, or a refusal in its place."""
        method = handler_call_details.method
        if method not in self._passages:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None  # and nothing is kept: such names are the caller's to choose
            self._passages[method] = self._passage(method, handler)
        # What can be denied before anything is read is: a message costs memory to wait for.
        if self.callers and (rule := RULES.get(method)) and rule.role is not None:
            try:
                self.callers.by_token(handler_call_details.invocation_metadata)
            except Denied as error:
                return self._refusing(method, error)
        return self._passages[method]

    def _passage(self, method: str, handler: Handler) -> Handler:
        rule = RULES.get(method)
        if rule is None:
            return self._refusing(method, Forbidden("nobody may call this: no role's table has it"))
        return Passage(self, method, rule, handler).handler()

    def _refusing(self, method: str, error: Denied) -> Handler:
        async def refuse(_requests: object, context: Any) -> None:
            await self.refuse(error, method, context)

        return grpc.stream_unary_rpc_method_handler(refuse)

    async def refuse(self, error: Exception, method: str, context: Any) -> None:
        """Answer what raised ``error``; the disk is waited for beside the event loop."""
        await asyncio.to_thread(self.remember, error, method, context)
        async with answering_async(context):
            raise error

    def remember(self, error: Exception, method: str, context: Context) -> None:
        """Keep what was denied, once."""
        if isinstance(error, Denied) and not error.remembered:
            error.remembered = True
            service, peer = error.service[:SHOWN_SERVICE], _origin(context)
            self.denials.add(Denial(error.caller, peer, method, service, str(error)))


class Passage:
    """One method behind the gate. Streams must be coroutines, for each would keep a thread."""

    def __init__(self, gate: Gate, method: str, rule: Rule, handler: Handler) -> None:
        self._gate = gate
        self._method = method
        self._rule = rule
        self._handler = handler
        self._behave: Behaviour = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )

    def handler(self) -> Handler:
        """What serves the method instead."""
        given = self._handler
        make = MAKERS[given.request_streaming, given.response_streaming]
        return make(self._answer(), self._message, given.response_serializer)

    def _answer(self) -> Behaviour:
        if inspect.isasyncgenfunction(self._behave):
            return self._stream
        coroutine = inspect.iscoroutinefunction(self._behave)
        return self._coroutine if coroutine else self._function

    def _message(self, raw: bytes) -> Any:
        try:
            return self._handler.request_deserializer(raw)
        except DecodeError:
            return MALFORMED

    def _function(self, request: Any, context: Any) -> Any:
        try:
            caller = self._enter(context)
            return self._shown(caller, self._behave(self._permitted(caller, request), context))
        except Exception as error:  # `answering` knows what each means
            self._gate.remember(error, self._method, context)
            with answering(context):
                raise error

    async def _coroutine(self, argument: Any, context: Any) -> Any:
        try:
            caller = self._enter(context)
            argument = self._argument(caller, argument, context)
            return self._shown(caller, await self._behave(argument, context))
        except Exception as error:  # as there
            await self._gate.refuse(error, self._method, context)

    async def _stream(self, argument: Any, context: Any) -> AsyncIterator[Any]:
        try:
            caller = self._enter(context)
            argument = self._argument(caller, argument, context)
            async with aclosing(self._behave(argument, context)) as replies:
                async for reply in replies:
                    self._check_unchanged(caller, context)
                    shown = self._shown(caller, reply)
                    if shown is not None:
                        yield shown
        except Exception as error:  # as there
            await self._gate.refuse(error, self._method, context)

    def _argument(self, caller: Caller | None, argument: Any, context: Any) -> Any:
        """What the method is given: its request, or its stream of them; streams are counted."""
        given = self._handler
        if caller and (given.request_streaming or given.response_streaming):
            context.add_done_callback(self._gate.quotas.open_stream(caller.name))
        if given.request_streaming:
            return self._each(caller, argument, context)
        return self._permitted(caller, argument)

    async def _each(
        self, caller: Caller | None, requests: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        async for request in requests:
            try:
                self._check_unchanged(caller, context)
                if caller:
                    self._gate.quotas.spend(caller.name)
                permitted = self._permitted(caller, request)
            except Denied as error:  # whoever reads the stream may answer it themselves
                await asyncio.to_thread(self._gate.remember, error, self._method, context)
                raise
            yield permitted

    def _check_unchanged(self, caller: Caller | None, context: Context) -> None:
        """Streams outlive tokens: `Denied` as soon as theirs is revoked or has expired."""
        if caller and self._gate.callers and self._gate.callers.identify(context) != caller:
            raise Forbidden("what you may do has changed: call again", caller.name)

    def _enter(self, context: Context) -> Caller | None:
        """Who calls, for us and for whoever answers; ``None`` where that is nobody's business."""
        caller = self._identified(context)
        # Every call sets it: what was set in a thread before never outlives this.
        calling.set(caller)
        return caller

    def _identified(self, context: Context) -> Caller | None:
        gate = self._gate
        if gate.callers is None:
            return None
        if self._rule.role is None:
            gate.quotas.spend(_origin(context))
            return None
        caller = gate.callers.identify(context)
        gate.quotas.spend(caller.name)
        return caller

    def _permitted(self, caller: Caller | None, request: Any) -> Any:
        """The request, signed by who is known to send it. Raises `Denied` or `InvalidRequest`."""
        if request is MALFORMED:
            raise InvalidRequest("message", f"is not one that {self._method} takes")
        if caller:
            permit(caller, self._rule, request, self._rule.subject(request, self._gate.envelopes))
            if "who" in request.DESCRIPTOR.fields_by_name:
                request.who = caller.name
        return request

    def _shown(self, caller: Caller | None, reply: Any) -> Any:
        return self._rule.within(reply, caller.covers) if caller and caller.services else reply


def _origin(context: Context) -> str:
    """The caller's address, without the port, which is another one each time."""
    return context.peer().rpartition(":")[0]
