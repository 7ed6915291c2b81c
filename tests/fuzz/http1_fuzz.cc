// HTTP/1 messages in pieces of any size: what is read does not depend on where the pieces end, and reads back as it was written.
#include <fuzzer/FuzzedDataProvider.h>

#include <tuple>

#include "common/base/check.h"
#include "common/http/http1.h"

using namespace culvert;
using namespace culvert::http;

namespace {

// The requests of the text, and whether it ended in a failure.
std::pair<std::vector<Request>, bool> read(std::string_view text, std::size_t piece) {
  RequestReader reader({.target = 64, .headers = 256, .header_count = 8, .body = 64});
  std::vector<Request> requests;
  auto bytes = std::as_bytes(std::span(text));
  while (!bytes.empty()) {
    const auto taken = reader.feed(bytes.first(std::min(piece, bytes.size())));
    if (!taken) {
      CULVERT_CHECK(reader.status() >= 400);
      return {std::move(requests), true};
    }
    bytes = bytes.subspan(*taken);
    if (reader.complete()) requests.push_back(reader.take());
    else CULVERT_CHECK(*taken > 0);
  }
  return {std::move(requests), false};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  const std::size_t piece = input.ConsumeIntegralInRange<std::size_t>(1, 20);
  const std::string text = input.ConsumeRemainingBytesAsString();
  const auto [whole, whole_failed] = read(text, text.size() + 1);
  const auto [parts, parts_failed] = read(text, piece);
  CULVERT_CHECK(whole_failed == parts_failed && whole.size() == parts.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CULVERT_CHECK(whole[i].target == parts[i].target && whole[i].body == parts[i].body &&
                  whole[i].headers.fields() == parts[i].headers.fields());
    (void)whole[i].query("a");
  }

  ResponseReader responses;
  if (responses.feed(std::as_bytes(std::span(text))) && !responses.complete()) std::ignore = responses.finish();
  ResponseReader pieces({.body = 64});
  pieces.expect("GET", ResponseReader::Body::kPieces);
  for (std::size_t at = 0; at < text.size() && !pieces.complete();) {
    const auto taken = pieces.feed(std::as_bytes(std::span(text)).subspan(at, std::min(piece, text.size() - at)));
    if (!taken || *taken == 0) break;
    at += *taken;
    if (pieces.headed()) CULVERT_CHECK(pieces.take_body().size() <= piece);
  }
  return 0;
}
