#include "tests/integration/culvertd/raw_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <span>
#include <system_error>

namespace culvert::test {
namespace {

constexpr int kPatience = 10'000;  // milliseconds
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// An integer of HPACK with a prefix of seven bits.
void add_length(std::string& to, std::size_t length) {
  if (length < 127) return void(to += static_cast<char>(length));
  to += '\x7f';
  for (length -= 127; length >= 128; length >>= 7) to += static_cast<char>(0x80 | (length & 0x7f));
  to += static_cast<char>(length);
}

void add_text(std::string& to, std::string_view text) {
  add_length(to, text.size());
  to += text;
}

std::uint32_t number(std::string_view bytes) {
  std::uint32_t out = 0;
  for (const char byte : bytes) out = out << 8 | static_cast<std::uint8_t>(byte);
  return out;
}

}  // namespace

Fd dial(int port, const std::string& from) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) {
    ADD_FAILURE() << "a socket: " << std::generic_category().message(errno);
    return fd;
  }
  sockaddr_in at{};
  at.sin_family = AF_INET;
  ::inet_pton(AF_INET, from.c_str(), &at.sin_addr);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) return Fd();
  return fd;
}

struct RawClient::Inflater {
  nghttp2_hd_inflater* its = nullptr;
  Inflater() { nghttp2_hd_inflate_new(&its); }
  ~Inflater() { nghttp2_hd_inflate_del(its); }
  Inflater(const Inflater&) = delete;
};

RawClient::RawClient(int port, const std::string& roots_pem, std::optional<tls::KeyPair> own, const std::string& from)
    : fd_(dial(port, from)), inflater_(std::make_shared<Inflater>()) {
  if (!fd_) return;
  alive_ = true;
  if (!roots_pem.empty()) {
    const auto context = tls::Context::client(*tls::Roots::parse(roots_pem), std::move(own), {"h2"});
    session_.emplace(context->connect("127.0.0.1"));
    while (alive_ && !session_->established())
      if (!move(true)) return;
  }
  out_ = kPreface;
  frame(kSettings, 0, 0, "");
  flush();
}

void RawClient::frame(Type type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
  const std::uint32_t size = static_cast<std::uint32_t>(payload.size());
  for (const int shift : {16, 8, 0}) out_ += static_cast<char>(size >> shift);
  out_ += static_cast<char>(type);
  out_ += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out_ += static_cast<char>(stream >> shift);
  out_ += payload;
}

// One step of sending and receiving; `wait`: until something can be done.
bool RawClient::move(bool wait) {
  if (!alive_) return false;
  const auto give_up = [this] { return alive_ = false; };
  const auto to_send = [this] { return session_ ? session_->output() : std::as_bytes(std::span(plain_)); };
  pollfd ready{fd_.get(), static_cast<short>(POLLIN | (to_send().empty() ? 0 : POLLOUT)), 0};
  if (::poll(&ready, 1, wait ? kPatience : 0) < (wait ? 1 : 0)) return give_up();
  if ((ready.revents & POLLIN) != 0) {
    std::array<std::byte, 32 << 10> buffer;
    const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return give_up();
    if (count > 0 && !session_) in_.append(reinterpret_cast<const char*>(buffer.data()), static_cast<std::size_t>(count));
    if (count > 0 && session_) session_->feed(std::span(buffer).first(static_cast<std::size_t>(count)));
    std::array<std::byte, 32 << 10> plain;
    while (count > 0 && session_) {
      const net::Io io = session_->read(plain);
      if (!io.ok()) break;
      in_.append(reinterpret_cast<const char*>(plain.data()), io.bytes);
    }
    using State = tls::Session::State;
    if (session_ && (session_->state() == State::kClosed || session_->state() == State::kFailed)) return give_up();
  }
  if (const auto output = to_send(); !output.empty()) {
    const ssize_t count = ::send(fd_.get(), output.data(), output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) return give_up();
    if (count > 0 && session_) session_->sent(static_cast<std::size_t>(count));
    if (count > 0 && !session_) plain_.erase(0, static_cast<std::size_t>(count));
  } else if ((ready.revents & (POLLHUP | POLLERR)) != 0) {
    return give_up();
  }
  return true;
}

