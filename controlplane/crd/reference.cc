#include "controlplane/crd/reference.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <deque>
#include <set>
#include <vector>

#include "common/config/format.h"
#include "proto/culvert/schema.pb.h"
#include "proto/istio/mesh/v1alpha1/config.pb.h"

namespace culvert::crd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

std::string joined(const std::vector<std::string>& words, std::string_view between = ", ") {
  std::string out;
  for (const std::string& word : words) out.append(out.empty() ? "" : between).append(word);
  return out;
}

// In a cell of a table.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|' || c == '<' || c == '>' || c == '*' || c == '_') out += '\\';
    out += c;
  }
  return out;
}

std::string comment_of(const Comments& comments, std::string_view full_name) {
  const auto found = comments.find(std::string(full_name));
  return found == comments.end() ? "" : found->second;
}

// A message whose fields stand in a table of their own; none for what has a JSON form of its own.
const Descriptor* table_of(const FieldDescriptor& field) {
  const FieldDescriptor& value = field.is_map() ? *field.message_type()->map_value() : field;
  const Descriptor* message = value.message_type();
  return message != nullptr && message->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED ? message : nullptr;
}

// Without the package, with what it is nested in: "HTTPRouteMatch.Path".
std::string name_of(const Descriptor& message) {
  const std::string package(message.file()->package());
  return std::string(message.full_name()).substr(package.empty() ? 0 : package.size() + 1);
}

// As the pages' readers make them: small letters, without dots.
std::string link_to(const Descriptor& message) {
  std::string anchor;
  for (const char c : name_of(message)) {
    if (c != '.') anchor += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return "[" + name_of(message) + "](#" + anchor + ")";
}

std::string type_of_value(const FieldDescriptor& value) {
  if (const Descriptor* message = value.message_type()) {
    switch (message->well_known_type()) {
      case Descriptor::WELLKNOWNTYPE_DURATION: return "duration";
      case Descriptor::WELLKNOWNTYPE_TIMESTAMP: return "time";
      case Descriptor::WELLKNOWNTYPE_STRUCT: return "object";
      case Descriptor::WELLKNOWNTYPE_VALUE: return "anything";
      case Descriptor::WELLKNOWNTYPE_LISTVALUE: return "list";
      case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
      case Descriptor::WELLKNOWNTYPE_ANY:
      case Descriptor::WELLKNOWNTYPE_FIELDMASK: return link_to(*message);
      default: return type_of_value(*message->FindFieldByName("value"));
    }
  }
  switch (value.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return "boolean";
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64: return "integer";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE: return "number";
    default: return "string";
  }
}

std::string type_of(const FieldDescriptor& field) {
  if (field.is_map()) return "map of " + type_of_value(*field.message_type()->map_value());
  return (field.is_repeated() ? "list of " : "") + type_of_value(field);
}

std::string number(double value) {
  return value == static_cast<double>(static_cast<std::int64_t>(value)) ? std::to_string(static_cast<std::int64_t>(value))
                                                                        : std::to_string(value);
}

void add_enum(const EnumDescriptor& type, std::vector<std::string>& out) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back("`" + std::string(type.value(i)->name()) + "`");
  out.push_back(joined(names, ", "));
}

// What its value must be.
std::string rules_of(const FieldDescriptor& field) {
  const culvert::Value& rules = field.options().GetExtension(culvert::value);
  const FieldDescriptor& value = field.is_map() ? *field.message_type()->map_value() : field;
  std::vector<std::string> out;
  if (rules.required()) out.emplace_back("**required**");
  if (value.enum_type() != nullptr) add_enum(*value.enum_type(), out);
  std::vector<std::string> words;
  for (const std::string& word : rules.one_of()) words.push_back("`" + word + "`");
  if (!words.empty()) out.push_back(joined(words));
  if (!rules.default_value().empty()) out.push_back("default `" + rules.default_value() + "`");
  if (rules.port()) out.emplace_back("1 to 65535");
  if (rules.has_min() && rules.has_max()) out.push_back(number(rules.min()) + " to " + number(rules.max()));
  else if (rules.has_min()) out.push_back("at least " + number(rules.min()));
  else if (rules.has_max()) out.push_back("at most " + number(rules.max()));
  if (rules.above_zero()) out.emplace_back("above 0");
  if (rules.min_items() > 0) out.push_back("at least " + std::to_string(rules.min_items()));
  if (rules.max_items() > 0) out.push_back("at most " + std::to_string(rules.max_items()));
  if (rules.max_len() > 0) out.push_back("up to " + std::to_string(rules.max_len()) + " characters");
  if (!rules.unique_by().empty()) out.push_back("each with another " + rules.unique_by());
  if (rules.immutable()) out.emplace_back("cannot be changed");
  for (const culvert::Cel& cel : rules.cel()) out.push_back(cell(cel.message()));
  return joined(out, "; ");
}

// "not beside `a`, `b`"
std::string others_of(const FieldDescriptor& field, const google::protobuf::OneofDescriptor& one) {
  std::vector<std::string> names;
  for (int i = 0; i < one.field_count(); ++i) {
    if (one.field(i) != &field) names.push_back("`" + std::string(one.field(i)->json_name()) + "`");
  }
  return "not beside " + joined(names);
}

