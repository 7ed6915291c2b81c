#pragma once
// What the API server asks before it stores an object (AdmissionReview, admission.k8s.io/v1), and our answer: the same reading that decides what is
// in force, so that what is refused here is exactly what would not be. Pure.

#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/derive/objects.h"
#include "common/derive/sharing.h"

namespace culvert::controlplane {

struct Verdict {
  std::string answer;  // an AdmissionReview
  bool allowed = true;
  std::string object;  // "AuthorizationPolicy shop/deny-all", for the log
  std::string why;     // when it is refused
};

// What an object is looked at among, for warnings.
struct Among {
  const derive::Objects& objects;
  const derive::Settings& settings;
  const derive::Sharing& sharing;  // of `objects`
};

// Fails when the text is no AdmissionReview with a request. Warns only where it knows among what.
Result<Verdict> review(std::string_view admission_review, const std::optional<Among>& among = {});

}  // namespace culvert::controlplane
