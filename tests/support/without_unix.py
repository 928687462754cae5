"""Runs the command line where nothing is to be had that Windows lacks: `without_unix.py check`.

What the standard library itself needs is imported first; it has ways of its own there. The names
are those that Python's documentation gives to Unix alone, but for `set_blocking`, which waitress
uses where `os.name` is `posix`.
"""

import asyncio  # noqa: F401
import logging.handlers  # noqa: F401
import multiprocessing  # noqa: F401
import os
import runpy
import select
import signal
import socket
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401
import time
import uuid  # noqa: F401
from pathlib import Path

ABSENT_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
ABSENT = {
    os: """
        O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NDELAY O_NOATIME O_NOCTTY O_NOFOLLOW
        O_NONBLOCK O_PATH O_RSYNC O_SYNC O_TMPFILE chown chroot confstr copy_file_range eventfd
        fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs getegid
        geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getresuid getsid getuid
        killpg lchown lockf memfd_create mkfifo mknod nice openpty pathconf pidfd_open pipe2
        posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev readv
        register_at_fork sched_getaffinity sched_yield sendfile setgid setpgid
        setpriority setsid setuid splice statvfs sync sysconf tcgetpgrp ttyname uname wait wait3
        wait4 waitid WIFEXITED WEXITSTATUS WIFSIGNALED WTERMSIG WNOHANG writev
    """,
    select: "EPOLLIN EPOLLOUT epoll poll POLLIN POLLOUT POLLPRI POLLERR POLLHUP POLLNVAL",
    signal: """
        SIGALRM SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGTTIN
        SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm getitimer pause
        pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait
        sigwaitinfo
    """,
    socket: "AF_UNIX CMSG_LEN MSG_DONTWAIT MSG_NOSIGNAL SO_REUSEPORT SO_PEERCRED sethostname",
    time: "clock_getres clock_gettime clock_gettime_ns clock_settime pthread_getcpuclockid tzset",
}


def main() -> None:
    """Take the names away, and run `app.py` as a program."""
    for name in ABSENT_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in ABSENT.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    root = Path(__file__).parent.parent.parent
    sys.path[0] = str(root)
    sys.argv[0] = str(root / "app.py")
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
