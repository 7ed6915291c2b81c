#pragma once
// HTTP/1.1 without I/O (RFC 9112): whole messages with a bounded body, or the body of a response in pieces. llhttp parses, strictly;
// above it we refuse what splits opinions between servers: Content-Length with Transfer-Encoding, several Content-Lengths, folded
// headers, bare LF.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/http/message.h"

namespace culvert::http {

struct Limits {
  std::size_t target = 8 * 1024;
  std::size_t headers = 32 * 1024;  // names and values together
  std::size_t header_count = 100;
  std::size_t body = 1024 * 1024;
};

// Reads requests off one connection, one at a time.
class RequestReader {
 public:
  explicit RequestReader(Limits limits = {});
  ~RequestReader();
  RequestReader(RequestReader&&) noexcept;
  RequestReader& operator=(RequestReader&&) noexcept;

  // Takes bytes up to the end of a request; how many. The rest belongs to the next one: feed it after take().
  // Fails for good when the peer does not speak HTTP as we want it; answer status() and close.
  Result<std::size_t> feed(std::span<const std::byte> bytes);
  bool complete() const;
  bool begun() const;       // part of a request is here
  Request take();           // only when complete(); begins the next
  bool keep_alive() const;  // of the request taken last
  int status() const;       // 400, 413, 414, 431 or 505 after a failure

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads one response after the other. Interim responses (1xx) are skipped.
//
// A body without an end in sight (a watch) is read in pieces:
//   reader.expect("GET", ResponseReader::Body::kPieces);
//   reader.feed(bytes);                                        // as often as there are bytes, at most Limits::body at a time
//   if (reader.headed()) use(reader.status(), reader.take_body());
class ResponseReader {
 public:
  explicit ResponseReader(Limits limits = {});
  ~ResponseReader();
  ResponseReader(ResponseReader&&) noexcept;
  ResponseReader& operator=(ResponseReader&&) noexcept;

  enum class Body : std::uint8_t {
    kWhole,   // kept until take(), no longer than Limits::body
    kPieces,  // of any length; Limits::body is what may lie here before take_body() fetches it
  };
  // Before each response: the method that it answers (HEAD has no body).
  void expect(std::string_view method, Body body = Body::kWhole);
  Result<std::size_t> feed(std::span<const std::byte> bytes);
  // The connection ended: completes a body that lasts until then, fails in the middle of a message.
  Status finish();
  bool complete() const;
  Response take();
  bool keep_alive() const;

  bool begun() const;  // part of a response is here
  // The answer is 101: status() and headers() are its, and from where feed() stopped the connection speaks another protocol. There is nothing to take().
  bool switched() const;
  bool headed() const;             // the header fields are here, and with them:
  int status() const;              // 200
  const Headers& headers() const;  // good until take()
  std::string take_body();         // what has come of the body since the last time

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Adds Content-Length, Connection when needed. `head` leaves the body out.
std::string to_wire(const Response& response, bool keep_alive, bool head = false);
// Adds Host (when missing) and Content-Length.
std::string to_wire(const Request& request, std::string_view host);

}  // namespace culvert::http
