#pragma once
// TLS 1.3 without I/O: a Context holds who we are and whom we trust, a Session is one connection. protocols.md section 1.2.
//
// A Session belongs to one thread; a Context is made per worker and certificate, because OpenSSL locks what is shared.
//
//   auto session = context.mesh_client(expected);            // a first flight is in output() at once
//   send session.output() to the peer, session.sent(n)
//   session.feed(received);                                   // borrowed, see feed()
//   while ((io = session.read(buffer)).ok()) use(buffer.first(io.bytes));
//   session.write(headers, data);                             // more output()
//
// Output is one contiguous piece of memory from a free list per thread: a session with nothing to send and no half-received
// record holds no buffer.

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/net/io.h"
#include "common/tls/certificate.h"

struct ssl_st;
struct ssl_ctx_st;

namespace culvert::tls {

class Session {
 public:
  enum class State : std::uint8_t {
    kHandshake,  // feed() and send output() until it changes
    kEstablished,
    kClosed,  // the peer said close_notify: a clean end
    kFailed,  // error() says why; output() may hold an alert worth sending
  };

  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  State state() const;
  bool established() const { return state() == State::kEstablished; }
  const Error& error() const;  // only when kFailed (checked); reason kTlsFailure, names the identities when they are the cause

  // Gives ciphertext. The bytes are borrowed, not copied: they must stay where they are until read() has returned something
  // else than kOk (then everything is taken in), or keep() was called. Drives the handshake.
  void feed(std::span<const std::byte> ciphertext);
  // Copies what of the last feed() was not read yet, for a reader that stops in the middle.
  void keep();

  // Decrypted bytes of as many records as there are and fit. kWouldBlock: feed more. kEof: close_notify. kError: see error().
  // A connection that ends without kEof was cut: a reset, not an end. Reading may leave something to send in output() (the answer
  // to a KeyUpdate, an alert).
  net::Io read(std::span<std::byte> plaintext);

  // Encrypts all of it, as full records; only when established. The parts are written as if they were one, so that frame
  // header, HEADERS and DATA share records. Fails only when the session has failed.
  Status write(std::span<const std::byte> plaintext);
  Status write(std::initializer_list<std::span<const std::byte>> parts) { return write(std::span(parts.begin(), parts.size())); }
  Status write(std::span<const std::span<const std::byte>> parts);

  // Says close_notify. Nothing can be written afterwards.
  void close();

  // Ciphertext for the peer. Good until the next call of a non-const function.
  std::span<const std::byte> output() const;
  // `bytes` of output() have been sent.
  void sent(std::size_t bytes);
  // Memory of output() and of what was kept, used or not.
  std::size_t held() const;

  // Once established:
  const std::optional<Identity>& peer_identity() const;  // the first SPIFFE URI SAN of the verified certificate
  std::optional<Certificate> peer_certificate() const;
  std::string peer_chain_pem() const;  // what it has shown, leaf first; empty: nothing
  std::string_view alpn() const;       // "h2"
  std::string_view cipher() const;     // "TLS_AES_128_GCM_SHA256"
  std::string_view group() const;      // "X25519MLKEM768"

  struct Core;  // this folder's

 private:
  friend class Context;
  explicit Session(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

class Context {
 public:
  // For HBONE, both directions: our certificate, the roots that peers must chain to. ALPN h2, no SNI, no tickets.
  static Result<Context> mesh(const KeyPair& own, const Roots& roots);
  // A server (webhooks, tests). `alpn` in order of preference; empty: none. With `clients` it demands a certificate that chains to them.
  static Result<Context> server(const KeyPair& own, const std::vector<std::string>& alpn = {},
                                const std::optional<Roots>& clients = {});
  // The same, of one that asks for a certificate and takes any, or none: its owner judges peer_chain_pem() by himself. Their key the peer does have.
  static Result<Context> asking_server(const KeyPair& own, const std::vector<std::string>& alpn);
  // A client that verifies host names. `own` when the server wants a certificate.
  static Result<Context> client(const Roots& roots, std::optional<KeyPair> own = {}, const std::vector<std::string>& alpn = {});

  // Of a mesh context. The client accepts a server that has one of `expected`; the server accepts clients of its own trust domain.
  Session mesh_client(std::span<const Identity> expected) const;
  Session mesh_server() const;
  // Of the others. `host` is a DNS name (sent as SNI) or an IP address.
  Session accept() const;
  Session connect(std::string_view host) const;

  // Of the certificate given to mesh() or server().
  const std::optional<Identity>& identity() const;

  struct Core;  // this folder's

 private:
  explicit Context(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  std::shared_ptr<Core> core_;
};

}  // namespace culvert::tls
