#pragma once
// HPACK (RFC 7541) for our own HTTP/2 engine: nghttp2's tables and Huffman code behind two small classes. Sans-I/O.
// One encoder and one decoder per connection; both keep a dynamic table, so every block of a connection must pass through them in
// order, also blocks whose headers nobody wants.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

struct nghttp2_hd_deflater;
struct nghttp2_hd_inflater;

namespace culvert::http {

// One field of a header list: HTTP/2 names are lower case, pseudo headers begin with ':'.
struct HeaderField {
  std::string name;
  std::string value;
  bool indexed = true;  // encoder only: false for values that never come twice, which would only push others out of the table

  friend bool operator==(const HeaderField& a, const HeaderField& b) { return a.name == b.name && a.value == b.value; }
};
using HeaderList = std::vector<HeaderField>;

class HpackEncoder {
 public:
  HpackEncoder();

  // The peer's SETTINGS_HEADER_TABLE_SIZE. We never use more than 4,096 bytes, whatever it allows.
  void set_table_limit(std::size_t bytes);
  // Appends the block to `out`.
  void encode(std::span<const HeaderField> headers, std::vector<std::byte>& out);

 private:
  struct Delete {
    void operator()(nghttp2_hd_deflater* deflater) const;
  };
  std::unique_ptr<nghttp2_hd_deflater, Delete> deflater_;
};

class HpackDecoder {
 public:
  HpackDecoder();

  struct Decoded {
    HeaderList headers;
    bool too_large = false;  // the list is past the limit: `headers` holds what fitted, the table is still in step
  };
  // One whole block. `limit` counts as SETTINGS_MAX_HEADER_LIST_SIZE does: name + value + 32 for each field.
  // Fails when the block is malformed: the connection cannot go on (COMPRESSION_ERROR).
  Result<Decoded> decode(std::span<const std::byte> block, std::size_t limit);

 private:
  struct Delete {
    void operator()(nghttp2_hd_inflater* inflater) const;
  };
  std::unique_ptr<nghttp2_hd_inflater, Delete> inflater_;
};

}  // namespace culvert::http
