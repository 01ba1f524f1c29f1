"""A process that uses the embedded server of the folder given, until its standard input ends.

Prints the server's URL when it has it. ``close`` on standard input stops the use; ``closed`` is the answer.
"""

import sys

from lash_core.redis_store.embedded import ensure_embedded
from lash_core.settings import EmbeddedSettings


def main() -> None:
    server = ensure_embedded(EmbeddedSettings(data_dir=sys.argv[1]))
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if line.strip() == "close":
            server.close()
            sys.stdout.write("closed\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
