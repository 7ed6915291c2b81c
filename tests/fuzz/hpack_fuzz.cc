// Header blocks of a connection, one after the other through the same table: as a peer sends them, and as our own encoder makes them.
#include <fuzzer/FuzzedDataProvider.h>

#include "common/base/check.h"
#include "common/http/hpack.h"

using namespace culvert::http;

namespace {

void foreign(FuzzedDataProvider& input) {
  HpackDecoder decoder;
  while (input.remaining_bytes() > 0) {
    const auto limit = input.ConsumeIntegralInRange<std::size_t>(0, 4096);
    const auto block = input.ConsumeBytes<std::uint8_t>(input.ConsumeIntegralInRange<std::size_t>(0, 256));
    const auto decoded = decoder.decode(std::as_bytes(std::span(block)), limit);
    if (!decoded) return;
    std::size_t size = 0;
    for (const auto& header : decoded->headers) size += header.name.size() + header.value.size() + 32;
    CULVERT_CHECK(size <= limit);
  }
}

void own(FuzzedDataProvider& input) {
  HpackEncoder encoder;
  HpackDecoder decoder;
  while (input.remaining_bytes() > 0) {
    HeaderList headers;
    for (int count = input.ConsumeIntegralInRange(0, 8); count > 0; --count)
      headers.push_back({input.ConsumeRandomLengthString(40), input.ConsumeRandomLengthString(200), input.ConsumeBool()});
    if (input.ConsumeBool()) encoder.set_table_limit(input.ConsumeIntegralInRange<std::size_t>(0, 8192));
    std::vector<std::byte> block;
    encoder.encode(headers, block);
    const auto decoded = decoder.decode(block, 1 << 20);
    CULVERT_CHECK(decoded && decoded->headers == headers);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  if (input.ConsumeBool()) foreign(input);
  else own(input);
  return 0;
}
