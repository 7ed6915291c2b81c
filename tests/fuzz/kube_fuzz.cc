// What an API server sends: what comes out of the splitter does not depend on where the pieces end, stays within its limits, and what
// was cut whole out of well-formed JSON is well-formed.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/kube/intake.h"
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

// What is told of the text, as a page of a list or as a watch; and how many objects are held then.
std::pair<std::vector<std::string>, std::size_t> told(std::string_view text, std::size_t piece, bool watch) {
  std::vector<std::string> said;
  Intake intake(kLimits, [&](const Event& event) {
    if (const auto* put = std::get_if<Put>(&event)) {
      CULVERT_CHECK(check_json(put->json).has_value() && meta_of(put->json).key == put->key && !put->key.name.empty());
      said.push_back("+" + put->key.text());
    } else if (const auto* gone = std::get_if<Gone>(&event)) {
      said.push_back("-" + gone->key.text());
    } else if (const auto* skipped = std::get_if<Skipped>(&event)) {
      said.push_back("!" + skipped->why);
    }
  });
  intake.begin_list();
  watch ? intake.begin_watch(true) : intake.begin_page();
  bool good = true;
  for (; good && !text.empty(); text.remove_prefix(std::min(piece, text.size())))
    good = (watch ? intake.feed_watch(text.substr(0, piece)) : intake.feed_page(text.substr(0, piece))).has_value();
  if (!watch && intake.end_page()) intake.end_list();
  return {std::move(said), intake.held()};
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
  for (const bool watch : {false, true}) CULVERT_CHECK(told(text, text.size() + 1, watch) == told(text, piece, watch));
  (void)refusal(list({{.plural = "services"}}), 403, text);
  return 0;
}
