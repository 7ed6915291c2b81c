#include "common/kube/intake.h"

#include <algorithm>
#include <utility>

#include "common/base/format.h"

namespace culvert::kube {
namespace {

using Piece = Splitter::Piece;

}  // namespace

void Intake::begin_page() {
  splitter_ = Splitter("items", limits_);
  whole_ = false;
  list_ = {};
  kind_.clear();
  api_version_.clear();
}

Status Intake::feed_page(std::string_view bytes) {
  return splitter_.feed(bytes, [this](const Piece& piece) {
    if (piece.kind == Piece::kItem) take(piece.text, piece.refused, meta_of(piece.text));
    else if (piece.kind == Piece::kMember) page_member(piece.name, piece.text);
    else whole_ = true;
  });
}

void Intake::page_member(std::string_view name, std::string_view value) {
  constexpr std::string_view kList = "List";
  if (name == "kind") kind_ = string_of(value);
  else if (name == "apiVersion") api_version_ = string_of(value);
  else if (name == "metadata") list_ = meta_of(culvert::format("{{\"metadata\":{}}}", value));
  if (name == "kind" && kind_.ends_with(kList)) kind_.resize(kind_.size() - kList.size());
}

Result<std::string> Intake::end_page() {
  if (!whole_ || !splitter_.between()) return failure("the list ends in the middle");
  if (list_.resource_version.empty())
    return failure(culvert::format("got {} instead of a list", kind_.empty() ? "something" : kind_));
  version_ = list_.resource_version;
  return list_.next;
}

void Intake::end_list() {
  for (Gone& gone : held_.end()) tell_(std::move(gone));
  if (!std::exchange(synced_, true)) tell_(Synced{});
}

void Intake::begin_watch(bool initial) {
  splitter_ = Splitter("", limits_);
  kind_.clear();
  api_version_.clear();
  type_.clear();
  object_ = {};
  object_refused_.clear();
  error_ = {};
  events_ = 0;
  initial_ = initial;
  if (initial) begin_list();
}

Status Intake::feed_watch(std::string_view bytes) {
  return splitter_.feed(bytes, [this](const Piece& piece) {
    if (piece.kind == Piece::kEnd) return event();
    if (piece.name == "type") type_ = string_of(piece.text);
    if (piece.name != "object") return;
    object_ = piece.text;
    object_refused_ = piece.refused;
  });
}

void Intake::event() {
  const std::string type = std::exchange(type_, {});
  const SecretString object = std::exchange(object_, {});
  const std::string why = std::exchange(object_refused_, {});
  const Meta meta = meta_of(object);
  ++events_;
  if (type == "ERROR") {
    error_ = explanation_of(object);
    if (error_.code == 0) error_.code = 500;
    return;
  }
  if (type == "ADDED" || type == "MODIFIED") take(object, why, meta);
  else if (type == "DELETED") deleted(meta);
  else if (type != "BOOKMARK") return skip(meta, culvert::format("an event of the type \"{}\"", type.substr(0, 40)));

  if (type == "BOOKMARK" && meta.initial_events_end && initial_) {
    initial_ = false;
    version_ = meta.resource_version;
    end_list();
  } else if (!initial_ && !meta.resource_version.empty()) {
    version_ = meta.resource_version;  // before that, events come in no order
  }
}

void Intake::deleted(const Meta& meta) {
  if (meta.key.name.empty() || meta.uid.empty()) return skip(meta, "a deletion that does not say of what");
  std::string uid;
  if (held_.remove(meta.key, uid)) tell_(Gone{meta.key, std::move(uid)});
}

void Intake::take(std::string_view object, std::string_view refused, const Meta& meta) {
  if (!refused.empty()) {
    const bool whole = object.size() < std::min(Splitter::kBeginning, limits_.value);
    return skip(meta, std::string(refused), whole ? object : "");
  }
  if (auto good = check_json(object); !good) return skip(meta, std::move(good).error().text);
  if (meta.key.name.empty()) return skip(meta, "an object without a name");
  Held::Before before = held_.put(meta.key, meta.uid, meta.resource_version);
  if (!before.uid.empty()) tell_(Gone{meta.key, std::move(before.uid)});
  tell_(Put{.json = secret_ ? "" : with_kind(object, meta, api_version_, kind_),
            .key = meta.key,
            .uid = meta.uid,
            .resource_version = meta.resource_version,
            .again = before.same});
}

// Namespace and name come before the uid, whoever wrote the object: with a uid, they are what they seem.
void Intake::skip(const Meta& meta, std::string why, std::string_view object) {
  held_.unreadable(meta.key, meta.key.name.empty() ? std::string() : meta.uid);
  tell_(Skipped{.key = meta.key,
                .why = std::move(why),
                .resource_version = meta.resource_version,
                .json = std::string(secret_ ? "" : object)});
}

}  // namespace culvert::kube
