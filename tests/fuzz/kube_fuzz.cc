// What an API server sends: what comes out of the splitter does not depend on where the pieces end, stays within its limits, and what
// was cut whole out of well-formed JSON is well-formed.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/kube/object.h"
#include "common/kube/request.h"
#include "common/kube/splitter.h"

using namespace culvert;
using namespace culvert::kube;

namespace {

constexpr Splitter::Limits kLimits = {.value = 200, .depth = 6};

struct Cut {
  Splitter::Piece::Kind kind;
  std::string name, text, refused;
  bool operator==(const Cut&) const = default;
};

// The pieces, and whether it ended in a failure.
std::pair<std::vector<Cut>, bool> split(std::string_view text, std::size_t piece) {
  Splitter splitter("items", kLimits);
  std::vector<Cut> cuts;
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    const auto fed = splitter.feed(text.substr(0, piece), [&](const Splitter::Piece& one) {
      CULVERT_CHECK(one.text.size() <= kLimits.value);
      cuts.push_back({one.kind, std::string(one.name), std::string(one.text), std::string(one.refused)});
    });
    if (!fed) return {std::move(cuts), true};
  }
  return {std::move(cuts), false};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  const std::size_t piece = input.ConsumeIntegralInRange<std::size_t>(1, 20);
  const std::string text = input.ConsumeRemainingBytesAsString();
  const auto whole = split(text, text.size() + 1);
  CULVERT_CHECK(whole == split(text, piece));

  const bool good = check_json(text).has_value();
  CULVERT_CHECK(!good || !text.starts_with('{') || !whole.second);
  for (const Cut& cut : whole.first) {
    if (cut.kind == Splitter::Piece::kEnd) continue;
    if (good && cut.refused.empty()) CULVERT_CHECK(check_json(cut.text).has_value());
    const Meta meta = meta_of(cut.text);
    if (cut.kind == Splitter::Piece::kItem && check_json(cut.text))
      CULVERT_CHECK(check_json(with_kind(cut.text, meta, "v1", "K\"ind")).has_value());
  }
  (void)meta_of(text);
  (void)refusal(list({{.plural = "services"}}), 403, text);
  return 0;
}
