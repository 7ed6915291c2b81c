#pragma once
// The words of `culvert ztunnel-config …`.

namespace CLI {
class App;
}

namespace culvert::cli {

void add_ztunnel_config(CLI::App& app, int& exit_code);

}  // namespace culvert::cli
