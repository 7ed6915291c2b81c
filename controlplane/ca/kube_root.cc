#include "controlplane/ca/kube_root.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <optional>
#include <utility>

#include "common/base/base64.h"
#include "common/base/log.h"
#include "common/base/secrets.h"
#include "common/kube/object.h"
#include "common/kube/request.h"
#include "controlplane/ca/root.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;

// Memory of what nobody may find in it afterwards.
class WipedMemory final : public boost::container::pmr::memory_resource {
  void* do_allocate(std::size_t bytes, std::size_t align) override { return ::operator new(bytes, std::align_val_t(align)); }
  void do_deallocate(void* place, std::size_t bytes, std::size_t align) override {
    wipe(std::span(static_cast<std::byte*>(place), bytes));
    ::operator delete(place, std::align_val_t(align));
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

// The caller wipes it.
std::string json_text(const json::object& object) {
  json::serializer writer;
  writer.reset(&object);
  std::string text(std::size_t{64} * 1024, '\0');
  for (std::size_t size = 0;;) {
    size += writer.read(text.data() + size, text.size() - size).size();
    if (writer.done()) {
      text.resize(size);
      return text;
    }
    std::string longer(2 * text.size(), '\0');
    std::ranges::copy(text, longer.begin());
    wipe(text);
    text = std::move(longer);
  }
}

// By the names of a CA's texts, what stands for it in a Secret: Istio's key, or that of type kubernetes.io/tls.
struct Field {
  const char* name;
  const char* other = nullptr;
};
constexpr std::array kFields = {Field{"ca-cert.pem", "tls.crt"},
                                Field{"ca-key.pem", "tls.key"},
                                Field{"root-cert.pem", "ca.crt"},
                                Field{"cert-chain.pem"},
                                Field{"next-cert.pem"},
                                Field{"next-key.pem"},
                                Field{"rotated-at"},
                                Field{"ca-crl.pem"}};

const json::value* found(const json::object& data, const Field& field) {
  const auto* value = data.if_contains(field.name);
  return value != nullptr || field.other == nullptr ? value : data.if_contains(field.other);
}

struct Opened {
  CaTexts texts;
  std::string version;
};

// The one place that reads a CA's Secret: whatever else looks at its text (kube::meta_of) makes copies of what is in it.
Result<Opened> open_secret(std::string_view object) {
  boost::system::error_code error;
  WipedMemory memory;
  const json::value value = json::parse(object, error, &memory);
  const auto* data = !error && value.is_object() ? value.as_object().if_contains("data") : nullptr;
  if (data == nullptr || !data->is_object()) return failure("has no data");
  Opened opened;
  if (const auto* version = value.find_pointer("/metadata/resourceVersion", error); version != nullptr && version->is_string())
    opened.version = version->as_string();
  for (const Field& field : kFields) {
    const auto* text = found(data->as_object(), field);
    if (text == nullptr || !text->is_string()) continue;
    auto plain = from_base64(text->as_string());
    if (!plain) return failure(std::string(field.name) + " is not base64");
    opened.texts.set(field.name, std::move(*plain));
  }
  return opened;
}

kube::Place secret_at(const std::string& ns, std::string_view name) {
  return {.of = {.plural = "secrets"}, .ns = ns, .name = std::string(name)};
}

kube::Request secretly(kube::Request request) {
  request.secret = true;
  return request;
}

// The Secret's text; none when there is none. The caller wipes it.
net::Task<Result<std::optional<std::string>>> read_secret_object(kube::Client& client, kube::Place at) {
  const kube::Request request = secretly(kube::get(at));
  auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == kube::kNotFound) co_return std::nullopt;
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  co_return std::move(answer->body);
}

std::uint64_t number_in(const std::string& version) {
  std::uint64_t number = 0;
  std::from_chars(version.data(), version.data() + version.size(), number);
  return number;
}

net::Task<Result<std::optional<Ca>>> find_in(kube::Client& client, kube::Place at, std::string trust_domain) {
  auto object = co_await read_secret_object(client, at);
  if (!object) co_return std::unexpected(std::move(object).error());
  if (!*object) co_return std::nullopt;
  auto ca = read_ca_secret(**object, trust_domain);
  wipe(**object);
  if (!ca) co_return std::unexpected(std::move(ca).error().during("reading Secret " + at.ns + "/" + at.name));
  ca->from = "Secret " + at.ns + "/" + at.name;
  warn_of_unused(*ca);
  co_return std::move(*ca);
}

// A merge patch that holds only for the version that was seen.
std::string patch_of(const std::vector<CaEdit>& edits, const std::string& version) {
  WipedMemory memory;
  json::object data(&memory);
  for (const CaEdit& edit : edits) {
    if (!edit.text) {
      data[edit.name] = nullptr;
      continue;
    }
    std::string text = to_base64(*edit.text);
    data[edit.name] = text;
    wipe(text);
  }
  const json::object patch({{"metadata", {{"resourceVersion", version}}}, {"data", std::move(data)}}, &memory);
  return json_text(patch);
}

}  // namespace

