"""What a thread and its worker say to each other, as loops that Numba compiles: see `crew`.

A mail is an array of whole numbers. The two of them that both threads look at lie a line of the
cache apart: STATE, of the calls that are handed over, and AWAKE, whether the worker looks at it.
"""

from tinygrad_fm.workers.instructions import instructions

words = instructions()
get, put, swap, call, let_run = words.get, words.put, words.swap, words.call, words.let_run

# Where things are in a mail; LET_RUN is the address of the system's function for that, or 0, and
# BEGUN the call that was begun last.
STATE, AWAKE, LET_RUN, COUNT, RESULT, BEGUN, LENGTH = 0, 8, 16, 17, 18, 19, 24
# the STATE
IDLE, HANDED, TAKEN, DONE = 0, 1, 2, 3
# the RESULT: a call that failed, one that returned False, neither; or they were taken back
FAILED, REFUSED, MADE, TAKEN_BACK = -1, 0, 1, 2

SPINS = 100  # looks in a row, before other threads are let run in between
PATIENCE = 1000  # times that they are: half a millisecond, or as long as they take


def pause(mail, times):
    """Wait a moment; let others run, if it was that often."""
    if times > SPINS and mail[LET_RUN]:
        let_run(mail[LET_RUN])


def make(mail, calls):
    """Calls, each of a function's address, how many words its arguments take, and these."""
    at = 0
    for i in range(mail[COUNT]):
        mail[BEGUN] = i
        result = call(calls[at], calls, at + 2)
        if result != MADE:
            return result
        at += 2 + calls[at + 1]
    return MADE


# ---- what is called ------------------------------------------------------------------------------


def serve(mail, calls):
    """The worker: make the calls that are handed over, until there are none for a while."""
    put(mail, AWAKE, 1)
    times = 0
    while times < SPINS + PATIENCE or look_again(mail):
        times += 1
        if swap(mail, STATE, HANDED, TAKEN):
            put(mail, RESULT, make(mail, calls))
            put(mail, STATE, DONE)
            times = 0
        pause(mail, times)


def look_again(mail):
    """Say that nobody looks any more, and then whether there are calls after all."""
    put(mail, AWAKE, 0)
    if get(mail, STATE) == HANDED:
        put(mail, AWAKE, 1)
        return True
    return False


def hand(mail, count):
    """So many calls, which are written; whether the worker is awake."""
    put(mail, COUNT, count)
    put(mail, STATE, HANDED)
    return get(mail, AWAKE) == 1


def collect(mail):
    """The RESULT: of calls that the worker has begun, or they are taken back."""
    if swap(mail, STATE, HANDED, IDLE) or get(mail, STATE) == IDLE:
        return TAKEN_BACK
    times = 0
    while get(mail, STATE) != DONE:
        times += 1
        pause(mail, times)
    put(mail, STATE, IDLE)
    return get(mail, RESULT)
