#pragma once
// The forms that strings of objects have: what each is called in the protos' options, how it is checked here and what the CRDs say of it.
// Private to common/config and controlplane/crd.

#include <string_view>

#include "proto/culvert/schema.pb.h"

namespace culvert::config {

struct FormatRow {
  bool (*holds)(std::string_view);
  std::string_view is_not;  // "is not a DNS name"
  std::string_view hint;
  std::string_view pattern;  // the same as a regular expression of RE2, for CRDs
};

// Null for ANY_TEXT.
const FormatRow* row_of(culvert::Format format);

}  // namespace culvert::config
