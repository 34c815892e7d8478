"""Notes every signal that can be caught, one number a line; a value that came along after a space."""
import os
import signal
import sys
import threading  # noqa: F401  (imported here, so that nothing is imported while signals come)

SIGNALS = [number for number in range(1, 65) if number not in (9, 19, 32, 33)]
if "--values" in sys.argv:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    print("up", flush=True)
    while True:
        info = signal.sigwaitinfo(SIGNALS)
        print(info.si_signo, info.si_code == -1, flush=True)
else:
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.write(1, f"{number}\n".encode()))
    print("up", flush=True)
    while True:
        signal.pause()
