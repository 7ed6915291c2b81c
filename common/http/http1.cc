#include "common/http/http1.h"

#include <llhttp.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/format.h"

namespace culvert::http {
namespace {

// llhttp's callbacks collect one message here; a limit that is passed stops the parser with our own status.
struct Message {
  Limits limits;
  std::string target;
  Headers headers;
  std::string body;
  std::string name, value;  // of the field being read
  std::size_t header_bytes = 0;
  int refused = 0;  // HTTP status when we stopped it
  std::string why;
  bool begun = false;
  bool complete = false;
  bool skip_body = false;  // the answer to HEAD
  bool in_pieces = false;  // the body is taken while it comes
  bool interim = false;
  bool headed = false;

  int refuse(int status, std::string reason) {
    refused = status;
    why = std::move(reason);
    return HPE_USER;
  }
  void clear() {
    target.clear();
    headers = {};
    body.clear();
    name.clear();
    value.clear();
    header_bytes = 0;
    begun = complete = interim = headed = false;
  }
};

Message& message_of(llhttp_t* parser) { return *static_cast<Message*>(parser->data); }

int on_begin(llhttp_t* parser) {
  Message& message = message_of(parser);
  message.clear();
  message.begun = true;
  return 0;
}

int on_target(llhttp_t* parser, const char* data, std::size_t size) {
  Message& message = message_of(parser);
  if (message.target.size() + size > message.limits.target) return message.refuse(414, "the request's target is too long");
  message.target.append(data, size);
  return 0;
}

int count_header(Message& message, std::size_t size) {
  message.header_bytes += size;
  return message.header_bytes > message.limits.headers ? message.refuse(431, "the header fields are too long") : 0;
}

int on_name(llhttp_t* parser, const char* data, std::size_t size) {
  Message& message = message_of(parser);
  message.name.append(data, size);
  return count_header(message, size);
}

int on_value(llhttp_t* parser, const char* data, std::size_t size) {
  Message& message = message_of(parser);
  message.value.append(data, size);
  return count_header(message, size);
}

int on_field(llhttp_t* parser) {
  Message& message = message_of(parser);
  if (message.headers.fields().size() >= message.limits.header_count) return message.refuse(431, "too many header fields");
  message.headers.add(std::exchange(message.name, {}), std::exchange(message.value, {}));
  return 0;
}

int on_headers(llhttp_t* parser) {
  Message& message = message_of(parser);
  if (message.headers.count("content-length") > 1) return message.refuse(400, "several Content-Lengths");
  if (message.headers.count("content-length") > 0 && message.headers.count("transfer-encoding") > 0)
    return message.refuse(400, "Content-Length with Transfer-Encoding");
  if (llhttp_get_http_major(parser) != 1) return message.refuse(505, "not HTTP/1");
  if (parser->type == HTTP_REQUEST && llhttp_get_http_minor(parser) == 1 && message.headers.count("host") != 1)
    return message.refuse(400, "HTTP/1.1 needs exactly one Host");
  if (llhttp_get_upgrade(parser) && parser->type == HTTP_REQUEST && llhttp_get_method(parser) == HTTP_CONNECT)
    return message.refuse(400, "CONNECT is not served here");
  if (!message.in_pieces && parser->content_length > message.limits.body && (parser->flags & F_CONTENT_LENGTH) != 0)
    return message.refuse(413, "the body is too long");
  message.interim = parser->type == HTTP_RESPONSE && llhttp_get_status_code(parser) / 100 == 1;
  message.headed = !message.interim;
  return message.skip_body ? 1 : 0;
}

int on_body(llhttp_t* parser, const char* data, std::size_t size) {
  Message& message = message_of(parser);
  if (message.body.size() + size > message.limits.body) return message.refuse(413, "the body is too long");
  message.body.append(data, size);
  return 0;
}

int on_complete(llhttp_t* parser) {
  Message& message = message_of(parser);
  if (message.interim) return 0;  // 100 Continue and the like: the real one follows
  message.complete = true;
  return HPE_PAUSED;
}

const llhttp_settings_t& settings() {
  static const llhttp_settings_t all = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_message_begin = on_begin;
    made.on_url = on_target;
    made.on_header_field = on_name;
    made.on_header_value = on_value;
    made.on_header_value_complete = on_field;
    made.on_headers_complete = on_headers;
    made.on_body = on_body;
    made.on_message_complete = on_complete;
    return made;
  }();
  return all;
}

// What both readers share. The parser points into it: it never moves.
struct Reader {
  Reader(llhttp_type_t type, Limits limits) {
    message.limits = limits;
    llhttp_init(&parser, type, &settings());
    parser.data = &message;
  }

