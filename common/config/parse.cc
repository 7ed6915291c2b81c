#include "common/config/parse.h"

#include <algorithm>
#include <array>
#include <ranges>
#include <set>

#include "common/config/glance.h"
#include "common/config/kinds.h"
#include "common/config/read.h"
#include "common/config/rules.h"
#include "common/config/spelling.h"
#include "common/config/tree.h"

namespace culvert::config {
namespace {

using Reader = Object (*)(Fields&, Metadata);

template <class T>
Object read_metadata_only(Fields& object, Metadata metadata) {
  object.skip({"spec", "status"});
  T value;
  value.metadata = std::move(metadata);
  return value;
}

Object read_service_account(Fields& object, Metadata metadata) {
  object.skip({"secrets", "imagePullSecrets", "automountServiceAccountToken"});
  ServiceAccount account;
  account.metadata = std::move(metadata);
  return account;
}

struct KindRow {
  Kind kind;
  std::string_view group;
  std::string_view versions;  // "group/version" of each that is read, comma-separated; the first is what to write
  Reader read;                // null: by the kind's proto
};

constexpr std::string_view kSecurity = "security.istio.io";
constexpr std::array kKinds = {
    KindRow{Kind::kNamespace, "", "v1", read_metadata_only<Namespace>},
    KindRow{Kind::kNode, "", "v1", read_metadata_only<Node>},
    KindRow{Kind::kServiceAccount, "", "v1", read_service_account},
    KindRow{Kind::kPod, "", "v1", read_pod},
    KindRow{Kind::kService, "", "v1", read_service},
    KindRow{Kind::kEndpointSlice, "discovery.k8s.io", "discovery.k8s.io/v1", read_endpoint_slice},
    KindRow{Kind::kConfigMap, "", "v1", read_config_map},
    KindRow{Kind::kDeployment, "apps", "apps/v1", read_deployment},
    KindRow{Kind::kStatefulSet, "apps", "apps/v1", read_stateful_set},
    KindRow{Kind::kPeerAuthentication, kSecurity, "security.istio.io/v1,security.istio.io/v1beta1", read_peer_authentication},
    KindRow{Kind::kAuthorizationPolicy, kSecurity, "security.istio.io/v1,security.istio.io/v1beta1", read_authorization_policy},
};

bool serves(const KindRow& row, std::string_view api_version) {
  for (std::string_view rest = row.versions; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find(','));
    if (one == api_version) return true;
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
  }
  return false;
}

// The kinds that are read by their protos.
std::vector<KindRow> custom_rows() {
  static const std::vector<std::string> kVersions = [] {
    std::vector<std::string> out;
    for (const CustomKind& kind : custom_kinds()) {
      std::string& versions = out.emplace_back();
      for (const std::string& version : kind.versions) versions += (versions.empty() ? "" : ",") + kind.group + "/" + version;
    }
    return out;
  }();
  std::vector<KindRow> rows;
  for (const auto& [kind, versions] : std::views::zip(custom_kinds(), kVersions)) {
    if (is_custom(kind.kind)) rows.push_back({kind.kind, kind.group, versions, nullptr});
  }
  return rows;
}

std::string_view group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? "" : api_version.substr(0, slash);
}

const KindRow* row_of(std::string_view api_version, std::string_view kind) {
  static const std::vector<KindRow> kCustom = custom_rows();
  const std::string_view group = group_of(api_version);
  for (const KindRow& row : kKinds) {
    if (name(row.kind) == kind && row.group == group) return &row;
  }
  const CustomKind* custom = find_kind(group, kind);
  const auto found = custom ? std::ranges::find(kCustom, custom->kind, &KindRow::kind) : kCustom.end();
  return found == kCustom.end() ? nullptr : &*found;
}

// What the kind was meant to be, in a group that has others: "did you mean VirtualService?"; empty when it resembles none.
std::string kind_meant(std::string_view api_version, std::string_view kind) {
  std::vector<std::string_view> names;
  for (const CustomKind& row : custom_kinds()) {
    if (row.group == group_of(api_version) && resembles(kind, row.name, 3)) names.push_back(row.name);
  }
  return did_you_mean(kind, names);
}

// The text of a scalar field, "" when there is none: for naming things in messages.
std::string_view scalar(const Tree* tree, std::string_view field) {
  const Tree* value = tree ? tree->find(field) : nullptr;
  return value ? std::string_view(value->text) : "";
}

// The namespace that a document means; empty when it may mean any.
std::string namespace_of(const Tree& root) {
  const Tree* metadata = root.find("metadata");
  const bool there = metadata && metadata->type == Tree::Type::kMap;
  const Tree* value = (there ? *metadata : root).find("namespace");
  if (there && (!value || value->type == Tree::Type::kNull)) return "default";
  return value && is_namespace_name(value->text) ? value->text : "";
}