constexpr std::string_view kMade = "<!-- Made from proto/ by culvert-crd: change it there. -->\n# ";
constexpr std::string_view kHead = "| field | type | rules | |\n|---|---|---|---|\n";

class Page {
 public:
  explicit Page(const Comments& comments) : comments_(comments) {}

  void add(const config::CustomKind& kind) {
    std::vector<std::string> versions;
    for (const std::string& version : kind.versions) versions.push_back("`" + kind.group + "/" + version + "`");
    text_ += "## " + kind.name + "\n\n" + joined(versions, ", ") + "; `" + kind.plural + "`" +
             (kind.spec->options().GetExtension(culvert::kind).cluster_scoped() ? "; of the whole cluster" : "") + ".";
    const std::string comment = comment_of(comments_, kind.spec->full_name());
    text_ += (comment.empty() ? "" : " " + comment) + "\n\n";
    table(*kind.spec);
  }

  // What is of interest first: what its fields do.
  void add_mesh_config() {
    const Descriptor& mesh_config = *istio::mesh::v1alpha1::MeshConfig::descriptor();
    add_effect(mesh_config, culvert::FOLLOWED, "Followed\n\nA change is in force at once.");
    add_effect(mesh_config, culvert::NOT_YET,
               "Not enforced yet\n\nThe warning is `data.mesh: this version does not enforce FIELD yet`.");
    add_effect(mesh_config, culvert::OF_SIDECARS,
               "Without meaning in a mesh without sidecars\n\n"
               "The warning is `data.mesh: FIELD: has no meaning in a mesh without sidecars`.");
  }

  // With the tables of all messages that were named and had none yet.
  std::string finish() {
    if (!queue_.empty()) text_ += "# Parts of them\n\n";
    while (!queue_.empty()) {
      const Descriptor* message = queue_.front();
      queue_.pop_front();
      text_ += "### " + name_of(*message) + "\n\n";
      if (const std::string comment = comment_of(comments_, message->full_name()); !comment.empty()) text_ += comment + "\n\n";
      table(*message);
    }
    return text_;
  }

 private:
  void add_effect(const Descriptor& message, culvert::Effect effect, std::string_view title) {
    text_.append("## ").append(title).append("\n\n").append(kHead);
    for (int i = 0; i < message.field_count(); ++i) {
      if (message.field(i)->options().GetExtension(culvert::effect) == effect) row(*message.field(i));
    }
    text_ += "\n";
  }

  void table(const Descriptor& message) {
    if (message.field_count() == 0) return void(text_ += "No fields.\n\n");
    text_ += kHead;
    for (int i = 0; i < message.field_count(); ++i) row(*message.field(i));
    for (const culvert::Cel& cel : message.options().GetExtension(culvert::object).cel())
      text_ += "\n- " + cell(cel.message()) + "\n";
    text_ += "\n";
  }

  void row(const FieldDescriptor& field) {
    if (const Descriptor* other = table_of(field); other != nullptr && seen_.insert(other).second) queue_.push_back(other);
    std::string about = cell(comment_of(comments_, field.full_name()));
    if (const auto* one = field.real_containing_oneof(); one != nullptr && one->field_count() > 1)
      about += (about.empty() ? "" : "; ") + others_of(field, *one);
    text_ += "| `" + std::string(field.json_name()) + "` | " + type_of(field) + " | " + rules_of(field) + " | " + about + " |\n";
  }

  const Comments& comments_;
  std::string text_;
  std::deque<const Descriptor*> queue_;
  std::set<const Descriptor*> seen_;
};

constexpr std::string_view kMeshConfigPage = "meshconfig.md";

std::string mesh_config_page(const Comments& comments) {
  Page page(comments);
  page.add_mesh_config();
  return std::string(kMade) + R"(MeshConfig

What holds for the mesh as a whole: YAML in the key `mesh` of the ConfigMap `istio` in culvertd's own namespace (`istio-system`). With an unknown field, a
wrong type or a bad value in it, none of it is taken: the log names the field, and the last version that could be read stays in force. Every field is read,
and not all of them do something: those that are set and do not are a warning, on the log and wherever warnings are shown. The ConfigMap's other key,
`meshNetworks`, is not followed either, with a warning. `culvert wait --for-applied configmap/istio -n istio-system` returns when a change is in force.

)" + page.finish();
}

}  // namespace

std::map<std::string, std::string> reference(const Comments& comments) {
  std::map<std::string, std::string> out;
  std::map<std::string, Page> pages;
  std::map<std::string, std::vector<std::string>> names;
  for (const config::CustomKind& kind : config::custom_kinds()) {
    pages.try_emplace(kind.group, comments).first->second.add(kind);
    names[kind.group].push_back(kind.name);
  }
  std::string index = std::string(kMade) + "Every kind and field\n\n| page | |\n|---|---|\n";
  for (auto& [group, page] : pages) {
    index += "| [" + group + "](" + group + ".md) | " + joined(names[group]) + " |\n";
    out[group + ".md"] = std::string(kMade) + group +
                         "\n\nThe fields of `spec`. An unknown field, a wrong type or a bad value is refused by name.\n\n" +
                         page.finish();
  }
  index += "| [MeshConfig](" + std::string(kMeshConfigPage) + ") | what holds for the mesh as a whole |\n";
  out["README.md"] = index;
  out[std::string(kMeshConfigPage)] = mesh_config_page(comments);
  return out;
}

}  // namespace culvert::crd
