# Half of the time of a build goes into reading the standard library and GoogleTest again for every file: they are read once, here.
#   culvert_precompiled(TARGET)  sources of a library or program
#   culvert_as_test(TARGET)      sources that only test: not optimised either, since they run for moments and compile for seconds
# What a file includes is still its own affair: the header checks and clang-tidy compile without this.

set(culvert_standard
    <algorithm> <array> <chrono> <coroutine> <cstdint> <cstring> <expected> <filesystem> <format> <functional> <map> <memory> <optional> <ranges>
    <set> <span> <string> <string_view> <unordered_map> <utility> <vector>)

# ccache looks into a precompiled header when it may; clang's must not carry the time of its making.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
else()
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()

function(culvert_precompile name)
  set(source ${CMAKE_BINARY_DIR}/${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "")
  add_library(${name} OBJECT ${source})
  target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()

function(culvert_precompiled target)
  target_precompile_headers(${target} REUSE_FROM culvert_pch)
endfunction()

function(culvert_test_options target)
  target_compile_options(${target} PRIVATE -O0)
  target_compile_definitions(${target} PRIVATE GTEST_HAS_PTHREAD=1) # what GoogleTest says to those who link it: the same for all
endfunction()

function(culvert_as_test target)
  culvert_test_options(${target})
  target_precompile_headers(${target} REUSE_FROM culvert_test_pch)
endfunction()

culvert_precompile(culvert_pch ${culvert_standard})
culvert_precompile(culvert_test_pch ${culvert_standard} <gmock/gmock.h> <gtest/gtest.h>)
culvert_test_options(culvert_test_pch)
