#pragma once
// Errors are values. The place that fails writes what happened; each caller adds only what it was doing:
//   "dialling 10.0.2.7:15008: timed out after 10s (is a NetworkPolicy blocking port 15008?)"

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/reason.h"

namespace culvert {

struct Error {
  std::string text;                   // "tried what, on what: what happened (what to do)"
  Reason reason = Reason::kInternal;  // how a connection that fails with this error is counted

  // The same error, with what the caller was doing in front: "WHAT: text".
  Error during(std::string_view what) const& { return Error(*this).during(what); }
  Error during(std::string_view what) && {
    text.insert(0, ": ").insert(0, what);
    return std::move(*this);
  }
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// return failure("reading", path, ...) reads better than spelling std::unexpected at every place.
inline std::unexpected<Error> failure(std::string text, Reason reason = Reason::kInternal) {
  return std::unexpected(Error{std::move(text), reason});
}

// The text of an errno value: "Connection refused".
std::string errno_text(int number);

// failure("opening /etc/x: No such file or directory"): `what` and the text of errno as it is now.
std::unexpected<Error> failure_errno(std::string_view what, Reason reason = Reason::kInternal);

}  // namespace culvert