bool RawClient::push() {
  if (!alive_ || !session_->write(std::as_bytes(std::span(out_)))) return false;
  out_.clear();
  while (!session_->output().empty()) {
    const auto output = session_->output();
    const ssize_t count = ::send(fd_.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (count <= 0) return alive_ = false;
    session_->sent(static_cast<std::size_t>(count));
  }
  return true;
}

bool RawClient::flush() {
  constexpr std::size_t kPiece = 64 << 10;
  for (std::size_t sent = 0; alive_ && sent < out_.size(); sent += kPiece) {
    const std::string_view piece = std::string_view(out_).substr(sent, kPiece);
    if (!session_) plain_ = piece;
    else if (!session_->write(std::as_bytes(std::span(piece)))) return alive_ = false;
    while (move(true) && !(session_ ? session_->output().empty() : plain_.empty())) {}
  }
  out_.clear();
  move(false);
  read_frames();
  return alive_;
}

RawClient::Answer RawClient::heard(std::uint32_t stream) {
  flush();
  for (const auto& [its, answer] : answers_)
    if (its == stream) return answer;
  return {};
}

bool RawClient::ends() {
  flush();
  while (alive_) {
    pollfd ready{fd_.get(), POLLIN, 0};
    if (::poll(&ready, 1, kPatience) != 1) return false;
    move(true);
    in_.clear();
  }
  return true;
}

void RawClient::read_frames() {
  while (in_.size() >= 9) {
    const std::uint32_t size = number(std::string_view(in_).substr(0, 3));
    if (in_.size() < 9 + size) return;
    const auto type = static_cast<std::uint8_t>(in_[3]), flags = static_cast<std::uint8_t>(in_[4]);
    const std::uint32_t stream = number(std::string_view(in_).substr(5, 4));
    const std::string payload = in_.substr(9, size);
    in_.erase(0, 9 + size);
    if (type == kSettings && (flags & kAck) == 0) frame(kSettings, kAck, 0, "");
    if (type == kHeaders) read_headers(stream, payload);
    for (auto& [its, answer] : answers_)
      if (type == kData && its == stream && payload.size() > 5) answer.message += payload.substr(answer.message.empty() ? 5 : 0);
    if (type == kReset || (flags & kEndStream & -(type == kHeaders || type == kData)) != 0) ended_.push_back(stream);
  }
}

void RawClient::read_headers(std::uint32_t stream, std::string_view payload) {
  const auto answer = std::ranges::find(answers_, stream, [](const auto& one) { return one.first; });
  const auto* at = reinterpret_cast<const std::uint8_t*>(payload.data());
  for (const std::uint8_t* const end = at + payload.size();;) {
    nghttp2_nv field{};
    int flags = 0;
    const auto used = nghttp2_hd_inflate_hd2(inflater_->its, &field, &flags, at, static_cast<std::size_t>(end - at), 1);
    if (used < 0) return void(ADD_FAILURE() << "headers that cannot be read");
    at += used;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 && answer != answers_.end()) {
      const std::string_view name(reinterpret_cast<const char*>(field.name), field.namelen);
      const std::string_view value(reinterpret_cast<const char*>(field.value), field.valuelen);
      if (name == "grpc-status") std::from_chars(value.data(), value.data() + value.size(), answer->second.status);
      if (name == "grpc-message") answer->second.text = value;
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) return void(nghttp2_hd_inflate_end_headers(inflater_->its));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && at == end) return;
  }
}

std::string RawClient::block(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += '\0';  // literal, not indexed
    add_text(out, name);
    add_text(out, value);
  }
  return out;
}

RawClient::Fields RawClient::request(const std::string& path, const std::string& token) {
  Fields out = {{":method", "POST"},
                {":scheme", "https"},
                {":path", path},
                {":authority", "localhost"},
                {"content-type", "application/grpc"},
                {"te", "trailers"}};
  if (!token.empty()) out.emplace_back("authorization", "Bearer " + token);
  return out;
}

std::string RawClient::message(std::string_view body) {
  std::string out(1, '\0');
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(body.size() >> shift);
  return out.append(body);
}

std::optional<RawClient::Answer> RawClient::call(const std::string& path, const std::string& token, std::string_view body,
                                                 bool all) {
  const std::uint32_t stream = next();
  answers_ = {{stream, Answer{}}};
  ended_.clear();
  frame(kHeaders, kEndHeaders, stream, block(request(path, token)));
  frame(kData, all ? kEndStream : 0, stream, message(body));
  flush();
  const auto done = [&] { return std::ranges::contains(ended_, stream) || (!all && !answers_.front().second.message.empty()); };
  while (!done()) {
    if (!move(true)) return std::nullopt;
    flush();
  }
  return answers_.front().second;
}

}  // namespace culvert::test
