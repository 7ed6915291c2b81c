#pragma once
// Whether a sanitizer watches over memory: CULVERT_WATCHED, 0 or 1; CULVERT_ASAN where it is AddressSanitizer. g++ and clang tell it in different ways.

#ifdef __has_feature
#define CULVERT_HAS_FEATURE(name) __has_feature(name)
#else
#define CULVERT_HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || CULVERT_HAS_FEATURE(address_sanitizer)
#define CULVERT_ASAN 1
#else
#define CULVERT_ASAN 0
#endif

#if CULVERT_ASAN || defined(__SANITIZE_THREAD__) || CULVERT_HAS_FEATURE(thread_sanitizer)
#define CULVERT_WATCHED 1
#else
#define CULVERT_WATCHED 0
#endif
