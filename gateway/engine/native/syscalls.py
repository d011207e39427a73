"""System calls on sockets from compiled code, without the GIL. Kernels only."""

from __future__ import annotations

from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from gateway.engine.native import libssl
from gateway.jit import kernel

AGAIN = 11  # EAGAIN of Linux
MODIFY = 3  # EPOLL_CTL_MOD
DO_NOT_WAIT, NO_SIGNAL = 0x40, 0x4000  # MSG_DONTWAIT, MSG_NOSIGNAL

WANT_READ, WANT_WRITE = 2, 3  # SSL_ERROR_* of ssl.h
RECEIVED_SHUTDOWN = 2
assert libssl.NAMES  # compiled code is linked to them

_recv = types.ExternalFunction("recv", types.intp(types.int32, types.voidptr, types.uintp, types.int32))
_send = types.ExternalFunction("send", types.intp(types.int32, types.voidptr, types.uintp, types.int32))
_epoll_wait = types.ExternalFunction("epoll_wait", types.int32(types.int32, types.voidptr, types.int32, types.int32))
_epoll_ctl = types.ExternalFunction("epoll_ctl", types.int32(types.int32, types.int32, types.int32, types.voidptr))
_ssl_read = types.ExternalFunction("SSL_read", types.int32(types.intp, types.voidptr, types.int32))
_ssl_write = types.ExternalFunction("SSL_write", types.int32(types.intp, types.voidptr, types.int32))
_ssl_get_error = types.ExternalFunction("SSL_get_error", types.int32(types.intp, types.int32))
_ssl_has_pending = types.ExternalFunction("SSL_has_pending", types.int32(types.intp))
_ssl_get_shutdown = types.ExternalFunction("SSL_get_shutdown", types.int32(types.intp))
_err_clear_error = types.ExternalFunction("ERR_clear_error", types.void())
_errno_location = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())


@intrinsic
def word_at(typingctx, address):
    """The int64 at an address, loaded at once and before anything that follows."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], word.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), codegen


@kernel
def errno():
    """Why the last call failed."""
    return int(carray(_errno_location(), 1)[0])


@kernel
def _ssl_result(ssl, result):
    """Of SSL_read or SSL_write: bytes, -EAGAIN, or 0 when the connection is gone."""
    if result > 0:
        return int(result)
    error = _ssl_get_error(ssl, result)
    return -AGAIN if error in (WANT_READ, WANT_WRITE) else 0


@kernel
def _receive_secure(ssl, buf, start, end):
    """What has come in TLS: all that OpenSSL has read from the socket, since no wait would tell of that again."""
    at = start
    while at < end:
        _err_clear_error()
        got = _ssl_result(ssl, _ssl_read(ssl, buf[at:end].ctypes, end - at))
        if got <= 0:
            return at - start if at > start else got
        at += got
        if _ssl_has_pending(ssl) == 0:
            break
    return at - start


@kernel
def receive_bytes(fd, ssl, buf, start, end):
    """Read what has come into `buf` from `start`, at most to `end`: bytes, 0 when the peer has closed, or -errno.

    `ssl`: address of OpenSSL's SSL of the connection, 0 without TLS. With it OpenSSL may have more where `buf` was
    filled to the end.
    """
    if ssl != 0:
        return _receive_secure(ssl, buf, start, end)
    got = _recv(fd, buf[start:end].ctypes, end - start, DO_NOT_WAIT)
    return got if got >= 0 else -errno()


@kernel
def has_ended(ssl):
    """Whether the peer has ended TLS, of which no wait tells while it leaves the connection open."""
    return _ssl_get_shutdown(ssl) & RECEIVED_SHUTDOWN != 0


@kernel
def send_bytes(fd, ssl, buf, start, end):
    """Send `buf` from `start` to `end`, as far as the socket takes it: bytes, or -errno; 0: the connection is gone."""
    if ssl != 0:
        _err_clear_error()
        return _ssl_result(ssl, _ssl_write(ssl, buf[start:end].ctypes, end - start))
    sent = _send(fd, buf[start:end].ctypes, end - start, DO_NOT_WAIT | NO_SIGNAL)
    return sent if sent >= 0 else -errno()


@kernel
def wait_for_sockets(epoll, events, most, timeout_ms):
    """epoll_wait(2) into `events`: how many sockets have something, or -errno."""
    count = _epoll_wait(epoll, events.ctypes, most, timeout_ms)
    return count if count >= 0 else -errno()


@kernel
def change_interest(epoll, fd, interest):
    """Wait for other things of a socket: `interest` is a struct epoll_event."""
    _epoll_ctl(epoll, MODIFY, fd, interest.ctypes)