// What a document of this kind is called. Policies have a key without a name as well: they deny in their namespace all the same.
std::optional<Key> key_meant(const Tree& root, Kind kind) {
  const std::string_view called = scalar(root.find("metadata"), "name");
  Key key{kind, "", is_name(called) ? std::string(called) : ""};
  if (key.name.empty() && !is_policy(kind)) return std::nullopt;
  if (is_namespaced(kind)) key.name_space = namespace_of(root);
  return key;
}

constexpr std::size_t kMostWrong = 3;  // letters

// The policy that was meant by these two words, mistakes in them included; none when it is surely something else.
std::optional<Kind> policy_meant(std::string_view api_version, std::string_view kind) {
  const std::string_view group = api_version.substr(0, api_version.find('/'));
  const bool ours = resembles(group, kSecurity, kMostWrong);
  const bool foreign =
      !ours && group.contains('.') && !group.contains("istio");  // other projects have an AuthorizationPolicy too
  for (const Kind policy : {Kind::kAuthorizationPolicy, Kind::kPeerAuthentication}) {
    if (!foreign && resembles(kind, name(policy), kMostWrong)) return policy;
  }
  if (!ours || resembles(kind, "RequestAuthentication", kMostWrong)) return std::nullopt;
  return Kind::kAuthorizationPolicy;
}

// The same for a document that lacks one of the two: any field at its top may be the one, under a mistaken name.
std::optional<Kind> policy_meant(const Tree& root) {
  const std::string_view api_version = scalar(&root, "apiVersion");
  const std::string_view kind = scalar(&root, "kind");
  if (!api_version.empty() && !kind.empty()) return policy_meant(api_version, kind);
  for (const Tree& value : root.items) {
    if (const auto meant = policy_meant(api_version, value.text)) return meant;
    if (const auto meant = policy_meant(value.text, kind)) return meant;
  }
  return std::nullopt;
}

// The keys of one object that seems to stand in a document which is not YAML: one for each namespace that it may be in.
std::vector<Key> keys_of(const Glance& seen) {
  const KindRow* row = row_of(seen.api_version, seen.kind);
  const std::optional<Kind> kind = row ? row->kind : policy_meant(seen.api_version, seen.kind);
  const bool named = is_name(seen.name);
  if (!kind || (!named && !is_policy(*kind))) return {};
  Key key{*kind, "", named ? seen.name : ""};
  if (!is_namespaced(*kind)) return {key};
  std::set<std::string> namespaces = seen.namespaces;
  if (namespaces.empty()) namespaces.insert(seen.whole_metadata ? "default" : "");
  std::vector<Key> keys;
  for (const std::string& name_space : namespaces) {
    key.name_space = is_namespace_name(name_space) ? name_space : "";
    keys.push_back(key);
  }
  return keys;
}

class FileParser {
 public:
  explicit FileParser(std::string_view file) : name_(file) {}

  ParsedFile parse(std::string_view text) {
    if (text.size() > kMaxFileBytes) {
      broken({}, {{name_, 0}, "", "", "is larger than " + std::to_string(kMaxFileBytes >> 20) + " MiB", "split it"});
      return std::move(out_);
    }
    for (const Document& document : read_yaml(text)) take(document);
    return std::move(out_);
  }

  ParsedFile parse(Document document, std::string_view api_version, std::string_view kind) {
    if (document.root && document.root->type == Tree::Type::kMap) {
      name_when_nameless(*document.root, "apiVersion", api_version);
      name_when_nameless(*document.root, "kind", kind);
    }
    take(document);
    return std::move(out_);
  }

 private:
  void take(const Document& document) {
    if (document.root && document.root->type == Tree::Type::kMap) {
      read(*document.root);
    } else if (document.root) {
      torn(document, {{name_, document.line}, "", "", not_an_object(*document.root), ""});
    } else {
      torn(document, {{name_, document.error_line}, "", "", document.error, ""});
    }
  }

  static void name_when_nameless(Tree& root, std::string_view field, std::string_view value) {
    if (value.empty() || root.find(field)) return;
    root.names.emplace_back(field);
    root.items.push_back({.type = Tree::Type::kString, .line = 0, .text = std::string(value), .items = {}, .names = {}});
  }

  void broken(std::optional<Key> key, Problem problem) {
    if (key && !key->name.empty()) problem.object = key->text();
    out_.broken.push_back({.key = std::move(key), .certain = false, .problems = {std::move(problem)}});
  }

  static std::string not_an_object(const Tree& tree) {
    return "not an object: must be a map, is " + std::string(describe(tree.type));
  }

  // A document with nothing to hold on to but its words.
  void torn(const Document& document, Problem problem) {
    std::set<Key> keys;
    for (const Glance& seen : glance(document.text)) {
      for (Key& key : keys_of(seen)) keys.insert(std::move(key));
    }
    if (keys.empty()) return broken({}, std::move(problem));
    for (const Key& key : keys) {
      if (key == *keys.begin()) {
        broken(key, problem);  // said once
      } else {
        out_.broken.push_back({.key = key, .certain = false, .problems = {}});
      }
    }
  }

