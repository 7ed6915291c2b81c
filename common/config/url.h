#pragma once
// URLs as Kubernetes takes them in rules: by Go's url.ParseRequestURI, which is laxer than RFC 3986. Pure. Private to common/config.

#include <optional>
#include <string>
#include <string_view>

namespace culvert::config {

// The scheme, in lower case, of an absolute URL; "" for an absolute path. None when `text` is neither.
std::optional<std::string> scheme_of(std::string_view text);

}  // namespace culvert::config
