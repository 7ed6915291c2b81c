#pragma once
// Values as somebody writes them who comes from istioctl. Pure.

#include <string>
#include <string_view>

#include "cli/install/helm.h"

namespace culvert::cli::install {

// The first of the values on the command line that Istio knows by a name that our chart has elsewhere, and how it is called here; empty when there is none.
// All others are the chart's to judge.
std::string istio_word(const Values& values);

}  // namespace culvert::cli::install
