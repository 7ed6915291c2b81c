#include "controlplane/ca/past_roots.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <utility>

#include "common/base/base64.h"
#include "common/base/log.h"
#include "common/kube/request.h"
#include "common/net/event.h"
#include "common/tls/certificate.h"
#include "controlplane/ca/files.h"
#include "controlplane/ca/pause.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::string_view kSecret = "culvert-ca-roots";
constexpr std::string_view kRootsJson = "roots.json";

std::string file_in(const std::string& folder) { return folder + "/ca-roots.json"; }

kube::Place secret_in(const std::string& ns) { return {.of = {.plural = "secrets"}, .ns = ns, .name = std::string(kSecret)}; }

PastRoots parsed_or_none(std::string_view text, const std::string& where) {
  auto roots = PastRoots::parse(text);
  if (roots) return std::move(*roots);
  log::error("ca", "what signed before is not known: reading " + where + ": " + roots.error().text);
  return {};
}

Result<std::string> text_in(std::string_view secret) {
  boost::system::error_code error;
  const json::value value = json::parse(secret, error);
  const auto* text = error ? nullptr : value.find_pointer("/data/roots.json", error);
  if (text == nullptr || !text->is_string()) return failure("it has no roots.json");
  auto plain = from_base64(text->as_string());
  if (!plain) return failure("roots.json is not base64");
  return std::move(*plain);
}

}  // namespace

Result<PastRoots> PastRoots::parse(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  const auto* list = error ? nullptr : value.find_pointer("/roots", error);
  if (list == nullptr || !list->is_array()) return failure("it is no record of roots");
  PastRoots out;
  for (const json::value& one : list->as_array()) {
    const auto* object = one.if_object();
    const auto* pem = object ? object->if_contains("pem") : nullptr;
    const auto* until = object ? object->if_contains("until") : nullptr;
    const auto root = pem && pem->is_string() ? tls::Certificate::parse(pem->as_string()) : failure("a root has no pem");
    if (!root) return std::unexpected(root.error());
    if (until && !until->is_int64()) return failure("until is no number");
    std::optional<Time> end;
    if (until) end = Time(std::chrono::seconds(until->as_int64()));
    out.roots_.push_back({root->pem(), end});
  }
  return out;
}

std::string PastRoots::text() const {
  json::array list;
  for (const Root& root : roots_) {
    json::object one{{"pem", root.pem}};
    if (root.until) one["until"] = std::chrono::ceil<std::chrono::seconds>(*root.until).time_since_epoch().count();
    list.push_back(std::move(one));
  }
  return json::serialize(json::object{{"roots", std::move(list)}});
}

bool PastRoots::signs_under(const std::vector<std::string>& roots, Time now, std::chrono::seconds keep) {
  bool changed = forget(now);
  for (Root& root : roots_) {
    const bool signs = std::ranges::contains(roots, root.pem);
    if (signs == !root.until) continue;
    root.until = signs ? std::nullopt : std::optional(now + keep);
    changed = true;
  }
  for (const std::string& pem : roots) {
    if (std::ranges::contains(roots_, pem, &Root::pem)) continue;
    roots_.push_back({pem, std::nullopt});
    changed = true;
  }
  std::ranges::stable_sort(roots_, std::greater{}, [](const Root& root) { return root.until.value_or(Time::max()); });
  const auto past = std::ranges::find_if(roots_, [](const Root& root) { return root.until.has_value(); });
  if (roots_.end() - past > static_cast<std::ptrdiff_t>(kMost)) roots_.erase(past + kMost, roots_.end());
  return changed;
}

bool PastRoots::drop(const std::vector<std::string>& roots) {
  return std::erase_if(roots_, [&](const Root& root) { return root.until && std::ranges::contains(roots, root.pem); }) > 0;
}

bool PastRoots::forget(Time now) {
  return std::erase_if(roots_, [now](const Root& root) { return root.until && *root.until <= now; }) > 0;
}

