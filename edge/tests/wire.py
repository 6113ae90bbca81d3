"""A wire to the project that can be pulled out, squeezed or cut while something travels on it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

# What is asked gets stuck; or it arrives and the answer is lost; or the answer comes in drops.
Way = Literal["whole", "hangs", "loses", "drips"]


class Wire:
    def __init__(self, project: str) -> None:
        self.way: Way = "whole"
        self.asked = b""
        self.port = 0
        self._to = int(project.rpartition(":")[2])
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def laid(self) -> Iterator["Wire"]:
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        yield self
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0, backlog=1000)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connect(self, here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answers, there = await asyncio.open_connection("127.0.0.1", self._to)
        ways = [
            asyncio.create_task(self._forth(here, there)),
            asyncio.create_task(self._back(answers, back)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (there, back):
                end.close()

    async def _forth(self, here: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while asked := await here.read(65536):
                self.asked += asked
                if self.way != "hangs":
                    there.write(asked)
                    await there.drain()

    async def _back(self, answers: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while answer := await answers.read(65536):
                if self.way == "loses":
                    return
                if self.way != "drips":
                    back.write(answer)
                    await back.drain()
                    continue
                for drop in answer:
                    back.write(bytes([drop]))
                    await back.drain()
                    await asyncio.sleep(0.1)
