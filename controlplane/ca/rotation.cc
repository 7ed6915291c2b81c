#include "controlplane/ca/rotation.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/base/format.h"
#include "common/base/secrets.h"

namespace culvert::controlplane {
namespace {

constexpr const char* kCertificate = "ca-cert.pem";
constexpr const char* kCaKey = "ca-key.pem";
constexpr const char* kRoots = "root-cert.pem";
constexpr const char* kNext = "next-cert.pem";
constexpr const char* kNextKey = "next-key.pem";
constexpr const char* kRotated = "rotated-at";

Result<tls::Certificate> certificate_in(const CaTexts& texts, const char* name) {
  const std::string* text = texts.find(name);
  if (text == nullptr) return failure(culvert::format("has no {}", name));
  auto certificate = tls::Certificate::parse(*text);
  if (!certificate) return std::unexpected(std::move(certificate).error().during(name));
  return certificate;
}

std::vector<tls::Certificate> roots_in(const CaTexts& texts) {
  const std::string* text = texts.find(kRoots);
  if (text == nullptr) return {};
  auto roots = tls::Certificate::parse_all(*text, tls::kMaxRoots);
  return roots ? std::move(*roots) : std::vector<tls::Certificate>();
}

bool same(const tls::Certificate& one, const tls::Certificate& other) { return one.pem() == other.pem(); }

// `before`: its serial number; empty, as it was not always written down: whichever else culvertd has made.
bool is_previous(const tls::Certificate& root, const tls::Certificate& own, const std::string& before) {
  return !same(root, own) && (before.empty() ? is_self_made(root) : root.serial() == before);
}

// All that is published beside ours, but what `gone` says. Others put theirs there, who are about to bring a CA of their own or have a mesh beside this one.
Result<std::string> roots_beside(const CaTexts& texts, const tls::Certificate& own, const auto& gone) {
  std::string out;
  const std::string* text = texts.find(kRoots);
  if (text == nullptr) return out;
  const auto roots = tls::Certificate::parse_all(*text, tls::kMaxRoots);
  if (!roots) return failure(culvert::format("{}: {}", kRoots, roots.error().text));
  for (const auto& root : *roots)
    if (!same(root, own) && !gone(root)) out += root.pem();
  return out;
}

// Since when the root signs, in seconds since 1970, and the serial number of the one before.
struct Rotated {
  std::int64_t seconds = 0;
  std::string before;
};
std::optional<Rotated> rotated_in(const CaTexts& texts) {
  const std::string* text = texts.find(kRotated);
  if (text == nullptr) return std::nullopt;
  Rotated out;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), out.seconds);
  const auto rest = std::string_view(*text).substr(static_cast<std::size_t>(end - text->data()));
  if (rest.starts_with(' ')) out.before = rest.substr(1);
  return out;
}

// Not by a list in braces, which is copied from.
std::vector<CaEdit> edits_of(std::same_as<CaEdit> auto... edit) {
  std::vector<CaEdit> all;
  all.reserve(sizeof...(edit));
  (all.push_back(std::move(edit)), ...);
  return all;
}

std::vector<CaEdit> switching(const std::string& certificate, const std::string& key) {
  return edits_of(CaEdit(kCertificate, certificate), CaEdit(kCaKey, key), CaEdit(kNextKey, {}), CaEdit(kNext, {}));
}

}  // namespace

CaEdit::~CaEdit() {
  if (text) wipe(*text);
}

CaTexts::~CaTexts() {
  for (auto& [name, text] : texts_) wipe(text);
}

const std::string* CaTexts::find(const std::string& name) const {
  const auto found = texts_.find(name);
  return found == texts_.end() ? nullptr : &found->second;
}

void CaTexts::set(const std::string& name, std::string text) {
  std::string& held = texts_[name];
  wipe(held);
  held = std::move(text);
}

void CaTexts::remove(const std::string& name) {
  if (const auto found = texts_.find(name); found != texts_.end()) {
    wipe(found->second);
    texts_.erase(found);
  }
}

RootStep next_step(const RootLife& life, const RotationPolicy& policy, tls::SystemTime now) {
  if (life.announced) {
    return now >= *life.announced + policy.overlap || now >= life.ends ? RootStep::kSwitch : RootStep::kNone;
  }
  if (life.switched) {
    const bool over = !life.previous_ends || now >= *life.previous_ends || now >= *life.switched + policy.longest_leaf;
    return over ? RootStep::kRetire : RootStep::kNone;
  }
  // However short the last part is: there must be time to announce, with one look too late at either end.
  const auto grace = std::max<tls::SystemTime::duration>((life.ends - life.begins) / 100 * policy.grace_percent,
                                                         policy.overlap + 2 * policy.check);
  return now >= life.ends - grace ? RootStep::kAnnounce : RootStep::kNone;
}