std::optional<PastRoots::Time> PastRoots::next() const {
  std::optional<Time> out;
  for (const Root& root : roots_) {
    if (root.until && (!out || *root.until < *out)) out = root.until;
  }
  return out;
}

std::vector<std::string> PastRoots::past() const {
  std::vector<std::string> out;
  for (const Root& root : roots_) {
    if (root.until) out.push_back(root.pem);
  }
  return out;
}

PastRoots load_past_roots(const std::string& folder) {
  const std::string path = file_in(folder);
  const auto there = exists(path);
  if (there && !*there) return {};
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return parsed_or_none(text.str(), path);
}

void write_past_roots(const std::string& folder, const std::string& text) {
  if (auto done = write_file(file_in(folder), text, Access::kOwner); !done)
    log::error("ca", "what signs now will not be known after a restart: " + done.error().text);
}

net::Task<Result<PastRoots>> find_past_roots(kube::Client& client, std::string ns) {
  const kube::Request request = kube::get(secret_in(ns));
  const auto answer = co_await client.exchange(request);
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == kube::kNotFound) co_return PastRoots();
  const std::string where = "Secret " + ns + "/" + std::string(kSecret);
  if (!kube::is_success(answer->status)) {
    log::error("ca", "what signed before is not known: " + kube::refusal(request, answer->status, answer->body).text);
    co_return PastRoots();
  }
  const auto text = text_in(answer->body);
  co_return parsed_or_none(text ? *text : "", where);
}

struct PastRootsWriter::State {
  State(kube::Client& its_client, std::string its_ns, std::string its_text)
      : client(its_client), ns(std::move(its_ns)), text(std::move(its_text)), changed(its_client.loop()) {}

  net::Task<Status> put(std::string now) {
    const json::object secret{{"apiVersion", "v1"},
                              {"kind", "Secret"},
                              {"type", "Opaque"},
                              {"metadata", {{"name", kSecret}}},
                              {"data", {{kRootsJson, to_base64(now)}}}};
    kube::Request request = kube::apply(secret_in(ns), json::serialize(secret), {.field_manager = "culvertd"});
    request.still = [this] { return !closed && leading; };
    const auto answer = co_await client.call(request);
    if (!answer) co_return std::unexpected(answer.error());
    co_return Status{};
  }

  static net::Task<> run(std::shared_ptr<State> self) {
    std::string there, said;
    for (auto pause = kLeastPause; !self->closed;) {
      if (!self->leading || self->text == there) {
        if (!self->leading) there.clear();  // somebody else may write meanwhile
        co_await self->changed.wait();
        continue;
      }
      const std::string now = self->text;
      const Status done = co_await self->put(now);
      if (self->closed) co_return;
      if (done) {
        there = now;
        said.clear();
        pause = kLeastPause;
        continue;
      }
      if (!self->leading) continue;
      if (std::exchange(said, done.error().text) != done.error().text)
        log::error("ca", "what signs now will not be known after a restart: " + said);
      std::ignore = co_await self->changed.wait_for(pause);
      pause = std::min(pause * 2, kMostPause);
    }
  }

  kube::Client& client;
  const std::string ns;
  std::string text;
  net::Event changed;
  kube::Leadership leading = false;
  bool closed = false;
};

PastRootsWriter::PastRootsWriter(kube::Client& client, std::string ns, std::string text)
    : state_(std::make_shared<State>(client, std::move(ns), std::move(text))) {
  client.loop().spawn(State::run(state_));
}

PastRootsWriter::~PastRootsWriter() {
  state_->closed = true;
  state_->changed.notify_all();
}

void PastRootsWriter::lead(kube::Leadership leading) {
  state_->leading = std::move(leading);
  state_->changed.notify_all();
}

void PastRootsWriter::write(std::string text) {
  state_->text = std::move(text);
  state_->changed.notify_all();
}

}  // namespace culvert::controlplane
