"""Hold an embedded server as a process of its own: `embedded_holder.py DATA|- [UID]`.

Says where the server is in a line of JSON, then obeys one command a line: fork, spawn, stop, exit.
"""

import json
import os
import subprocess
import sys
import threading

from oban_sync import embedded


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def fork():
    """Fork a child that never ends and, like many servers' workers, uses the parent's objects."""
    child = os.fork()
    if child == 0:
        threading.Event().wait()
    return child


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def main():
    data = None if sys.argv[1] == "-" else sys.argv[1]
    if sys.argv[2:]:
        become(int(sys.argv[2]))
    server = embedded.start(data)
    say(directory=str(server.directory), dsn=server.dsn(), postmaster=server.pid)
    for line in sys.stdin:
        command = line.strip()
        if command == "fork":
            say(child=fork())
        elif command == "spawn":
            say(child=subprocess.Popen(["sleep", "1000"]).pid)
        elif command == "stop":
            server.stop()
            say(stopped=True)
        elif command == "exit":
            return


main()
