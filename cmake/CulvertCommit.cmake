# culvert_has_commit(PROGRAM): the program knows the commit that it was built from (common/base/version.h). Asked of git at every build; what depends
# on it is built again only when it has changed. As a script (cmake -P) this file writes OUT.

if(CMAKE_SCRIPT_MODE_FILE)
  execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=* OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET)
  if(NOT commit)
    set(commit unknown)
  endif()
  file(CONFIGURE OUTPUT ${OUT} CONTENT "extern \"C\" const char culvert_commit[];\nconst char culvert_commit[] = \"${commit}\";\n")
  return()
endif()

add_custom_target(culvert_commit_source
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${CMAKE_BINARY_DIR}/commit.cc -P ${CMAKE_CURRENT_LIST_FILE}
  BYPRODUCTS ${CMAKE_BINARY_DIR}/commit.cc
  COMMENT "Asking git for the commit"
  VERBATIM)
add_library(culvert_commit OBJECT ${CMAKE_BINARY_DIR}/commit.cc)
add_dependencies(culvert_commit culvert_commit_source)

function(culvert_has_commit program)
  target_sources(${program} PRIVATE $<TARGET_OBJECTS:culvert_commit>)
endfunction()
