"""A server that sends one answer to anything: what the load generator itself can do at most.

It reads no HTTP: each piece that arrives counts as one request, which holds for the generator's
requests. Run with the port; it ends when it is told to.
"""

import selectors
import socket
import sys

BODY = b'{"method":"dial","params":{"to":"12025550111","caller_id_number":"12025550199"}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


def serve(port: int) -> None:
    """Answer until the process is ended."""
    with selectors.DefaultSelector() as waiting, socket.create_server(("127.0.0.1", port)) as door:
        waiting.register(door, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is door:
                    waiting.register(door.accept()[0], selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    if key.fileobj.recv(65_536):
                        key.fileobj.sendall(ANSWER)
                    else:
                        waiting.unregister(key.fileobj)
                        key.fileobj.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
