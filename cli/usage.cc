#include "cli/usage.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "common/base/format.h"
#include "common/config/spelling.h"

namespace culvert::cli {
namespace {

// The command that the words have led to, as it is called: "culvert local up".
const CLI::App* chosen(const CLI::App* app, std::string& called) {
  called += app->get_name();
  for (auto deeper = app->get_subcommands(); !deeper.empty(); deeper = app->get_subcommands()) {
    app = deeper.back();
    called += " " + app->get_name();
  }
  return app;
}

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
  for (const CLI::App* group : command.get_subcommands([](const CLI::App* each) { return each->get_name().empty(); }))
    for (std::string& flag : flags_of(*group)) out.push_back(std::move(flag));
  return out;
}

std::vector<std::string> commands_of(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::App* each :
       command.get_subcommands([](const CLI::App* one) { return !one->get_name().empty() && !one->get_group().empty(); })) {
    out.push_back(each->get_name());
    out.insert(out.end(), each->get_aliases().begin(), each->get_aliases().end());
  }
  return out;
}

std::string with_hint(std::string text, std::string_view word, const std::vector<std::string>& known) {
  const std::string hint = config::did_you_mean(word, {known.begin(), known.end()});
  return hint.empty() ? text : culvert::format("{} ({})", text, hint);
}

}  // namespace

std::string usage_text(const CLI::App& app, const CLI::ParseError& error) {
  std::string called;
  const CLI::App& command = *chosen(&app, called);
  const std::vector<std::string> strange = app.remaining(true);
  const std::vector<std::string> commands = commands_of(command);
  const auto is_flag = [](const std::string& word) { return word.size() > 1 && word.starts_with('-') && word != "--"; };
  const auto word = std::ranges::find_if_not(strange, is_flag), flag = std::ranges::find_if(strange, is_flag);
  std::string what;
  if (!commands.empty() && word != strange.end()) {
    what = with_hint("there is no command \"" + *word + "\"", *word, commands);
  } else if (flag != strange.end()) {  // said before what is missing because of it
    const std::string name = flag->substr(0, flag->find('='));
    what = with_hint("there is no flag " + name, name, flags_of(command));
  } else if (!strange.empty()) {
    what = culvert::format("\"{}\" is one word too many", strange.front());
  } else {
    what = error.what();
  }
  return culvert::format("{}: {}\nRun \"{} --help\" for what there is.\n", called, what, called);
}

}  // namespace culvert::cli
