"""Where a decoder of words stands: what each number of its position (an int64 vector) means."""

WORD = 0  # number of the next word (or record) of the file, counted from the end of the header
EVENTS = 1  # events decoded so far
NEWEST_US = 2  # the greatest time of an event so far
BACKWARDS = 3  # events earlier than one before them
TRIGGERS = 4  # external trigger edges, skipped
INCOMPLETE = 5  # events whose time or address was not known yet: they stand before the first word that tells it
UNKNOWN = 6  # words of a type that the format does not define, skipped
FAULT_X = 7  # the event outside of the geometry at which decoding stopped: its column, or -1
FAULT_Y = 8
LOOPS_US = 9  # what the wraps of the time counter add up to
HIGH = 10  # the time counter's upper bits, as last read; -1: not yet
LOW = 11  # its lower bits, likewise
Y = 12  # the row of the events that follow; -1: not yet
BASE_X = 13  # the column of the vector that follows; -1: not yet
POLARITY = 14  # its polarity
IMU = 15  # words (or packets) of inertial data, skipped
FRAMES = 16  # words (or packets) of frames, skipped
SPECIAL = 17  # words of other kinds, skipped
CHANGES = 18  # changes of contrast, skipped where another stream of the file is read
EXPOSURES = 19  # threshold crossings, skipped likewise
PAYLOAD = 20  # bytes that events carry besides, skipped
RESETS = 21  # marks of a reset (of the state machine, or of the clock)
INVALID = 22  # events that the recording marks as invalid, skipped
LENGTH = 23

BEFORE_ALL_US = -(2**62)
