#include "common/http/hpack.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "common/base/check.h"

namespace culvert::http {
namespace {

constexpr std::size_t kTable = 4096;  // our own bound in both directions; the default of RFC 7541

std::uint8_t* bytes(const std::string& text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); }

}  // namespace

void HpackEncoder::Delete::operator()(nghttp2_hd_deflater* deflater) const { nghttp2_hd_deflate_del(deflater); }
void HpackDecoder::Delete::operator()(nghttp2_hd_inflater* inflater) const { nghttp2_hd_inflate_del(inflater); }

HpackEncoder::HpackEncoder() {
  nghttp2_hd_deflater* made = nullptr;
  CULVERT_CHECK(nghttp2_hd_deflate_new(&made, kTable) == 0);
  deflater_.reset(made);
}

void HpackEncoder::set_table_limit(std::size_t limit) {
  CULVERT_CHECK(nghttp2_hd_deflate_change_table_size(deflater_.get(), std::min(limit, kTable)) == 0);
}

void HpackEncoder::encode(std::span<const HeaderField> headers, std::vector<std::byte>& out) {
  std::vector<nghttp2_nv> fields;
  fields.reserve(headers.size());
  for (const HeaderField& header : headers)
    fields.push_back({bytes(header.name), bytes(header.value), header.name.size(), header.value.size(),
                      static_cast<std::uint8_t>(header.indexed ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX)});

  const std::size_t before = out.size();
  out.resize(before + nghttp2_hd_deflate_bound(deflater_.get(), fields.data(), fields.size()));
  const auto made = nghttp2_hd_deflate_hd2(deflater_.get(), reinterpret_cast<std::uint8_t*>(out.data() + before),
                                           out.size() - before, fields.data(), fields.size());
  CULVERT_CHECK(made >= 0);  // only out of memory or a buffer smaller than the bound
  out.resize(before + static_cast<std::size_t>(made));
}

HpackDecoder::HpackDecoder() {
  nghttp2_hd_inflater* made = nullptr;
  CULVERT_CHECK(nghttp2_hd_inflate_new(&made) == 0);
  inflater_.reset(made);
}

Result<HpackDecoder::Decoded> HpackDecoder::decode(std::span<const std::byte> block, std::size_t limit) {
  Decoded decoded;
  std::size_t size = 0;
  while (true) {
    nghttp2_nv field{};
    int flags = 0;
    const auto used = nghttp2_hd_inflate_hd3(inflater_.get(), &field, &flags, reinterpret_cast<const std::uint8_t*>(block.data()),
                                             block.size(), 1);
    if (used < 0) return failure("decoding a header block: malformed HPACK", Reason::kHttp2Failure);
    block = block.subspan(static_cast<std::size_t>(used));
    if (flags & NGHTTP2_HD_INFLATE_EMIT) {
      size += field.namelen + field.valuelen + 32;
      decoded.too_large |= size > limit;
      if (!decoded.too_large)
        decoded.headers.push_back(
            {{reinterpret_cast<char*>(field.name), field.namelen}, {reinterpret_cast<char*>(field.value), field.valuelen}});
    }
    if (flags & NGHTTP2_HD_INFLATE_FINAL) {
      nghttp2_hd_inflate_end_headers(inflater_.get());
      return decoded;
    }
    if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && block.empty())
      return failure("decoding a header block: cut short", Reason::kHttp2Failure);
  }
}

}  // namespace culvert::http
