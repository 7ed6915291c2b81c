#pragma once
// What the API server asks before it stores an object (AdmissionReview, admission.k8s.io/v1), and our answer: the same reading that decides what is
// in force, so that what is refused here is exactly what would not be. Pure.

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace culvert::controlplane {

struct Verdict {
  std::string answer;  // an AdmissionReview
  bool allowed = true;
  std::string object;  // "AuthorizationPolicy shop/deny-all", for the log
  std::string why;     // when it is refused
};

// Fails when the text is no AdmissionReview with a request.
Result<Verdict> review(std::string_view admission_review);

}  // namespace culvert::controlplane
