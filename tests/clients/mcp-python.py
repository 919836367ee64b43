"""python mcp-python.py [URL TOOL RUN TO]...: clients on `mcp`, as its users write them, all at once.

`count` is called up to TO; after `subscribe` a client listens until resource run://RUN/end has changed. The mode is
`legacy`: at first the SDK would speak the version of 2026-07-28, in which nothing is resumed.
"""

import json
import logging
import sys

import anyio
import mcp_types as types
from mcp import Client


async def main(url, tool, run, to, say):
    listened = anyio.Event()

    async def on_message(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            say(updated=str(message.params.uri))
            if str(message.params.uri).endswith("/end"):
                listened.set()

    async def on_progress(progress, total, message):
        say(progress=message)

    async with Client(url, mode="legacy", message_handler=on_message) as client:
        say(connected=client.session.protocol_version)
        try:
            result = await client.call_tool(tool, {"run": run, "to": int(to)}, progress_callback=on_progress)
        except Exception as error:
            return say(error=repr(error))
        say(result=result.content[0].text)
        if tool == "subscribe":
            await listened.wait()
        await client.send_ping()
        say(pong=True)


async def one(url, tool, run, to):
    def say(**line):
        print(json.dumps({"run": run, **line}), flush=True)

    try:
        await main(url, tool, run, to, say)
    finally:
        say(over=True)


async def all_of(parameters):
    async with anyio.create_task_group() as clients:
        for i in range(0, len(parameters), 4):
            clients.start_soon(one, *parameters[i : i + 4])


logging.basicConfig(level=logging.INFO)
anyio.run(all_of, sys.argv[1:])
