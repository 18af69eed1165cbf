#!/usr/bin/env python3
"""A stand-in for llama-server, and for llama-fit-params: a real process on a real socket.

    llama_server.py [BEHAVIOUR...] -- [THE ENGINE'S OWN ARGUMENTS...]

`Plan` in engine.py lists the behaviour flags. Of the engine's arguments only the socket, model,
alias, slots, context and devices count; the others are accepted unread. `GET /fake` tells tests
what happened. One thread, one selector and only cheap modules: it starts in about 40 ms.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.fakes import engine
from tests.fakes.engine import Ask, Plan, Refused, Shape, encode, option

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def die(plan: Plan, how: str) -> None:
    """Say the last words and die by a signal, leaving no core file behind."""
    os.write(2, (plan.say and plan.say + "\n").encode())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), getattr(signal, "SIG" + how.removeprefix("SIG")))


class Loop:
    """A selector and a heap of timers; a wait ends on a whole millisecond, so timers bunch."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0

    def at(self, when: float, call: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.timers, (when, self.count, call))

    def run(self) -> None:
        timers = self.timers
        while True:
            wait = max(0.0, timers[0][0] - time.monotonic()) if timers else None
            for key, mask in self.selector.select(wait):
                key.data(mask)
            now = time.monotonic()
            due = []
            while timers and timers[0][0] <= now:
                due.append(heapq.heappop(timers)[2])
            for call in due:
                call()


class Connection:
    """One client: at most 100 requests, in order."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server, self.socket, self.selector = server, sock, server.loop.selector
        self.received, self.pending = bytearray(), bytearray()
        self.job: Job | None = None
        self.closing = self.ending = self.closed = False
        self.served = 0
        sock.setblocking(False)
        self.selector.register(sock, READ, self.on_event)

    def on_event(self, mask: int) -> None:
        if mask & WRITE:
            data, self.pending = self.pending, bytearray()
            self.selector.modify(self.socket, READ, self.on_event)
            self.send(data)
        if mask & READ and not self.closed:
            try:
                data = bytearray(self.socket.recv(1 << 20))
            except OSError:
                data = bytearray()
            self.received += data
            if data:
                self.advance()
            else:
                self.close()

    def advance(self) -> None:
        """Take up the next whole request, unless one is being answered."""
        end = self.received.find(b"\r\n\r\n")
        if self.job or self.ending or end < 0:
            return
        first, *lines = self.received[:end].decode("latin-1").lower().split("\r\n")
        fields = dict(line.replace(" ", "").split(":", 1) for line in lines)
        stop = end + 4 + int(fields.get("content-length", 0))
        if len(self.received) >= stop:
            body = bytes(self.received[end + 4 : stop])
            del self.received[:stop]
            self.served += 1
            self.closing = self.served >= 100 or fields.get("connection") == "close"
            method, path = first.partition("?")[0].split(" ")[:2]
            self.server.answer(self, method, path, body)

    def head(self, status: int, fields: str) -> bytes:
        # an error announces a close but, as in the real one, the connection stays usable
        close = self.closing or status >= 400
        life = "Connection: close" if close else "Keep-Alive: timeout=5, max=100"
        return (
            f"HTTP/1.1 {status} {engine.REASONS[status]}\r\nServer: llama.cpp\r\n"
            f"Access-Control-Allow-Origin: \r\n{fields}\r\n{life}\r\n\r\n"
        ).encode()

    def reply(self, status: int, value: Any) -> None:
        body = encode(value).encode(errors="replace")
        kind = "Content-Type: application/json; charset=utf-8"
        self.job, self.ending = None, self.closing
        self.send(self.head(status, f"{kind}\r\nContent-Length: {len(body)}") + body)
        self.advance()

    def send(self, data: bytes | bytearray) -> None:
        """Send now, or keep what the client is too slow for: generation does not wait for it."""
        if self.pending or self.closed:
            self.pending += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self.pending += data[sent:]
            self.selector.modify(self.socket, READ | WRITE, self.on_event)
        elif self.ending:
            self.close()

    def end(self, data: bytes) -> None:
        """Send the last data and close."""
        self.ending, self.job = True, None
        self.send(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.selector.unregister(self.socket)
            self.socket.close()
            if self.job:
                self.job.cancel()


class Job:
    """One generation on its way through a slot."""

    def __init__(self, server: Server, connection: Connection, shape: Shape) -> None:
        self.server, self.connection, self.shape = server, connection, shape
        self.plan, self.loop, self.ask = server.plan, server.loop, shape.ask
        self.made, self.over, self.headed = 0, False, False

    def start(self) -> None:
        self.began = time.monotonic()
        self.due = self.began + max(self.plan.prefill, 0.001 * self.ask.progress)
        if self.ask.progress:
            self.loop.at(self.began, self.report)
        else:
            self.loop.at(self.due, self.step)

    def report(self) -> None:
        """Tell the prompt's progress, and again every 50 ms until the first token is due."""
        if self.over:
            return
        now = time.monotonic()
        total, passed, due = self.ask.prompt_tokens, now - self.began, self.due - self.began
        mark = {"total": total, "cache": 0, "processed": int(total * min(1.0, passed / due))}
        self.emit(self.shape.progress(mark | {"time_ms": int(passed * 1e3)}))
        if now < self.due:
            self.loop.at(min(now + 0.05, self.due), self.report)
        else:
            self.step()

    def emit(self, events: bytes) -> None:
        data = b"%x\r\n%b\r\n" % (len(events), events)
        if not self.headed:
            self.headed = True
            fields = "X-Accel-Buffering: no\r\nContent-Type: text/event-stream\r\n"
            data = self.connection.head(200, fields + "Transfer-Encoding: chunked") + data
        self.connection.send(data)

    def step(self) -> None:
        """The next token, or what the plan has in its place."""
        plan, made = self.plan, self.made
        if self.over or made == plan.stall_after:
            return
        if made == plan.crash_after:
            die(plan, plan.crash_signal)
        elif made == plan.error_after:
            self.finish(Refused(500, "server_error", "Compute error."))
        elif made == self.ask.count:
            self.finish()
        else:
            if self.ask.stream:
                token = self.shape.token(made)
                self.emit(token if made else self.shape.opening() + token)
            self.made += 1
            self.due += plan.interval
            self.loop.at(self.due, self.step)

    def finish(self, error: Refused | None = None) -> None:
        self.over, self.connection.job = True, None
        self.server.finished += error is None
        self.ask.seconds = (self.plan.prefill, time.monotonic() - self.began - self.plan.prefill)
        if error and not self.headed:
            self.connection.reply(500, error.body)
        elif self.ask.stream:
            for events in [engine.event(error.body)] if error else self.shape.last():
                self.emit(events)
            self.connection.end(b"0\r\n\r\n")
        else:
            self.connection.reply(200, self.shape.whole())
        self.server.release(self)

    def cancel(self) -> None:
        """The client left."""
        self.over = True
        self.server.cancelled += 1
        self.server.release(self)


