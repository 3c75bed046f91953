"""The columns of events as kernels declare them: what comes in may be read-only, what goes out is filled."""

INT64 = "Array(int64, 1, 'C', readonly=True)"
UINT32 = "Array(uint32, 1, 'C', readonly=True)"
EVENTS = f"{INT64}, {UINT32}, Array(float32, 1, 'C', readonly=True)"  # t_us, unit, value; the last is (0,) on spikes
OUT = "int64[::1], uint32[::1], float32[::1]"  # the same, to be filled
