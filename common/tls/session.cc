#include "common/tls/session.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>

#include "common/base/address.h"
#include "common/base/check.h"
#include "common/base/secrets.h"
#include "common/tls/context.h"
#include "common/tls/output.h"
#include "common/tls/verify.h"

namespace culvert::tls {
namespace {

constexpr std::size_t kRecord = 16 * 1024;
// Header, content type, tag, and room to spare: what a record adds.
constexpr std::size_t kRecordOverhead = 5 + 1 + 16 + 10;
// AES-GCM wants new keys before 2^24.5 records (RFC 8446 section 5.5).
constexpr std::uint64_t kRecordsPerKey = std::uint64_t{1} << 23;

using SslPtr = Owned<SSL, SSL_free>;

// The newest reason on OpenSSL's queue, said as what the peer did when it was an alert.
std::string handshake_error() {
  const unsigned long code = ERR_peek_last_error();
  const int reason = ERR_GET_REASON(code);
  const std::string text = openssl_error();
  return reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256 ? "the peer refused: " + text : text;
}

}  // namespace

struct Session::Core {
  Core(std::shared_ptr<Context::Core> its_context, SSL* its_ssl);

  void advance();  // the handshake
  // Everything that was fed is read: asking OpenSSL would only make it say so, by way of its queue of errors.
  bool dry() const { return in.empty() && SSL_has_pending(ssl.get()) == 0; }
  void fail(std::string text);
  net::Io result_of(int returned);
  void write_records(std::span<const std::byte> bytes);
  void count_records(std::size_t bytes);

