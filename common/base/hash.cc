// XXH64 after the specification of Yann Collet, SipHash-2-4 after the paper of Jean-Philippe Aumasson and Daniel J. Bernstein.
#include "common/base/hash.h"

#include <bit>
#include <cstring>
#include <random>

namespace culvert {
namespace {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87ULL;
constexpr std::uint64_t kPrime2 = 0xC2B2AE3D27D4EB4FULL;
constexpr std::uint64_t kPrime3 = 0x165667B19E3779F9ULL;
constexpr std::uint64_t kPrime4 = 0x85EBCA77C2B2AE63ULL;
constexpr std::uint64_t kPrime5 = 0x27D4EB2F165667C5ULL;

template <class Word>
Word take(std::string_view& bytes) {
  Word word;
  bytes.copy(reinterpret_cast<char*>(&word), sizeof word);
  bytes.remove_prefix(sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = std::byteswap(word);
  return word;
}

std::uint64_t round(std::uint64_t lane, std::uint64_t word) { return std::rotl(lane + word * kPrime2, 31) * kPrime1; }

std::uint64_t merge(std::uint64_t hash, std::uint64_t lane) { return (hash ^ round(0, lane)) * kPrime1 + kPrime4; }

std::uint64_t stripes(std::string_view& bytes) {
  std::uint64_t a = kPrime1 + kPrime2, b = kPrime2, c = 0, d = 0 - kPrime1;
  while (bytes.size() >= 32) {
    a = round(a, take<std::uint64_t>(bytes));
    b = round(b, take<std::uint64_t>(bytes));
    c = round(c, take<std::uint64_t>(bytes));
    d = round(d, take<std::uint64_t>(bytes));
  }
  const std::uint64_t hash = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
  return merge(merge(merge(merge(hash, a), b), c), d);
}

struct Sip {
  explicit Sip(const HashKey& key)
      : a(key[0] ^ 0x736f6d6570736575ULL),
        b(key[1] ^ 0x646f72616e646f6dULL),
        c(key[0] ^ 0x6c7967656e657261ULL),
        d(key[1] ^ 0x7465646279746573ULL) {}
  void turn() {
    a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
    c += d, d = std::rotl(d, 16) ^ c;
    a += d, d = std::rotl(d, 21) ^ a;
    c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
  }
  void add(std::uint64_t word) {
    d ^= word;
    turn(), turn();
    a ^= word;
  }
  std::uint64_t end() {
    c ^= 0xff;
    turn(), turn(), turn(), turn();
    return a ^ b ^ c ^ d;
  }

  std::uint64_t a, b, c, d;
};

}  // namespace

std::uint64_t content_hash(std::string_view bytes) {
  const std::uint64_t size = bytes.size();
  std::uint64_t hash = (size >= 32 ? stripes(bytes) : kPrime5) + size;
  while (bytes.size() >= 8) hash = std::rotl(hash ^ round(0, take<std::uint64_t>(bytes)), 27) * kPrime1 + kPrime4;
  if (bytes.size() >= 4) hash = std::rotl(hash ^ (take<std::uint32_t>(bytes) * kPrime1), 23) * kPrime2 + kPrime3;
  for (const char c : bytes) hash = std::rotl(hash ^ (static_cast<unsigned char>(c) * kPrime5), 11) * kPrime1;
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes) {
  Sip sip(key);
  std::uint64_t last = std::uint64_t{bytes.size()} << 56;
  while (bytes.size() >= 8) sip.add(take<std::uint64_t>(bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i) last |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  sip.add(last);
  return sip.end();
}

const HashKey& own_hash_key() {
  static const HashKey kOwn = [] {
    std::random_device random;
    const auto word = [&random] { return std::uint64_t{random()} << 32 | random(); };
    return HashKey{word(), word()};
  }();
  return kOwn;
}

}  // namespace culvert
