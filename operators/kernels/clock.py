"""What the kernels of layers on a tick call things: the entries of their clock, and the arrays that they read."""

LAST, OPEN, UNSETTLED, STOP, CURSOR = 0, 1, 2, 3, 4  # the entries of `clock`: see operators.tick_layer.Law

READ_I8, READ_U4 = "Array(int64, 1, 'C', readonly=True)", "Array(uint32, 1, 'C', readonly=True)"
READ_F4, READ_F8 = "Array(float32, 1, 'C', readonly=True)", "Array(float64, 1, 'C', readonly=True)"
MATRIX = "Array(float32, 2, 'C', readonly=True)"
EVENTS = f"{READ_I8}, {READ_U4}, {READ_F4}"
