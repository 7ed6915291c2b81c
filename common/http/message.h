#pragma once
// HTTP messages as values.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace culvert::http {

// Header fields in their order; names compare without case.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}

  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  void set(std::string_view name, std::string value);                // replaces all of that name
  std::optional<std::string_view> get(std::string_view name) const;  // the first
  std::size_t count(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct Request {
  std::string method = "GET";
  std::string target = "/";  // as sent: path and query
  Headers headers = {};
  std::string body = {};

  std::string_view path() const;  // without the query
  // The first value of a query parameter, percent-decoded; empty value for "?name".
  std::optional<std::string> query(std::string_view name) const;
};

struct Response {
  int status = 200;
  Headers headers = {};
  std::string body = {};
};

// "text/plain; charset=utf-8" and so on are set with these.
Response text_response(int status, std::string body);
Response json_response(std::string body);
Response html_response(std::string body);

// "OK", "Not Found"; empty for unknown codes.
std::string_view reason_phrase(int status);
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace culvert::http