  Result<std::size_t> feed(std::span<const std::byte> bytes) {
    if (message.complete || switched) return 0;
    if (failed) return failure("the connection has failed already", Reason::kBadRequest);
    const char* data = reinterpret_cast<const char*>(bytes.data());
    const llhttp_errno_t result = llhttp_execute(&parser, data, bytes.size());
    if (result == HPE_OK) return bytes.size();
    switched = result == HPE_PAUSED_UPGRADE && message.interim;
    if (result == HPE_PAUSED || result == HPE_PAUSED_UPGRADE)
      return static_cast<std::size_t>(llhttp_get_error_pos(&parser) - data);
    failed = true;
    if (message.refused == 0) {
      message.refused = 400;
      message.why = llhttp_get_error_reason(&parser);
    }
    return failure("HTTP/1: " + message.why, Reason::kBadRequest);
  }

  // After a message was taken.
  void next() {
    kept_alive = llhttp_should_keep_alive(&parser) != 0 && llhttp_get_upgrade(&parser) == 0;
    message.clear();
    llhttp_resume(&parser);
  }

  llhttp_t parser{};
  Message message;
  bool failed = false;
  bool switched = false;
  bool kept_alive = false;
};

std::string lines_of(const Headers& headers) {
  std::string out;
  for (const auto& [name, value] : headers.fields()) out.append(name).append(": ").append(value).append("\r\n");
  return out;
}

}  // namespace

struct RequestReader::State : Reader {
  explicit State(Limits limits) : Reader(HTTP_REQUEST, limits) {}
};

RequestReader::RequestReader(Limits limits) : state_(std::make_unique<State>(limits)) {}
RequestReader::~RequestReader() = default;
RequestReader::RequestReader(RequestReader&&) noexcept = default;
RequestReader& RequestReader::operator=(RequestReader&&) noexcept = default;

Result<std::size_t> RequestReader::feed(std::span<const std::byte> bytes) { return state_->feed(bytes); }
bool RequestReader::complete() const { return state_->message.complete; }
bool RequestReader::begun() const { return state_->message.begun; }
bool RequestReader::keep_alive() const { return state_->kept_alive; }
int RequestReader::status() const { return state_->message.refused; }

Request RequestReader::take() {
  CULVERT_CHECK(complete());
  Message& message = state_->message;
  Request request{.method = llhttp_method_name(static_cast<llhttp_method_t>(llhttp_get_method(&state_->parser))),
                  .target = std::move(message.target),
                  .headers = std::move(message.headers),
                  .body = std::move(message.body)};
  state_->next();
  return request;
}

struct ResponseReader::State : Reader {
  explicit State(Limits limits) : Reader(HTTP_RESPONSE, limits) {}
};

ResponseReader::ResponseReader(Limits limits) : state_(std::make_unique<State>(limits)) {}
ResponseReader::~ResponseReader() = default;
ResponseReader::ResponseReader(ResponseReader&&) noexcept = default;
ResponseReader& ResponseReader::operator=(ResponseReader&&) noexcept = default;

void ResponseReader::expect(std::string_view method, Body body) {
  state_->message.skip_body = method == "HEAD";
  state_->message.in_pieces = body == Body::kPieces;
}
Result<std::size_t> ResponseReader::feed(std::span<const std::byte> bytes) {
  // A body of several chunks does not grow, which would leave what it held before behind: it may be a secret.
  if (state_->message.in_pieces) state_->message.body.reserve(state_->message.body.size() + bytes.size());
  return state_->feed(bytes);
}
bool ResponseReader::complete() const { return state_->message.complete; }
bool ResponseReader::keep_alive() const { return state_->kept_alive; }
bool ResponseReader::begun() const { return state_->message.begun; }
bool ResponseReader::switched() const { return state_->switched; }
bool ResponseReader::headed() const { return state_->message.headed; }
int ResponseReader::status() const { return llhttp_get_status_code(&state_->parser); }
const Headers& ResponseReader::headers() const { return state_->message.headers; }
std::string ResponseReader::take_body() { return std::exchange(state_->message.body, {}); }

Status ResponseReader::finish() {
  if (complete()) return {};
  const llhttp_errno_t result = llhttp_finish(&state_->parser);
  if (complete() || (result == HPE_OK && !state_->message.begun)) return {};
  return failure("HTTP/1: the connection ended in the middle of a message", Reason::kBadRequest);
}

Response ResponseReader::take() {
  CULVERT_CHECK(complete());
  Message& message = state_->message;
  Response response{
      .status = llhttp_get_status_code(&state_->parser), .headers = std::move(message.headers), .body = std::move(message.body)};
  state_->next();
  return response;
}

std::string to_wire(const Response& response, bool keep_alive, bool head) {
  std::string out = culvert::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  out += lines_of(response.headers);
  if (response.status != 204 && response.status != 304 && response.status / 100 != 1)
    out += culvert::format("Content-Length: {}\r\n", response.body.size());
  if (!keep_alive) out += "Connection: close\r\n";
  out += "\r\n";
  if (!head) out += response.body;
  return out;
}

std::string to_wire(const Request& request, std::string_view host) {
  std::string out = culvert::format("{} {} HTTP/1.1\r\n", request.method, request.target);
  if (request.headers.count("host") == 0) out.append("Host: ").append(host).append("\r\n");
  out += lines_of(request.headers);
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT")
    out += culvert::format("Content-Length: {}\r\n", request.body.size());
  return out + "\r\n" + request.body;
}

}  // namespace culvert::http
