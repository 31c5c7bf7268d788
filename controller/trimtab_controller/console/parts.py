"""The few elements that the page is made of: plain tags, which need no template compiler.

NiceGUI's own components with templates would need `unsafe-eval` in the content security policy;
tags do not. What does not change is not sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui.elements.mixins.text_element import TextElement

from trimtab_controller.protocols import Clock

# An armed button forgets after this long.
ARMED_S = 8.0

Action = Callable[[], Awaitable[None]]


class Tag(TextElement):
    """An element of any name, with a text; ``attributes`` as in HTML, without trailing `_`."""

    def __init__(self, name: str, classes: str = "", text: str = "", **attributes: Any) -> None:
        super().__init__(tag=name, text=text)
        self.classes(classes)
        for key, value in attributes.items():
            self._props[key.rstrip("_").replace("_", "-")] = value

    def say(self, text: str) -> None:
        """Show another text."""
        self.text = text

    def show(self, shown: object) -> None:
        """Be there, or not."""
        self.set_visibility(bool(shown))

    def dress(self, classes: str) -> None:
        """Look otherwise."""
        self.classes(replace=classes if self.visible else f"{classes} hidden")

    def put(self, **attributes: Any) -> None:
        """Change attributes; ``None`` takes one away."""
        for key, value in attributes.items():
            name = key.rstrip("_").replace("_", "-")
            if self._props.get(name) != value:
                self._props.set_optional(name, value)


class Button(Tag):
    """Does something when it is pressed."""

    def __init__(self, text: str, action: Action, classes: str = "", **attributes: Any) -> None:
        super().__init__("button", classes, text, type="button", **attributes)
        self.on("click", action, args=[])

    def allow(self, allowed: bool) -> None:
        """Can be pressed, or cannot."""
        self.put(disabled=None if allowed else True)


class Deliberate:
    """Two buttons in one place, for what takes two deliberate actions: ``first`` arms, then
    ``second`` does it, unless `Cancel` is pressed or it is left alone for a while.
    """

    def __init__(
        self, first: str, second: str, action: Action, clock: Clock, classes: str = ""
    ) -> None:
        self._action = action
        self._clock = clock
        self._until_s = 0.0
        with Tag("span", "deliberate") as self.place:
            self.first = Button(first, self.arm, classes)
            self.second = Button(second, self._act, f"{classes} armed")
            self._cancel = Button("Cancel", self.disarm, "plain")
        self._show(False)

    @property
    def armed(self) -> bool:
        """Whether the next press does it."""
        return self._clock() < self._until_s

    async def arm(self) -> None:
        """Ask again."""
        self._until_s = self._clock() + ARMED_S
        self._show(True)

    async def disarm(self) -> None:
        """Forget it."""
        self._until_s = 0.0
        self._show(False)

    async def press(self) -> None:
        """As if whichever button is there was pressed."""
        await (self._act() if self.armed else self.arm())

    def draw(self) -> None:
        """Forget what was left alone."""
        self._show(self.armed)

    def allow(self, allowed: bool) -> None:
        """Can be used, or cannot."""
        self.first.allow(allowed)
        self.second.allow(allowed)

    async def _act(self) -> None:
        if self.armed:
            await self.disarm()
            await self._action()

    def _show(self, armed: bool) -> None:
        self.first.show(not armed)
        self.second.show(armed)
        self._cancel.show(armed)