  std::shared_ptr<Context::Core> context;
  SslPtr ssl;
  Output out;
  std::span<const std::byte> in;  // what the BIO reads: borrowed, or `kept`
  std::vector<std::byte> kept;
  Demand demand;
  State state = State::kHandshake;
  std::optional<Error> error;
  std::uint64_t records = 0;  // under the present key
};

namespace {

int bio_read(BIO* bio, char* data, std::size_t size, std::size_t* taken) {
  auto& core = *static_cast<Session::Core*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *taken = std::min(size, core.in.size());
  if (*taken == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(data, core.in.data(), *taken);
  core.in = core.in.subspan(*taken);
  return 1;
}

int bio_write(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
  auto& core = *static_cast<Session::Core*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  core.out.append(std::as_bytes(std::span(data, size)));
  *written = size;
  return 1;
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

// Between OpenSSL and the caller's memory: no buffer of its own.
BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "culvert session");
    BIO_meth_set_read_ex(made, bio_read);
    BIO_meth_set_write_ex(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

}  // namespace

Session::Core::Core(std::shared_ptr<Context::Core> its_context, SSL* its_ssl) : context(std::move(its_context)), ssl(its_ssl) {
  BIO* bio = BIO_new(bio_method());
  CULVERT_CHECK(ssl && bio != nullptr);  // out of memory
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  attach(ssl.get(), &demand);
}

void Session::Core::fail(std::string text) {
  if (state == State::kFailed) return;
  state = State::kFailed;
  error = Error{std::move(text), Reason::kTlsFailure};
}

void Session::Core::advance() {
  ERR_clear_error();
  const int returned = SSL_do_handshake(ssl.get());
  if (returned == 1) {
    state = State::kEstablished;
    demand.expected = {};
    return;
  }
  if (SSL_get_error(ssl.get(), returned) == SSL_ERROR_WANT_READ) return;
  std::string reason = handshake_error();
  fail("TLS handshake: " + (demand.complaint.empty() ? std::move(reason) : std::move(demand.complaint)));
}

net::Io Session::Core::result_of(int returned) {
  switch (SSL_get_error(ssl.get(), returned)) {
    case SSL_ERROR_WANT_READ: return {.state = net::Io::kWouldBlock};
    case SSL_ERROR_ZERO_RETURN: state = State::kClosed; return {.state = net::Io::kEof};
    default: fail("TLS: " + handshake_error()); return {.state = net::Io::kError, .error = EPROTO};
  }
}

void Session::Core::count_records(std::size_t bytes) {
  records += 1 + bytes / kRecord;
  if (records < kRecordsPerKey) return;
  records = 0;
  SSL_key_update(ssl.get(), SSL_KEY_UPDATE_NOT_REQUESTED);  // goes out with the next record
}

void Session::Core::write_records(std::span<const std::byte> bytes) {
  while (!bytes.empty() && state == State::kEstablished) {
    std::size_t written = 0;
    const int returned = SSL_write_ex(ssl.get(), bytes.data(), bytes.size(), &written);
    if (returned != 1) {
      std::ignore = result_of(returned);
      if (state == State::kEstablished) fail("TLS: a write that waits");  // our BIO takes everything
      return;
    }
    count_records(written);
    bytes = bytes.subspan(written);
  }
}

Session::Session(std::unique_ptr<Core> core) : core_(std::move(core)) { core_->advance(); }
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Session::State Session::state() const { return core_->state; }
const Error& Session::error() const {
  CULVERT_CHECK(core_->error);
  return *core_->error;
}

void Session::feed(std::span<const std::byte> ciphertext) {
  Core& core = *core_;
  if (!core.in.empty()) {
    keep();
    core.kept.insert(core.kept.end(), ciphertext.begin(), ciphertext.end());
    core.in = core.kept;
  } else {
    core.in = ciphertext;
  }
  if (core.state == State::kHandshake) core.advance();
}

void Session::keep() {
  Core& core = *core_;
  std::vector<std::byte> rest(core.in.begin(), core.in.end());
  core.kept = std::move(rest);
  core.in = core.kept;
}

net::Io Session::read(std::span<std::byte> plaintext) {
  Core& core = *core_;
  if (core.state == State::kHandshake) return {.state = net::Io::kWouldBlock};
  if (core.state == State::kFailed) return {.state = net::Io::kError, .error = EPROTO};
  if (core.state == State::kClosed) return {.state = net::Io::kEof};
  if (core.dry()) return {.state = net::Io::kWouldBlock};
  ERR_clear_error();
  std::size_t total = 0;
  while (total < plaintext.size() && !core.dry()) {
    std::size_t got = 0;
    const int returned = SSL_read_ex(core.ssl.get(), plaintext.data() + total, plaintext.size() - total, &got);
    if (returned == 1) {
      total += got;
      continue;
    }
    const net::Io io = core.result_of(returned);
    if (total == 0) {
      if (core.in.empty()) core.kept = {};
      return io;
    }
    break;  // what failed fails again at the next call, after these bytes
  }
  if (core.in.empty()) core.kept = {};
  return {.bytes = total};
}

Status Session::write(std::span<const std::byte> plaintext) { return write(std::span(&plaintext, 1)); }

Status Session::write(std::span<const std::span<const std::byte>> parts) {
  Core& core = *core_;
  CULVERT_CHECK(core.state != State::kHandshake);
  std::size_t total = 0;
  for (const auto& part : parts) total += part.size();
  core.out.reserve(total + (total / kRecord + 2) * kRecordOverhead);
  ERR_clear_error();

  // Small parts are brought together until a record is full; long stretches of one part are sealed where they are.
  std::byte gathered[kRecord];
  std::size_t size = 0;
  for (auto part : parts) {
    while (!part.empty()) {
      if (size == 0 && part.size() >= kRecord) {
        const std::size_t whole = part.size() - part.size() % kRecord;
        core.write_records(part.first(whole));
        part = part.subspan(whole);
        continue;
      }
      const std::size_t taken = std::min(part.size(), kRecord - size);
      std::memcpy(gathered + size, part.data(), taken);
      size += taken;
      part = part.subspan(taken);
      if (size == kRecord) core.write_records({gathered, std::exchange(size, 0)});
    }
  }
  core.write_records({gathered, size});
  if ((SSL_get_options(core.ssl.get()) & SSL_OP_CLEANSE_PLAINTEXT) != 0) wipe(gathered);
  if (core.state == State::kEstablished) return {};
  if (core.state == State::kFailed) return std::unexpected(*core.error);
  return failure("TLS: the peer has closed the session", Reason::kTlsFailure);
}

void Session::close() {
  if (core_->state != State::kEstablished && core_->state != State::kClosed) return;
  ERR_clear_error();
  SSL_shutdown(core_->ssl.get());
  ERR_clear_error();
}

std::span<const std::byte> Session::output() const { return core_->out.bytes(); }
void Session::sent(std::size_t bytes) { core_->out.remove(bytes); }
std::size_t Session::held() const { return core_->out.capacity() + core_->kept.capacity(); }

const std::optional<Identity>& Session::peer_identity() const { return core_->demand.identity; }

std::optional<Certificate> Session::peer_certificate() const {
  X509Ptr certificate(SSL_get1_peer_certificate(core_->ssl.get()));
  if (!certificate) return std::nullopt;
  return wrap(std::move(certificate));
}

std::string Session::peer_chain_pem() const {
  const auto leaf = peer_certificate();
  if (!leaf) return {};
  std::string out = leaf->pem();
  const STACK_OF(X509)* rest = SSL_get_peer_cert_chain(core_->ssl.get());
  for (int i = SSL_is_server(core_->ssl.get()) != 0 ? 0 : 1; i < sk_X509_num(rest); ++i) {
    X509* const one = sk_X509_value(rest, i);
    if (X509_up_ref(one) == 1) out += wrap(X509Ptr(one)).pem();
  }
  return out;
}

std::string_view Session::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(core_->ssl.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string_view Session::cipher() const { return SSL_get_cipher_name(core_->ssl.get()); }

std::string_view Session::group() const {
  const char* name = SSL_get0_group_name(core_->ssl.get());
  return name == nullptr ? "" : name;
}

Session Context::mesh_client(std::span<const Identity> expected) const {
  CULVERT_CHECK(core_->mesh);
  auto core = std::make_unique<Session::Core>(core_, SSL_new(core_->client.get()));
  core->demand.kind = Demand::Kind::kExpected;
  core->demand.expected.assign(expected.begin(), expected.end());
  SSL_set_connect_state(core->ssl.get());
  return Session(std::move(core));
}

Session Context::mesh_server() const {
  CULVERT_CHECK(core_->mesh);
  auto core = std::make_unique<Session::Core>(core_, SSL_new(core_->server.get()));
  core->demand.kind = Demand::Kind::kTrustDomain;
  core->demand.trust_domain = core_->identity->trust_domain;
  SSL_set_accept_state(core->ssl.get());
  return Session(std::move(core));
}

Session Context::accept() const {
  CULVERT_CHECK(!core_->mesh && core_->server);
  auto core = std::make_unique<Session::Core>(core_, SSL_new(core_->server.get()));
  SSL_set_accept_state(core->ssl.get());
  return Session(std::move(core));
}

Session Context::connect(std::string_view host) const {
  CULVERT_CHECK(!core_->mesh && core_->client);
  auto core = std::make_unique<Session::Core>(core_, SSL_new(core_->client.get()));
  SSL* ssl = core->ssl.get();
  const std::string name(host);
  if (IpAddress::parse(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    SSL_set1_host(ssl, name.c_str());
  }
  SSL_set_connect_state(ssl);
  return Session(std::move(core));
}

}  // namespace culvert::tls
