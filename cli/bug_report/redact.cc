#include "cli/bug_report/redact.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cctype>
#include <vector>

#include "cli/print/json.h"
#include "common/base/base64.h"

namespace culvert::cli {
namespace {

namespace json = boost::json;

constexpr std::string_view kRemoved = "[removed]", kRemovedKey = "[removed: private key]", kRemovedToken = "[removed: token]";

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool is_base64(char c) { return is_word(c) || c == '+' || c == '/' || c == '=' || c == '-' || c == '_'; }
bool is_token(char c) { return is_word(c) || c == '-' || c == '_'; }  // of one part of a JSON Web Token

// The end of the run of such characters that begins at `at`.
template <class Is>
std::size_t run(std::string_view text, std::size_t at, Is is) {
  while (at < text.size() && is(text[at])) ++at;
  return at;
}

bool begins_word(std::string_view text, std::size_t at) { return at == 0 || !is_base64(text[at - 1]); }

bool starts_with_ignoring_case(std::string_view text, std::string_view with) {
  return text.size() >= with.size() && std::ranges::equal(text.substr(0, with.size()), with, {}, lower);
}

// Each of these finds what is secret at `at`: where it ends, or `at` when it is nothing of the kind.
std::size_t pem_key(std::string_view text, std::size_t at) {
  constexpr std::string_view kBegin = "-----BEGIN ", kEnd = "-----END ", kDashes = "-----";
  if (!text.substr(at).starts_with(kBegin)) return at;
  const auto label = text.substr(at + kBegin.size(), 64);
  if (!label.substr(0, label.find(kDashes)).contains("PRIVATE KEY")) return at;
  const auto end = text.find(kEnd, at);
  if (end == text.npos) return text.size();  // cut off: so is the key
  const auto last = text.find(kDashes, end + kEnd.size());
  return last == text.npos ? text.size() : last + kDashes.size();
}

std::size_t base64_key(std::string_view text, std::size_t at) {
  constexpr std::string_view kBegin = "LS0tLS1CRUdJT";  // "-----BEGIN"
  if (!text.substr(at).starts_with(kBegin)) return at;
  constexpr std::size_t kLine = 20;  // shorter ones are no line of a text that was wrapped
  auto end = run(text, at, is_base64);
  for (std::size_t next = 0; end < text.size() && text[end] == '\n' && (next = run(text, end + 1, is_base64)) > end + kLine;)
    end = next;
  const auto decoded = from_base64(text.substr(at, end - at));
  // What cannot be read may be one all the same.
  return !decoded || decoded->contains("PRIVATE KEY") ? end : at;
}

std::size_t json_web_token(std::string_view text, std::size_t at) {
  if (!text.substr(at).starts_with("eyJ") || !begins_word(text, at)) return at;
  const auto head = run(text, at, is_token);
  if (!text.substr(head).starts_with(".eyJ")) return at;
  const auto body = run(text, head + 1, is_token);
  return body < text.size() && text[body] == '.' ? run(text, body + 1, is_token) : body;
}

using Span = std::pair<std::size_t, std::size_t>;  // from, and up to; empty: nothing of the kind

// "Bearer TOKEN", "Basic BASE64": of the token.
Span credentials(std::string_view text, std::size_t at) {
  constexpr std::size_t kLeast = 8;  // else it is a word of a sentence
  for (const std::string_view scheme : {"bearer ", "basic "}) {
    if (!begins_word(text, at) || !starts_with_ignoring_case(text.substr(at), scheme)) continue;
    const auto begin = run(text, at + scheme.size(), [](char c) { return c == ' '; });
    const auto end = run(text, begin, [](char c) { return is_base64(c) || c == '.' || c == '~'; });
    if (end - begin < kLeast) continue;
    const auto pair = scheme == "basic " ? from_base64(text.substr(begin, end - begin)) : ":";
    if (pair && pair->contains(':')) return {begin, end};
  }
  return {at, at};
}

// "://user:password@": of the password.
Span url_password(std::string_view text, std::size_t at) {
  if (!text.substr(at).starts_with("://")) return {at, at};
  const auto ends = [](char c) {
    return c != '/' && c != '@' && c != '"' && c != '\'' && std::isspace(static_cast<unsigned char>(c)) == 0;
  };
  const auto colon = run(text, at + 3, [&](char c) { return ends(c) && c != ':'; });
  if (colon >= text.size() || text[colon] != ':') return {at, at};
  const auto end = run(text, colon + 1, ends);
  if (end >= text.size() || text[end] != '@' || end == colon + 1) return {at, at};
  return {colon + 1, end};
}

constexpr std::array<std::string_view, 16> kSecretEnds = {
    "password",  "passwd",     "passphrase", "secret",     "token",       "apikey",     "api_key",       "api-key",
    "accesskey", "access_key", "secretkey",  "secret_key", "private_key", "privatekey", "client_secret", "credentials"};

bool ends_secret(std::string_view name) {
  return std::ranges::any_of(kSecretEnds, [&](std::string_view end) {
    return name.size() >= end.size() && starts_with_ignoring_case(name.substr(name.size() - end.size()), end);
  });
}

bool is_harmless(std::string_view value) {
  if (value.empty() || value.starts_with("[removed")) return true;
  if (value == "true" || value == "false" || value == "null" || value == "none") return true;
  return value.starts_with("/var/") || value.starts_with("/run/") || value.starts_with("/etc/") || value.starts_with("./");
}

// Where the value ends that begins at `begin` behind these quotes. In a text that is quoted itself ("{\"a\":\"b\"}") its quotes have a backslash, in
// any other a backslash is a part of the value, with what follows it.
std::size_t end_of_quoted(std::string_view text, std::size_t begin, std::string_view quotes) {
  const bool within = quotes.contains('\\');
  std::size_t at = begin;
  for (; at < text.size() && text[at] != quotes.back() && text[at] != '\n'; ++at) {
    if (text[at] != '\\') continue;
    if (within) break;
    ++at;
  }
  return std::min(at, text.size());
}

// Of what is assigned to the name that ends at `at`; `flag`: "--NAME VALUE" assigns, too.
Span assigned(std::string_view text, std::size_t at, bool flag) {
  const auto quotes = [](char c) { return c == '"' || c == '\'' || c == '\\'; };
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  auto next = run(text, run(text, at, quotes), blank);
  const bool sign = next < text.size() && (text[next] == '=' || text[next] == ':');
  if (!sign && !(flag && next > at)) return {at, at};
  if (sign) next = run(text, next + 1, blank);
  auto begin = run(text, next, [](char c) { return c == '\\'; });
  if (begin < text.size() && quotes(text[begin])) ++begin;  // one: the next would end it
  else begin = next;
  const auto bare = [](char c) { return std::string_view(" \t\r\n\"'\\,;&{}[])").find(c) == std::string_view::npos; };
  const auto end = begin == next ? run(text, begin, bare) : end_of_quoted(text, begin, text.substr(next, begin - next));
  return is_harmless(text.substr(begin, end - begin)) ? Span(at, at) : Span(begin, end);
}

}  // namespace

bool sounds_secret(std::string_view name) {
  std::string small(name);
  std::ranges::transform(small, small.begin(), lower);
  for (const char* part :
       {"password", "passwd", "passphrase", "secret", "token", "key", "credential", "auth", "dsn", "cookie", "private"})
    if (small.contains(part)) return true;
  return false;
}

std::string without_secrets(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;  // up to here it stands in `out`, or has been left out
  const auto cut = [&](std::size_t begin, std::size_t end, std::string_view with) {
    out.append(text.substr(done, begin - done)).append(with);
    done = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    std::size_t end = at;
    if (const std::size_t key_end = c == '-' ? pem_key(text, at) : c == 'L' ? base64_key(text, at) : at; key_end != at) {
      end = key_end;
      cut(at, end, kRemovedKey);
    } else if (const std::size_t token_end = c == 'e' ? json_web_token(text, at) : at; token_end != at) {
      end = token_end;
      cut(at, end, kRemovedToken);
    } else if (const Span token = c == 'b' || c == 'B' ? credentials(text, at) : Span(at, at); token.first != token.second) {
      end = token.second;
      cut(token.first, end, kRemovedToken);
    } else if (const Span password = c == ':' ? url_password(text, at) : Span(at, at); password.first != password.second) {
      end = password.second;
      cut(password.first, end, kRemoved);
    } else if (is_word(c)) {
      end = run(text, at, is_token);
      if (!ends_secret(text.substr(at, end - at))) {
        // Within a word none of these begins, but for a key in base64, which nothing separates from what is before it.
        const auto key = text.substr(at, end - at).find("LS0tLS1CRUdJT");
        if (key != text.npos && key != 0) end = at + key;
      } else if (const Span value = assigned(text, end, text.substr(0, at).ends_with("--")); value.first != value.second) {
        cut(value.first, end = value.second, kRemoved);
      }
    }
    at = std::max(end, at + 1);
  }
  return out.append(text.substr(done));
}

namespace {

// The words of a command line: "--password", "x".
void strip_words(json::array& words) {
  bool secret = false;
  for (json::value& word : words) {
    if (!word.is_string()) continue;
    const std::string text(word.as_string());
    if (secret && !text.starts_with('-')) word = kRemoved;
    secret = text.starts_with('-') && !text.contains('=') && ends_secret(text);
  }
}

void strip_variables(json::array& variables) {
  for (json::value& each : variables) {
    if (!each.is_object()) continue;
    json::object& variable = each.as_object();
    if (variable.contains("value") && sounds_secret(print::text_at(variable, "name"))) variable["value"] = kRemoved;
  }
}

void strip(json::value& value) {
  if (value.is_array()) {
    for (json::value& each : value.as_array()) strip(each);
    return;
  }
  if (!value.is_object()) return;
  json::object& object = value.as_object();
  object.erase("managedFields");
  if (auto* annotations = object.if_contains("annotations"); annotations != nullptr && annotations->is_object())
    annotations->as_object().erase("kubectl.kubernetes.io/last-applied-configuration");
  for (auto& [name, member] : object) {
    if (member.is_string() && ends_secret(name)) member = kRemoved;
    if (name == "env" && member.is_array()) strip_variables(member.as_array());
    if ((name == "command" || name == "args") && member.is_array()) strip_words(member.as_array());
    strip(member);
  }
}

void keep_only(json::object& object, std::initializer_list<std::string_view> names) {
  std::vector<std::string> others;
  for (const auto& [name, value] : object)
    if (!std::ranges::contains(names, std::string_view(name))) others.emplace_back(name);
  for (const std::string& name : others) object.erase(name);
}

// What somebody else's pod runs is his affair.
void strip_foreign_pod(json::object& spec) {
  keep_only(spec, {"nodeName", "serviceAccountName", "hostNetwork", "hostPID", "containers", "initContainers", "restartPolicy",
                   "dnsPolicy", "readinessGates", "tolerations", "priorityClassName"});
  for (const char* list : {"containers", "initContainers"}) {
    auto* containers = spec.if_contains(list);
    if (containers == nullptr || !containers->is_array()) continue;
    for (json::value& each : containers->as_array()) {
      if (!each.is_object()) continue;
      json::object& container = each.as_object();
      keep_only(container, {"name", "image", "ports", "readinessProbe", "livenessProbe", "startupProbe", "restartPolicy"});
      for (const char* probe : {"readinessProbe", "livenessProbe", "startupProbe"})
        if (auto* asked = container.if_contains(probe); asked != nullptr && asked->is_object())
          keep_only(asked->as_object(), {"httpGet", "tcpSocket", "grpc", "timeoutSeconds", "periodSeconds", "failureThreshold"});
      for (const char* probe : {"readinessProbe", "livenessProbe", "startupProbe"})
        if (auto* asked = container.if_contains(probe); asked != nullptr && asked->is_object())
          if (auto* get = asked->as_object().if_contains("httpGet"); get != nullptr && get->is_object())
            get->as_object().erase("httpHeaders");
    }
  }
}

}  // namespace

void strip_object(json::object& object, std::string_view kind, std::string_view system_namespace) {
  if (kind == "pods" && print::text_at(print::object_at(object, "metadata"), "namespace") != system_namespace)
    if (auto* spec = object.if_contains("spec"); spec != nullptr && spec->is_object()) strip_foreign_pod(spec->as_object());
  json::value whole(std::move(object));
  strip(whole);
  object = std::move(whole.as_object());
}

}  // namespace culvert::cli
