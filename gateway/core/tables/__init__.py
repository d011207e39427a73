"""Find and add rows of the state's tables. Kernels only.

Every hash table is chained: `head[hash]` is the first row, each row has the next. Names are compared in full."""
