"""OpenSSL's libssl.so.3, which ships with the system: its functions for Python, and by name for compiled code.

Compiled code is linked to these names when it is loaded, with or without TLS. Where the library is missing they stand
for a function that ends the process: nothing calls them, since no session with `tls:` is served then.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint, c_uint64, c_ulong, c_void_p
from typing import Any

from llvmlite import binding

NAMES = (  # of compiled code
    *("SSL_read", "SSL_write", "SSL_get_error", "SSL_has_pending", "SSL_get_shutdown", "ERR_clear_error"),
)

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "TLS_server_method": (c_void_p, []),
    "TLS_client_method": (c_void_p, []),
    "SSL_CTX_new": (c_void_p, [c_void_p]),
    "SSL_CTX_free": (None, [c_void_p]),
    "SSL_CTX_ctrl": (c_long, [c_void_p, c_int, c_long, c_void_p]),
    "SSL_CTX_set_options": (c_uint64, [c_void_p, c_uint64]),
    "SSL_CTX_set_num_tickets": (c_int, [c_void_p, c_size_t]),
    "SSL_CTX_set_cipher_list": (c_int, [c_void_p, c_char_p]),
    "SSL_CTX_use_certificate_chain_file": (c_int, [c_void_p, c_char_p]),
    "SSL_CTX_use_PrivateKey_file": (c_int, [c_void_p, c_char_p, c_int]),
    "SSL_CTX_load_verify_locations": (c_int, [c_void_p, c_char_p, c_char_p]),
    "SSL_CTX_set_verify": (None, [c_void_p, c_int, c_void_p]),
    "SSL_load_client_CA_file": (c_void_p, [c_char_p]),
    "SSL_CTX_set_client_CA_list": (None, [c_void_p, c_void_p]),
    "SSL_new": (c_void_p, [c_void_p]),
    "SSL_free": (None, [c_void_p]),
    "SSL_ctrl": (c_long, [c_void_p, c_int, c_long, c_char_p]),
    "SSL_set_fd": (c_int, [c_void_p, c_int]),
    "SSL_set1_host": (c_int, [c_void_p, c_char_p]),
    "SSL_set_hostflags": (None, [c_void_p, c_uint]),
    "SSL_set_accept_state": (None, [c_void_p]),
    "SSL_set_connect_state": (None, [c_void_p]),
    "SSL_do_handshake": (c_int, [c_void_p]),
    "SSL_get_error": (c_int, [c_void_p, c_int]),
    "SSL_get_verify_result": (c_long, [c_void_p]),
    "SSL_read": (c_int, [c_void_p, c_void_p, c_int]),
    "SSL_write": (c_int, [c_void_p, c_void_p, c_int]),
    "SSL_has_pending": (c_int, [c_void_p]),
    "SSL_get_shutdown": (c_int, [c_void_p]),
    "SSL_shutdown": (c_int, [c_void_p]),
    "ERR_clear_error": (None, []),
    "ERR_get_error": (c_ulong, []),
    "ERR_reason_error_string": (c_char_p, [c_ulong]),
    "X509_verify_cert_error_string": (c_char_p, [c_long]),
}


def _load() -> ctypes.CDLL | None:
    """The library, which brings libcrypto with it; None where there is none."""
    try:
        library = ctypes.CDLL("libssl.so.3")
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library


library = _load()

for _name in NAMES:
    _function = getattr(library, _name) if library is not None else ctypes.CDLL(None).abort
    binding.add_symbol(_name, ctypes.cast(_function, c_void_p).value)
