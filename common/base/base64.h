#pragma once
// Base64 (RFC 4648), as Kubernetes has it in Secrets and kubeconfigs, and in tokens (the alphabet for URLs, section 5). Pure.

#include <optional>
#include <string>
#include <string_view>

namespace culvert {

std::string to_base64(std::string_view bytes);
// Either alphabet; line breaks and the padding's absence are no fault. None when there is anything else in it.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace culvert
