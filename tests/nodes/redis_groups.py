"""Several Valkeys that stand in for each other: a master, its replica and Sentinels; or a cluster. All on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import redis
from redis.crc import key_slot

from mundap.embedded.valkey import program

_SLOTS = 16384
_START_SECONDS = 10.0
_OPTIONS = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"}


class Group(ABC):
    """Servers that are started together; `environment` has Mundap use them."""

    environment: Mapping[str, str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kill_all()

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def kill_master(self, key: str) -> None:
        """Kill the server that has this key."""

    def _launch(self, port: int, options: Mapping[str, str], *arguments: str) -> None:
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._processes[port] = subprocess.Popen(
            [str(program()), *arguments, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _kill(self, port: int) -> None:
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def _kill_all(self) -> None:
        for port in list(self._processes):
            self._kill(port)


class Watched(Group):
    """A master and its replica, watched by three Sentinels; the one that is asked first says nothing at all."""

    def _start(self) -> None:
        self.master, self.replica, *sentinels = _free_ports(5)
        self._launch(self.master, _OPTIONS | self._place(self.master))
        of = {"replicaof": f"127.0.0.1 {self.master}"}
        self._launch(self.replica, _OPTIONS | self._place(self.replica) | of)
        _wait_for(lambda: _info(self.replica, "replication")["master_link_status"] == "up")
        for port in sentinels:
            self._launch(port, {}, self._sentinel_file(port, sentinels), "--sentinel")
        for port in sentinels:
            _wait_for(lambda port=port: _info(port, "sentinel")["master0"]["sentinels"] == 3)
        os.kill(self._processes[sentinels[0]].pid, signal.SIGSTOP)
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        self.url = f"redis+sentinel://{hosts}/chats/0"
        self.environment = {"REDIS_URL": self.url}

    def kill_master(self, key: str) -> None:
        self._kill(self.master)

    def _place(self, port: int) -> dict[str, str]:
        folder = self.folder / str(port)
        folder.mkdir()
        return {"port": str(port), "dir": str(folder)}

    def _sentinel_file(self, port: int, sentinels: list[int]) -> str:
        """Return the file of a Sentinel that knows the others already: to meet them would take it seconds."""
        file = self.folder / f"{port}.conf"
        others = (f"127.0.0.1 {other} {_id(other)}" for other in sentinels if other != port)
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel myid {_id(port)}",
            f"sentinel monitor chats 127.0.0.1 {self.master} 2",
            "sentinel down-after-milliseconds chats 400",
            "sentinel failover-timeout chats 2000",
            f"sentinel known-replica chats 127.0.0.1 {self.replica}",
            *(f"sentinel known-sentinel chats {other}" for other in others),
        ]
        file.write_text("\n".join(lines) + "\n")
        return str(file)


class Cluster(Group):
    """Three masters, each with a replica that takes its place."""

    def _start(self) -> None:
        ports = _free_ports(6)
        self.masters, self.replicas = ports[:3], ports[3:]
        for port in ports:
            folder = self.folder / str(port)
            folder.mkdir()
            (folder / "nodes.conf").write_text(self._nodes(port))
            options = {"port": str(port), "dir": str(folder), "cluster-enabled": "yes"}
            more = {"cluster-config-file": "nodes.conf", "cluster-node-timeout": "600"}
            # The port of the bus is the port and 10,000, unless it is named.
            bus = {"cluster-port": str(_bus(port))}
            self._launch(port, _OPTIONS | options | more | bus)
        for port in ports:
            _wait_for(lambda port=port: self._is_sound(port))
        for port in self.replicas:
            _wait_for(lambda port=port: _info(port, "replication")["master_link_status"] == "up")
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.masters)
        self.environment = {"MUNDAP_CACHE_REDIS_URL": f"redis+cluster://{hosts}"}

    def kill_master(self, key: str) -> None:
        self._kill(self.masters[key_slot(key.encode()) * 3 // _SLOTS])

    def _is_sound(self, port: int) -> bool:
        with _client(port) as client:
            return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")

    def _nodes(self, of: int) -> str:
        """Return what the node knows of all from the start: to meet would take them seconds."""
        bounds = [-(-_SLOTS * place // 3) for place in range(4)]
        lines = []
        for place, port in enumerate(self.masters):
            slots = f"{bounds[place]}-{bounds[place + 1] - 1}"
            lines.append(self._node(port, of, "master", "-", f"{place + 1} connected {slots}"))
        for place, port in enumerate(self.replicas):
            master = _id(self.masters[place])
            lines.append(self._node(port, of, "slave", master, f"{place + 1} connected"))
        return "\n".join([*lines, "vars currentEpoch 3 lastVoteEpoch 0"]) + "\n"

    def _node(self, port: int, of: int, role: str, master: str, rest: str) -> str:
        flags = f"myself,{role}" if port == of else role
        return f"{_id(port)} 127.0.0.1:{port}@{_bus(port)} {flags} {master} 0 0 {rest}"


def _id(port: int) -> str:
    return f"{port:040x}"


def _bus(port: int) -> int:
    """Return the port of a node's bus; `_free_ports` has taken care that it is free."""
    return port + 1


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, and so is the next one of each."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            first = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port + 1)))
                ports.append(port)
        return ports


def _client(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=2, socket_connect_timeout=2)


def _info(port: int, section: str) -> Any:
    with _client(port) as client:
        return client.info(section)


def _wait_for(condition: Any) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError, KeyError):
            if condition():
                return
        if time.monotonic() > end:
            raise TimeoutError("the servers did not find each other")
        time.sleep(0.02)
