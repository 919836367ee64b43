"""The same MCP server as mcp_typescript.cjs, on the Python SDK: see there for routes and tools."""

import asyncio
import socket
from collections import defaultdict

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.responses import JSONResponse
from starlette.routing import Route


class Run:
    def __init__(self):
        self.tally = {"started": 0, "finished": 0, "cancelled": 0}
        self.sessions = []
        self.steps = asyncio.Semaphore(0)
        self.over = asyncio.Event()

    def count(self, what):
        self.tally[what] += 1
        if what != "started":
            self.over.set()


runs = defaultdict(Run)


async def count(name, to, session):
    run = runs[name]
    run.count("started")
    try:
        for i in range(1, to + 1):
            await run.steps.acquire()
            await session.report_progress(i, message=f"{name} {i}")
        await run.steps.acquire()
    except BaseException:
        run.count("cancelled")
        raise
    run.count("finished")
    return f"{name} counted to {to}"


async def list_tools(context, params):
    tools = [types.Tool(name=name, input_schema={"type": "object"}) for name in ("count", "subscribe")]
    return types.ListToolsResult(tools=tools)


async def call_tool(context, params):
    name = params.arguments["run"]
    if params.name == "count":
        text = await count(name, params.arguments["to"], context.session)
    else:
        runs[name].sessions.append(context.session)
        text = "subscribed"
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


async def step(request):
    run = runs[request.query_params["run"]]
    for _ in range(int(request.query_params.get("times", 1))):
        run.steps.release()
    return JSONResponse(run.tally)


async def announce(request):
    name, text = request.query_params["run"], request.query_params["text"]
    for session in runs[name].sessions:
        await session.send_resource_updated(f"run://{name}/{text}")
    return JSONResponse(runs[name].tally)


async def tally(request):
    return JSONResponse(runs[request.query_params["run"]].tally)


async def finished(request):
    await runs[request.query_params["run"]].over.wait()
    return await tally(request)


app = Server("counter", version="1.0.0", on_list_tools=list_tools, on_call_tool=call_tool).streamable_http_app(
    custom_starlette_routes=[
        Route("/step", step, methods=["POST"]),
        Route("/announce", announce, methods=["POST"]),
        Route("/tally", tally),
        Route("/finished", finished),
    ]
)
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