  void read(const Tree& root) {
    if (root.type != Tree::Type::kMap) return broken({}, {{name_, root.line}, "", "", not_an_object(root), ""});
    const std::string api_version(scalar(&root, "apiVersion"));
    const std::string kind(scalar(&root, "kind"));
    if (kind == "List") return read_list(root, api_version);
    if (kind.empty() || api_version.empty()) {
      const std::optional<Kind> meant = policy_meant(root);
      return broken(meant ? key_meant(root, *meant) : std::nullopt, {{name_, root.line},
                                                                     "",
                                                                     "",
                                                                     kind.empty() ? "kind is missing" : "apiVersion is missing",
                                                                     "every object begins with apiVersion and kind"});
    }
    if (const KindRow* row = row_of(api_version, kind)) return read_object(root, *row, api_version);
    if (const auto meant = policy_meant(root)) return misspelt(root, *meant, api_version, kind);
    if (std::string hint = kind_meant(api_version, kind); !hint.empty()) {
      return broken({}, {{name_, root.line}, "", "", "unknown kind " + quote(kind), std::move(hint)});
    }
    const Tree* metadata = root.find("metadata");
    const auto cut = [](std::string_view text) { return std::string(text.substr(0, 253)); };
    out_.ignored.push_back(
        {{name_, root.line}, cut(api_version), cut(kind), cut(scalar(metadata, "namespace")), cut(scalar(metadata, "name"))});
  }

  void misspelt(const Tree& root, Kind meant, const std::string& api_version, const std::string& kind) {
    const bool known = name(meant) == kind;
    const std::string what = known ? "apiVersion " + quote(api_version) + " has no " + kind : "unknown kind " + quote(kind);
    const std::string hint =
        known ? "write " + std::string(kSecurity) + "/v1"
              : did_you_mean(kind, {name(Kind::kAuthorizationPolicy), name(Kind::kPeerAuthentication), "RequestAuthentication"});
    broken(key_meant(root, meant), {{name_, root.line}, "", "", what, hint});
  }

  void read_list(const Tree& root, const std::string& api_version) {
    const auto wrong = [&](std::string what) { broken({}, {{name_, root.line}, "List", "", std::move(what), ""}); };
    const Tree* items = root.find("items");
    if (api_version != "v1") wrong("apiVersion must be v1");
    if (!items || items->type != Tree::Type::kList) return wrong("has no items");
    for (const Tree& item : items->items) read(item);
  }

  void read_object(const Tree& root, const KindRow& row, const std::string& api_version) {
    Report report{.file = name_,
                  .object = std::string(name(row.kind)),
                  .strict = find_kind(row.kind) != nullptr,
                  .problems = {},
                  .unread = {}};
    std::optional<Key> key = key_meant(root, row.kind);
    const bool named = key && !key->name.empty();
    if (named) report.object = key->text();
    std::optional<Object> object;
    {
      Fields fields(report, root, "");
      fields.skip({"apiVersion", "kind"});
      if (!serves(row, api_version)) {
        fields.wrong("apiVersion", quote(api_version) + " is not read",
                     "write " + std::string(row.versions.substr(0, row.versions.find(','))));
      }
      Metadata metadata = read_metadata(fields, is_namespaced(row.kind));
      object = row.read ? row.read(fields, std::move(metadata)) : read_custom(fields, std::move(metadata), row.kind);
    }
    const CustomKind* described = find_kind(row.kind);
    const Tree* spec = root.find("spec");
    if (described != nullptr && spec != nullptr) check_rules(report, *spec, "spec", *described->spec);
    if (!report.problems.empty()) {
      const bool certain = named && (!is_namespaced(row.kind) || !key->name_space.empty());
      out_.broken.push_back({.key = std::move(key), .certain = certain, .problems = std::move(report.problems)});
      return;
    }
    out_.objects.push_back({std::make_shared<const Object>(std::move(*object)), {name_, root.line}, std::move(report.unread)});
  }

  std::string name_;
  ParsedFile out_;
};

}  // namespace

std::string Ignored::text() const {
  std::string out = place.text() + ": " + kind + " ";
  if (!name_space.empty()) out.append(name_space).append("/");
  out.append(name).append(" of ").append(api_version).append(" is not read by this version");
  if (kind == "IstioOperator")
    out += " (no object of a cluster: its settings are values of the Helm charts, meshConfig among them)";
  return out;
}

ParsedFile parse_yaml(std::string_view file, std::string_view text) { return FileParser(file).parse(text); }

ParsedFile parse_json(std::string_view file, std::string_view text, std::string_view api_version, std::string_view kind) {
  return FileParser(file).parse(read_json(text), api_version, kind);
}

}  // namespace culvert::config
