#pragma once
// SHA-1, for the one place that still asks for it: the handshake of WebSocket (RFC 6455), where it secures nothing. Pure.

#include <string>
#include <string_view>

namespace culvert::tls {

// Its 20 bytes; none where OpenSSL does not do SHA-1 any more.
std::string sha1(std::string_view text);

}  // namespace culvert::tls
