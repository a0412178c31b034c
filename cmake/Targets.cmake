# Target helpers. A folder's CMakeLists.txt is a list of these calls.
#
#   tandem_library(base_status SRCS status.cc DEPS tandem::deps::absl)
#   tandem_test(base_status_test SRCS status_test.cc DEPS base_status [LABELS unit] [ARGS ...])
#   tandem_benchmark(compute_gemm_benchmark SRCS ... DEPS ...)
#
# Includes are written from the repository root: #include "base/status.h".

# The one precompiled header: standard containers and the abseil vocabulary.
file(WRITE ${CMAKE_BINARY_DIR}/pch_anchor.cc.in "namespace tandem { extern const int pch_anchor; const int pch_anchor = 0; }\n")
configure_file(${CMAKE_BINARY_DIR}/pch_anchor.cc.in ${CMAKE_BINARY_DIR}/pch_anchor.cc COPYONLY)
add_library(tandem_pch STATIC ${CMAKE_BINARY_DIR}/pch_anchor.cc)
target_link_libraries(tandem_pch PUBLIC tandem::deps::absl)
target_precompile_headers(tandem_pch PRIVATE
  <algorithm> <array> <atomic> <cstdint> <cstring> <functional> <map> <memory> <optional> <string> <thread> <utility> <vector>
  <absl/status/status.h> <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/string_view.h>
  <absl/synchronization/mutex.h> <absl/time/time.h> <absl/types/span.h>)

if(TANDEM_SANITIZE MATCHES "thread")
  # Linked into every program before everything else, so that its definitions are found first.
  add_library(tandem_tsan_abseil SHARED ${CMAKE_SOURCE_DIR}/cmake/tsan_abseil.cc)
  target_link_libraries(tandem_tsan_abseil PRIVATE tandem::deps::absl tandem::deps::grpc ${CMAKE_DL_LIBS})
  link_libraries(tandem_tsan_abseil)
  add_link_options(-Wl,--no-as-needed $<TARGET_FILE:tandem_tsan_abseil>)
endif()

function(_tandem_common target)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-missing-field-initializers $<$<BOOL:${TANDEM_WERROR}>:-Werror>
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
  if(TANDEM_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC takes instrumented std::function, inside std::regex for one, for uninitialised.
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
  target_precompile_headers(${target} REUSE_FROM tandem_pch)
endfunction()

function(tandem_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SRCS})
  target_link_libraries(${name} PUBLIC tandem::deps::absl ${ARG_DEPS})
  _tandem_common(${name})
endfunction()

function(tandem_binary name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  _tandem_common(${name})
endfunction()

function(tandem_test name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;LABELS;ARGS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} tandem::deps::gtest)
  _tandem_common(${name})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
  if(TANDEM_SANITIZE MATCHES "thread")
    set_tests_properties(${name} PROPERTIES
      ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan_suppressions.txt")
  endif()
endfunction()

function(tandem_benchmark name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} tandem::deps::benchmark)
  _tandem_common(${name})
endfunction()

# tandem_embed(TARGET FILE NAME): #include "embedded/NAME.h" gives `TARGET`, and what links it, the text of FILE as
# tandem::embedded::NAME.
function(tandem_embed target file name)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${file} text)
  set(header ${CMAKE_BINARY_DIR}/generated/embedded/${name}.h)
  file(WRITE ${header}.in "#pragma once\nnamespace tandem::embedded {\ninline constexpr char ${name}[] = R\"embedded(${text})embedded\";\n}\n")
  configure_file(${header}.in ${header} COPYONLY)
  target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/generated)
endfunction()
