"""Every message that the gateway writes. Kernels only.

Fields of our own come first, in ascending order of tag; fields carried over from the message in hand follow in its
order. `buf` is always the buffer of the event in hand, read through the index."""
