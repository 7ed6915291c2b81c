#include "cli/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

namespace culvert::cli {
namespace {

constexpr std::string_view kBash = R"(# culvert's completion for bash. Now: source <(culvert completion bash)
# Always: culvert completion bash > /etc/bash_completion.d/culvert
_culvert_complete() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("${line%%$'\t'*}")
  done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _culvert_complete culvert
)";

constexpr std::string_view kZsh = R"(#compdef culvert
# culvert's completion for zsh. Now: source <(culvert completion zsh)
# Always: culvert completion zsh > "${fpath[1]}/_culvert"
_culvert() {
  local line
  local -a described
  while IFS= read -r line; do
    [[ $line == *$'\t'* ]] && line="${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}" || line="${line//:/\\:}"
    described+=("$line")
  done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( ${#described} )); then _describe culvert described; else _files; fi
}
if [[ ${funcstack[1]} == _culvert ]]; then _culvert "$@"; else compdef _culvert culvert; fi
)";

constexpr std::string_view kFish = R"(# culvert's completion for fish. Now: culvert completion fish | source
# Always: culvert completion fish > ~/.config/fish/completions/culvert.fish
function __culvert_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c culvert -n 'test (count (__culvert_complete)) -gt 0' -f -a '(__culvert_complete)'
)";

bool is_shown(const CLI::App* command) { return !command->get_name().empty() && !command->get_group().empty(); }

// Also those of its groups.
std::vector<const CLI::Option*> options_of(const CLI::App& command) {
  std::vector<const CLI::Option*> out = command.get_options([](const CLI::Option* each) { return each->nonpositional(); });
  for (const CLI::App* group : command.get_subcommands([](const CLI::App* each) { return each->get_name().empty(); }))
    std::ranges::copy(options_of(*group), std::back_inserter(out));
  return out;
}

const CLI::Option* option_called(const CLI::App& command, const std::string& flag) {
  const auto all = options_of(command);
  const auto found = std::ranges::find_if(all, [&](const CLI::Option* each) { return each->check_name(flag); });
  return found == all.end() ? nullptr : *found;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What may be written behind a flag, as far as the table says: "TEXT:{json,yaml}" is how CLI11 shows that.
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto begin = type.find('{'), end = type.find('}', begin);
  std::vector<std::string> out;
  if (begin == type.npos || end == type.npos) return out;
  for (std::size_t at = begin + 1; at < end;) {
    const auto comma = std::min(type.find(',', at), end);
    out.push_back(type.substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

std::vector<Candidate> values(const CLI::Option& option, std::string_view before, std::string_view begun) {
  std::vector<Candidate> out;
  for (const std::string& choice : choices_of(option))
    if (choice.starts_with(begun)) out.push_back({std::string(before) + choice});
  return out;
}

std::vector<Candidate> flags(const CLI::App& command, const std::string& begun) {
  if (const auto equals = begun.find('='); equals != begun.npos) {
    const auto* option = option_called(command, begun.substr(0, equals));
    return option == nullptr ? std::vector<Candidate>() : values(*option, begun.substr(0, equals + 1), begun.substr(equals + 1));
  }
  std::vector<Candidate> out;
  for (const CLI::Option* option : options_of(command)) {
    if (option->get_group().empty()) continue;
    for (const std::string& name : option->get_lnames()) {
      const std::string flag = "--" + name;  // --help is in every group, too
      if (flag.starts_with(begun) && !std::ranges::contains(out, flag, &Candidate::text))
        out.push_back({flag, first_line(option->get_description())});
    }
  }
  return out;
}

std::vector<Candidate> subcommands(const CLI::App& command, const std::string& begun) {
  std::vector<Candidate> out;
  for (const CLI::App* each : command.get_subcommands(is_shown)) {
    if (each->get_name().starts_with(begun)) out.push_back({each->get_name(), first_line(each->get_description())});
  }
  if (!out.empty()) return out;
  for (const CLI::App* each : command.get_subcommands(is_shown))
    for (const std::string& alias : each->get_aliases())
      if (alias.starts_with(begun)) out.push_back({alias, first_line(each->get_description())});
  return out;
}

const CLI::App* subcommand_called(const CLI::App& command, const std::string& word) {
  for (const CLI::App* each : command.get_subcommands([](const CLI::App*) { return true; }))
    if (!each->get_name().empty() && each->check_name(word)) return each;
  return nullptr;
}

}  // namespace

std::vector<Candidate> candidates(const CLI::App& app, const std::vector<std::string>& words) {
  if (words.empty()) return {};
  const CLI::App* command = &app;
  const CLI::Option* open = nullptr;  // whose value comes next
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") return {};  // of somebody else's command, or files
    if (word == "=" && i > 0) {   // bash takes "--output=json" for three words
      open = option_called(*command, words[i - 1]);
    } else if (open != nullptr) {
      open = nullptr;
    } else if (word.starts_with('-')) {
      const auto* option = word.contains('=') ? nullptr : option_called(*command, word);
      open = option != nullptr && takes_value(*option) ? option : nullptr;
    } else if (const auto* deeper = subcommand_called(*command, word)) {
      command = deeper;
    }
  }
  const std::string& begun = words.back();
  if (open == nullptr && begun == "=" && words.size() > 1) open = option_called(*command, words[words.size() - 2]);
  if (open != nullptr) return values(*open, "", begun == "=" ? "" : begun);
  return begun.starts_with('-') ? flags(*command, begun) : subcommands(*command, begun);
}

std::string lines_of(const std::vector<Candidate>& all) {
  std::string out;
  for (const Candidate& each : all) {
    out += each.text;
    if (!each.about.empty()) out.append("\t").append(each.about);
    out += '\n';
  }
  return out;
}

std::string completion_script(std::string_view shell) {
  return std::string(shell == "bash" ? kBash : shell == "zsh" ? kZsh : shell == "fish" ? kFish : "");
}

void add_completion(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("completion", "what a shell has to read to complete culvert's words: source <(culvert completion bash)");
  command->require_subcommand(1);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    command->add_subcommand(shell, std::string("for ") + shell)->callback([shell, &exit_code] {
      exit_code = std::fputs(completion_script(shell).c_str(), stdout) < 0 ? 1 : 0;
    });
  }
}

}  // namespace culvert::cli
