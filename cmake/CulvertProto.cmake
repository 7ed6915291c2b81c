# culvert_proto(FOLDER): the C++ of all *.proto of FOLDER.
#   culvert_proto        the messages; include "proto/workload.pb.h"
#   culvert_proto_grpc   the stubs of files that declare a service; include "proto/ca.grpc.pb.h"; only common/rpc links it
# culvert_objects(FOLDER...): the C++ of all *.proto of these folders and those below, as the library culvert_proto_objects.
# Generated code is a system header to everybody, and compiled for size of build time: it is not ours to read. Nor is it sanitised, like the library that it
# is written for: that would be half of the time of a sanitised build.

find_package(Protobuf REQUIRED)
# Not by pkg-config: it takes 40 s to expand the hundred libraries that a static gRPC would need.
find_library(CULVERT_GRPCPP grpc++ REQUIRED)
find_library(CULVERT_GPR gpr REQUIRED)
find_library(CULVERT_ABSL_SYNCHRONIZATION absl_synchronization REQUIRED)
find_program(CULVERT_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)

function(culvert_proto_library name sources)
  add_library(${name} STATIC ${sources})
  add_dependencies(${name} culvert_proto_sources)
  target_include_directories(${name} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/generated)
  target_compile_options(${name} PRIVATE -w -O1 -g0)
  if(CULVERT_SANITIZE)
    target_compile_options(${name} PRIVATE -fno-sanitize=all)
  endif()
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(${name} PUBLIC ${ARGN})
endfunction()

function(culvert_proto folder)
  file(GLOB protos CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/${folder}/*.proto)
  set(out ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${out})
  set(messages "")
  set(stubs "")
  set(headers "")
  foreach(proto IN LISTS protos)
    string(REGEX REPLACE "\\.proto$" "" base ${proto})
    list(APPEND messages ${out}/${base}.pb.cc)
    list(APPEND headers ${out}/${base}.pb.h)
    file(STRINGS ${CMAKE_SOURCE_DIR}/${proto} services REGEX "^service ")
    if(services)
      list(APPEND stubs ${out}/${base}.grpc.pb.cc)
      list(APPEND headers ${out}/${base}.grpc.pb.h)
      list(APPEND served ${proto})
    endif()
  endforeach()
  list(TRANSFORM protos PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE inputs)
  add_custom_command(
    OUTPUT ${messages} ${stubs} ${headers}
    COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR} --cpp_out=${out} ${protos}
    COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR} --grpc_out=${out} --plugin=protoc-gen-grpc=${CULVERT_GRPC_PLUGIN} ${served}
    DEPENDS ${inputs}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMENT "Generating C++ from ${folder}"
    VERBATIM)
  add_custom_target(culvert_proto_sources DEPENDS ${messages} ${stubs} ${headers})
  set_property(GLOBAL APPEND PROPERTY CULVERT_GENERATED culvert_proto_sources)
  culvert_proto_library(culvert_proto "${messages}" protobuf::libprotobuf)
  culvert_proto_library(culvert_proto_grpc "${stubs}" culvert_proto ${CULVERT_GRPCPP} ${CULVERT_GPR} ${CULVERT_ABSL_SYNCHRONIZATION})
endfunction()

function(culvert_objects)
  set(out ${CMAKE_BINARY_DIR}/generated)
  set(protos "")
  foreach(folder IN LISTS ARGN)
    file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/${folder}/*.proto)
    list(APPEND protos ${found})
  endforeach()
  set(messages "")
  set(headers "")
  foreach(proto IN LISTS protos)
    string(REGEX REPLACE "\\.proto$" "" base ${proto})
    list(APPEND messages ${out}/${base}.pb.cc)
    list(APPEND headers ${out}/${base}.pb.h)
  endforeach()
  list(TRANSFORM protos PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE inputs)
  set(descriptors ${CMAKE_BINARY_DIR}/objects.pb)
  add_custom_command(
    OUTPUT ${messages} ${headers} ${descriptors}
    COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR} --cpp_out=${out} --include_imports --include_source_info
            --descriptor_set_out=${descriptors} ${protos}
    DEPENDS ${inputs}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMENT "Generating C++ from the protos of objects"
    VERBATIM)
  add_custom_target(culvert_objects_sources DEPENDS ${messages} ${headers} ${descriptors})
  set_property(GLOBAL APPEND PROPERTY CULVERT_GENERATED culvert_objects_sources)
  culvert_proto_library(culvert_proto_objects "${messages}" protobuf::libprotobuf)
  add_dependencies(culvert_proto_objects culvert_objects_sources)
endfunction()
