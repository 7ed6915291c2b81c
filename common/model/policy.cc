#include "common/model/policy.h"

#include "common/base/format.h"

namespace culvert::model {
namespace {

std::string text_of(const StringMatch& value) { return value.text(); }
std::string text_of(const ServiceAccountMatch& value) { return value.name_space + "/" + value.service_account; }
std::string text_of(const Cidr& value) { return value.text(); }
std::string text_of(std::uint16_t value) { return std::to_string(value); }

template <class T>
void add(std::string& out, std::string_view label, const std::vector<T>& values) {
  if (values.empty()) return;
  constexpr std::size_t kShown = 8;
  out += culvert::format("{}{} [", out.empty() ? "" : ", ", label);
  for (std::size_t i = 0; i < values.size() && i < kShown; ++i) out += (i ? ", " : "") + text_of(values[i]);
  if (values.size() > kShown) out += culvert::format(", and {} more", values.size() - kShown);
  out += "]";
}

}  // namespace

StringMatch StringMatch::parse(std::string_view text) {
  if (text == "*") return {Kind::kPresence, ""};
  if (text.starts_with('*')) return {Kind::kSuffix, std::string(text.substr(1))};
  if (text.ends_with('*')) return {Kind::kPrefix, std::string(text.substr(0, text.size() - 1))};
  return {Kind::kExact, std::string(text)};
}

std::string StringMatch::text() const {
  switch (kind) {
    case Kind::kExact: return value;
    case Kind::kPrefix: return value + "*";
    case Kind::kSuffix: return "*" + value;
    case Kind::kPresence: return "*";
  }
  return value;
}

bool StringMatch::matches(std::string_view subject) const {
  switch (kind) {
    case Kind::kExact: return subject == value;
    case Kind::kPrefix: return subject.starts_with(value);
    case Kind::kSuffix: return subject.ends_with(value);
    case Kind::kPresence: return !subject.empty();
  }
  return false;
}

bool Match::empty() const {
  return namespaces.empty() && not_namespaces.empty() && principals.empty() && not_principals.empty() &&
         service_accounts.empty() && not_service_accounts.empty() && source_ips.empty() && not_source_ips.empty() &&
         destination_ips.empty() && not_destination_ips.empty() && destination_ports.empty() && not_destination_ports.empty();
}

std::string Match::text() const {
  std::string out;
  add(out, "namespaces", namespaces);
  add(out, "not namespaces", not_namespaces);
  add(out, "principals", principals);
  add(out, "not principals", not_principals);
  add(out, "service accounts", service_accounts);
  add(out, "not service accounts", not_service_accounts);
  add(out, "source IPs", source_ips);
  add(out, "not source IPs", not_source_ips);
  add(out, "destination IPs", destination_ips);
  add(out, "not destination IPs", not_destination_ips);
  add(out, "ports", destination_ports);
  add(out, "not ports", not_destination_ports);
  return out.empty() ? "nothing" : out;
}

std::string Rule::text() const {
  std::string out;
  for (const Clause& clause : clauses) {
    if (clause.matches.empty()) continue;
    out += out.empty() ? "(" : " and (";
    for (std::size_t i = 0; i < clause.matches.size(); ++i) out += (i ? " or " : "") + clause.matches[i].text();
    out += ")";
  }
  return out.empty() ? "anything" : out;
}

}  // namespace culvert::model