Result<Ca> read_ca_secret(std::string_view object, const std::string& trust_domain) {
  const auto opened = open_secret(object);
  if (!opened) return std::unexpected(opened.error());
  auto ca = read_ca(opened->texts, trust_domain);
  if (ca) ca->sequence = number_in(opened->version);
  return ca;
}

std::string ca_secret(const tls::Authority& authority, std::string_view ns) {
  const std::string certificate = to_base64(authority.certificate().pem());
  std::string pem = authority.key_pair().key().private_pem(), key = to_base64(pem);
  WipedMemory memory;
  const json::object data({{"ca-cert.pem", certificate},
                           {"ca-key.pem", key},
                           {"root-cert.pem", certificate},
                           {"cert-chain.pem", ""},
                           {"key.pem", ""}},
                          &memory);
  const json::object secret({{"apiVersion", "v1"},
                             {"kind", "Secret"},
                             {"type", "istio.io/ca-root"},
                             {"metadata", {{"name", kOurSecret}, {"namespace", ns}}},
                             {"data", data}},
                            &memory);
  wipe(pem);
  wipe(key);
  return json_text(secret);
}

net::Task<Result<std::optional<Ca>>> find_ca(kube::Client& client, std::string ns, std::string trust_domain) {
  auto users = co_await find_in(client, secret_at(ns, kUsersOwnSecret), trust_domain);
  if (!users || *users) co_return users;
  co_return co_await find_in(client, secret_at(ns, kOurSecret), trust_domain);
}

net::Task<Result<Ca>> load_or_make_ca(kube::Client& client, std::string ns, std::string trust_domain,
                                      std::chrono::seconds root_lifetime, Of of) {
  for (;;) {
    auto there = co_await find_ca(client, ns, of == Of::kThis ? trust_domain : "");
    if (!there) co_return std::unexpected(std::move(there).error());
    if (*there) co_return std::move(**there);
    const auto made = tls::Authority::make_root(trust_domain, root_lifetime);
    if (!made) co_return std::unexpected(made.error());
    kube::Place at = secret_at(ns, kOurSecret);
    at.name.clear();  // a POST names the collection
    kube::Request request = secretly(kube::create(at, ca_secret(*made, ns)));
    auto answer = co_await client.exchange(request);
    wipe(request.body);
    if (!answer) co_return std::unexpected(answer.error());
    // Read back like everybody else's: another replica may have been faster.
    if (answer->status != kube::kConflict && !kube::is_success(answer->status))
      co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
    wipe(answer->body);
    if (answer->status == kube::kConflict) continue;
    log::info("ca", "made a new root certificate",
              {log::field("serial", made->certificate().serial()), log::field("expires", made->certificate().expires_at())});
  }
}

net::Task<Result<bool>> rotate_root(kube::Client& client, std::string ns, std::string trust_domain, RotationPolicy policy,
                                    std::function<bool()> still) {
  const kube::Place at = secret_at(ns, kOurSecret);
  auto object = co_await read_secret_object(client, at);
  if (!object) co_return std::unexpected(std::move(object).error());
  if (!*object) co_return false;
  const auto opened = open_secret(**object);
  wipe(**object);
  if (!opened) co_return std::unexpected(opened.error());
  const CaTexts& texts = opened->texts;
  if (auto ours = is_self_made(texts); !ours || !*ours) co_return ours;  // an istiod's is its own to replace
  const auto life = life_of(texts);
  if (!life) co_return std::unexpected(life.error());
  const auto now = std::chrono::system_clock::now();
  const RootStep step = next_step(*life, policy, now);
  auto edits = edits_for(step, texts, trust_domain, policy, now);
  if (!edits) co_return std::unexpected(std::move(edits).error());
  if (edits->empty()) co_return false;
  kube::Request request = secretly(kube::merge(at, patch_of(*edits, opened->version)));
  request.still = std::move(still);
  auto answer = co_await client.exchange(request);
  wipe(request.body);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == kube::kConflict) co_return false;  // somebody else changed it: it is looked at again
  if (!kube::is_success(answer->status)) co_return std::unexpected(kube::refusal(request, answer->status, answer->body));
  wipe(answer->body);
  log::info("ca", "replaces the root certificate: " + std::string(name(step)));
  co_return true;
}

}  // namespace culvert::controlplane