std::string_view name(RootStep step) {
  switch (step) {
    case RootStep::kNone: return "nothing to do";
    case RootStep::kAnnounce: return "made the next one, published beside it";
    case RootStep::kSwitch: return "the next one signs";
    case RootStep::kRetire: return "the one before is trusted no more";
  }
  return "";
}

bool is_self_made(const tls::Certificate& root) { return root.is_self_issued() && root.common_name() == tls::kRootCommonName; }

Result<bool> is_self_made(const CaTexts& texts) {
  const std::string* own = texts.find("ca-cert.pem");
  if (own == nullptr) return failure("has no ca-cert.pem");
  return tls::Certificate::parse(*own).transform([](const tls::Certificate& root) { return is_self_made(root); });
}

Result<RootLife> life_of(const CaTexts& texts) {
  const auto own = certificate_in(texts, kCertificate);
  if (!own) return std::unexpected(own.error());
  RootLife life{.begins = own->not_before() + tls::kBackdate,
                .ends = own->not_after(),
                .announced = {},
                .switched = {},
                .previous_ends = {}};
  const std::vector<tls::Certificate> roots = roots_in(texts);
  const auto next = certificate_in(texts, kNext);
  // One that is not published yet has not been announced: that was cut short, and is done anew.
  const bool published = next && std::ranges::any_of(roots, [&](const auto& root) { return same(root, *next); });
  if (published && texts.find(kNextKey) != nullptr && !same(*next, *own)) life.announced = next->not_before() + tls::kBackdate;
  const auto rotated = rotated_in(texts);
  if (rotated) life.switched = tls::SystemTime(std::chrono::seconds(rotated->seconds));
  for (const auto& root : roots)
    if (is_previous(root, *own, rotated ? rotated->before : ""))
      life.previous_ends = std::max(life.previous_ends.value_or(root.not_after()), root.not_after());
  return life;
}

Result<std::vector<CaEdit>> edits_for(RootStep step, const CaTexts& texts, const std::string& trust_domain,
                                      const RotationPolicy& policy, tls::SystemTime now) {
  const auto own = certificate_in(texts, kCertificate);
  if (!own) return std::unexpected(own.error());
  switch (step) {
    case RootStep::kNone: return std::vector<CaEdit>();
    case RootStep::kAnnounce: {
      const auto stale = certificate_in(texts, kNext);  // an announcement that was cut short
      const auto others = roots_beside(texts, *own, [&](const auto& root) { return stale && same(root, *stale); });
      if (!others) return std::unexpected(others.error());
      auto made = tls::Authority::make_root(trust_domain, policy.root_lifetime, now);
      if (!made) return std::unexpected(std::move(made).error());
      const std::string next = made->certificate().pem();
      return edits_of(CaEdit(kNextKey, made->key_pair().key().private_pem()), CaEdit(kNext, next),
                      CaEdit(kRoots, own->pem() + next + *others));
    }
    case RootStep::kSwitch: {
      const auto next = certificate_in(texts, kNext);
      const std::string* key = texts.find(kNextKey);
      if (!next) return std::unexpected(next.error());
      if (key == nullptr) return failure(culvert::format("has no {}", kNextKey));
      std::vector<CaEdit> edits = switching(next->pem(), *key);
      const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
      edits.emplace(edits.begin(), kRotated, culvert::format("{} {}", seconds, own->serial()));
      return edits;
    }
    case RootStep::kRetire: {
      const auto rotated = rotated_in(texts);
      const auto others =
          roots_beside(texts, *own, [&](const auto& root) { return is_previous(root, *own, rotated ? rotated->before : ""); });
      if (!others) return std::unexpected(others.error());
      return edits_of(CaEdit(kRoots, own->pem() + *others), CaEdit(kRotated, {}));
    }
  }
  return failure("no such step");
}

std::vector<CaEdit> rest_of_switch(const CaTexts& texts) {
  const auto own = certificate_in(texts, kCertificate), next = certificate_in(texts, kNext);
  const std::string* key = texts.find(kNextKey);
  if (!own || !next || !same(*own, *next)) return {};
  if (key == nullptr) return edits_of(CaEdit(kNext, {}));
  return switching(own->pem(), *key);
}

}  // namespace culvert::controlplane