class Server:
    """The engine: its life from loading to the end, its routes and its slots."""

    def __init__(self, plan: Plan, argv: list[str]) -> None:
        self.plan, self.argv, self.loop = plan, argv, Loop()
        self.script, self.formatted = engine.Script(plan), engine.Script(plan, plan.formatted)
        self.model = option(argv, "-m", "--model")
        self.aliases = sorted((option(argv, "-a", "--alias") or self.model).split(","))
        slots = int(option(argv, "-np", "--parallel") or -1)
        self.slots = slots if slots > 0 else 4
        context = int(option(argv, "-c", "--ctx-size") or 0) or engine.TRAINED_CONTEXT
        each = context if slots < 0 else math.ceil(context / slots / 256) * 256
        self.context = min(each, engine.TRAINED_CONTEXT)
        self.protocol = "LLAMA_SERVER_ROUTER_PORT" in os.environ and not plan.no_protocol
        self.ready = False
        self.active = self.cancelled = self.finished = 0
        self.waiting: deque[Job] = deque()
        self.requests: deque[tuple[str, Any]] = deque(maxlen=100)

    def run(self) -> None:
        """Listen first, then load, then serve until the end."""
        door = socket.socket(socket.AF_UNIX)
        try:
            door.bind(option(self.argv, "--host"))
        except OSError:
            sys.exit("couldn't bind HTTP server socket")
        door.listen(512)
        self.loop.selector.register(door, READ, lambda _: Connection(self, door.accept()[0]))
        if self.plan.ignore_term:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.plan.ignore_term or self.plan.never_ready:
            signal.alarm(120)  # should its test die, it ends by itself
        os.write(2, b"load_tensors: another line\n" * self.plan.chatty)
        self.began = time.monotonic()
        self.load()
        self.loop.run()

    def announce(self, state: str, payload: Any) -> None:
        if self.protocol:
            reported = encode({"state": state, "payload": payload})
            os.write(1, f"\ncmd_child_to_router:state:{reported}\n".encode())

    def load(self, passed: float = 0.0) -> None:
        """Tell the progress every 200 ms until loading has taken its time."""
        whole = self.plan.load or 0.001
        reported = {"stages": ["text_model"], "current": "text_model", "value": passed / whole}
        self.announce("loading", reported)
        then = min(passed + 0.2, whole)
        if passed == whole:
            self.loaded()
        elif not self.plan.never_ready:
            self.loop.at(self.began + then, lambda: self.load(then))

    def loaded(self) -> None:
        """The end of loading: one of the deaths, or ready."""
        plan, status = self.plan, self.plan.exit_on_load
        if plan.fail_first and not os.path.exists(plan.fail_first):
            os.close(os.open(plan.fail_first, os.O_CREAT))
            status = 1
        if status >= 0:
            os.write(2, (plan.say and plan.say + "\n").encode())
            sys.exit(status)
        if plan.illegal:
            die(plan, "SIGILL")
        self.ready = True
        if not plan.ignore_term:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: os._exit(0))
            if self.protocol:
                self.loop.selector.register(0, READ, self.hear)
        self.announce("ready", engine.about(self.aliases, self.context))
        if plan.crash_when_idle:
            self.await_trigger()

    def hear(self, _: int) -> None:
        output = os.read(0, 4096)
        if not output or b"cmd_router_to_child:exit" in output:
            os._exit(0 if output else 1)

    def await_trigger(self) -> None:
        path = self.plan.trigger
        if not path or os.path.exists(path):
            if path:
                os.unlink(path)
            die(self.plan, "SIGABRT")
        self.loop.at(time.monotonic() + 0.005, self.await_trigger)

    def record(self) -> dict[str, Any]:
        """What `GET /fake` tells; `cancelled` counts generations whose client left."""
        reported = {
            "active": self.active,
            "waiting": len(self.waiting),
            "cancelled": self.cancelled,
        }
        reported |= {"finished": self.finished, "pid": os.getpid()}
        paths, bodies = list(zip(*self.requests, strict=True)) or ((), ())
        return reported | {
            "requests": bodies,
            "paths": paths,
            "argv": self.argv,
            "env": [*os.environ],
        }

    def answer(self, connection: Connection, method: str, path: str, body: bytes) -> None:
        props = engine.props(self.aliases[0], self.model, self.slots, self.context)
        models = {"data": [engine.about(self.aliases, self.context)]}
        known = {"/health": {"status": "ok"}, "/props": props, "/v1/models": models}
        if path == "/fake":
            connection.reply(200, self.record())
        elif not self.ready:
            connection.reply(503, engine.LOADING)
        elif method == "post":
            self.post(connection, path, body)
        elif path in known:
            connection.reply(200, known[path])
        else:
            connection.reply(404, engine.UNKNOWN)

    def post(self, connection: Connection, path: str, body: bytes) -> None:
        try:
            given = json.loads(body)
            self.requests.append((path, given))
            if path in engine.SHAPES:
                self.generate(connection, path, given)
            elif path in engine.ANSWERS:
                connection.reply(200, engine.ANSWERS[path](given, self.aliases[0]))
            else:
                connection.reply(404, engine.UNKNOWN)
        except (AttributeError, LookupError, ValueError) as error:
            connection.reply(500, Refused(500, "server_error", str(error)).body)
        except Refused as error:
            connection.reply(error.status, error.body)

    def generate(self, connection: Connection, path: str, body: dict[str, Any]) -> None:
        script = self.formatted if "json_schema" in body else self.script
        ask = Ask(body, engine.prompt_of(path, body), script)
        engine.require_room(ask.prompt_tokens, self.context)
        shape = engine.SHAPES[path](ask, self.aliases[0], time.time())
        connection.job = job = Job(self, connection, shape)
        if self.active < self.slots:
            self.active += 1
            job.start()
        else:
            self.waiting.append(job)

    def release(self, job: Job) -> None:
        """Take the job out of its slot, or out of the queue for one."""
        if job in self.waiting:
            self.waiting.remove(job)
        elif self.waiting:
            self.waiting.popleft().start()
        else:
            self.active -= 1


def main(arguments: list[str]) -> None:
    cut = arguments.index("--") if "--" in arguments else -1
    argv = arguments[cut + 1 :]
    plan = engine.plan_for(arguments[: max(cut, 0)], option(argv, "-m", "--model"))
    if "--version" in argv:
        os.write(2, b"version: 0.5.0-dev (build 1, commit 0c1e570)\n")
    elif "--list-devices" in argv:
        os.write(1, engine.device_lines(plan).encode())
    elif "on" in (option(argv, "-fitp"), option(argv, "--fit-print")):
        os.write(1, engine.fit_lines(plan, argv).encode())
    else:
        Server(plan, argv).run()


if __name__ == "__main__":
    main(sys.argv[1:])
