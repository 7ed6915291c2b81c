#pragma once
// Digests of text. Pure.

#include <array>
#include <string>
#include <string_view>

namespace culvert::tls {

// For the one place that still asks for SHA-1: the handshake of WebSocket (RFC 6455), where it secures nothing. Its 20 bytes; none where OpenSSL
// does not do SHA-1 any more.
std::string sha1(std::string_view text);

std::array<unsigned char, 32> sha256(std::string_view text);

}  // namespace culvert::tls
