# culvert_bpf(NAME [SKELETON name] SOURCES file.bpf.c... [DEFINES -DX=...])
# Compiles BPF programs, links them into one object and makes SKELETON.skel.h (NAME.skel.h by default), which carries the object. Link
# the interface target NAME to include it. Any warning is an error.

find_program(CULVERT_BPF_CLANG NAMES clang-19 REQUIRED)
find_program(CULVERT_BPFTOOL NAMES bpftool PATHS /usr/sbin REQUIRED)

function(culvert_bpf name)
  cmake_parse_arguments(arg "" "SKELETON" "SOURCES;DEFINES" ${ARGN})
  if(NOT arg_SKELETON)
    set(arg_SKELETON ${name})
  endif()
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}/${arg_SKELETON}.skel.h)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${name})
  file(MAKE_DIRECTORY ${folder})
  set(objects "")
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(GET source STEM LAST_ONLY stem)
    set(object ${folder}/${stem}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${CULVERT_BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -std=gnu17 -Wall -Wextra -Werror ${arg_DEFINES} -I${CMAKE_SOURCE_DIR}
              -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -MD -MF ${object}.d
              -c ${source} -o ${object}
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "Building BPF object ${name}/${stem}.o"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${CULVERT_BPFTOOL} gen object ${folder}/${name}.o ${objects}
    COMMAND sh -c "${CULVERT_BPFTOOL} gen skeleton ${folder}/${name}.o name ${arg_SKELETON} >${skeleton}"
    DEPENDS ${objects}
    COMMENT "Linking BPF object ${name}.o"
    VERBATIM)
  add_custom_target(${name}_skeleton DEPENDS ${skeleton})
  set_property(GLOBAL APPEND PROPERTY CULVERT_GENERATED ${name}_skeleton)
  add_library(${name} INTERFACE)
  add_dependencies(${name} ${name}_skeleton)
  target_include_directories(${name} SYSTEM INTERFACE ${folder})
  target_compile_definitions(${name} INTERFACE _Bool=bool) # bpftool writes C; clang's C++ has no _Bool
endfunction()
